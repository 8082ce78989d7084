//! The `skep` command: from a C file to live events, and the tools around it.
//!
//! Data goes to stdout, all else to stderr. Each sub-command is a module with its arguments and
//! one function; [`cli`] names them, [`report`] prints what went wrong and [`exit`] says whose
//! fault it was.
#![forbid(unsafe_code)]
// They panic where nobody listens any more: `say!` and `output` don't.
#![deny(clippy::print_stderr, clippy::print_stdout)]

/// Says a line on stderr, to whoever may be there.
macro_rules! say {
    ($($words:tt)*) => {
        $crate::report::tell(format_args!("{}\n", format_args!($($words)*)))
    };
}

mod answers;
mod attach;
mod btf;
mod build;
mod check;
mod cli;
mod disasm;
mod doctor;
mod exit;
mod explain;
mod features;
mod generate;
mod host;
mod input;
mod link;
mod manual;
mod new;
mod output;
mod report;
mod run;
mod test;
mod text;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, Global};

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    match words.next() {
        Some(word) if word == run::HIDDEN => return run::become_command(words),
        Some(word) if word == run::NETWORKED => return run::become_networked(words),
        _ => {}
    }
    let Cli { global, command } = Cli::parse();
    global.set_color();
    match carry_out(command, &global) {
        Ok(code) => code,
        Err(error) => report::fail(&error, &global),
    }
}

fn carry_out(command: Command, global: &Global) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run::run(*args, global),
        Command::Build(args) => build::build(&args, global),
        Command::Check(args) => check::check(&args, global),
        Command::Explain(args) => explain::explain(&args),
        Command::Test(args) => test::test(&args, global),
        Command::New(args) => new::new(&args, global),
        Command::Gen(args) => generate::generate(&args, global),
        Command::Link(args) => link::link(&args, global),
        Command::Attach(args) => attach::attach(&args),
        Command::Detach(args) => attach::detach(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Features(args) => features::features(&args),
        Command::Disasm(args) => disasm::disasm(&args, global),
        Command::Btf(args) => btf::btf(args, global),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
    }
}
