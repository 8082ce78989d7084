//! `cargo xtask generate`: code that is made from the kernel's uapi headers and the tables in
//! `crates/skep-abi/data`, what programs in Rust call helpers by, and the virtual machine's BTF,
//! from C. What it writes is committed;
//! `--check` says whether it is current.

mod c;
mod ebpf;
mod ebpf_contexts;
mod emit;
mod emit_facts;
mod emit_helpers;
mod layout;
mod prototypes;
mod source;
mod tables;
mod vm_btf;

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use c::Header;
use source::Version;

/// The headers that are read beside `bpf.h`, from its folder.
const OTHER_HEADERS: [&str; 4] = ["if_link.h", "pkt_cls.h", "netfilter.h", "capability.h"];

/// Runs the sub-command with what follows `generate`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["abi", "--header", path] => write(&abi(Path::new(path))?),
        ["abi"] => write(&abi(&source::find(recorded_version()?, &cache())?)?),
        ["ebpf"] => {
            ebpf::write()?;
            ebpf_contexts::write()
        }
        ["vm-btf"] => vm_btf::write(),
        ["--check"] => check(),
        _ => Err(
            "usage: cargo xtask generate (abi [--header PATH] | ebpf | vm-btf | --check)".into(),
        ),
    }
}

/// Compares all that is committed with what the sources give.
pub(crate) fn check() -> Result<()> {
    check_abi()?;
    ebpf::check()?;
    ebpf_contexts::check()?;
    vm_btf::check()
}

/// Compares what is committed with what the newest headers at hand give.
///
/// Only the version that is recorded can prove the committed files wrong. A newer kernel makes
/// them old, which is said, but breaks nothing.
fn check_abi() -> Result<()> {
    let recorded = recorded_version()?;
    let header = match source::find(recorded, &cache()) {
        Ok(header) => header,
        Err(why) => {
            println!("generate --check: skipped: {why}");
            return Ok(());
        }
    };
    let version = source::version(folder_of(&header)?)?;
    let stale = abi(&header).and_then(|outputs| stale(&outputs, recorded, version));
    let release = release(version);
    match stale {
        Ok(names) if names.is_empty() => {
            println!("generate --check: current, by the headers of Linux {release}");
            Ok(())
        }
        Ok(names) if version == recorded => Err(format!(
            "generated code is not what the tables and headers give: {}; \
             run `cargo xtask generate abi`",
            names.join(", ")
        )
        .into()),
        Ok(names) => {
            println!(
                "generate --check: Linux {release} is out and changes {}: \
                 run `cargo xtask generate abi`",
                names.join(", ")
            );
            Ok(())
        }
        Err(error) if version == recorded => Err(error),
        Err(error) => {
            println!("generate --check: Linux {release} is out and needs work: {error}");
            Ok(())
        }
    }
}

/// The names of committed files that differ from what was generated, not counting that each
/// says the version it was generated from.
fn stale(outputs: &[Output], recorded: Version, version: Version) -> Result<Vec<&'static str>> {
    let mut names = Vec::new();
    for output in outputs {
        let committed = read(&generated_folder().join(output.name))?;
        let committed = committed.replace(&release(recorded), "");
        if committed != output.text.replace(&release(version), "") {
            names.push(output.name);
        }
    }
    Ok(names)
}

/// `7.3.4`.
fn release([major, minor, patch]: Version) -> String {
    format!("{major}.{minor}.{patch}")
}

/// The version in the first lines of the committed files.
fn recorded_version() -> Result<Version> {
    let path = generated_folder().join("enums.rs");
    let text = read(&path)?;
    let numbers = text
        .lines()
        .take(3)
        .find_map(|line| line.strip_prefix("//! Linux "))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|version| {
            version
                .split('.')
                .map(|n| n.parse().ok())
                .collect::<Option<Vec<_>>>()
        })
        .and_then(|numbers| Version::try_from(numbers).ok());
    numbers.ok_or_else(|| format!("{} does not say its version", path.display()).into())
}

/// One generated file: its name below `src/generated` and its text.
struct Output {
    name: &'static str,
    text: String,
}

fn abi(bpf_header: &Path) -> Result<Vec<Output>> {
    let folder = folder_of(bpf_header)?;
    let text = read(bpf_header)?;
    let mut header = Header::default();
    header.read(&text)?;
    let layouts = layout::structures(&header)?;
    let prototypes = prototypes::prototypes(&text)?;
    for name in OTHER_HEADERS {
        header.read(&read(&folder.join(name))?)?;
    }
    let version = release(source::version(folder)?);
    let data = crate_folder().join("data");
    let groups = |name: &str| tables::groups(&data.join(name));
    let rows = |name: &str| tables::rows(&data.join(name));
    let (flags, constants) = (groups("flags.tsv")?, rows("constants.tsv")?);
    emit::nothing_forgotten(&header, &flags, &constants)?;

    let enum_macro = "use crate::macros::kernel_enum;\n";
    let files = [
        (
            "enums.rs",
            "The kernel's enumerations.",
            enum_macro,
            emit::enumerations(&header, &groups("enums.tsv")?)?,
        ),
        (
            "codes.rs",
            "What programs return.",
            enum_macro,
            emit::enumerations(&header, &groups("codes.tsv")?)?,
        ),
        (
            "flags.rs",
            "The kernel's flag sets.",
            "use crate::macros::kernel_flags;\n",
            emit::flags(&header, &flags)?,
        ),
        (
            "constants.rs",
            "Single constants.",
            "#[allow(unused_imports, reason = \"the documentation links to them\")]\nuse super::flags::*;\n",
            emit::constants(&header, &constants, &version)?,
        ),
        (
            "structures.rs",
            "Structure layouts.",
            "use crate::structure::{BitRange, FieldLayout, StructLayout};\n",
            emit_facts::structures(&layouts)?,
        ),
        (
            "helpers.rs",
            "The table of helpers.",
            "use crate::KernelVersion;\nuse crate::helper::*;\n",
            emit_helpers::helpers(&prototypes, &rows("helpers.tsv")?)?,
        ),
        (
            "helper_sets.rs",
            "Who may call which helper.",
            "use crate::Capability;\nuse crate::helper::HelperBits;\n",
            emit_helpers::sets(&header, &prototypes, &rows("helper_sets.tsv")?)?,
        ),
        (
            "programs.rs",
            "Facts about program types.",
            "use crate::program::*;\nuse crate::{AttachType, Capability};\n",
            emit_facts::programs(
                &header,
                &layouts,
                &rows("program_types.tsv")?,
                &rows("contexts.tsv")?,
            )?,
        ),
        (
            "maps.rs",
            "Rules of map types.",
            "use crate::map::*;\nuse crate::{Capability, MapCreateFlags};\n",
            emit_facts::maps(&header, &rows("map_types.tsv")?)?,
        ),
    ];
    Ok(files
        .into_iter()
        .map(|(name, about, uses, body)| Output {
            name,
            text: format!("{}{uses}{body}", preamble(about, &version)),
        })
        .collect())
}

fn preamble(about: &str, version: &str) -> String {
    format!(
        "//! {about} Generated by `cargo xtask generate abi` from the uapi headers of\n\
         //! Linux {version} and the tables in `crates/skep-abi/data`. Not to be edited.\n\n"
    )
}

fn write(outputs: &[Output]) -> Result<()> {
    let folder = generated_folder();
    fs::create_dir_all(&folder)?;
    for output in outputs {
        let path = folder.join(output.name);
        fs::write(&path, &output.text).map_err(|e| format!("{}: {e}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()).into())
}

fn folder_of(header: &Path) -> Result<&Path> {
    header
        .parent()
        .ok_or_else(|| format!("{} has no folder", header.display()).into())
}

fn crate_folder() -> PathBuf {
    crate::root().join("crates/skep-abi")
}

fn generated_folder() -> PathBuf {
    crate_folder().join("src/generated")
}

/// Where fetched headers are kept.
fn cache() -> PathBuf {
    crate::root().join("target/xtask/uapi")
}
