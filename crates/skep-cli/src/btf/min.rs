//! `skep btf min`: the part of a kernel's BTF that objects need, to ship with them to kernels that
//! have none.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use clap::{Args, ValueHint};
use skep::{
    Object,
    btf::{Btf, Minimizer},
};

use super::source;
use crate::{
    cli::Global,
    exit::Usage,
    input::{self, CompileArgs},
    output::{is_stdout, refuse_terminal, write_file},
    report,
};

/// Cut BTF down to what objects need
///
/// Kernels before 5.2, and those built without CONFIG_DEBUG_INFO_BTF, have no BTF to relocate by.
/// Take that of the same kernel's debug package, cut it down to the types and members that the
/// objects' CO-RE relocations ask for (some hundred bytes are left of megabytes), and ship that.
/// Does what `bpftool gen min_core_btf` does.
#[derive(Debug, Args)]
pub(super) struct MinArgs {
    /// Objects, or C or Rust sources to compile first
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    files: Vec<PathBuf>,

    /// BTF to cut down: raw, in an ELF file such as a vmlinux, or a folder of .btf files
    /// [default: the kernel's]
    ///
    /// Of a folder, or of several, OUT is a folder, too.
    #[arg(
        short,
        long,
        visible_alias = "kernel-btf",
        value_name = "FILE",
        value_hint = ValueHint::AnyPath
    )]
    btf: Vec<PathBuf>,

    /// The file to write, `-` for standard output; or a folder for files called after the BTF
    /// that they are of, with .btf at the end
    #[arg(short, long, value_name = "OUT", value_hint = ValueHint::AnyPath)]
    output: PathBuf,
}

pub(super) fn min(args: &MinArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let jobs = jobs(args)?;
    let mut objects = Vec::with_capacity(args.files.len());
    for file in &args.files {
        objects.push((file, input::open(file, &CompileArgs::default(), global)?));
    }
    for (from, to) in jobs {
        let btf = source::open(from.as_deref(), None, global)?;
        let small = minimized(&objects, &btf)?;
        let name = from.map_or("the kernel's BTF".into(), |from| from.display().to_string());
        if small.found == 0 {
            report::note(&format!(
                "{name}: no CO-RE relocation of these objects asks for anything in it"
            ));
        }
        write_file(&to, &small.btf)?;
        if global.verbose > 0 {
            let (left, all) = (small.btf.len(), btf.bytes().len());
            report::note(&format!(
                "{}: {left} bytes of the {all} of {name}",
                to.display()
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What is left of a BTF.
struct Minimized {
    btf: Vec<u8>,
    /// How many types and members were asked for.
    found: usize,
}

fn minimized(objects: &[(&PathBuf, Object)], btf: &Arc<Btf>) -> anyhow::Result<Minimized> {
    let mut minimizer = Minimizer::new(btf);
    let mut found = 0;
    for (file, object) in objects {
        let needs = object.spec().needed_types(btf);
        for (id, need) in needs.with_context(|| file.display().to_string())? {
            minimizer.keep(id, need)?;
            found += 1;
        }
    }
    let btf = minimizer.build()?;
    Ok(Minimized { btf, found })
}

/// What to read (nothing: the kernel's BTF), and where to write what is left of it.
fn jobs(args: &MinArgs) -> anyhow::Result<Vec<(Option<PathBuf>, PathBuf)>> {
    let output = args.output.as_path();
    refuse_terminal(output, "BTF")?;
    let sources = sources(&args.btf)?;
    let several = sources.len() > 1 || args.btf.iter().any(|from| from.is_dir());
    if several && (is_stdout(output) || output.is_file()) {
        let output = output.display();
        let problem = format!("{output} is no folder, and there are several --btf");
        return Err(Usage(problem).into());
    }
    let to = |from: Option<&Path>| match several || output.is_dir() {
        true => output.join(from.map_or("vmlinux.btf".into(), file_name)),
        false => output.to_owned(),
    };
    let jobs: Vec<_> = match sources.is_empty() {
        true => vec![(None, to(None))],
        false => sources
            .into_iter()
            .map(|from| {
                let to = to(Some(&from));
                (Some(from), to)
            })
            .collect(),
    };
    let mut taken = BTreeSet::new();
    for (from, to) in &jobs {
        let mut read = args.files.iter().chain(from);
        if read.any(|path| is_same(path, to)) {
            let to = to.display();
            let problem = format!("{to} is to be read and to be written: name another -o");
            return Err(Usage(problem).into());
        }
        if !taken.insert(to) {
            let to = to.display();
            return Err(Usage(format!("two --btf would both become {to}")).into());
        }
    }
    if several {
        fs::create_dir_all(output)
            .with_context(|| format!("cannot make the folder {}", output.display()))?;
    }
    Ok(jobs)
}

/// The files, and the .btf files of folders by name.
fn sources(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for path in paths {
        if !path.is_dir() {
            sources.push(path.clone());
            continue;
        }
        let cannot_read = || format!("cannot read {}", path.display());
        let mut found = Vec::new();
        for entry in fs::read_dir(path).with_context(cannot_read)? {
            let file = entry.with_context(cannot_read)?.path();
            if file.extension().is_some_and(|extension| extension == "btf") {
                found.push(file);
            }
        }
        if found.is_empty() {
            let path = path.display();
            return Err(Usage(format!("{path}: no .btf file is in this folder")).into());
        }
        found.sort();
        sources.append(&mut found);
    }
    Ok(sources)
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path| fs::canonicalize(path).ok();
    real(one).is_some_and(|one| Some(one) == real(other))
}

/// `vmlinux-5.4.0` and `vmlinux-5.4.0.btf` both become the latter.
fn file_name(from: &Path) -> OsString {
    let name = from.file_name().unwrap_or_default();
    let stem = match from.extension() {
        Some(extension) if extension == "btf" => from.file_stem().unwrap_or(name),
        _ => name,
    };
    let mut name = stem.to_owned();
    name.push(".btf");
    name
}
