//! Unit tests for eBPF programs.
#![forbid(unsafe_code)]

pub mod coverage;
mod source;
mod value;

pub use source::{FileError, Place};
pub use value::Value;
