//! What users name on the command line as a program: a source, in C or Rust, or a cargo package,
//! which are compiled first, or an object.

use std::{
    cell::OnceCell,
    ffi::OsStr,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, ValueEnum, ValueHint};
use skep::spec::ParseOptions;
use skep_build::{Build, BuildOutput, Cache, Clang, Cpu, KernelTypes, Language};

use crate::{btf, cli::Global, exit::Usage, report};

/// How sources are compiled.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Compiling")]
pub(crate) struct CompileArgs {
    /// Search this folder for headers, before Skep's own and the system's
    #[arg(short = 'I', value_name = "DIR", value_hint = ValueHint::DirPath)]
    include: Vec<PathBuf>,

    /// Define a macro; in Rust a cfg
    #[arg(short = 'D', value_name = "NAME[=VALUE]")]
    define: Vec<String>,

    /// The instruction set to compile for [default: v3]
    ///
    /// v4 needs Linux 6.6, and for C clang 18; any kernel from 5.10 on takes v3.
    #[arg(long, value_name = "SET", hide_possible_values = true)]
    cpu: Option<InstructionSet>,

    /// Of a package with several binaries: this one
    #[arg(long, value_name = "NAME")]
    bin: Option<String>,

    /// Of a package: turn on these features, as cargo does
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    features: Vec<String>,

    /// Of a package: without its default features
    #[arg(long)]
    no_default_features: bool,

    /// The clang to use: a path, or a name on PATH
    ///
    /// Without it, SKEP_CLANG and CLANG are asked, then `clang` on PATH, or the newest clang-NN.
    #[arg(long, value_name = "CLANG", value_hint = ValueHint::ExecutablePath)]
    clang: Option<PathBuf>,

    /// The kernel's types, for sources that include vmlinux.h
    ///
    /// A vmlinux.h; or BTF to make it from: raw, or in an ELF file such as a vmlinux. Without it,
    /// vmlinux.h is made of the running kernel's types. A vmlinux.h beside the source goes first.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    vmlinux: Option<PathBuf>,

    /// One for all sources: where nothing can be kept, what one needed is there for the next.
    #[arg(skip)]
    cache: OnceCell<Cache>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum InstructionSet {
    V1,
    V2,
    V3,
    V4,
}

impl CompileArgs {
    /// How to compile this source.
    pub(crate) fn build(&self, source: &Path) -> anyhow::Result<Build> {
        let cache = match self.cache.get() {
            Some(cache) => cache,
            None => {
                let cache = Cache::open()?;
                self.cache.get_or_init(|| cache)
            }
        };
        let build = Build::new(source).color(colored());
        let mut build = build.progress(report::note).cache(cache.clone());
        if let Some(path) = &self.vmlinux {
            build = with_types(build, path)?;
        }
        for folder in &self.include {
            build = build.include(folder);
        }
        for define in &self.define {
            build = build.define(define);
        }
        if let Some(set) = self.cpu {
            build = build.cpu(match set {
                InstructionSet::V1 => Cpu::V1,
                InstructionSet::V2 => Cpu::V2,
                InstructionSet::V3 => Cpu::V3,
                InstructionSet::V4 => Cpu::V4,
            });
        }
        if let Some(name) = &self.bin {
            build = build.binary(name);
        }
        for name in &self.features {
            build = build.feature(name);
        }
        build = build.default_features(!self.no_default_features);
        if let Some(clang) = &self.clang {
            build = build.clang(Clang::at(clang, cache)?);
        }
        Ok(build)
    }
}

/// Whether the compiler's messages are to be coloured.
fn colored() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

fn with_types(build: Build, path: &Path) -> anyhow::Result<Build> {
    let is_header = path.extension() == Some(OsStr::new("h"));
    if !is_header {
        return Ok(build.kernel_types(KernelTypes::Bytes(btf::bytes_of_file(path)?.into())));
    }
    if path.file_name() != Some(OsStr::new("vmlinux.h")) {
        return Err(Usage(format!(
            "{}: sources include the kernel's types as vmlinux.h, and the file must be called so",
            path.display()
        ))
        .into());
    }
    fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(build.include(
        path.parent()
            .filter(|p| *p != Path::new(""))
            .unwrap_or(Path::new(".")),
    ))
}

/// Opens what the user named: compiles a source, or takes what was compiled of it before.
pub(crate) fn open(
    path: &Path,
    args: &CompileArgs,
    global: &Global,
) -> anyhow::Result<skep::Object> {
    if !is_source(path) {
        return Ok(skep::Object::open(path)?);
    }
    let built = built(path, args, global)?;
    let options = ParseOptions::new(built.name.as_str()).file(path.display().to_string());
    Ok(skep::Object::parse_with(&read(&built.object)?, &options)?)
}

/// The object that the user named or that a source is compiled to, not yet looked at.
pub(crate) fn bytes(path: &Path, args: &CompileArgs, global: &Global) -> anyhow::Result<Vec<u8>> {
    match is_source(path) {
        true => read(&built(path, args, global)?.object),
        false => read(path),
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The object of a source, and what there was to say of it, said.
fn built(path: &Path, args: &CompileArgs, global: &Global) -> anyhow::Result<BuildOutput> {
    let built = match args.build(path)?.cached() {
        Err(skep_build::Error::NoKernelTypes { .. }) => {
            report::note("this kernel shows no types: compiling with those of the vm");
            args.build(path)?.kernel_types(vm_types()?).cached()?
        }
        built => built?,
    };
    say_built(&built, global);
    Ok(built)
}

/// The virtual machine's types. What is compiled with them is relocated for the host that it then
/// runs on, as with a kernel's.
fn vm_types() -> anyhow::Result<KernelTypes> {
    let bytes = skep::Host::vm()?.boundary().btf(None)?;
    Ok(KernelTypes::Bytes((*bytes).as_ref().into()))
}

/// Whether it is to be compiled.
pub(crate) fn is_source(path: &Path) -> bool {
    Language::of_source(path).is_some()
}

/// Passes on what the compiler printed, and with `-v` says what was done.
pub(crate) fn say_built(built: &skep_build::BuildOutput, global: &Global) {
    if global.verbose > 0 {
        let from = if built.from_cache {
            " (compiled before)"
        } else {
            ""
        };
        report::note(&format!("object: {}{from}", built.object.display()));
    }
    // The compiler's own text, coloured if it was asked to.
    let _ = std::io::stderr().write_all(built.warnings.as_bytes());
}
