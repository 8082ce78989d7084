//! What Skep's tests of real hosts share: tests run one at a time, each is failed for what it
//! leaves behind, and what the machine lacks is skipped by name.
//!
//! ```no_run
//! use skep_testing::{Outcome, Test, ensure, needs_kernel};
//!
//! fn rings() -> Outcome {
//!     needs_kernel(5, 8)?;
//!     ensure(skep_testing::host().page_size() >= 4096, || "small pages".into())
//! }
//!
//! # fn the_host() -> &'static dyn skep_host::Host { unimplemented!() }
//! fn main() -> std::process::ExitCode {
//!     skep_testing::run("skep", the_host, vec![Test::new("maps::rings", rings)])
//! }
//! ```
#![forbid(unsafe_code)]

mod bpffs;
mod capabilities;
mod cgroup;
mod compile;
mod debian;
mod delegation;
pub mod guest;
mod harness;
mod leaks;
mod libbpf;
mod netns;
mod outcome;
mod prebuilt;
mod rust;

pub use bpffs::{Bpffs, Tracefs, mount_point};
pub use capabilities::{as_nobody_with, with_capabilities, without_capabilities};
pub use cgroup::Cgroup;
pub use compile::{
    assemble, cache, compile, compile_for, compile_native, compile_native_as, compile_with,
};
pub use debian::Debian;
pub use delegation::{
    Options as MountOptions, PART, Part, delegated_bpffs, in_user_namespace, play,
};
pub use harness::{
    On, Test, host, lacks, needs_kernel, needs_kernel_of, needs_option, run, run_on, skip,
};
pub use leaks::Snapshot;
pub use libbpf::{Libbpf, ProgramView, View};
pub use netns::{Tools, in_netns};
pub use outcome::{Lacking, Outcome, PATIENCE, Stop, ensure, eventually, expect_err, find_tool};
pub use prebuilt::{is_prebuilt, is_preparing, made_by};
pub use rust::core_source;
