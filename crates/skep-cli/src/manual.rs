//! `skep completions` and `skep man`: both made of the command's own definition.

use std::{fs, io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, CommandFactory, ValueHint};

use crate::{cli::Cli, output::Output};

/// Print the completions of a shell
///
/// For bash, for example: `skep completions bash >
/// ~/.local/share/bash-completion/completions/skep`
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

/// Print the man page, or write those of all sub-commands
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The folder to write the pages of all sub-commands to
    ///
    /// Without it, the page of skep itself is printed: `skep man | man -l -`
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    folder: Option<PathBuf>,
}

pub(crate) fn completions(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    // Through memory: the generator panics where it can't write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "skep", &mut script);
    print(&script)
}

pub(crate) fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let Some(folder) = &args.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        return print(&page);
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    clap_mangen::generate_to(Cli::command(), folder)
        .with_context(|| format!("cannot write to {}", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn print(bytes: &[u8]) -> anyhow::Result<ExitCode> {
    let mut out = Output::new();
    out.write_all(bytes)?;
    out.finish()?;
    Ok(ExitCode::SUCCESS)
}
