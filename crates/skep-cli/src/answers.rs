//! Answers of probes and checks as lines for people: those of which there is the same to be said
//! stand together, the answer before them, the remedy below.

use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style};
use skep::{
    boundary::Cause,
    features::Probe,
    linux::{Answer, Check},
};

use crate::{
    output::Output,
    text::{printable, wrap},
};

/// Titles.
pub(crate) const TITLE: Style = Style::new().bold();
const YES: Style = AnsiColor::Green.on_default();
const NO: Style = AnsiColor::Red.on_default();
const UNKNOWN: Style = AnsiColor::Yellow.on_default();

/// Characters in a line.
pub(crate) const WIDTH: usize = 80;
/// Where the text begins, behind the answer.
const INDENT: usize = 11;

/// A probe's answer as a check.
pub(crate) fn check(name: impl Into<String>, probe: &Probe) -> Check {
    let (answer, detail, fix) = match probe {
        Probe::Yes => (Answer::Yes, String::new(), String::new()),
        // The name stands before it already, and what needs the same kernel stands together.
        Probe::No {
            cause: cause @ Cause::KernelTooOld { needs, .. },
        } => (Answer::No, format!("needs Linux {needs}"), cause.fix()),
        Probe::No { cause } => (Answer::No, cause.to_string(), cause.fix()),
        Probe::Unknown { why, fix } => (Answer::Unknown, why.clone(), fix.clone()),
    };
    Check {
        name: name.into(),
        answer,
        detail,
        fix,
    }
}

/// The word for an answer in data.
pub(crate) fn word(answer: Answer) -> &'static str {
    match answer {
        Answer::Yes => "yes",
        Answer::No => "no",
        Answer::Unknown => "unknown",
    }
}

/// Prints checks, each under the name that `name` gives it.
pub(crate) fn print<'c>(
    checks: &'c [Check],
    name: impl Fn(&'c Check) -> &'c str,
    out: &mut Output,
) -> io::Result<()> {
    for group in groups(checks) {
        let Some(Check {
            answer,
            detail,
            fix,
            ..
        }) = group.first()
        else {
            continue;
        };
        let names: Vec<&str> = group.iter().map(|check| name(check)).collect();
        let names = names.join(", ");
        let text = if detail.is_empty() {
            names
        } else {
            format!("{names}: {detail}")
        };
        lines(*answer, &text, out)?;
        for (position, line) in wrap(fix, WIDTH - INDENT - "fix: ".len()).iter().enumerate() {
            let label = if position == 0 { "fix:" } else { "" };
            writeln!(out, "{:INDENT$}{label:4} {}", "", printable(line))?;
        }
    }
    Ok(())
}

/// Checks of which there is the same to be said, in the order of the first of each.
fn groups(checks: &[Check]) -> Vec<Vec<&Check>> {
    let said = |check: &Check| (check.answer, check.detail.clone(), check.fix.clone());
    let mut groups: Vec<Vec<&Check>> = Vec::new();
    for check in checks {
        match groups
            .iter_mut()
            .find(|group| said(group[0]) == said(check))
        {
            Some(group) => group.push(check),
            None => groups.push(vec![check]),
        }
    }
    groups
}

/// An answer and a text that may take several lines.
fn lines(answer: Answer, text: &str, out: &mut Output) -> io::Result<()> {
    let style = match answer {
        Answer::Yes => YES,
        Answer::No => NO,
        Answer::Unknown => UNKNOWN,
    };
    for (position, line) in wrap(text, WIDTH - INDENT).iter().enumerate() {
        let word = if position == 0 { word(answer) } else { "" };
        let word = out.paint(style, format!("{word:9}"));
        writeln!(out, "  {word}{}", printable(line))?;
    }
    Ok(())
}
