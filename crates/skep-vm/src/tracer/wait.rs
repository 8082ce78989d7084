//! Waiting for tracees, awake for a moment first.
//!
//! Waking a thread up on an idle CPU takes longer than most tracees take from one stop to the
//! next: so where there is a CPU for it, the tracer looks for the next stop a little while before
//! it sleeps. Where that was in vain it is left out for a while, the longer the more often: whoever
//! stops seldom costs nothing, and a tracer without stops sleeps.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::system::{self, Waited};

/// How long it stays awake after a stop: as long as waking it up takes.
const AWAKE: Duration = Duration::from_micros(60);

/// After so many times in vain the pauses don't grow any more: at most every 256th stop then is
/// followed by a time awake.
const MOST: u32 = 8;

/// See above.
#[derive(Debug)]
pub(super) struct Wait {
    cpus: usize,
    /// Times awake in vain, one after the other.
    vain: u32,
    /// Stops after which it sleeps at once.
    asleep: u32,
}

impl Wait {
    pub(super) fn new() -> Self {
        Self {
            cpus: thread::available_parallelism().map_or(1, usize::from),
            vain: 0,
            asleep: 0,
        }
    }

    /// Waits for the next stop of one of so many tracees.
    pub(super) fn next(&mut self, tracees: usize) -> Waited {
        // One who looks must not take a CPU that a tracee could have.
        if tracees >= self.cpus {
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
