//! What can go wrong between a source and its object, each with what to do about it.

use std::{io, path::PathBuf};

use crate::{clang::ClangVersion, rust::RustVersion};

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No clang on `PATH`, nor named by `SKEP_CLANG` or `CLANG`.
    #[error("no clang found on PATH: {remedy}, or name one with SKEP_CLANG")]
    ClangNotFound {
        /// The command that installs it on this system.
        remedy: String,
    },
    /// The clang named by an environment variable, or found, could not be asked for its version.
    #[error("{} is no working clang: {reason}", path.display())]
    ClangUnusable {
        /// The program that was run.
        path: PathBuf,
        /// What it said, or why it did not start.
        reason: String,
    },
    /// Only compilers older than [`ClangVersion::OLDEST`] were found.
    #[error("{} is clang {found}, too old: {oldest} or newer is needed; {remedy}",
            path.display(), oldest = ClangVersion::OLDEST)]
    ClangTooOld {
        /// The newest there was.
        path: PathBuf,
        /// Its version.
        found: ClangVersion,
        /// The command that installs a newer one on this system.
        remedy: String,
    },
    /// This clang was built without the BPF target.
    #[error("{} (clang {version}) was built without the bpf target; {remedy}", path.display())]
    ClangWithoutBpf {
        /// The compiler.
        path: PathBuf,
        /// Its version.
        version: ClangVersion,
        /// The command that installs another on this system.
        remedy: String,
    },
    /// No rustc on `PATH`, nor named by `SKEP_RUSTC` or `RUSTC`.
    #[error("no rustc found on PATH: {remedy}, or name one with SKEP_RUSTC")]
    RustcNotFound {
        /// The command that installs it on this system.
        remedy: String,
    },
    /// The rustc that was found could not be asked what it is.
    #[error("{} is no working rustc: {reason}", path.display())]
    RustcUnusable {
        /// The program that was run.
        path: PathBuf,
        /// What it said, or why it did not start.
        reason: String,
    },
    /// The rustc is older than [`RustVersion::OLDEST`].
    #[error("{} is rustc {found}, too old to compile for BPF: {oldest} or newer is needed; {remedy}",
            path.display(), oldest = RustVersion::OLDEST)]
    RustcTooOld {
        /// The compiler.
        path: PathBuf,
        /// Its version.
        found: RustVersion,
        /// The command that installs a newer one on this system.
        remedy: String,
    },
    /// A package is to be built, and there is no cargo.
    #[error("no cargo found beside rustc or on PATH: {remedy}")]
    CargoNotFound {
        /// The command that installs it on this system.
        remedy: String,
    },
    /// A package that can't be built, or not without saying more.
    #[error("{}: {reason}", manifest.display())]
    Package {
        /// Its Cargo.toml.
        manifest: PathBuf,
        /// What cargo says, or what is missing.
        reason: String,
    },
    /// Core must be compiled for BPF, and its source is not on this machine.
    #[error(
        "Rust programs need core's source for rustc {version} ({}), and it is not in {}: {remedy}",
        rustc.display(),
        looked.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" nor in ")
    )]
    NoCoreSource {
        /// The compiler that it is for.
        rustc: PathBuf,
        /// Its version, which the source must have too.
        version: RustVersion,
        /// Where it was looked for.
        looked: Vec<PathBuf>,
        /// What to do about it on this system.
        remedy: String,
    },
    /// Core does not compile: its source is most likely of another version.
    #[error(
        "core does not compile for BPF: is its source in {} that of rustc {release}?\n{stderr}",
        source_folder.display()
    )]
    Core {
        /// The source.
        source_folder: PathBuf,
        /// The compiler's version.
        release: String,
        /// What it said.
        stderr: String,
    },
    /// `skep-ebpf`, which this crate carries, does not compile.
    #[error(
        "skep-ebpf does not compile with rustc {release}{}\n{stderr}",
        hint.as_ref().map(|hint| format!(": {hint}")).unwrap_or_default()
    )]
    Library {
        /// The compiler's version.
        release: String,
        /// What is missing, if that is known.
        hint: Option<String>,
        /// What the compiler said.
        stderr: String,
    },
    /// The compiler made an object that can't be finished.
    #[error("the object of {} can't be finished: {error}", source_file.display())]
    Finish {
        /// The source.
        source_file: PathBuf,
        /// What is wrong with it.
        error: Box<skep_object::Error>,
    },
    /// The source could not be read.
    #[error("cannot read {}: {error}", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// The compiler refused the source. Prints as the compiler did, and nothing more but the
    /// hint, so that editors and eyes find what they know.
    #[error("{stderr}{}", hint.as_ref().map(|hint| format!("\nhelp: {hint}")).unwrap_or_default())]
    Compile {
        /// The source.
        source_file: PathBuf,
        /// What the compiler printed, without its last line end, colours included if asked for.
        stderr: String,
        /// What to install, where a system header is missing.
        hint: Option<String>,
    },
    /// The source includes `vmlinux.h`, and the BTF to make it from can't be read.
    #[error(
        "{} includes vmlinux.h, but the kernel's types can't be read from {}: {error}; \
         the kernel needs CONFIG_DEBUG_INFO_BTF=y, or put a vmlinux.h beside the source",
        source_file.display(), btf.display()
    )]
    NoKernelTypes {
        /// The source.
        source_file: PathBuf,
        /// Where BTF was looked for.
        btf: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// The BTF to make `vmlinux.h` from is malformed.
    #[error("no vmlinux.h can be made from the kernel's types: {error}")]
    KernelTypes {
        /// What is wrong with it.
        error: skep_btf::Error,
    },
    /// A file of the cache, or the output, could not be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// There is no folder for what is to be kept.
    #[error("neither XDG_CACHE_HOME nor HOME names a folder")]
    NoCache,
    /// The compiler could not be started.
    #[error("cannot run {}: {error}", path.display())]
    Run {
        /// The program.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
}

impl Error {
    /// Adapts an I/O error of writing `path`.
    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Write { path, error }
    }
}
