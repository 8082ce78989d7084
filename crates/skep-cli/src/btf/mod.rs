//! `skep btf`: `dump` prints types as the kernel lists them, or as C or Rust; `min` cuts BTF down to what
//! objects need; `harvest` takes it out of kernels' files. `skep gen vmlinux` prints by the same code.

mod harvest;
mod min;
mod roots;
mod source;

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use skep::btf::{Btf, JsonDump, JsonType, RawDump, RawType, TypeId, c_header, rust_module};

use crate::{
    cli::Global,
    output::{Output, TextTo},
};
pub(crate) use harvest::{Kept, types_in};
pub(crate) use source::bytes_of_file;

/// Look at BTF, the types of kernels and programs
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct BtfArgs {
    #[command(subcommand)]
    command: BtfCommand,
}

#[derive(Debug, Subcommand)]
enum BtfCommand {
    Dump(DumpArgs),
    Min(min::MinArgs),
    Harvest(harvest::HarvestArgs),
}

/// Print types
///
/// `skep btf dump --format c > vmlinux.h` writes the header that BPF sources include;
/// `skep btf dump --format c --root task_struct` only one type and what it needs. With
/// `--format rust` it is a module for programs in Rust, `mod vmlinux;`, where a type that
/// is only pointed to has fields if it is named by a `--root` of its own.
#[derive(Debug, Args)]
struct DumpArgs {
    #[command(flatten)]
    types: TypesArgs,

    /// How to print
    #[arg(short, long, value_enum, default_value = "raw")]
    format: Format,
}

/// Which types are meant, and of what BTF.
#[derive(Debug, Args)]
pub(crate) struct TypesArgs {
    /// Raw BTF, an ELF file with it, a C or Rust source, or - for standard input [default: the
    /// kernel's]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,

    /// Only types of this name, and what they need
    ///
    /// A name, or a kind and a name: `task_struct`, `struct task_struct`, `enum bpf_map_type`.
    #[arg(short, long = "root", value_name = "NAME", value_delimiter = ',')]
    roots: Vec<String>,

    /// BTF that FILE continues, as a module's continues the kernel's
    ///
    /// For files below /sys/kernel/btf it is the kernel's without being asked.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    base: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A line a type and a line a member, with their numbers
    Raw,
    /// A C header; of the kernel's BTF: vmlinux.h
    C,
    /// A module of declarations for programs in Rust: vmlinux.rs
    Rust,
    /// One JSON object, as `bpftool -j btf dump` prints it: {"types":[{"id":1,"kind":"INT",…
    Json,
}

pub(crate) fn btf(args: BtfArgs, global: &Global) -> anyhow::Result<ExitCode> {
    match args.command {
        BtfCommand::Dump(args) => print(&args.types, args.format, global),
        BtfCommand::Min(args) => min::min(&args, global),
        BtfCommand::Harvest(args) => harvest::harvest(&args),
    }
}

/// Prints the types that are meant.
pub(crate) fn print(
    types: &TypesArgs,
    format: Format,
    global: &Global,
) -> anyhow::Result<ExitCode> {
    let btf = source::open(types.file.as_deref(), types.base.as_deref(), global)?;
    let roots = match types.roots.as_slice() {
        [] => None,
        names => Some(roots::find(
            &btf,
            names,
            matches!(format, Format::C | Format::Rust),
        )?),
    };
    let mut out = Output::new();
    match format {
        Format::Raw => raw(&btf, roots, &mut out)?,
        Format::Json => json(&btf, roots, &mut out)?,
        Format::C => {
            let mut text = TextTo::new(&mut out);
            let done = c_header(&btf, roots.as_deref(), &mut text);
            text.finish(done)?;
        }
        Format::Rust => {
            let mut text = TextTo::new(&mut out);
            let done = rust_module(&btf, roots.as_deref(), &mut text);
            text.finish(done)?;
        }
    }
    out.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn raw(btf: &Btf, roots: Option<Vec<TypeId>>, out: &mut Output) -> anyhow::Result<()> {
    match roots {
        None => write!(out, "{}", RawDump(btf))?,
        Some(roots) => {
            for id in roots::with_needed(btf, roots)? {
                writeln!(out, "{}", RawType(btf.type_by_id(id)?))?;
            }
        }
    }
    Ok(())
}

fn json(btf: &Btf, roots: Option<Vec<TypeId>>, out: &mut Output) -> anyhow::Result<()> {
    match roots {
        None => writeln!(out, "{}", JsonDump(btf))?,
        Some(roots) => {
            let mut before = "{\"types\":[";
            for id in roots::with_needed(btf, roots)? {
                write!(out, "{before}{}", JsonType(btf.type_by_id(id)?))?;
                before = ",";
            }
            writeln!(out, "]}}")?;
        }
    }
    Ok(())
}
