//! Rust sources to BPF objects: rustc, core's source, and what the object still needs afterwards.
//!
//! No linker and no LLVM besides rustc's own takes part. [`sysroot`](self) has core compiled for BPF
//! once for a compiler; the library that programs use is carried as source and compiled once, too;
//! the program is compiled with both into one object, by rustc's own link-time optimisation; and the
//! passes of `finish` make of that object what kernels and loaders take.

mod finish;
mod job;
mod library;
mod limits;
mod message;
mod source;
mod sysroot;
mod toolchain;

pub(crate) use job::Job;
pub use source::CoreSource;
pub use toolchain::{RustVersion, Rustc};
