//! `skep check`: the verifier's verdict on programs without loading them, and why not.

mod cost;
mod json;
mod kernels;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum, ValueHint};
use skep::{
    Checked, Host,
    boundary::HostKind,
    verifier::{Options, diagnosis::Diagnosis},
};

use crate::{
    cli::Global,
    exit::{self, Exit},
    host::HostName,
    input::{self, CompileArgs},
    output::{self, say},
    report, text,
};

/// Say whether the kernel's verifier will take programs, and if not, why
///
/// Nothing is loaded and no privileges are needed: the verdict is that of Skep's own verifier, by
/// this kernel's types; where the kernel shows none, by those of the virtual machine.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 all programs are accepted; 1 one is refused; 2 wrong usage; 3 a
source does not compile, an object is malformed, or a relocation finds nothing;
4 a tool or the kernel's types are missing. The worst of all files counts.
With --kernel: 0 all load there, 1 one does not, 4 that can't be told.
JSON: file, program, verdict (accepted, refused, unknown), instructions (that
were followed), error; and for what is refused, diagnosis: rule, message, place
(instruction, disassembly, function, source: file, line, column, text), label
(what is said at the place), word (of the line, that it is about), register,
labels (more places, each with a text), notes, help, path (instructions). With -v,
states: what was known on the path, in the syntax of the kernel's log.")]
pub(crate) struct CheckArgs {
    /// Objects, or C or Rust sources, which are compiled first
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    files: Vec<PathBuf>,

    /// Only these programs
    #[arg(short, long = "program", value_name = "PROGRAM")]
    programs: Vec<String>,

    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    format: Format,

    /// As a loader without privileges
    ///
    /// Kernels let such load socket filters and cgroup_skb programs at most, and only where
    /// kernel.unprivileged_bpf_disabled is 0.
    #[arg(long)]
    unprivileged: bool,

    /// Whose types and version count
    #[arg(long, value_enum, value_name = "HOST", default_value = "auto")]
    host: HostName,

    #[command(flatten)]
    cost: cost::CostArgs,

    #[command(flatten)]
    kernels: kernels::KernelsArgs,

    #[command(flatten)]
    compile: CompileArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The source with what is wrong in it, for people
    Text,
    /// One JSON object a program, each on a line
    Json,
}

impl CheckArgs {
    fn json(&self) -> bool {
        self.format == Format::Json
    }
}

/// What came of all programs.
#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    refused: usize,
    /// What could not be checked.
    unknown: usize,
}

/// Checks all programs of all files.
pub(crate) fn check(args: &CheckArgs, global: &Global) -> anyhow::Result<ExitCode> {
    if args.kernels.are_given() {
        return kernels::check(args, global);
    }
    let host = host(args.host)?;
    if let Some(other) = &args.cost.compare {
        return cost::compare(other, args, global, &host);
    }
    let mut worst = None;
    let mut tally = Tally::default();
    for file in &args.files {
        if args.files.len() > 1 && args.format == Format::Text {
            say(&format!(
                "{}\n",
                text::printable(&file.display().to_string())
            ))?;
        }
        if let Err(error) = one_file(file, args, global, &host, &mut tally, &mut worst) {
            if output::reader_is_gone(&error) {
                return Err(error);
            }
            // The others may be right: one run shows all that is wrong.
            report::show(&error, global);
            worst = worst.max(Some(exit::exit_code(&error)));
        }
    }
    if args.format == Format::Text {
        say(&format!("{}\n", tally.line(&host)))?;
    }
    Ok(worst.map_or(ExitCode::SUCCESS, ExitCode::from))
}

/// Whose types count: the kernel's, if it shows some.
fn host(name: HostName) -> anyhow::Result<Host> {
    Ok(match name {
        HostName::Kernel => Host::kernel()?,
        HostName::Vm => Host::vm()?,
        HostName::Auto => match Host::kernel() {
            Ok(host) if host.btf().is_ok() => host,
            _ => Host::vm()?,
        },
    })
}

fn one_file(
    file: &Path,
    args: &CheckArgs,
    global: &Global,
    host: &Host,
    tally: &mut Tally,
    worst: &mut Option<Exit>,
) -> anyhow::Result<()> {
    let mut object = input::open(file, &args.compile, global)?;
    let named: Vec<&str> = args.programs.iter().map(String::as_str).collect();
    if !named.is_empty() {
        object.only_programs(&named)?;
    }
    let programs = object.spec().programs().iter();
    let names: Vec<String> = programs
        .map(|program| program.name.clone())
        .filter(|name| named.is_empty() || named.contains(&name.as_str()))
        .collect();
    for name in &names {
        let mut options = match args.unprivileged {
            true => Options::unprivileged(),
            false => Options::default(),
        };
        options.log = global.verbose > 0;
        options.count = args.cost.stats;
        match object.check(name, host, &options) {
            Ok(checked) => {
                say(&match args.format {
                    Format::Text => verdict(&checked),
                    Format::Json => json::checked(file, &checked, args.cost.stats) + "\n",
                })?;
                cost::print(&checked, args)?;
                if checked.verdict.is_accepted() {
                    tally.accepted += 1;
                } else {
                    tally.refused += 1;
                    *worst = (*worst).max(Some(Exit::Failed));
                }
            }
            Err(error) => {
                let error = anyhow::Error::from(error);
                report::show(&error, global);
                if args.format == Format::Json {
                    say(&format!("{}\n", json::unknown(file, name, &error)))?;
                }
                tally.unknown += 1;
                *worst = (*worst).max(Some(exit::exit_code(&error)));
            }
        }
    }
    Ok(())
}

fn verdict(checked: &Checked) -> String {
    match &checked.diagnosis {
        Some(diagnosis) => {
            let states = text::printable_lines(&checked.states);
            format!("{states}{}\n", shown(diagnosis))
        }
        None => {
            let name = text::printable(&checked.program);
            let count = checked.verdict.stats.instructions;
            format!("{name}: accepted ({count} instructions)\n")
        }
    }
}

/// A diagnosis with colours, which go where they are not wanted, and the source where it is at hand;
/// files below the working folder by their path from there.
pub(crate) fn shown(diagnosis: &Diagnosis) -> String {
    let mut diagnosis = diagnosis.clone();
    if let Ok(here) = std::env::current_dir() {
        diagnosis.rename_files(|file| {
            let short = Path::new(file).strip_prefix(&here).ok()?;
            Some(short.display().to_string())
        });
    }
    diagnosis.render(&|file| fs::read_to_string(file).ok(), true)
}

impl Tally {
    fn line(&self, host: &Host) -> String {
        let mut line = format!("{} accepted", self.accepted);
        for (count, what) in [(self.refused, "refused"), (self.unknown, "not checked")] {
            if count > 0 {
                line.push_str(&format!(", {count} {what}"));
            }
        }
        let by = match host.info().kind {
            HostKind::Vm => "by the types of the vm".to_owned(),
            HostKind::Kernel => format!("for {}", host.info()),
        };
        format!("{line} ({by})")
    }
}
