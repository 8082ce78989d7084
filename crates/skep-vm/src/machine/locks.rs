//! Resilient spin locks (`struct bpf_res_spin_lock`): who holds which, so that whoever would wait
//! for ever is told. A lock that is held has the number of its CPU in it, counted from 1.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU32, AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release, SeqCst},
        },
    },
    thread,
    time::{Duration, Instant},
};

use skep_host::Errno;

/// How long a lock is waited for (`RES_DEF_TIMEOUT`).
const PATIENCE: Duration = Duration::from_millis(250);
/// Locks that a CPU can hold (`RES_NR_HELD`).
const MOST: usize = 31;
/// Rounds of waiting without giving the processor away.
const EAGER: u32 = 100;

/// The locks of a CPU, in the order in which they were taken.
#[derive(Debug, Default)]
struct Held {
    locks: [AtomicU64; MOST],
    count: AtomicUsize,
    /// The one that it waits for.
    waits: AtomicU64,
}

impl Held {
    fn has(&self, lock: u64) -> bool {
        let held = self.locks.iter().take(self.count.load(Acquire));
        held.into_iter().any(|held| held.load(Relaxed) == lock)
    }
}

/// See above.
#[derive(Debug)]
pub(crate) struct Locks(Arc<[Held]>);

impl Locks {
    pub(crate) fn new(cpus: u32) -> Self {
        Self((0..cpus.max(1)).map(|_| Held::default()).collect())
    }

    /// Takes a lock for a CPU; `word` is what is at its address.
    ///
    /// # Errors
    /// `EDEADLK`: the CPU has it already, or who has it waits for what this CPU has; `ETIMEDOUT`;
    /// `ENOSPC`: too many locks are held.
    pub(crate) fn take(&self, cpu: u32, lock: u64, word: &AtomicU32) -> Result<(), Errno> {
        let own = self.0.get(cpu as usize).ok_or(Errno::EINVAL)?;
        if own.has(lock) {
            return Err(Errno::EDEADLK);
        }
        let place = own.count.load(Relaxed);
        let slot = own.locks.get(place).ok_or(Errno::ENOSPC)?;
        own.waits.store(lock, SeqCst);
        let taken = self.wait(cpu, own, word);
        if taken.is_ok() {
            slot.store(lock, Relaxed);
            own.count.store(place + 1, Release);
        }
        own.waits.store(0, SeqCst);
        taken
    }

    fn wait(&self, cpu: u32, own: &Held, word: &AtomicU32) -> Result<(), Errno> {
        let mut round = 0_u32;
        let mut begun = None;
        loop {
            let there = word.load(Relaxed);
            if there == 0 && word.compare_exchange(0, cpu + 1, Acquire, Relaxed).is_ok() {
                return Ok(());
            }
            round += 1;
            if round < EAGER {
                std::hint::spin_loop();
                continue;
            }
            thread::yield_now();
            let holder = there
                .checked_sub(1)
                .and_then(|cpu| self.0.get(cpu as usize));
            if holder.is_some_and(|holder| own.has(holder.waits.load(SeqCst))) {
                return Err(Errno::EDEADLK);
            }
            if begun.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                return Err(Errno::ETIMEDOUT);
            }
        }
    }

    /// Gives back the lock that a CPU took last; whether it was this one.
    pub(crate) fn give(&self, cpu: u32, lock: u64, word: Option<&AtomicU32>) -> bool {
        let Some(own) = self.0.get(cpu as usize) else {
            return false;
        };
        let count = own.count.load(Relaxed);
        let last = count.checked_sub(1).and_then(|last| own.locks.get(last));
        if last.is_none_or(|last| last.load(Relaxed) != lock) {
            return false;
        }
        own.count.store(count - 1, Release);
        if let Some(word) = word {
            word.store(0, Release);
        }
        true
    }
}
