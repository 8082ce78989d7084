//! One source, one object: how it is to be made, and whether it was made before. Each language has
//! its own file for the compiler's command line and what comes of it (`c`, `rust`).

use std::{
    ffi::OsString,
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::SystemTime,
};

use crate::{
    Arch, Cache, Clang, CoreSource, Cpu, Endian, KernelTypes, Result, Rustc, c,
    cache::Fingerprint,
    kept::{Found, Kept},
    rust,
};

/// How a source is to be compiled. Made by [`Build::new`], changed by its methods, carried out by
/// [`Build::run`] or [`Build::cached`]; several sources are several builds.
///
/// The source's name says its language: Rust for `.rs`, and for a folder with a Cargo.toml, which is
/// a package; else C.
///
/// clang is called with `-g -O2 -target bpf… -mcpu=… -D__TARGET_ARCH_…`; the include path is
/// the user's folders, Skep's headers, the generated `vmlinux.h`, and last the system's
/// `/usr/include` with its folder of this machine's headers. No warning is turned on.
///
/// rustc compiles the source as the 2024 edition with `skep_ebpf` at hand (`use
/// skep_ebpf::prelude::*`), and core, which is compiled for BPF once; `no_std` and `no_main` need not
/// be said.
///
/// Of a package cargo makes what it is: its library, or its binary, with all that it depends on, for
/// BPF and with core as for a file. It depends on `skep-ebpf`, says `no_std` itself, and compiles for
/// this machine as well, for editors and lints, if it is a library. A workspace's folder is as good
/// as that of the one package in it that has programs. Cargo works in the workspace's target folder,
/// or, in a build script, below `OUT_DIR`.
///
/// What of these settings is C's alone (folders of headers, the machine that is traced,
/// kernel types) does not matter for it.
#[derive(Clone, Debug)]
pub struct Build {
    pub(crate) source: PathBuf,
    output: Option<PathBuf>,
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) defines: Vec<String>,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) binary: Option<String>,
    pub(crate) features: Vec<String>,
    pub(crate) default_features: bool,
    pub(crate) arch: Arch,
    pub(crate) endian: Endian,
    pub(crate) cpu: Cpu,
    pub(crate) types: KernelTypes,
    color: Option<bool>,
    pub(crate) precompile: bool,
    pub(crate) clang: Option<Clang>,
    pub(crate) rustc: Option<Rustc>,
    pub(crate) core: Option<CoreSource>,
    pub(crate) progress: Option<fn(&str)>,
    cache: Option<Cache>,
}

/// An object, and how it came to be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BuildOutput {
    /// The object. In the cache for [`Build::cached`]: read it soon, don't change it.
    pub object: PathBuf,
    /// What loaders call it: the source's name up to its first dot, or the package's or binary's.
    pub name: String,
    /// What the compiler printed, as it did; empty or with its last line end.
    pub warnings: String,
    /// The files that it was made from, the source first, headers of the system and of Skep too.
    pub dependencies: Vec<PathBuf>,
    /// Nothing was compiled: the object is of an earlier run.
    pub from_cache: bool,
    /// Holds a temporary cache, and with it the object, if there is no other.
    _cache: Arc<Cache>,
}

impl BuildOutput {
    /// For a `build.rs`: tells cargo to run it again when one of the files changes.
    pub fn emit_rerun_if_changed(&self) {
        for path in &self.dependencies {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
}

impl Build {
    /// Compiles `source` for this machine and the running kernel.
    pub fn new(source: impl Into<PathBuf>) -> Self {
        Self {
            source: source.into(),
            output: None,
            folders: Vec::new(),
            defines: Vec::new(),
            arguments: Vec::new(),
            binary: None,
            features: Vec::new(),
            default_features: true,
            arch: Arch::host(),
            endian: Endian::host(),
            cpu: Cpu::default(),
            types: KernelTypes::Running,
            color: None,
            precompile: true,
            clang: None,
            rustc: None,
            core: None,
            progress: None,
            cache: None,
        }
    }

    /// Where [`Build::run`] puts the object. Without it: the source's name, with `.o` for its
    /// extension, in the current folder, as compilers do.
    pub fn output(mut self, path: impl Into<PathBuf>) -> Self {
        self.output = Some(path.into());
        self
    }

    /// Adds a folder to search for headers, before Skep's and the system's (`-I`).
    pub fn include(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folders.push(folder.into());
        self
    }

    /// Defines a macro (`-D`): `NAME` or `NAME=VALUE`. In Rust it is a `cfg`: `#[cfg(NAME)]`,
    /// `#[cfg(NAME = "VALUE")]`.
    pub fn define(mut self, macro_: impl Into<String>) -> Self {
        self.defines.push(macro_.into());
        self
    }

    /// Adds an argument for the compiler, after all others but the source.
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Which of a package's binaries to build, where it has several.
    pub fn binary(mut self, name: impl Into<String>) -> Self {
        self.binary = Some(name.into());
        self
    }

    /// Turns on a feature of a package, as cargo's `--features` does.
    pub fn feature(mut self, name: impl Into<String>) -> Self {
        self.features.push(name.into());
        self
    }

    /// Whether a package has its default features: without it, it has.
    pub fn default_features(mut self, on: bool) -> Self {
        self.default_features = on;
        self
    }

    /// The machine to be traced. Also sets the byte order that Linux mostly has on it.
    pub fn arch(mut self, arch: Arch) -> Self {
        self.arch = arch;
        self.endian = if arch == Arch::S390x {
            Endian::Big
        } else {
            Endian::Little
        };
        self
    }

    /// The byte order of the machine to be traced.
    pub fn endian(mut self, endian: Endian) -> Self {
        self.endian = endian;
        self
    }

    /// The instruction set to use: [`Cpu::V3`] unless told otherwise.
    pub fn cpu(mut self, cpu: Cpu) -> Self {
        self.cpu = cpu;
        self
    }

    /// The types for `vmlinux.h`: the running kernel's unless told otherwise. They are looked at
    /// only if the source includes it and there is none beside it.
    pub fn kernel_types(mut self, types: KernelTypes) -> Self {
        self.types = types;
        self
    }

    /// Whether the compiler's messages are coloured. Without it: if stderr is a terminal and
    /// `NO_COLOR` is not set.
    pub fn color(mut self, color: bool) -> Self {
        self.color = Some(color);
        self
    }

    /// Whether a precompiled `vmlinux.h` may be used, as it is by default: the same object, sooner.
    pub fn precompile(mut self, precompile: bool) -> Self {
        self.precompile = precompile;
        self
    }

    /// The compiler of C to use, instead of what [`Clang::find`] finds.
    pub fn clang(mut self, clang: Clang) -> Self {
        self.clang = Some(clang);
        self
    }

    /// The compiler of Rust to use, instead of what [`Rustc::find`] finds.
    pub fn rustc(mut self, rustc: Rustc) -> Self {
        self.rustc = Some(rustc);
        self
    }

    /// Core's source, instead of what [`CoreSource::find`] finds.
    pub fn core_source(mut self, source: CoreSource) -> Self {
        self.core = Some(source);
        self
    }

    /// Whom to tell, in a sentence, of what takes some seconds: compiling core for BPF, which is
    /// done once for a compiler.
    pub fn progress(mut self, tell: fn(&str)) -> Self {
        self.progress = Some(tell);
        self
    }

    /// The cache to use, instead of what [`Cache::open`] opens.
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Compiles, and writes the object to [`Build::output`].
    ///
    /// # Errors
    /// [`Error::Compile`](crate::Error::Compile) if the compiler refuses the source, and all others of
    /// [`Error`](crate::Error).
    pub fn run(&self) -> Result<BuildOutput> {
        let job = self.prepare()?;
        let object = self.object(&job);
        let compiled = job.compile(&object)?;
        Ok(BuildOutput {
            object,
            name: job.short_name(&self.source),
            warnings: compiled.warnings,
            dependencies: compiled.dependencies,
            from_cache: false,
            _cache: job.cache().clone(),
        })
    }

    /// All that a `build.rs` has to do: writes the object to `OUT_DIR` under this name, has cargo show
    /// warnings and run it again when a source changes, and shows an error.
    ///
    /// ```no_run
    /// // build.rs; user space has include_bytes!(concat!(env!("OUT_DIR"), "/opens.bpf.o")).
    /// fn main() -> std::process::ExitCode {
    ///     skep_build::Build::new("../opens-ebpf").build_script("opens.bpf.o")
    /// }
    /// ```
    pub fn build_script(self, name: &str) -> ExitCode {
        let folder = std::env::var_os("OUT_DIR").unwrap_or_default();
        let output = Path::new(&folder).join(name);
        match self.output(output).color(false).run() {
            Ok(built) => {
                built.emit_rerun_if_changed();
                for line in built.warnings.lines() {
                    println!("cargo::warning={line}");
                }
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    /// The compiler's command line, the program first: run by hand, it makes the same object as
    /// [`Build::run`], which may use a precompiled header besides, and asks for dependencies; and
    /// finishes what rustc makes, which is no object that kernels take.
    ///
    /// # Errors
    /// As [`Build::run`], but for what the compiler says.
    pub fn command_line(&self) -> Result<Vec<OsString>> {
        let job = self.prepare()?;
        Ok(job.command_line(&self.object(&job)))
    }

    /// What the object is called where nothing else is said ([`Build::output`]): of a package cargo is
    /// asked.
    ///
    /// # Errors
    /// For a package as [`Build::run`], but for what the compiler says.
    pub fn object_name(&self) -> Result<PathBuf> {
        if !rust::is_package(&self.source) {
            let name = self.source.file_name().unwrap_or_default();
            return Ok(Path::new(name).with_extension("o"));
        }
        let job = self.prepare()?;
        Ok(PathBuf::from(job.name(&self.source)))
    }

    /// Where the object goes.
    fn object(&self, job: &Job<'_>) -> PathBuf {
        let output = self.output.clone();
        output.unwrap_or_else(|| PathBuf::from(job.name(&self.source)).with_extension("o"))
    }

    /// Gives the object from the cache if neither the source, nor a file it includes, nor the
    /// compiler, nor how it is called has changed since it was made; else compiles. A file that
    /// comes to stand before another on the include path is not noticed. [`Build::output`] does
    /// not matter here.
    ///
    /// # Errors
    /// As [`Build::run`].
    pub fn cached(&self) -> Result<BuildOutput> {
        let job = self.prepare()?;
        let kept = Kept::new(job.cache(), &job.key()?)?;
        if let Some(Found {
            object,
            warnings,
            dependencies,
        }) = kept.find()
        {
            return Ok(BuildOutput {
                object,
                name: job.short_name(&self.source),
                warnings,
                dependencies,
                from_cache: true,
                _cache: job.cache().clone(),
            });
        }
        let place = kept.place()?;
        let started = SystemTime::now();
        let compiled = job.compile(&place)?;
        let known = compiled.keep.then_some(compiled.dependencies.as_slice());
        let object = kept.keep(place, started, known, &compiled.warnings)?;
        Ok(BuildOutput {
            object,
            name: job.short_name(&self.source),
            warnings: compiled.warnings,
            dependencies: compiled.dependencies,
            from_cache: false,
            _cache: job.cache().clone(),
        })
    }

    /// Finds the compiler of the source's language, and what it needs.
    fn prepare(&self) -> Result<Job<'_>> {
        let cache = match &self.cache {
            Some(cache) => cache.clone(),
            None => Cache::open()?,
        };
        Ok(match Language::of(&self.source) {
            Language::C => Job::C(c::Job::prepare(self, cache)?),
            Language::Rust if rust::is_package(&self.source) => {
                Job::Package(rust::PackageJob::prepare(self, cache)?)
            }
            Language::Rust => Job::Rust(rust::FileJob::prepare(self, cache)?),
        })
    }

    /// Whether messages are coloured, in rustc's and cargo's word.
    pub(crate) fn color_word(&self) -> &'static str {
        if self.is_colored() { "always" } else { "never" }
    }

    /// Whether messages are coloured.
    pub(crate) fn is_colored(&self) -> bool {
        self.color.unwrap_or_else(|| {
            std::io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        })
    }
}

/// What sources are written in, by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Anything but the others.
    C,
    /// `.rs`, and packages: folders with a Cargo.toml, or that file.
    Rust,
}

impl Language {
    /// The language of a file of this name.
    pub fn of(source: &Path) -> Self {
        match source.extension() {
            Some(extension) if extension == "rs" => Self::Rust,
            _ if rust::is_package(source) => Self::Rust,
            _ => Self::C,
        }
    }

    /// The same, if the name says that it is a source at all: of C that is `.c`.
    pub fn of_source(path: &Path) -> Option<Self> {
        match (Self::of(path), path.extension()) {
            (Self::C, Some(extension)) if extension == "c" => Some(Self::C),
            (Self::C, _) => None,
            (language, _) => Some(language),
        }
    }
}

/// A build made ready.
enum Job<'a> {
    C(c::Job<'a>),
    Rust(rust::FileJob<'a>),
    Package(rust::PackageJob<'a>),
}

/// What came of compiling.
pub(crate) struct Compiled {
    pub(crate) warnings: String,
    pub(crate) dependencies: Vec<PathBuf>,
    /// Whether the object depends on nothing but the key and the files.
    pub(crate) keep: bool,
}

impl Job<'_> {
    fn key(&self) -> Result<Fingerprint> {
        match self {
            Self::C(job) => job.key(),
            Self::Rust(job) => job.key(),
            Self::Package(job) => job.key(),
        }
    }

    fn compile(&self, object: &Path) -> Result<Compiled> {
        match self {
            Self::C(job) => job.compile(object),
            Self::Rust(job) => job.compile(object),
            Self::Package(job) => job.compile(object),
        }
    }

    fn command_line(&self, object: &Path) -> Vec<OsString> {
        match self {
            Self::C(job) => job.command_line(object),
            Self::Rust(job) => job.command_line(object),
            Self::Package(job) => job.command_line(object),
        }
    }

    /// What objects are called after: the source, or what of a package becomes one.
    fn name(&self, source: &Path) -> OsString {
        match self {
            Self::C(_) | Self::Rust(_) => source.file_name().unwrap_or_default().to_owned(),
            // With an ending for another to take the place of.
            Self::Package(job) => format!("{}.o", job.name()).into(),
        }
    }

    fn short_name(&self, source: &Path) -> String {
        let name = self.name(source);
        let name = name.to_string_lossy();
        name.split('.').next().unwrap_or_default().to_owned()
    }

    fn cache(&self) -> &Arc<Cache> {
        match self {
            Self::C(job) => &job.cache,
            Self::Rust(job) => job.cache(),
            Self::Package(job) => job.cache(),
        }
    }
}

/// A name that compilers take for a file and no option; clang's `--` does not reach all its parts.
pub(crate) fn as_file(path: &Path) -> PathBuf {
    let option = path.as_os_str().as_encoded_bytes().starts_with(b"-");
    if option {
        Path::new(".").join(path)
    } else {
        path.to_owned()
    }
}
