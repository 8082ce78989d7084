//! C and Rust sources to BPF objects: finds the compiler, brings what programs need besides it,
//! runs it and shows its errors as it prints them. For C that is clang, the BPF-side headers and the
//! kernel's types (`vmlinux.h`); for Rust it is rustc, core and the library `skep-ebpf`.
//!
//! ```no_run
//! # fn main() -> Result<(), skep_build::Error> {
//! let built = skep_build::Build::new("opensnoop.bpf.c").cached()?;
//! eprint!("{}", built.warnings);
//! println!("{}", built.object.display());
//! # Ok(())
//! # }
//! ```
//!
//! Sources written for libbpf compile unchanged: the headers have the names that libbpf made usual
//! (`bpf/bpf_helpers.h` and its siblings) and expand to the same instructions, and are Skep's own.
//! [`Build::run`] writes an object where it is told to; [`Build::cached`] keeps objects in the
//! cache and gives the one that fits, in a millisecond, until something it was made from changes.

mod build;
mod c;
mod cache;
mod clang;
mod depfile;
mod error;
mod headers;
mod hint;
mod kept;
mod pch;
mod rust;
mod scan;
mod target;
mod vmlinux;

pub use build::{Build, BuildOutput, Language};
pub use cache::Cache;
pub use clang::{Clang, ClangVersion};
pub use error::{Error, Result};
#[doc(hidden)]
pub use rust::finish;
pub use rust::{CoreSource, RustVersion, Rustc};
pub use target::{Arch, Cpu, Endian};
pub use vmlinux::KernelTypes;
