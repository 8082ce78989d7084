//! What can be said on the command line. Help, man pages and completions are made from this one
//! definition.

use clap::{Args, ColorChoice, Parser, Subcommand};

use crate::{
    attach::{AttachArgs, DetachArgs},
    btf::BtfArgs,
    build::BuildArgs,
    check::CheckArgs,
    disasm::DisasmArgs,
    doctor::DoctorArgs,
    exit,
    explain::ExplainArgs,
    features::FeaturesArgs,
    generate::GenArgs,
    link::LinkArgs,
    manual,
    new::NewArgs,
    run::RunArgs,
    test::TestArgs,
};

/// Compiles, loads, attaches and watches eBPF programs.
///
/// A program is a source in C or Rust, a cargo package, or an object that was made of one. Skep
/// brings headers and library, makes vmlinux.h of the running kernel's types, fits the program to
/// the kernel and shows what it sends.
#[derive(Debug, Parser)]
#[command(
    name = "skep",
    version,
    max_term_width = 80,
    after_help = exit::TABLE,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every sub-command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Say more: the compiler's command line, the verifier's whole log
    ///
    /// May be given more than once.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// When to use colours
    ///
    /// `auto` uses them on a terminal, unless NO_COLOR is set.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value_t,
        hide_default_value = true
    )]
    pub(crate) color: ColorChoice,
}

impl Global {
    /// Makes `--color` hold for everything that is printed from now on.
    pub(crate) fn set_color(&self) {
        match self.color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    // By far the largest.
    Run(Box<RunArgs>),
    Check(CheckArgs),
    Explain(ExplainArgs),
    Test(TestArgs),
    Build(BuildArgs),
    New(NewArgs),
    Gen(GenArgs),
    Link(LinkArgs),
    Attach(AttachArgs),
    Detach(DetachArgs),
    Doctor(DoctorArgs),
    Features(FeaturesArgs),
    Disasm(DisasmArgs),
    Btf(BtfArgs),
    Completions(manual::CompletionsArgs),
    Man(manual::ManArgs),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_and_command_says_what_it_does() {
        fn check(command: &clap::Command) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{name}: {}",
                    argument.get_id()
                );
            }
            command.get_subcommands().for_each(check);
        }
        use clap::CommandFactory;
        check(&Cli::command());
    }
}
