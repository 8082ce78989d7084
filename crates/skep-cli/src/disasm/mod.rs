//! `skep disasm`: a program's instructions with the names and source lines that belong to them.
//!
//! [`code`] makes one shape of what is shown, from an object or from what it becomes for a
//! kernel; [`listing`] prints it for people and [`json`] for programs.

mod code;
mod json;
mod listing;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum, ValueHint};
use skep::{Host, Object, isa::Endian};

use crate::{
    cli::Global,
    input::{self, CompileArgs},
    output::Output,
};
use code::{Code, KernelNames};
use listing::Columns;

/// Show the instructions of programs
///
/// In the syntax of the kernel and bpftool, with the names of maps, helpers and functions, and
/// between them the lines of source that they come from.
#[derive(Debug, Args)]
pub(crate) struct DisasmArgs {
    /// An object, or a C or Rust source, which is compiled first
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// Only these programs or functions
    #[arg(value_name = "PROGRAM")]
    names: Vec<String>,

    /// As it is loaded into this kernel
    ///
    /// CO-RE relocations are filled in with the running kernel's offsets, and functions stand
    /// behind the programs that call them. What this kernel lacks is marked.
    #[arg(short, long)]
    linked: bool,

    /// Show the bytes of each instruction, too
    #[arg(short, long)]
    raw: bool,

    /// Leave out the lines of source
    #[arg(long)]
    no_source: bool,

    /// Numbers in place of names: text that an assembler turns into the same bytes
    #[arg(long)]
    no_names: bool,

    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    format: Format,

    #[command(flatten)]
    compile: CompileArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A listing for people
    Text,
    /// One JSON object an instruction, each on a line
    Json,
}

pub(crate) fn disasm(args: &DisasmArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let mut object = input::open(&args.file, &args.compile, global)?;
    if args.linked {
        let host = Host::kernel()?;
        let image = link(&mut object, &args.names, &host)?;
        let names = KernelNames::new(&image, &host)?;
        show(
            &code::of_image(object.spec(), &image, &names),
            image.endian,
            args,
        )?;
    } else {
        let spec = object.spec();
        show(&code::of_object(spec, &args.names)?, spec.endian(), args)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The object for this kernel: all programs, also those that are not loaded by default.
fn link(object: &mut Object, names: &[String], host: &Host) -> anyhow::Result<skep::spec::Image> {
    let all: Vec<String> = match names {
        [] => object
            .spec()
            .programs()
            .iter()
            .map(|program| program.name.clone())
            .collect(),
        names => names.to_vec(),
    };
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    object.only_programs(&all)?;
    Ok(object.link(host)?)
}

fn show(codes: &[Code<'_>], endian: Endian, args: &DisasmArgs) -> anyhow::Result<()> {
    let mut out = Output::new();
    match args.format {
        Format::Text => {
            let columns = Columns {
                bytes: args.raw,
                source: !args.no_source,
                names: !args.no_names,
            };
            for (position, code) in codes.iter().enumerate() {
                listing::print(code, endian, columns, position == 0, &mut out)?;
            }
        }
        Format::Json => {
            for code in codes {
                json::print(code, endian, !args.no_names, &mut out)?;
            }
        }
    }
    out.finish()?;
    Ok(())
}
