//! Waiting for tracees, each in its turn, and awake for a moment first.
//!
//! Of all tracees that stand, the system tells of the newest first. Where they stop faster than
//! they are attended to, the older ones, and the signals that they have got, would wait for ever:
//! so every so often each tracee is asked for by itself.
//!
//! Waking a thread up on an idle CPU takes longer than most tracees take from one stop to the
//! next: so where there is a CPU for it, the tracer looks for the next stop a little while before
//! it sleeps. Where that was in vain it is left out for a while, the longer the more often: whoever
//! stops seldom costs nothing, and a tracer without stops sleeps.

use std::{
    thread,
    time::{Duration, Instant},
};

use libc::pid_t;

use super::{
    system::{self, Waited},
    thread::Tracees,
};

/// How long it stays awake after a stop: as long as waking it up takes.
const AWAKE: Duration = Duration::from_micros(60);

/// After so many times in vain the pauses don't grow any more: at most every 256th stop then is
/// followed by a time awake.
const MOST: u32 = 8;

/// At least so many stops are attended to as the system tells of them before each tracee is asked
/// for, unless most of those who were asked stood.
const FIRST_COME: usize = 8;

/// See above.
#[derive(Debug)]
pub(super) struct Wait {
    cpus: usize,
    /// Times awake in vain, one after the other.
    vain: u32,
    /// Stops after which it sleeps at once.
    asleep: u32,
    turn: Turn,
}

/// Who is asked for by itself.
#[derive(Debug, Default)]
struct Turn {
    /// Those who are still to be.
    left: Vec<pid_t>,
    /// How many were, and how many of them stood.
    asked: usize,
    stood: usize,
    /// Waits until the next turn.
    rest: usize,
}

impl Turn {
    /// Asks those whose turn it is; `None` if there are none, or none of them stands.
    fn next(&mut self, tracees: &Tracees) -> Option<Waited> {
        if tracees.len() < 2 {
            self.left.clear();
            return None;
        }
        if self.left.is_empty() {
            if let Some(rest) = self.rest.checked_sub(1) {
                self.rest = rest;
                return None;
            }
            self.left.extend(tracees.keys());
            (self.asked, self.stood) = (self.left.len(), 0);
        }
        while let Some(pid) = self.left.pop() {
            if self.left.is_empty() {
                // In between, whoever is nobody's child yet is waited for too.
                self.rest = match self.stood * 2 >= self.asked {
                    true => 1,
                    false => self.asked.max(FIRST_COME),
                };
            }
            // Some are gone meanwhile.
            if let found @ Waited::Status(..) = system::wait_for(pid) {
                self.stood += 1;
                return Some(found);
            }
        }
        None
    }
}

impl Wait {
    pub(super) fn new() -> Self {
        Self {
            cpus: thread::available_parallelism().map_or(1, usize::from),
            vain: 0,
            asleep: 0,
            turn: Turn::default(),
        }
    }

    /// Waits for the next stop of one of these, or of who is new; without `block` only looks
    /// whether there is one.
    pub(super) fn next(&mut self, tracees: &Tracees, block: bool) -> Waited {
        if let Some(found) = self.turn.next(tracees) {
            return found;
        }
        if !block {
            return system::wait(false);
        }
        // One who looks must not take a CPU that a tracee could have.
        if tracees.len() >= self.cpus {
            return system::wait(true);
        }
        if let Some(rest) = self.asleep.checked_sub(1) {
            self.asleep = rest;
            return system::wait(true);
        }
        let began = Instant::now();
        loop {
            match system::wait(false) {
                Waited::Nothing if began.elapsed() < AWAKE => std::hint::spin_loop(),
                Waited::Nothing => break,
                found => {
                    self.vain = 0;
                    return found;
                }
            }
        }
        self.vain = (self.vain + 1).min(MOST);
        self.asleep = (1 << self.vain) - 1;
        system::wait(true)
    }
}
