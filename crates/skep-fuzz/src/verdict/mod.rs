//! The verifier under fuzz: structured random programs, and what must hold of its verdicts.
//!
//! - [`Verdicts`]: what it says and what a kernel says are the same, but for what is listed.
//! - [`turn::turned`]: a program without one of its checks is refused.
//! - [`contain::contained`]: what a run finds is among what was known.
//! - [`trap::accepted`]: what it accepts never traps where everything is checked.

pub mod contain;
mod kernel;
mod subject;
pub mod trap;
pub mod turn;

pub use kernel::{Tally, Unequal, Verdicts};
pub use subject::{case_verdict, verdict};
