//! Calls that have not returned yet, of functions whose return programs want to see.
//!
//! The return address on the stack is left alone, so that exceptions, `longjmp` and whoever walks
//! over stacks find what they look for. Instead there is a breakpoint at the address where the
//! function returns to, and a call is known by where its return address is: a word of the address
//! space that no other call has at the same time, whatever stacks and threads there are.

use std::{collections::BTreeMap, sync::Arc};

use super::places::Place;

/// Most calls of an address space.
const MOST: usize = 1 << 18;

/// A call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// The function's address.
    pub(super) function: u64,
    pub(super) place: Arc<Place>,
    /// Sessions that want to see its return: the link, and the word they keep.
    pub(super) sessions: Vec<(u32, u64)>,
}

/// Where a call goes back to, and which functions do so at once: each but the first was jumped to
/// by the one before, at its end.
#[derive(Debug, Clone)]
struct Frame {
    returns_to: u64,
    calls: Vec<Call>,
}

/// The calls of an address space, by where their return addresses are.
#[derive(Debug, Clone, Default)]
pub(super) struct Frames(BTreeMap<u64, Frame>);

impl Frames {
    /// Notes a call. `false`: there are too many.
    pub(super) fn enter(&mut self, slot: u64, returns_to: u64, call: Call) -> bool {
        if self.0.len() >= MOST && !self.0.contains_key(&slot) {
            return false;
        }
        let frame = self.0.entry(slot).or_insert(Frame {
            returns_to,
            calls: Vec::new(),
        });
        if frame.returns_to != returns_to {
            // What was there was left by a jump out of it.
            frame.returns_to = returns_to;
            frame.calls.clear();
        }
        // A function that is met again there was called anew.
        let again = |known: &Call| known.function == call.function;
        if let Some(at) = frame.calls.iter().position(again) {
            frame.calls.truncate(at);
        }
        frame.calls.push(call);
        true
    }

    /// The calls that end with a return to this address from this slot, the innermost first.
    pub(super) fn leave(&mut self, slot: u64, returns_to: u64) -> Vec<Call> {
        match self.0.get(&slot) {
            Some(frame) if frame.returns_to == returns_to => {
                let mut calls = self.0.remove(&slot).map_or(Vec::new(), |frame| frame.calls);
                calls.reverse();
                calls
            }
            _ => Vec::new(),
        }
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
