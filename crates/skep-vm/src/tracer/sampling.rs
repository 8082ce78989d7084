//! Timers that sample traced tasks (`perf_event` programs): who runs on a CPU is stopped for a
//! moment, and programs see where it is.
//!
//! A tick looks at each task and stops only those that run: sleeping system calls are not
//! disturbed. A task gets a sample for each period of time that it had a CPU, as a kernel's
//! per-CPU clocks do it on the average; with a manual clock, which real processes know nothing of,
//! one a tick.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use libc::pid_t;

use super::{
    fire::{REGISTERS, Tally},
    process,
    stops::pt_regs,
    system,
    thread::{Tracee, Tracer},
    wake::Timer,
};
use crate::{
    machine::{ClockKind, Point},
    memory::View,
};

/// Samples that a task may be owed, if it is never seen running when it is looked at, and for how
/// long: the kernel accounts a task's time some milliseconds late. More are given up, and counted.
const OWED: u64 = 8;
const LATE: u64 = 20_000_000;

/// After this a stop that was asked for does not come any more.
const LOST: Duration = Duration::from_secs(1);

/// What is sampled: periods in nanoseconds, and for each the points by the CPU that they are for.
pub(super) type Samples = BTreeMap<u64, Vec<(Option<u32>, Arc<Point>)>>;

/// When ticks are due.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    rates: BTreeMap<u64, Rate>,
    timer: Option<Timer>,
}

/// Ticks of one period.
#[derive(Debug)]
struct Rate {
    /// When it began, and when its next tick is due.
    begun: u64,
    next: u64,
}

/// What the sampler knows of a tracee.
#[derive(Debug, Default)]
pub(super) struct Sampled {
    /// How long it had a CPU when it was last looked at.
    ran: Option<u64>,
    /// The time that it is owed samples for, by period.
    credit: BTreeMap<u64, u64>,
    /// Periods that it is being stopped for, and the CPU that it ran on.
    due: Vec<u64>,
    cpu: u32,
    asked: Option<Instant>,
}

impl Sampled {
    /// Whether it is being stopped for a sample.
    fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Samples that it was stopped for and did not give, which happens where it becomes another
    /// task on the way.
    fn take_lost(&mut self) -> usize {
        match self.asked {
            Some(asked) if self.is_due() && asked.elapsed() > LOST => {
                std::mem::take(&mut self.due).len()
            }
            _ => 0,
        }
    }
}

impl Sampler {
    /// Follows what is attached now.
    pub(super) fn follow(&mut self, samples: &Samples, now: u64, manual: bool) {
        self.rates.retain(|period, _| samples.contains_key(period));
        for period in samples.keys() {
            self.rates.entry(*period).or_insert(Rate {
                begun: now,
                next: now.saturating_add(*period),
            });
        }
        match self.rates.keys().next() {
            Some(shortest) if !manual => {
                // A machine without timers does not sample; ticks are counted as missed.
                self.timer = self.timer.take().or_else(|| Timer::new().ok());
                if let Some(timer) = &self.timer {
                    timer.set(Some(Duration::from_nanos(*shortest)));
                }
            }
            _ => self.timer = None,
        }
    }

    /// When each period's next tick is due.
    pub(super) fn due(&self) -> BTreeMap<u64, u64> {
        let due = self.rates.iter();
        due.map(|(period, rate)| (*period, rate.next)).collect()
    }

    /// The periods of ticks that are due.
    fn take_due(&mut self, now: u64) -> Vec<u64> {
        let mut due = Vec::new();
        for (period, rate) in &mut self.rates {
            if rate.next <= now {
                let late = (now - rate.next) / period;
                rate.next += (late + 1) * period;
                due.push(*period);
            }
        }
        due
    }
}

impl Tracer<'_> {
    /// Looks whether ticks are due, by real clocks.
    pub(super) fn tick(&mut self) {
        if self.sampler.timer.is_none() {
            return;
        }
        let Some(now) = self.now() else { return };
        let due = self.sampler.take_due(now);
        if !due.is_empty() {
            self.look(&due, false);
        }
    }

    /// Ticks of a manual clock.
    pub(super) fn tick_by_hand(&mut self, due: &[u64]) {
        if let Some(now) = self.now() {
            self.sampler.take_due(now);
        }
        self.look(due, true);
    }

    fn now(&self) -> Option<u64> {
        Some(self.machine()?.clock.read(ClockKind::Monotonic))
    }

    /// Stops all who run and are owed a sample.
    fn look(&mut self, due: &[u64], manual: bool) {
        let Some(cpus) = self.machine().map(|machine| machine.cpus.count()) else {
            return;
        };
        let tally = &self.control.tally;
        for (pid, tracee) in &mut self.tracees {
            let lost = tracee.sampling.take_lost() as u64;
            tally.ticks.fetch_add(lost, Relaxed);
            // One in a call whose end is awaited is in the kernel.
            if tracee.standing || tracee.before || tracee.exiting || tracee.sampling.is_due() {
                continue;
            }
            let now = (!manual).then(|| process::time_on_cpu(tracee.tgid, *pid));
            let owed = tracee.owed(due, &self.plan.samples, now, tally);
            if owed.is_empty() {
                continue;
            }
            let Some(cpu) = process::running_on(tracee.tgid, *pid) else {
                continue;
            };
            tracee.sampling.cpu = cpu % cpus.max(1);
            let wanted = |period: &u64| tracee.is_wanted(*period, &self.plan.samples);
            let owed: Vec<u64> = owed.into_iter().filter(wanted).collect();
            if owed.is_empty() {
                continue;
            }
            if tracee.call.is_some() || system::interrupt(*pid).is_err() {
                tally.ticks.fetch_add(owed.len() as u64, Relaxed);
                continue;
            }
            for period in &owed {
                if let Some(credit) = tracee.sampling.credit.get_mut(period) {
                    *credit = credit.saturating_sub(*period);
                }
            }
            tracee.sampling.due = owed;
            tracee.sampling.asked = Some(Instant::now());
        }
    }

    /// Whether a tick is still being worked off.
    pub(super) fn is_sampling(&self) -> bool {
        self.tracees.values().any(|one| one.sampling.is_due())
    }

    /// A tracee that was stopped for it gives its samples.
    pub(super) fn sample(&mut self, pid: pid_t) {
        let Some(tracee) = self.tracees.get_mut(&pid) else {
            return;
        };
        let due = std::mem::take(&mut tracee.sampling.due);
        if due.is_empty() {
            return;
        }
        let cpu = tracee.sampling.cpu;
        let Ok(registers) = system::registers(pid) else {
            // A 32-bit program, or it is gone.
            self.control
                .tally
                .ticks
                .fetch_add(due.len() as u64, Relaxed);
            return;
        };
        let mut context = [0; REGISTERS + 2];
        let [words @ .., _, _] = &mut context;
        *words = pt_regs(&registers);
        let task = Arc::clone(&tracee.task);
        task.set_registers(&View::of_words(words).to_vec());
        if let (Some(firing), Some(now)) = (self.firing(&task), self.now()) {
            for period in due {
                let begun = self
                    .sampler
                    .rates
                    .get(&period)
                    .map_or(now, |rate| rate.begun);
                let counted = now.saturating_sub(begun);
                let points = self.plan.samples.get(&period).into_iter().flatten();
                for (_, point) in points.filter(|(of, _)| of.is_none_or(|of| of == cpu)) {
                    context[REGISTERS] = period;
                    firing.fire(point, &mut context, |run| {
                        run.current.event.set(Some(counted));
                    });
                }
            }
        }
        repeat_interrupted(pid, registers);
    }
}

impl Tracee {
    /// The periods among those that are due for which this task is owed a sample.
    fn owed(
        &mut self,
        due: &[u64],
        samples: &Samples,
        now: Option<Option<u64>>,
        tally: &Tally,
    ) -> Vec<u64> {
        let Some(now) = now else {
            return due.to_vec();
        };
        let Some(now) = now else {
            // Nobody knows how long it ran: then as often as it is seen running.
            return due.to_vec();
        };
        let own = &mut self.sampling;
        let passed = now.saturating_sub(own.ran.replace(now).unwrap_or(now));
        own.credit.retain(|period, _| samples.contains_key(period));
        for period in samples.keys() {
            let credit = own.credit.entry(*period).or_default();
            *credit = credit.saturating_add(passed);
            let over = (*credit / period).saturating_sub(OWED.max(LATE / period));
            if over > 0 {
                *credit -= over * period;
                tally.ticks.fetch_add(over, Relaxed);
            }
        }
        if passed == 0 {
            // It waits for a CPU, at the place where it lost the last one.
            return Vec::new();
        }
        let credit = |period: &&u64| {
            own.credit
                .get(period)
                .is_some_and(|credit| credit >= period)
        };
        due.iter().filter(credit).copied().collect()
    }

    /// Whether anybody wants a sample of it, where it runs.
    fn is_wanted(&self, period: u64, samples: &Samples) -> bool {
        let tgid = self.tgid as u32;
        let mut points = samples.get(&period).into_iter().flatten();
        points.any(|(cpu, point)| {
            let programs = point.programs();
            let mut list = programs.list.iter();
            cpu.is_none_or(|cpu| cpu == self.sampling.cpu)
                && list.any(|entry| entry.pid.is_none_or(|pid| pid == tgid))
        })
    }
}

/// Makes a system call that our stop ended too early begin anew. The kernel does that by itself for
/// most; some give up with `EINTR` even if nothing but a tracer wants them (`epoll_wait`,
/// `semop`). If a signal is there, that is what ends it.
fn repeat_interrupted(pid: pid_t, mut registers: libc::user_regs_struct) {
    /// `syscall`
    const INSTRUCTION: [u8; 2] = [0x0f, 0x05];
    let number = registers.orig_rax as i64;
    // These have done their work when they say that.
    let done = [libc::SYS_close, libc::SYS_connect].contains(&number);
    let gave_up = registers.rax as i64 == -i64::from(libc::EINTR);
    if number < 0 || done || !gave_up || process::has_signal(pid) {
        return;
    }
    let start = registers.rip.wrapping_sub(INSTRUCTION.len() as u64);
    let mut code = [0; 2];
    if system::read_memory(pid, start, &mut code) != Ok(2) || code != INSTRUCTION {
        return;
    }
    registers.rip = start;
    registers.rax = registers.orig_rax;
    // Gone meanwhile: then nothing is left to repeat.
    let _ = system::set_registers(pid, &registers);
}
