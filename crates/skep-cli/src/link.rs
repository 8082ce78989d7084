//! `skep link`: several objects become one.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::{Args, ValueHint};
use skep::spec::StaticLinker;

use crate::{
    cli::Global,
    exit::Usage,
    input::{self, CompileArgs},
    output::{is_stdout, refuse_terminal, write_file},
    report,
};

/// Link BPF objects into one
///
/// What one file declares (functions, variables, maps) and another defines comes together; their
/// types must agree. A __weak definition gives way to another one. The result is an object like
/// any other: for `skep run`, bpftool and every loader. Does what `bpftool gen object` does.
#[derive(Debug, Args)]
pub(crate) struct LinkArgs {
    /// Objects, or C or Rust sources to compile first
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    files: Vec<PathBuf>,

    /// The object to write; `-` for standard output
    #[arg(short, long, value_name = "OUT", value_hint = ValueHint::FilePath)]
    output: PathBuf,

    #[command(flatten)]
    compile: CompileArgs,
}

pub(crate) fn link(args: &LinkArgs, global: &Global) -> anyhow::Result<ExitCode> {
    check(args)?;
    let mut objects = Vec::with_capacity(args.files.len());
    for file in &args.files {
        let bytes = input::bytes(file, &args.compile, global)?;
        objects.push((file.display().to_string(), bytes));
    }
    let mut linker = StaticLinker::new();
    for (name, bytes) in &objects {
        linker.add(name, bytes)?;
    }
    let linked = linker.finish()?;
    write_file(&args.output, &linked)?;
    if global.verbose > 0 {
        report::note(&summary(args, &linked));
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses what would destroy an object, or the user's terminal.
fn check(args: &LinkArgs) -> anyhow::Result<()> {
    refuse_terminal(&args.output, "an object")?;
    let output = fs::canonicalize(&args.output)
        .ok()
        .filter(|_| !is_stdout(&args.output));
    let mut seen = Vec::with_capacity(args.files.len());
    for file in &args.files {
        // What is not there is said when it is read.
        let Ok(path) = fs::canonicalize(file) else {
            continue;
        };
        let file = file.display();
        if output.as_ref() == Some(&path) {
            return Err(Usage(format!(
                "{file} is to be read and to be written: name another -o"
            ))
            .into());
        }
        if seen.contains(&path) {
            return Err(Usage(format!("{file} is named twice")).into());
        }
        seen.push(path);
    }
    Ok(())
}

/// What came of it, in a line.
fn summary(args: &LinkArgs, linked: &[u8]) -> String {
    let count = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    let files = count(args.files.len(), "file");
    let holds = match skep::spec::Object::parse(linked) {
        Ok(object) => format!(
            "{}, {}",
            count(object.programs().len(), "program"),
            count(object.maps().len(), "map")
        ),
        // It may be for another loader, or for linking with more.
        Err(_) => count(linked.len(), "byte"),
    };
    format!("linked: {} ({holds}) of {files}", args.output.display())
}
