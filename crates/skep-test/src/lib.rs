//! Unit tests for eBPF programs.
#![forbid(unsafe_code)]

mod api;
pub mod coverage;
mod definition;
mod error;
mod failure;
mod packet;
mod report;
mod run;
mod runner;
mod source;
mod suite;
mod typed;
mod value;

pub use api::{Ran, Test, assert_passes};
pub use error::Error;
pub use failure::Mismatch;
pub use report::{
    Failure, Outcome, Report, Summary, TestReport, junit, name_width, show_failure, show_line,
};
pub use run::TestHost;
pub use runner::RunOptions;
pub use source::{FileError, Place};
pub use suite::{Suite, find};
pub use value::Value;
