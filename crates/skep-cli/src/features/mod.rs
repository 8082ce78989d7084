//! `skep features`: what this kernel has, feature by feature, found by trying it.
//!
//! [`report`] asks, [`text`] prints for people and [`json`] for programs.

mod json;
mod report;
mod text;

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use skep::{
    Host,
    abi::{ProgramType, near_names},
    features::Probe,
};

use crate::{
    exit::{Exit, Usage},
    host::HostName,
    output::{Format, Output},
};
use report::{Kind, Report, Rows, Selection};

/// Say what this kernel has: program types, maps, helpers and more
///
/// Each answer is found by trying it harmlessly: yes, no with the reason, or unknown, where this
/// process may not ask. Without arguments, everything; `skep features maps` is one kind;
/// `skep features bpf_loop ringbuf` are features by name, with where they can be used.
///
/// Exits with 0 if all the named features are there, with 1 if one is not, and with 4 if it could
/// not be found out. Without names, with 0.
#[derive(Debug, Args)]
pub(crate) struct FeaturesArgs {
    /// A kind, features by name, or both
    ///
    /// Kinds: programs, maps, helpers, kfuncs, attach-types, links, hooks, loader, options.
    /// Names: as the kernel spells them, or short: BPF_MAP_TYPE_RINGBUF, ringbuf, bpf_loop.
    #[arg(value_name = "WHAT")]
    what: Vec<String>,

    /// Only what programs of this type can call
    #[arg(short, long, value_name = "TYPE")]
    program: Option<String>,

    /// Whose features
    #[arg(long, value_enum, value_name = "HOST", default_value = "kernel")]
    host: HostName,

    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    format: Format,
}

pub(crate) fn features(args: &FeaturesArgs) -> anyhow::Result<ExitCode> {
    let host = args.host.open()?;
    let selection = selection(args, &host)?;
    let report = Report::of(&host, &selection);
    let mut out = Output::new();
    match args.format {
        Format::Text => text::print(&host, &report, &selection, &mut out)?,
        Format::Json => json::print(&host, &report, &mut out)?,
    }
    out.finish()?;
    Ok(match verdict(&report, &selection) {
        Verdict::There => ExitCode::SUCCESS,
        Verdict::Missing => Exit::Failed.into(),
        Verdict::Unknown => Exit::Machine.into(),
    })
}

fn selection(args: &FeaturesArgs, host: &Host) -> anyhow::Result<Selection> {
    let (kind, names) = match args.what.split_first() {
        Some((first, rest)) => match Kind::from_str(first, true) {
            Ok(kind) => (Some(kind), rest),
            Err(_) => (None, args.what.as_slice()),
        },
        None => (None, &[][..]),
    };
    if kind == Some(Kind::Kfuncs) {
        // Without BTF there is no answer; none of the kinds beside it needs one.
        host.kernel_functions()?;
    }
    let program = args.program.as_deref().map(program_type).transpose()?;
    let selection = Selection {
        kind,
        names: names.to_vec(),
        program,
    };
    for name in names {
        if !selection.knows(name, host) {
            return Err(unknown(name, &selection, host).into());
        }
    }
    Ok(selection)
}

fn program_type(name: &str) -> Result<ProgramType, Usage> {
    let found = ProgramType::from_name(name).filter(|kind| *kind != ProgramType::Unspec);
    found.ok_or_else(|| {
        let known = ProgramType::ALL.iter().map(|kind| kind.short_name());
        let mut remedy = did_you_mean(&near_names(name, known));
        if remedy.is_empty() {
            remedy = "; `skep features programs` lists them".into();
        }
        Usage(format!("there is no program type `{name}`{remedy}"))
    })
}

fn unknown(name: &str, selection: &Selection, host: &Host) -> Usage {
    let known = selection.all_names(host);
    let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
    if selection.kind.is_none() {
        known.extend(Kind::value_variants().iter().map(|kind| kind.name()));
    }
    let mut remedy = did_you_mean(&near_names(name, known));
    if remedy.is_empty() {
        remedy =
            "; `skep features` lists all, `skep features kfuncs` the kernel's functions".into();
    }
    Usage(format!("there is no feature `{name}`{remedy}"))
}

fn did_you_mean(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("; did you mean `{}`?", names.join("` or `")),
    }
}

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    There,
    Unknown,
    Missing,
}

/// Whether all that was named is there; a function, in programs of any type.
fn verdict(report: &Report, selection: &Selection) -> Verdict {
    if selection.names.is_empty() {
        return Verdict::There;
    }
    let of_probe = |probe: &Probe| match probe {
        Probe::Yes => Verdict::There,
        Probe::No { .. } => Verdict::Missing,
        Probe::Unknown { .. } => Verdict::Unknown,
    };
    let of_rows = |rows: &Rows| match rows {
        Rows::Single(rows) => rows.iter().map(|row| of_probe(&row.probe)).max(),
        Rows::Calls(calls) => calls
            .iter()
            .map(|call| {
                let answers = call.probes.iter().map(|(_, probe)| of_probe(probe));
                answers.min().unwrap_or(Verdict::Unknown)
            })
            .max(),
    };
    let sections = report.sections.iter();
    let all = sections.filter_map(|section| of_rows(&section.rows));
    all.max().unwrap_or(Verdict::Unknown)
}
