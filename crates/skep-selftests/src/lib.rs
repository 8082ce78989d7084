//! The kernel's own BPF selftests as a measure of the verifier: what each program's tags expect,
//! what `skep-verifier` says of it, and how the two differ, by cause.
//!
//! `cargo xtask selftests` starts the program of this crate, which also fetches and compiles them,
//! and asks the running kernel and the virtual machine. The library alone judges objects that are
//! there; it needs neither, so that the verifier's example `judge` builds in no time.
#![forbid(unsafe_code)]

mod expectation;
mod judge;
mod tally;

pub use expectation::{Expectation, Expected, TEST_DATA_LEN, Value};
pub use judge::{Case, Judge, judge_command, name_of};
pub use tally::{Misses, Tally};

/// What can go wrong: files, arguments, and what of the machine is missing, each said in words.
pub type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;
