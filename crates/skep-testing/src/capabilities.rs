//! Tests of what is said to those who may not.

use std::{panic, thread};

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::Outcome;

/// Runs `test` on a thread that has given up all capabilities, and is still root's.
///
/// # Errors
/// Those of the test.
pub fn without_capabilities(test: impl FnOnce() -> Outcome + Send) -> Outcome {
    let none = CapabilitySet::empty();
    let nothing = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            set_capabilities(None, nothing)?;
            test()
        });
        match worker.join() {
            Ok(outcome) => outcome,
            Err(payload) => panic::resume_unwind(payload),
        }
    })
}
