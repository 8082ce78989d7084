//! Features for people: a title with a count, and below it what is there, what is not and why.

use std::io::{self, Write as _};

use skep::{
    Host,
    abi::KernelVersion,
    boundary::Cause,
    features::Probe,
    linux::{Answer, Check},
};

use super::report::{Call, Kind, Report, Rows, Section, Selection, Single};
use crate::{
    answers::{self, TITLE, WIDTH},
    output::Output,
    text::printable,
};

pub(super) fn print(
    host: &Host,
    report: &Report,
    selection: &Selection,
    out: &mut Output,
) -> io::Result<()> {
    let host = host.info().to_string();
    let version = env!("CARGO_PKG_VERSION");
    writeln!(out, "skep {version} on {}", printable(&host))?;
    for section in &report.sections {
        match &section.rows {
            Rows::Single(rows) if selection.names.is_empty() => list(section, rows, out)?,
            Rows::Single(rows) => {
                for row in rows {
                    let what = singular(section.kind);
                    heading(&format!("{what} {}", row.name), row.since, out)?;
                    let checks = [answers::check(row.name.as_str(), &row.probe)];
                    answers::print(&checks, |check| &check.name, out)?;
                }
            }
            Rows::Calls(calls) if !selection.names.is_empty() => {
                for call in calls {
                    by_program(section.kind, call, out)?;
                }
            }
            Rows::Calls(calls) => match selection.program {
                Some(program) => {
                    let title = format!("{} in {program} programs", section.kind.title());
                    of_program(&title, calls, out)?;
                }
                None => overview(section.kind, calls, out)?,
            },
        }
    }
    Ok(())
}

fn title(text: &str, out: &mut Output) -> io::Result<()> {
    let text = out.paint(TITLE, text.to_owned());
    writeln!(out, "\n{text}")
}

fn heading(name: &str, since: Option<KernelVersion>, out: &mut Output) -> io::Result<()> {
    match since {
        Some(since) => title(&format!("{name}, since Linux {since}"), out),
        None => title(name, out),
    }
}

/// A kind's title for one of it.
fn singular(kind: Kind) -> &'static str {
    let title = kind.title();
    title.strip_suffix('s').unwrap_or(title)
}

fn list(section: &Section, rows: &[Single], out: &mut Output) -> io::Result<()> {
    let checks: Vec<Check> = rows
        .iter()
        .map(|row| match (section.kind, &row.probe) {
            // Its reason would be its name.
            (Kind::Options, Probe::No { .. }) => Check {
                name: row.name.clone(),
                answer: Answer::No,
                detail: String::new(),
                fix: String::new(),
            },
            _ => answers::check(row.name.as_str(), &row.probe),
        })
        .collect();
    counted(section.kind.title(), &checks, out)
}

/// A title with how many there are, and all of them.
fn counted(of: &str, checks: &[Check], out: &mut Output) -> io::Result<()> {
    let there = checks
        .iter()
        .filter(|check| check.answer == Answer::Yes)
        .count();
    title(&format!("{of}: {there} of {}", checks.len()), out)?;
    answers::print(checks, |check| &check.name, out)
}

/// One function: from which programs it can be called.
fn by_program(kind: Kind, call: &Call, out: &mut Output) -> io::Result<()> {
    let number = call.id.map_or(String::new(), |id| format!(" ({id})"));
    let name = format!("{} {}{number}", singular(kind), call.name);
    heading(&name, call.since, out)?;
    let checks: Vec<Check> = call
        .probes
        .iter()
        .map(|(program, probe)| answers::check(program.short_name(), probe))
        .collect();
    answers::print(&checks, |check| &check.name, out)
}

/// All functions, for programs of one type.
fn of_program(of: &str, calls: &[Call], out: &mut Output) -> io::Result<()> {
    let checks: Vec<Check> = calls
        .iter()
        .flat_map(|call| {
            let probes = call.probes.iter();
            probes.map(|(_, probe)| answers::check(call.name.as_str(), probe))
        })
        .collect();
    counted(of, &checks, out)
}

/// How many of the functions programs of each type can call, and which none can.
fn overview(kind: Kind, calls: &[Call], out: &mut Output) -> io::Result<()> {
    let there = calls.iter().filter(|call| call.is_callable()).count();
    title(
        &format!("{}: {there} of {}", kind.title(), calls.len()),
        out,
    )?;
    let Some(first) = calls.first() else {
        return Ok(());
    };
    let counts: Vec<(&str, usize, usize)> = first
        .probes
        .iter()
        .enumerate()
        .map(|(at, (program, _))| {
            let answers = || calls.iter().filter_map(|call| call.probes.get(at));
            let yes = answers().filter(|(_, probe)| probe.is_yes()).count();
            let unknown = answers().filter(|(_, probe)| !probe.is_known()).count();
            (program.short_name(), yes, unknown)
        })
        .collect();
    /// Two to a line.
    const COLUMN: usize = WIDTH / 2 - 2;
    let rows = counts.len().div_ceil(2);
    for row in 0..rows {
        let cells = [counts.get(row), counts.get(row + rows)];
        let cells = cells.into_iter().flatten().map(|&(name, yes, unknown)| {
            let number = match (yes, unknown) {
                (0, 0) => "-".to_owned(),
                (0, 1..) => "unknown".to_owned(),
                (yes, 0) => yes.to_string(),
                (yes, unknown) => format!("{yes} + {unknown}?"),
            };
            format!("{name:24}{number:>4}")
        });
        let line: String = cells.map(|cell| format!("  {cell:COLUMN$}")).collect();
        writeln!(out, "{}", line.trim_end())?;
    }
    if counts
        .iter()
        .any(|&(_, yes, unknown)| yes > 0 && unknown > 0)
    {
        writeln!(out, "  ?: could not be found out")?;
    }
    let nowhere: Vec<Check> = calls
        .iter()
        .filter(|call| !call.is_callable())
        .map(nowhere)
        .collect();
    answers::print(&nowhere, |check| &check.name, out)
}

/// A function that cannot be called: by the answer that is the same everywhere, or unknown.
fn nowhere(call: &Call) -> Check {
    let unknown = call.probes.iter().find(|(_, probe)| !probe.is_known());
    let example = unknown.or_else(|| {
        // Its version or the lockdown says more than "not from such programs".
        let telling = |probe: &Probe| match probe {
            Probe::No {
                cause: Cause::KernelTooOld { needs, .. },
            } => call.since == Some(*needs),
            Probe::No { cause } => matches!(cause, Cause::Lockdown(..)),
            _ => false,
        };
        let mut probes = call.probes.iter();
        probes.find(|(_, probe)| telling(probe))
    });
    match example {
        Some((_, probe)) => answers::check(call.name.as_str(), probe),
        None => Check {
            name: call.name.clone(),
            answer: Answer::No,
            detail: "from no program that loads here".into(),
            fix: String::new(),
        },
    }
}
