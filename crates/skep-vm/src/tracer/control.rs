//! What a tracer's thread and those outside share.

use std::{
    collections::BTreeMap,
    fmt,
    process::ExitStatus,
    sync::{
        Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use super::{
    TraceError,
    fire::Tally,
    launch::{Going, Held},
    wake::Waker,
};
use crate::machine::{Ticking, Watcher, lock};

/// How long a tick of a manual clock waits for those whom it stops: one may be in the midst of what
/// can't be interrupted.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a thread is asked for.
#[derive(Debug)]
pub(super) enum Request {
    /// Let the held command go.
    Go(Held),
    /// End the held command: nothing is to be run.
    Drop,
    /// Take samples: a manual clock has a tick of these periods; answered by this number.
    Sample(Vec<u64>, u64),
    /// Let all tracees go, or where they can't be, go on without programs.
    Leave,
}

/// What the thread says.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) requests: Vec<Request>,
    /// Whether tracing began.
    pub(super) begun: Option<Result<(), TraceError>>,
    /// The command on its way, once it was let go.
    pub(super) going: Option<Result<Going, TraceError>>,
    /// Why the command could not be executed.
    pub(super) failure: Option<i32>,
    /// The status of the first process, once it ended.
    pub(super) exit: Option<ExitStatus>,
    /// How many tasks are traced.
    pub(super) alive: usize,
    /// The command was executed.
    pub(super) executed: bool,
    /// Programs are no longer run.
    pub(super) left: bool,
    /// The thread has nothing left to do.
    pub(super) ended: bool,
    /// The command is under a filter, so that it can't go on without a tracer.
    pub(super) bound: bool,
    /// The tick of a manual clock that is worked off.
    pub(super) sampled: u64,
    /// Whom to tell of the end.
    pub(super) on_end: Option<OnEnd>,
}

/// Tells of each process that is about to end.
pub(super) struct OnExits(pub(super) Box<dyn Fn(u32) + Send + Sync>);

impl fmt::Debug for OnExits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnExits")
    }
}

/// Tells of the end of the first process.
pub(super) struct OnEnd(pub(super) Box<dyn FnOnce() + Send>);

impl fmt::Debug for OnEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnEnd")
    }
}

impl State {
    /// Whom to tell, once there is something to be told.
    pub(super) fn told(&mut self) -> Option<OnEnd> {
        match self.exit.is_some() || self.ended {
            true => self.on_end.take(),
            false => None,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Control {
    pub(super) tally: Tally,
    waker: OnceLock<(Waker, ThreadId)>,
    pub(super) on_exits: OnceLock<OnExits>,
    state: Mutex<State>,
    changed: Condvar,
    /// How often hooks changed, and up to which change the thread has followed.
    hooks: AtomicU64,
    followed: AtomicU64,
    /// When ticks of a manual clock are due next, by their periods.
    ticks: Mutex<BTreeMap<u64, u64>>,
    ticket: AtomicU64,
}

impl Control {
    /// Makes the calling thread the one that is woken.
    pub(super) fn is_here(&self, waker: Waker) {
        let _ = self.waker.set((waker, thread::current().id()));
    }

    /// Whether the thread was woken; see [`Waker::woken`].
    pub(super) fn woken(&self, interrupted: bool) -> bool {
        let waker = self.waker.get();
        waker.is_some_and(|(waker, _)| waker.woken(interrupted))
    }

    fn wake(&self) {
        if let Some((waker, _)) = self.waker.get() {
            waker.wake();
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Changes the state, and tells those who wait.
    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let told = state.told();
        drop(state);
        self.changed.notify_all();
        if let Some(OnEnd(tell)) = told {
            tell();
        }
    }

    /// Asks the thread for something.
    pub(super) fn ask(&self, request: Request) {
        self.state().requests.push(request);
        self.wake();
    }

    /// Waits until the state has what is asked for.
    pub(super) fn wait<T>(&self, mut what: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut state = self.state();
        loop {
            if let Some(found) = what(&mut state) {
                return found;
            }
            let next = self.changed.wait(state);
            state = next.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same, but not for longer than this.
    fn wait_for(&self, time: Duration, mut what: impl FnMut(&mut State) -> bool) {
        let end = Instant::now() + time;
        let mut state = self.state();
        while !what(&mut state) {
            let Some(rest) = end.checked_duration_since(Instant::now()) else {
                return;
            };
            let next = self.changed.wait_timeout(state, rest);
            state = next.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Says when ticks are due next.
    pub(super) fn tick_at(&self, due: BTreeMap<u64, u64>) {
        *lock(&self.ticks) = due;
    }

    /// The number of changes of the hooks.
    pub(super) fn hooks(&self) -> u64 {
        self.hooks.load(SeqCst)
    }

    /// The thread has followed up to this change.
    pub(super) fn followed(&self, change: u64) {
        self.set(|_| self.followed.store(change, SeqCst));
    }
}

impl Watcher for Control {
    fn changed(&self) {
        self.hooks.fetch_add(1, SeqCst);
        self.wake();
    }

    fn settle(&self) {
        let own = thread::current().id();
        if self.waker.get().is_none_or(|(_, thread)| *thread == own) {
            return;
        }
        let change = self.hooks();
        self.wait(|state| (state.ended || self.followed.load(SeqCst) >= change).then_some(()));
    }
}

/// By a manual clock: who moves it waits until the samples are there.
impl Ticking for Control {
    fn next_due(&self) -> Option<u64> {
        lock(&self.ticks).values().min().copied()
    }

    fn tick(&self, now: u64) {
        let mut due = Vec::new();
        for (period, next) in lock(&self.ticks).iter_mut() {
            if *next <= now {
                *next += period;
                due.push(*period);
            }
        }
        let own = thread::current().id();
        let elsewhere = self.waker.get().is_some_and(|(_, thread)| *thread != own);
        if due.is_empty() || !elsewhere {
            return;
        }
        let ticket = self.ticket.fetch_add(1, SeqCst) + 1;
        self.ask(Request::Sample(due, ticket));
        self.wait_for(PATIENCE, |state| state.ended || state.sampled >= ticket);
    }
}
