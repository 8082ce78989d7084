//! `skep build`: sources, in C and Rust, to objects.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueHint};
use skep_build::Build;

use crate::{
    cli::Global,
    exit::{self, Usage},
    input::{self, CompileArgs},
    report,
};

/// Compile C and Rust sources and cargo packages to BPF objects
///
/// For C, finds clang, brings BPF's headers under their usual names and makes vmlinux.h where a
/// source wants it. For Rust (.rs), finds rustc and core's source (rust-src), and brings the crate
/// skep_ebpf; so for a package, named by its folder or its workspace's, whose dependencies are cargo's
/// matter. What compilers print is passed on as it is.
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Sources: .c, .rs, and folders with a Cargo.toml
    #[arg(required = true, value_name = "SRC", value_hint = ValueHint::AnyPath)]
    sources: Vec<PathBuf>,

    /// The object to write, or the folder to write objects to
    ///
    /// Without it, objects go to the current folder: opensnoop.bpf.o for src/opensnoop.bpf.c, and of a
    /// package one of its name.
    #[arg(short, long, value_name = "OUT", value_hint = ValueHint::AnyPath)]
    output: Option<PathBuf>,

    #[command(flatten)]
    compile: CompileArgs,
}

pub(crate) fn build(args: &BuildArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let mut worst = None;
    for build in builds(args)? {
        if global.verbose > 0 {
            report::note(&shell_line(&build.command_line()?));
        }
        match build.run() {
            Ok(built) => input::say_built(&built, global),
            // The others may be right: one run shows all that is wrong.
            Err(error @ skep_build::Error::Compile { .. }) => {
                let error = error.into();
                report::show(&error, global);
                worst = worst.max(Some(exit::exit_code(&error)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(worst.map_or(ExitCode::SUCCESS, Into::into))
}

/// A command line for a shell to read.
fn shell_line(words: &[OsString]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=./,:@%".contains(c);
    let quoted = words.iter().map(|word| match word.to_string_lossy() {
        word if !word.is_empty() && word.chars().all(plain) => word.into_owned(),
        word => format!("'{}'", word.replace('\'', r"'\''")),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// What is to be built, each with the object to make.
fn builds(args: &BuildArgs) -> anyhow::Result<Vec<Build>> {
    let folder = match &args.output {
        Some(path) if path.is_dir() => path.as_path(),
        Some(path) if args.sources.len() > 1 => {
            let path = path.display();
            return Err(Usage(format!(
                "{path} is no folder, and there are several sources"
            ))
            .into());
        }
        Some(path) => return Ok(vec![args.compile.build(&args.sources[0])?.output(path)]),
        None => Path::new(""),
    };
    let mut taken = BTreeSet::new();
    args.sources
        .iter()
        .map(|source| {
            let build = args.compile.build(source)?;
            let object = folder.join(build.object_name()?);
            if !taken.insert(object.clone()) {
                let object = object.display();
                return Err(Usage(format!("two sources would both become {object}")).into());
            }
            Ok(build.output(object))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_quoted_where_shells_need_it() {
        let words = ["clang", "-DA=\"b c\"", "it's.c", ""].map(OsString::from);
        assert_eq!(shell_line(&words), r#"clang '-DA="b c"' 'it'\''s.c' ''"#);
    }
}
