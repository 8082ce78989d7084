//! What a run pays with: instructions, in slices between which the clock is looked at.

use std::time::{Duration, Instant};

use skep_isa::InsnIndex;

use super::{Run, Stop};
use crate::{FaultKind, engine::Status};

/// Instructions between two looks at the clock. Compiled loops that a slice covers pay for all their
/// rounds at once, so shorter ones cost: `prime` of the `engines` example takes 1.4 times as long where
/// it does not fit into the first.
const SLICE: i64 = 1 << 20;

/// Instructions before the first look: runs that are shorter never look.
pub(super) const FIRST: i64 = 1 << 17;

/// What a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Instructions, counted from above: a jump backwards costs the distance, a call the length
    /// of the function, a helper that goes through many bytes or entries, or waits, what that
    /// takes. Only in checked mode ([`Config::limits`](crate::Config::limits)).
    pub instructions: u64,
    /// Time from its start, or rather from its first 131,072 instructions on. Only in checked mode;
    /// looked at every million instructions.
    pub time: Option<Duration>,
    /// Bytes that all maps of the machine may take; more is `ENOMEM`. A map counts as full from
    /// its creation, with a value for each CPU where it has those; values that live with tasks,
    /// cgroups and sockets as they are made; an arena by its pages, as they
    /// are given out: `bpf_arena_alloc_pages` then returns null. Pages that the embedder itself
    /// writes to are counted when a program meets them, and can pass the limit.
    pub memory: u64,
}

impl Limits {
    /// Whether a run may take less than by default, of what only checks can keep it from.
    pub(crate) fn are_lower(&self) -> bool {
        let usual = Self::default();
        let time = self.time.is_some_and(|time| Some(time) < usual.time);
        time || self.instructions < usual.instructions
    }
}

impl Default for Limits {
    /// A thousand million instructions, ten seconds, and as much memory as there is.
    fn default() -> Self {
        Self {
            instructions: 1_000_000_000,
            time: Some(Duration::from_secs(10)),
            memory: u64::MAX,
        }
    }
}

/// Bytes that a helper may be given for nothing, what it does with as many in the time of one
/// instruction, and where they are too many (`BPF_MAX_VAR_SIZ`).
pub(super) const SHORT: u64 = 256;
const BYTES: u64 = 16;
const LONGEST: u64 = 1 << 29;

impl Run<'_> {
    /// Pays for `cost` instructions; at the end of the budget the run fails at `at`.
    #[inline]
    pub(crate) fn spend(&self, cost: u32, at: InsnIndex) -> bool {
        let left = self.hot.budget.get() - i64::from(cost);
        self.hot.budget.set(left);
        left >= 0 || self.refill(at)
    }

    /// Pays for the work of a helper that may be long; nothing in verified mode.
    ///
    /// # Errors
    /// At the end of the budget, with the fault set.
    pub(crate) fn pay(&self, cost: u32) -> Result<(), Stop> {
        if !self.checked() || self.spend(cost, InsnIndex(0)) {
            return Ok(());
        }
        if let Some((at, _)) = &mut *self.fault.borrow_mut() {
            // The engine knows where the helper was called.
            *at = None;
        }
        Err(Stop::Status(Status::Fault))
    }

    /// Pays for having waited: at once the clock is looked at.
    ///
    /// # Errors
    /// As [`Run::pay`].
    pub(crate) fn pay_for_waiting(&self) -> Result<(), Stop> {
        self.pay(SLICE as u32)
    }

    /// Looks at what is left of the budget and the time, and begins a new slice.
    #[cold]
    #[inline(never)]
    pub(crate) fn refill(&self, at: InsnIndex) -> bool {
        let debt = self.hot.budget.get().unsigned_abs();
        let Some(beyond) = self.beyond.get().checked_sub(debt) else {
            let limit = self.limits.instructions;
            self.fail(at, FaultKind::Budget { limit });
            return false;
        };
        if self.vm.interrupted() {
            self.fail(at, FaultKind::Interrupted);
            return false;
        }
        if let Some(limit) = self.limits.time {
            match self.started.get() {
                None => self.started.set(Some(Instant::now())),
                Some(started) if started.elapsed() > limit => {
                    self.fail(at, FaultKind::Time);
                    return false;
                }
                Some(_) => {}
            }
        }
        // Where many maps must be looked through for a region, each instruction may take long.
        let slice = SLICE as u64 / (1 + self.inner.borrow().len() as u64 / 64);
        let slice = slice.max(1000).min(beyond);
        self.beyond.set(beyond - slice);
        self.hot.budget.set(slice as i64);
        true
    }

    /// Pays for what a helper does with many bytes.
    #[cold]
    #[inline(never)]
    pub(super) fn pay_for(&self, address: u64, size: u64, write: bool) -> Result<(), FaultKind> {
        if !self.checked() {
            return Ok(());
        }
        if size >= LONGEST {
            return Err(FaultKind::Memory {
                address,
                size,
                write,
            });
        }
        self.pay_fault(size / BYTES)
    }

    /// How long the run may take.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.limits.time
    }

    /// Pays as [`Run::pay`] does, and gives the fault to be set.
    pub(crate) fn pay_fault(&self, cost: u64) -> Result<(), FaultKind> {
        let paid = self.pay(u32::try_from(cost).unwrap_or(u32::MAX));
        paid.map_err(|_| self.take_fault().kind)
    }
}
