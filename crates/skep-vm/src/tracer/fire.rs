//! Firing the programs of a point for a tracee, with the context that the kernel would give them.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{
    Refused, TraceCounts,
    plan::{CallPoints, Points},
};
use crate::{
    Fault,
    machine::{Attached, Point, Programs, Task, fire::fire, lock},
    memory::View,
    run::{Ours, Run},
    vm::Shared,
};

/// Faults whose text is kept.
const TEXTS: usize = 16;

/// Words of `struct pt_regs`.
pub(super) const REGISTERS: usize = 21;
/// The first argument and the return value there, and the instruction.
const DI: usize = 14;
const AX: usize = 10;
const IP: usize = 16;

/// What happened so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) events: AtomicU64,
    pub(super) runs: AtomicU64,
    pub(super) missed: AtomicU64,
    pub(super) faults: AtomicU64,
    pub(super) foreign: AtomicU64,
    pub(super) ticks: AtomicU64,
    pub(super) tasks: AtomicU64,
    pub(super) lost: AtomicU64,
    texts: Mutex<Vec<String>>,
    refused: Mutex<Vec<Refused>>,
}

impl Tally {
    pub(super) fn add(counter: &AtomicU64) {
        // Only the tracer's thread counts.
        counter.store(counter.load(Relaxed) + 1, Relaxed);
    }

    /// Counts tasks that could not be followed.
    pub(super) fn lose(&self, tasks: u64) {
        self.lost.fetch_add(tasks, Relaxed);
    }

    fn fault(&self, text: &dyn std::fmt::Display) {
        Self::add(&self.faults);
        let mut texts = lock(&self.texts);
        if texts.len() < TEXTS {
            texts.push(text.to_string());
        }
    }

    /// Places that have no breakpoint, all that are known.
    pub(super) fn refuse(&self, refused: Vec<Refused>) {
        *lock(&self.refused) = refused;
    }

    pub(super) fn counts(&self) -> TraceCounts {
        TraceCounts {
            events: self.events.load(Relaxed),
            runs: self.runs.load(Relaxed),
            missed: self.missed.load(Relaxed),
            faults: self.faults.load(Relaxed),
            first_faults: lock(&self.texts).clone(),
            refused: lock(&self.refused).clone(),
            foreign_calls: self.foreign.load(Relaxed),
            missed_ticks: self.ticks.load(Relaxed),
            tasks: self.tasks.load(Relaxed),
            lost_tasks: self.lost.load(Relaxed),
        }
    }
}

/// Fires points of a machine for one task.
pub(super) struct Firing<'a> {
    pub(super) vm: &'a Shared,
    pub(super) tally: &'a Tally,
    pub(super) task: &'a Arc<Task>,
}

impl Firing<'_> {
    /// Runs the programs of a point, each on `context`, which it may read. `prepare` sets what
    /// else it is to know.
    pub(super) fn fire(&self, point: &Point, context: &mut [u64], prepare: impl Fn(&Run<'_>)) {
        let prepare = |_: usize, _: &Attached, run: &Run<'_>| prepare(run);
        self.fire_list(&point.programs(), context, |_| true, prepare, |_, _, _| ());
    }

    /// Runs those of these programs that `choose` takes. What each run answers is told to `done`,
    /// with the program's place in the list.
    pub(super) fn fire_list(
        &self,
        programs: &Programs,
        context: &mut [u64],
        choose: impl Fn(&Attached) -> bool,
        prepare: impl Fn(usize, &Attached, &Run<'_>),
        mut done: impl FnMut(usize, &Attached, &Result<u64, Fault>),
    ) {
        if programs.list.is_empty() {
            return;
        }
        Tally::add(&self.tally.events);
        let cpu = match self.vm.cpus.take(None) {
            Ok(cpu) => cpu,
            Err(errno) => return self.tally.fault(&format_args!("no CPU: {errno}")),
        };
        let view = View::of_words(context);
        let (start, len) = (view.address(), view.len() as u64);
        let ready = |run: &Run<'_>| {
            run.set_task(Arc::clone(self.task));
            run.grant(Ours {
                start,
                len,
                writable: false,
            });
        };
        for (index, entry) in programs.list.iter().enumerate() {
            if !self.is_for(entry) || !choose(entry) {
                continue;
            }
            let ready = |run: &Run<'_>| {
                ready(run);
                prepare(index, entry, run);
            };
            let Some(outcome) = fire(self.vm, &cpu, entry, [start, 0], ready) else {
                Tally::add(&self.tally.missed);
                continue;
            };
            Tally::add(&self.tally.runs);
            if let Err(fault) = &outcome {
                self.tally.fault(fault);
            }
            done(index, entry, &outcome);
        }
    }

    /// Whether a program is for this task.
    pub(super) fn is_for(&self, entry: &Attached) -> bool {
        entry.pid.is_none_or(|pid| pid == self.task.info().tgid)
    }

    /// Counts a run that each program of a point will miss.
    pub(super) fn miss(&self, point: &Point) {
        let programs = point.programs();
        for _ in programs.list.iter().filter(|entry| self.is_for(entry)) {
            Tally::add(&self.tally.missed);
        }
    }

    fn maybe(&self, point: Option<&Arc<Point>>, context: &mut [u64]) {
        if let Some(point) = point {
            self.fire(point, context, |_| ());
        }
    }

    /// A tracepoint by its arguments.
    pub(super) fn raw(&self, point: Option<&Arc<Point>>, arguments: &mut [u64]) {
        let count = arguments.len() as u32;
        if let Some(point) = point {
            self.fire(point, arguments, |run| {
                run.current.arguments.set(Some(count));
            });
        }
    }

    /// The first words of a record: `struct trace_entry`.
    pub(super) fn entry(&self) -> u64 {
        u64::from(self.task.info().pid) << 32
    }

    /// The address of the task's registers, where those are its registers now.
    fn registers(&self) -> u64 {
        self.task.registers().map_or(0, |view| view.address())
    }

    /// A system call begins.
    pub(super) fn enter(
        &self,
        all: &Points,
        call: Option<&CallPoints>,
        number: u32,
        arguments: &[u64; 6],
    ) {
        self.raw(all.raw.as_ref(), &mut [self.registers(), u64::from(number)]);
        let mut record = [0; 8];
        record[0] = self.entry();
        record[1] = number.into();
        record[2..].copy_from_slice(arguments);
        self.maybe(all.formatted.as_ref(), &mut record);
        let Some(call) = call else { return };
        self.maybe(call.enter.as_ref(), &mut record);
        if let Some(point) = &call.function {
            let mut outer = [0; REGISTERS];
            outer[DI] = self.registers();
            self.function(point, call.address, outer);
        }
    }

    /// A system call ends.
    pub(super) fn exit(&self, all: &Points, call: Option<&CallPoints>, number: u32, value: i64) {
        if let Some(call) = call
            && let Some(point) = &call.function_return
        {
            let mut outer = [0; REGISTERS];
            outer[AX] = value as u64;
            self.function(point, call.address, outer);
        }
        self.raw(all.raw.as_ref(), &mut [self.registers(), value as u64]);
        let mut record = [self.entry(), number.into(), value as u64];
        self.maybe(all.formatted.as_ref(), &mut record);
        self.maybe(call.and_then(|call| call.exit.as_ref()), &mut record);
    }

    /// The function of a system call, with the registers that it is called with.
    fn function(&self, point: &Arc<Point>, address: u64, mut registers: [u64; REGISTERS]) {
        registers[IP] = address;
        self.fire(point, &mut registers, |run| {
            run.current.function.set(address);
        });
    }
}

/// A record with strings behind its fields.
pub(super) struct Record {
    bytes: Vec<u8>,
}

impl Record {
    /// `fields` bytes of fields.
    pub(super) fn new(entry: u64, fields: usize) -> Self {
        let mut bytes = vec![0; fields];
        bytes[..8].copy_from_slice(&entry.to_ne_bytes());
        Self { bytes }
    }

    /// Sets a field.
    pub(super) fn set(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    /// Sets the field that says where a string is, and puts that behind the others.
    pub(super) fn text(&mut self, at: usize, text: &[u8]) {
        let text = text.get(..text.len().min(4096)).unwrap_or_default();
        let place = self.bytes.len() as u32 | (text.len() as u32 + 1) << 16;
        self.set(at, place);
        self.bytes.extend_from_slice(text);
        self.bytes.push(0);
    }

    /// Sets bytes.
    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The record in words.
    pub(super) fn words(mut self) -> Vec<u64> {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let words = self.bytes.chunks_exact(8);
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
        words.map(word).collect()
    }
}
