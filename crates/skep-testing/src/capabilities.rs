//! Tests of what is said to those who may not, and of what suffices.

use std::{panic, thread};

use rustix::{
    process::{Gid, Uid},
    thread::{
        CapabilitySet, CapabilitySets, set_capabilities, set_keep_capabilities, set_thread_res_gid,
        set_thread_res_uid,
    },
};

use crate::Outcome;

/// Runs `test` on a thread that has given up all capabilities, and is still root's.
///
/// # Errors
/// Those of the test.
pub fn without_capabilities(test: impl FnOnce() -> Outcome + Send) -> Outcome {
    on_a_thread(CapabilitySet::empty(), None, test)
}

/// Runs `test` on a thread that has these capabilities and no others, by their names (`CAP_BPF`), and
/// is still root's.
///
/// # Errors
/// Those of the test.
///
/// # Panics
/// A name that no capability has.
pub fn with_capabilities(names: &[&str], test: impl FnOnce() -> Outcome + Send) -> Outcome {
    on_a_thread(set_of(names), None, test)
}

/// Runs `test` on a thread of a user who owns nothing, and has these capabilities and no others.
///
/// # Errors
/// Those of the test.
///
/// # Panics
/// A name that no capability has.
pub fn as_nobody_with(names: &[&str], test: impl FnOnce() -> Outcome + Send) -> Outcome {
    /// `nobody` of most systems; that nobody has files matters, not its name.
    const NOBODY: u32 = 65534;
    on_a_thread(set_of(names), Some(NOBODY), test)
}

fn set_of(names: &[&str]) -> CapabilitySet {
    let of = |name: &&str| {
        let found = name.strip_prefix("CAP_").and_then(CapabilitySet::from_name);
        found.unwrap_or_else(|| panic!("there is no capability {name}"))
    };
    names.iter().map(of).collect()
}

fn on_a_thread(
    set: CapabilitySet,
    user: Option<u32>,
    test: impl FnOnce() -> Outcome + Send,
) -> Outcome {
    let sets = CapabilitySets {
        effective: set,
        permitted: set,
        inheritable: CapabilitySet::empty(),
    };
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            if let Some(id) = user {
                set_keep_capabilities(true)?;
                let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
                set_thread_res_gid(group, group, group)?;
                set_thread_res_uid(user, user, user)?;
            }
            set_capabilities(None, sets)?;
            test()
        });
        match worker.join() {
            Ok(outcome) => outcome,
            Err(payload) => panic::resume_unwind(payload),
        }
    })
}
