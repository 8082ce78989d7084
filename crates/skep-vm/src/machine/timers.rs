//! Timers of a machine (`struct bpf_timer` in values of maps), and the thread that runs their
//! callbacks. The thread begins with the first timer that starts, and ends with the machine; with
//! a manual clock there is none, and callbacks run where the clock is moved.
//!
//! In a value a timer is the number of an entry here, and counts only where that entry says that
//! it is there: what programs write over it leads nowhere.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread::{self, JoinHandle, ThreadId},
    time::Duration,
};

use skep_host::Errno;

use super::{Task, clock::ClockKind};
use crate::{
    Fault,
    map::{FieldKind, Fields, Map},
    memory::View,
    program::Program,
    run::{Callback, Run},
    vm::Shared,
};

/// Faults of callbacks that are kept until somebody asks.
const FAULTS: usize = 64;

/// `BPF_F_TIMER_ABS`: the time is one of the clock, not a distance.
const ABSOLUTE: u64 = 1;
/// `BPF_F_TIMER_CPU_PIN`: the callback runs on the CPU that starts the timer.
const PINNED: u64 = 2;

/// All timers of a machine.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    all: Arc<All>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct All {
    state: Mutex<State>,
    /// The first timer is another one, or the machine ends.
    changed: Condvar,
    /// No callback runs any more.
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    timers: BTreeMap<u64, Timer>,
    /// Their numbers by their places: one a place, whatever programs write there.
    places: BTreeMap<u64, u64>,
    /// Numbers of timers by when they are due, and in the order in which they were started.
    due: BTreeMap<(u64, u64), u64>,
    started: u64,
    running: Option<(u64, ThreadId)>,
    ended: bool,
    faults: Vec<Fault>,
    lost_faults: u64,
}

#[derive(Debug)]
struct Timer {
    map: Arc<Map>,
    /// Where the value begins that it is in.
    value: u64,
    /// Where it is itself.
    place: u64,
    clock: ClockKind,
    callback: Option<(Arc<Program>, u64)>,
    due: Option<(u64, u64)>,
    cpu: Option<u32>,
    /// Whom the callback runs for, where that was said.
    task: Option<Arc<Task>>,
}

/// What is dropped outside of the lock: it may be the last of a map or program.
type Dropped = (Option<Timer>, Option<(Arc<Program>, u64)>);

impl All {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The timer with this number, if it is in this place.
    fn at(&mut self, number: u64, place: u64) -> Option<&mut Timer> {
        let timer = self.timers.get_mut(&number)?;
        (timer.place == place).then_some(timer)
    }

    /// Takes a timer out of those that are due; whether it was one.
    fn disarm(&mut self, number: u64) -> bool {
        let due = self.timers.get_mut(&number).and_then(|it| it.due.take());
        due.is_some_and(|due| self.due.remove(&due).is_some())
    }

    fn forget(&mut self, number: u64) -> Option<Timer> {
        self.disarm(number);
        let timer = self.timers.remove(&number)?;
        if self.places.get(&timer.place) == Some(&number) {
            self.places.remove(&timer.place);
        }
        Some(timer)
    }
}

impl Timers {
    /// Makes a timer; answers the number to write into its place, where `number` stands now.
    ///
    /// # Errors
    /// `EBUSY`: there is one.
    pub(crate) fn init(
        &self,
        number: u64,
        map: Arc<Map>,
        value: u64,
        place: u64,
        clock: ClockKind,
    ) -> Result<u64, Errno> {
        let mut state = self.all.lock();
        if state.at(number, place).is_some() {
            return Err(Errno::EBUSY);
        }
        state.last += 1;
        let number = state.last;
        let timer = Timer {
            map,
            value,
            place,
            clock,
            callback: None,
            due: None,
            cpu: None,
            task: None,
        };
        let before = state.places.insert(place, number);
        // A program has written over the number of that one.
        let lost = before.and_then(|before| state.forget(before));
        state.timers.insert(number, timer);
        drop(state);
        drop(lost);
        Ok(number)
    }

    /// Sets what a timer calls.
    ///
    /// # Errors
    /// `EINVAL`: there is no such timer.
    pub(crate) fn set_callback(
        &self,
        number: u64,
        place: u64,
        program: Arc<Program>,
        function: u64,
    ) -> Result<(), Errno> {
        let mut state = self.all.lock();
        let timer = state.at(number, place).ok_or(Errno::EINVAL)?;
        let before = timer.callback.replace((program, function));
        drop(state);
        drop(before);
        Ok(())
    }

    /// Whether a timer waits for its time, or its callback runs.
    pub(crate) fn is_busy(&self, number: u64, place: u64) -> bool {
        let mut state = self.all.lock();
        let running = state.running.is_some_and(|(running, _)| running == number);
        let timer = state.at(number, place);
        timer.is_some_and(|timer| running || timer.due.is_some())
    }

    /// Says whom a timer's callback runs for.
    pub(crate) fn set_task(&self, number: u64, place: u64, task: Arc<Task>) {
        let mut state = self.all.lock();
        let timer = state.at(number, place);
        let before = timer.map(|timer| timer.task.replace(task));
        drop(state);
        drop(before);
    }

    /// Starts a timer, or starts it anew.
    ///
    /// # Errors
    /// `EINVAL`: there is no such timer, or it has no callback; `ENOMEM`: no thread for it.
    pub(crate) fn start(
        &self,
        machine: &Shared,
        cpu: u32,
        (number, place): (u64, u64),
        time: u64,
        flags: u64,
    ) -> Result<(), Errno> {
        if flags & !(ABSOLUTE | PINNED) != 0 {
            return Err(Errno::EINVAL);
        }
        let mut state = self.all.lock();
        let timer = state.at(number, place).ok_or(Errno::EINVAL)?;
        if timer.callback.is_none() {
            return Err(Errno::EINVAL);
        }
        let now = machine.clock.read(ClockKind::Monotonic);
        // All are kept by the monotonic clock, and do not follow the real one when that is set.
        let distance = match flags & ABSOLUTE {
            0 => time,
            _ => time.saturating_sub(machine.clock.read(timer.clock)),
        };
        timer.cpu = (flags & PINNED != 0).then_some(cpu);
        state.disarm(number);
        state.started += 1;
        let due = (now.saturating_add(distance), state.started);
        if let Some(timer) = state.at(number, place) {
            timer.due = Some(due);
        }
        state.due.insert(due, number);
        drop(state);
        self.all.changed.notify_all();
        self.need_thread(machine)
    }

    /// Stops a timer and takes its callback from it; whether it was started. When this returns,
    /// its callback does not run.
    ///
    /// # Errors
    /// `EINVAL`: there is no such timer; `EDEADLK`: its callback is what asks.
    pub(crate) fn cancel(&self, number: u64, place: u64) -> Result<bool, Errno> {
        let mut state = self.all.lock();
        let timer = state.at(number, place).ok_or(Errno::EINVAL)?;
        let mut dropped: Dropped = (None, timer.callback.take());
        let mut was_due = state.disarm(number);
        let outcome = loop {
            match state.running {
                Some((running, on)) if running == number => {
                    if on == thread::current().id() {
                        // As the kernel: a callback can't stop itself, and goes on as it was.
                        if let Some(timer) = state.at(number, place) {
                            timer.callback = dropped.1.take();
                        }
                        break Err(Errno::EDEADLK);
                    }
                    let waited = self.all.idle.wait(state);
                    state = waited.unwrap_or_else(PoisonError::into_inner);
                    was_due |= state.disarm(number);
                }
                _ => break Ok(was_due),
            }
        };
        drop(state);
        drop(dropped);
        outcome
    }

    /// Forgets a timer whose value is freed. Its callback may still be running.
    pub(crate) fn free(&self, number: u64, place: u64) {
        let mut state = self.all.lock();
        let known = state.at(number, place).is_some();
        let dropped = known.then(|| state.forget(number));
        drop(state);
        drop(dropped);
    }

    /// Forgets the timers and work queues in a value that is freed.
    pub(crate) fn free_fields(&self, value: View<'_>, fields: &Fields) {
        for field in fields.iter() {
            if !matches!(
                field.kind,
                FieldKind::Timer | FieldKind::Workqueue | FieldKind::TaskWork
            ) {
                continue;
            }
            let offset = field.offset as usize;
            if let Some(number) = value.u64_at(offset).filter(|number| *number != 0) {
                value.set_u64(offset, 0);
                self.free(number, value.address() + offset as u64);
            }
        }
    }

    /// Forgets all timers of a map that no user holds any more.
    pub(crate) fn free_map(&self, map: &Map) {
        let mut state = self.all.lock();
        let of_map = |(number, timer): (&u64, &Timer)| {
            std::ptr::eq(&raw const *timer.map, map).then_some(*number)
        };
        let numbers: Vec<_> = state.timers.iter().filter_map(of_map).collect();
        let dropped: Vec<_> = numbers
            .into_iter()
            .map(|number| state.forget(number))
            .collect();
        drop(state);
        drop(dropped);
    }

    /// When the first timer is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let state = self.all.lock();
        state.due.keys().next().map(|(due, _)| *due)
    }

    /// Runs the callback of the first timer, if it is due at `now`.
    pub(crate) fn fire_next(&self, machine: &Arc<Shared>, now: u64) {
        let first = |state: &State| {
            let (due, number) = state.due.first_key_value()?;
            (due.0 <= now).then_some(*number)
        };
        let state = self.all.lock();
        let Some(number) = first(&state) else { return };
        let wanted = state.timers.get(&number).and_then(|timer| timer.cpu);
        drop(state);
        // A CPU first: what has been taken out of the queue must run, and not wait for one.
        let Ok(cpu) = machine.cpus.take(wanted) else {
            thread::sleep(Duration::from_millis(1));
            return;
        };
        let mut state = self.all.lock();
        if first(&state) != Some(number) {
            return;
        }
        state.disarm(number);
        let Some(timer) = state.timers.get(&number) else {
            return;
        };
        let (map, value, place) = (Arc::clone(&timer.map), timer.value, timer.place);
        let task = timer.task.clone();
        let Some((program, function)) = timer.callback.clone() else {
            return;
        };
        state.running = Some((number, thread::current().id()));
        drop(state);

        let run = Run::new(machine, &program, cpu.id(), cpu.scratch(), machine.limits);
        if let Some(task) = task {
            run.set_task(task);
        }
        let outcome = run.start_callback(&Callback {
            function,
            map: &map,
            value,
            // A value that was freed, or written over, has no timer any more.
            holds: Some((place, number)),
        });
        drop(run);
        drop(cpu);

        let mut state = self.all.lock();
        state.running = None;
        let mut dropped = None;
        match outcome {
            Ok(true) => {}
            Ok(false) => dropped = state.forget(number),
            Err(fault) if state.faults.len() < FAULTS => state.faults.push(fault),
            Err(_) => state.lost_faults += 1,
        }
        drop(state);
        self.all.idle.notify_all();
        drop(dropped);
    }

    /// Takes the faults of callbacks, and how many more there were.
    pub(crate) fn take_faults(&self) -> (Vec<Fault>, u64) {
        let mut state = self.all.lock();
        let lost = std::mem::take(&mut state.lost_faults);
        (std::mem::take(&mut state.faults), lost)
    }

    /// Begins the thread, unless there is one or the clock is moved by hand.
    fn need_thread(&self, machine: &Shared) -> Result<(), Errno> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if machine.clock.is_manual() || thread.is_some() {
            return Ok(());
        }
        let (all, machine) = (Arc::clone(&self.all), Weak::clone(&machine.me));
        let begun = thread::Builder::new()
            .name("skep timers".to_owned())
            .spawn(move || wait_and_fire(&all, &machine));
        *thread = Some(begun.map_err(|_| Errno::ENOMEM)?);
        Ok(())
    }
}

/// The thread.
fn wait_and_fire(all: &All, machine: &Weak<Shared>) {
    loop {
        let state = all.lock();
        if state.ended {
            return;
        }
        let due = state.due.keys().next().map(|(due, _)| *due);
        let Some(due) = due else {
            drop(all.changed.wait(state));
            continue;
        };
        let now = crate::machine::Clock::real().read(ClockKind::Monotonic);
        if due > now {
            let pause = Duration::from_nanos(due - now);
            drop(all.changed.wait_timeout(state, pause));
            continue;
        }
        drop(state);
        // Gone for good: its timers end with it.
        let Some(machine) = machine.upgrade() else {
            return;
        };
        machine.timers.fire_next(&machine, now);
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        self.all.lock().ended = true;
        self.all.changed.notify_all();
        let thread = self.thread.get_mut();
        let thread = thread.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            // The thread itself may be who held the machine last.
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
        // What is left refers to maps and programs; nothing refers to the machine.
        let mut state = self.all.lock();
        let timers = std::mem::take(&mut state.timers);
        state.due.clear();
        drop(state);
        drop(timers);
    }
}
