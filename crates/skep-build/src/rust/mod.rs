//! Rust sources to BPF objects: rustc, core's source, and what the object still needs afterwards.
//!
//! No linker and no LLVM besides rustc's own takes part. [`sysroot`](self) has core compiled for BPF
//! once for a compiler; the library that programs use is carried as source and compiled once, too;
//! the program is compiled with both into one object, by rustc's own link-time optimisation; and the
//! passes of `finish` make of that object what kernels and loaders take. That is a file's way; of a
//! cargo package, cargo compiles the library with all else that the package depends on.

mod cargo;
mod file;
mod finish;
mod library;
mod limits;
mod message;
mod package;
mod source;
mod sysroot;
mod toolchain;
mod tools;

pub(crate) use file::Job as FileJob;
pub(crate) use package::{Job as PackageJob, is_package};
pub use source::CoreSource;
pub use toolchain::{RustVersion, Rustc};

/// What this crate makes of an object of rustc's, for those who test that with any bytes: the object
/// as it is to be loaded, of a program with these sources.
///
/// # Errors
/// It is no such object.
#[doc(hidden)]
pub fn finish(object: &[u8], sources: &[std::path::PathBuf]) -> skep_object::Result<Vec<u8>> {
    Ok(finish::finished(object, &finish::Own::new(sources))?.object)
}
