//! The clocks of a machine: real ones, or one that a test moves.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use rustix::time::{ClockId, DynamicClockId, Timespec, clock_gettime, clock_gettime_dynamic};

use crate::vm::Shared;

/// Ticks of a second, as `bpf_jiffies64` counts them (`CONFIG_HZ`).
const HZ: u64 = 1000;

/// Callbacks of a machine that run while a manual clock is moved, beside one for each microsecond.
const ROUNDS: u128 = 10_000;

/// Which of a kernel's clocks is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClockKind {
    /// `CLOCK_REALTIME`
    Real,
    /// `CLOCK_MONOTONIC`
    Monotonic,
    /// `CLOCK_MONOTONIC_COARSE`
    Coarse,
    /// `CLOCK_BOOTTIME`
    Boot,
    /// `CLOCK_TAI`
    Tai,
}

/// What a machine's programs and timers take the time from.
///
/// Clones are the same clock; machines may share one.
///
/// ```
/// use std::time::Duration;
/// use skep_vm::{Clock, Config, Vm};
///
/// let clock = Clock::manual(Duration::from_secs(100));
/// let mut config = Config::default();
/// config.clock = clock.clone();
/// let vm = Vm::with(config)?;
/// // Timers that are due within this second have fired when it returns.
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(clock.now(), Duration::from_secs(101));
/// # Ok::<(), skep_host::Errno>(())
/// ```
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<Manual>>);

/// A clock that stands still.
struct Manual {
    now: AtomicU64,
    machines: Mutex<Vec<Weak<Shared>>>,
    /// Held while it is moved.
    moving: Mutex<()>,
}

impl Clock {
    /// The system's clocks.
    #[must_use]
    pub fn real() -> Self {
        Self(None)
    }

    /// A clock that stands at `start`, and goes on only by [`Clock::advance`]. All of a kernel's
    /// clocks show the same.
    #[must_use]
    pub fn manual(start: Duration) -> Self {
        Self(Some(Arc::new(Manual {
            now: AtomicU64::new(nanoseconds(start)),
            machines: Mutex::default(),
            moving: Mutex::default(),
        })))
    }

    /// The monotonic time.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.read(ClockKind::Monotonic))
    }

    /// Whether it only goes on by [`Clock::advance`].
    #[must_use]
    pub fn is_manual(&self) -> bool {
        self.0.is_some()
    }

    /// Moves a manual clock on. The timers that are due on the way fire one after the other on
    /// this thread, each at its own time, before this returns; and timers that sample traced
    /// processes have stopped all that run. Real clocks go their own way.
    ///
    /// No more than 10,000 callbacks of a machine run, and one for each microsecond: a timer that
    /// starts itself again at once would never let go. What is due then fires when the clock is
    /// moved again, late, as on a processor that is too slow.
    ///
    /// To be called from outside of programs.
    pub fn advance(&self, by: Duration) {
        let Some(manual) = &self.0 else { return };
        let _moving = manual.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let end = manual.now.load(SeqCst).saturating_add(nanoseconds(by));
        let fair = ROUNDS + by.as_micros();
        let mut fired = BTreeMap::new();
        let may_fire = |fired: &BTreeMap<_, u128>, machine: &Arc<Shared>| {
            fired
                .get(&Arc::as_ptr(machine))
                .is_none_or(|count| *count < fair)
        };
        while let Some((due, machine)) = manual.next_due(end, |of| may_fire(&fired, of)) {
            *fired.entry(Arc::as_ptr(&machine)).or_default() += 1;
            manual.now.fetch_max(due, SeqCst);
            let now = manual.now.load(SeqCst);
            machine.timers.fire_next(&machine, now);
            machine.ticks.tick(now);
        }
        manual.now.store(end, SeqCst);
    }

    /// Lets a manual clock fire a machine's timers.
    pub(crate) fn watch(&self, machine: Weak<Shared>) {
        if let Some(manual) = &self.0 {
            let machines = manual.machines.lock();
            let mut machines = machines.unwrap_or_else(PoisonError::into_inner);
            machines.retain(|known| known.strong_count() > 0);
            machines.push(machine);
        }
    }

    /// Nanoseconds of one of the clocks.
    pub(crate) fn read(&self, kind: ClockKind) -> u64 {
        if let Some(manual) = &self.0 {
            return manual.now.load(SeqCst);
        }
        let time = match kind {
            ClockKind::Real => clock_gettime(ClockId::Realtime),
            ClockKind::Monotonic => clock_gettime(ClockId::Monotonic),
            ClockKind::Coarse => clock_gettime(ClockId::MonotonicCoarse),
            ClockKind::Boot => dynamic(DynamicClockId::Boottime, ClockId::Monotonic),
            ClockKind::Tai => dynamic(DynamicClockId::Tai, ClockId::Realtime),
        };
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let part = u64::try_from(time.tv_nsec).unwrap_or_default();
        seconds.saturating_mul(1_000_000_000).saturating_add(part)
    }

    /// Ticks since the machine began to count them.
    pub(crate) fn jiffies(&self) -> u64 {
        self.read(ClockKind::Coarse) / (1_000_000_000 / HZ)
    }
}

/// A clock that not every kernel has, or the one that is most like it.
fn dynamic(id: DynamicClockId<'_>, like: ClockId) -> Timespec {
    clock_gettime_dynamic(id).unwrap_or_else(|_| clock_gettime(like))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Manual {
    /// Of the machines that may, the one with the first timer that is due until `end`, and when it is.
    fn next_due(
        &self,
        end: u64,
        may_fire: impl Fn(&Arc<Shared>) -> bool,
    ) -> Option<(u64, Arc<Shared>)> {
        let machines = self.machines.lock();
        let machines = machines.unwrap_or_else(PoisonError::into_inner);
        let due = machines.iter().filter_map(|machine| {
            let machine = machine.upgrade().filter(&may_fire)?;
            let due = [machine.timers.next_due(), machine.ticks.next_due()];
            let due = due.into_iter().flatten().min()?;
            (due <= end).then_some((due, machine))
        });
        due.min_by_key(|(due, _)| *due)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("Clock(real)"),
            Some(_) => write!(f, "Clock(at {:?})", self.now()),
        }
    }
}
