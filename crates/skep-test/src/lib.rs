//! Unit tests for eBPF programs.
#![forbid(unsafe_code)]

pub mod coverage;
mod definition;
mod failure;
mod packet;
mod run;
mod source;
mod typed;
mod value;

pub use failure::Mismatch;
pub use run::TestHost;
pub use source::{FileError, Place};
pub use value::Value;
