//! Short locks: held for a few instructions, never while a program runs.

use std::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

/// Tries before a thread gives its time to others.
const SPINS: u32 = 64;

/// Waits a little: `round` counts up while one thing is waited for.
pub(super) fn pause(round: u32) {
    if round < SPINS {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

/// A lock that is also a version: even when free, odd when held, and never the same again after
/// it was held. Whoever reads without it knows by the version whether somebody wrote meanwhile.
pub(super) struct Held<'a> {
    word: &'a AtomicU32,
    version: u32,
}

impl<'a> Held<'a> {
    #[inline]
    pub(super) fn new(word: &'a AtomicU32) -> Self {
        let mut round = 0;
        loop {
            let version = word.load(Relaxed);
            if version & 1 == 0
                && word
                    .compare_exchange_weak(version, version | 1, Acquire, Relaxed)
                    .is_ok()
            {
                return Self { word, version };
            }
            pause(round);
            round = round.saturating_add(1);
        }
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.word.store(self.version.wrapping_add(2), Release);
    }
}
