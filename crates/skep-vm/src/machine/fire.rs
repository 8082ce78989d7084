//! Firing: running a program that is attached, with what the kernel does around it: counting,
//! leaving out what runs already, telling of faults.

use std::{cell::RefCell, sync::atomic::Ordering::Relaxed, time::Instant};

use skep_abi::ProgramType;

use super::Attached;
use crate::{
    Fault,
    program::Program,
    run::{Cpu, Run},
    vm::Shared,
};

thread_local! {
    /// The programs that this thread runs, by address.
    static RUNNING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Whether a program of this type is left out where it runs already.
fn is_left_out(program_type: ProgramType) -> bool {
    matches!(
        program_type,
        ProgramType::Kprobe
            | ProgramType::Tracepoint
            | ProgramType::PerfEvent
            | ProgramType::RawTracepoint
            | ProgramType::RawTracepointWritable
            | ProgramType::Tracing
    )
}

/// Takes a program out of the list of those that run.
struct Running(usize);

impl Running {
    fn enter(program: &Program) -> Option<Self> {
        let address = std::ptr::from_ref(program).addr();
        RUNNING.with_borrow_mut(|running| {
            if is_left_out(program.program_type) && running.contains(&address) {
                return None;
            }
            running.push(address);
            Some(Self(address))
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.with_borrow_mut(|running| {
            if let Some(at) = running.iter().rposition(|address| *address == self.0) {
                running.remove(at);
            }
        });
    }
}

/// Runs a program of a hook on this CPU: `prepare` gives the run what it may use, then it starts
/// with these two registers. `None`: it was left out, since it runs already or is for another
/// process.
///
/// # Errors
/// The fault; the program's stream of errors tells of it too.
pub(crate) fn fire(
    vm: &Shared,
    cpu: &Cpu<'_>,
    entry: &Attached,
    registers: [u64; 2],
    prepare: impl FnOnce(&Run<'_>),
) -> Option<Result<u64, Fault>> {
    fire_with(vm, cpu, entry, registers, prepare, |_| ())
}

/// The same; afterwards `finish` takes out of the run what it left.
///
/// # Errors
/// As [`fire`].
pub(crate) fn fire_with(
    vm: &Shared,
    cpu: &Cpu<'_>,
    entry: &Attached,
    registers: [u64; 2],
    prepare: impl FnOnce(&Run<'_>),
    finish: impl FnOnce(&Run<'_>),
) -> Option<Result<u64, Fault>> {
    let program = &entry.program;
    let counters = &program.meta.counters;
    let Some(_running) = Running::enter(program) else {
        counters.misses.fetch_add(1, Relaxed);
        return None;
    };
    let started = vm.registry.counts().then(Instant::now);
    let run = Run::new(vm, program, cpu.id(), cpu.scratch(), vm.limits);
    run.current.cookie.set(entry.cookie);
    prepare(&run);
    if entry.pid.is_some_and(|pid| run.task().info().tgid != pid) {
        return None;
    }
    let outcome = run.start_with(registers[0], registers[1]);
    finish(&run);
    if let Some(started) = started {
        counters.add(1, started.elapsed());
    }
    if let Err(fault) = &outcome {
        // A full stream keeps its oldest, as the kernel's does.
        let _ = program
            .meta
            .errors
            .write(format!("ERROR: {fault}\n").as_bytes());
    }
    Some(outcome)
}
