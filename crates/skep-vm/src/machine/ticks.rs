//! What goes by the machine's clock beside timers of maps: whoever samples traced processes. With
//! a manual clock it is told when it is due; with real ones it looks by itself.

use std::{
    fmt,
    sync::{Mutex, Weak},
};

use super::lock;

/// Something that is due at times.
pub(crate) trait Ticking: fmt::Debug + Send + Sync {
    /// When it is due next, by the monotonic clock.
    fn next_due(&self) -> Option<u64>;

    /// Does what is due until `now`; when this returns, it is done.
    fn tick(&self, now: u64);
}

/// All that is due at times.
#[derive(Debug, Default)]
pub(crate) struct Ticks(Mutex<Vec<Weak<dyn Ticking>>>);

impl Ticks {
    pub(crate) fn add(&self, ticking: Weak<dyn Ticking>) {
        let mut all = lock(&self.0);
        all.retain(|known| known.strong_count() > 0);
        all.push(ticking);
    }

    /// When the first of them is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let all = lock(&self.0).clone();
        let due = all.iter().filter_map(|one| one.upgrade()?.next_due());
        due.min()
    }

    /// Has all do what is due until `now`.
    pub(crate) fn tick(&self, now: u64) {
        let all = lock(&self.0).clone();
        for ticking in all.iter().filter_map(Weak::upgrade) {
            ticking.tick(now);
        }
    }
}
