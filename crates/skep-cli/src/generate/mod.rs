//! `skep gen`: writes sources that programs, or programs around them, are compiled with. Each kind
//! is a sub-command.

mod light;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::{
    btf::{self, Format, TypesArgs},
    cli::Global,
};
use light::LightArgs;

/// Generate sources: programs in light form, declarations of the kernel's types
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct GenArgs {
    #[command(subcommand)]
    command: GenCommand,
}

#[derive(Debug, Subcommand)]
enum GenCommand {
    Light(Box<LightArgs>),
    Vmlinux(VmlinuxArgs),
}

/// Declare the kernel's types: vmlinux.h, or vmlinux.rs
///
/// `skep gen vmlinux --c > vmlinux.h` writes the header that C sources include (`skep build`
/// makes one by itself where a source asks for it). `skep gen vmlinux --rust --root
/// task_struct > vmlinux.rs` writes a module for programs in Rust, `mod vmlinux;`: with
/// `--root`, the types that are named have their fields, and a type that is only pointed to
/// has none.
///
/// The same as `skep btf dump --format c` and `--format rust`.
#[derive(Debug, Args)]
struct VmlinuxArgs {
    #[command(flatten)]
    types: TypesArgs,

    /// A module of Rust
    #[arg(long, conflicts_with = "c")]
    rust: bool,

    /// A C header; what is written if neither is given
    #[arg(long)]
    c: bool,
}

pub(crate) fn generate(args: &GenArgs, global: &Global) -> anyhow::Result<ExitCode> {
    match &args.command {
        GenCommand::Light(args) => light::light(args, global),
        GenCommand::Vmlinux(args) => {
            let format = if args.rust { Format::Rust } else { Format::C };
            btf::print(&args.types, format, global)
        }
    }
}
