//! Helpers: the functions of the kernel that programs call by number, each a safe function of the
//! run and five registers. The table at the end says which there are.

mod cgroup;
mod context;
mod control;
mod dynptr;
mod lock;
mod maps;
mod names;
pub(crate) mod packet;
mod perf;
mod probe;
mod ring;
mod seq;
mod stack;
mod storage;
mod system;
pub(crate) mod text;
mod timer;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    FaultKind,
    engine::{Answer, Shim},
    run::{Run, Stop},
};

/// What a helper answers: R0, or why the program does not go on.
pub(crate) type Outcome = Result<u64, Stop>;

/// The five registers.
pub(crate) type Arguments = [u64; 5];

/// A helper as engines call it.
macro_rules! shim {
    ($function:path) => {{
        unsafe extern "C" fn shim(
            run: &$crate::run::Run<'_>,
            r1: u64,
            r2: u64,
            r3: u64,
            r4: u64,
            r5: u64,
        ) -> $crate::engine::Answer {
            $crate::helper::answer(run, || $function(run, [r1, r2, r3, r4, r5]))
        }
        shim as $crate::engine::Shim
    }};
}
pub(crate) use shim;

/// Turns an outcome, or a panic of ours, into what engines take.
#[inline(always)]
pub(crate) fn answer(run: &Run<'_>, call: impl FnOnce() -> Outcome) -> Answer {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Answer::done(value),
        Ok(Err(stop)) => stopped(run, stop),
        Err(_) => run.trap(FaultKind::Internal("a helper panicked".into())),
    }
}

#[cold]
fn stopped(run: &Run<'_>, stop: Stop) -> Answer {
    match stop {
        Stop::Fault(kind) => run.trap(kind),
        Stop::Status(status) => Answer::stopped(status),
    }
}

/// An error number as programs see it in R0.
pub(crate) const fn errno(errno: skep_host::Errno) -> u64 {
    (errno.0 as i64).wrapping_neg() as u64
}

/// `Ok` as 0, an error as its number.
pub(crate) fn status(result: Result<(), skep_host::Errno>) -> u64 {
    result.map_or_else(errno, |()| 0)
}

/// The task whose `struct task_struct` a program gives.
pub(crate) fn task(
    run: &Run<'_>,
    function: &'static str,
    address: u64,
) -> Result<std::sync::Arc<crate::machine::Task>, FaultKind> {
    let own = run.task();
    if own.address() == address && address != 0 {
        return Ok(std::sync::Arc::clone(own));
    }
    let reason = "this is no task";
    let found = run.vm.tasks.at(address);
    found.ok_or(FaultKind::Argument { function, reason })
}

/// Gives back what a run still holds at its end, so that others can go on.
pub(crate) fn give_back(run: &Run<'_>) {
    lock::give_up(run);
    ring::give_up(run);
    crate::kfunc::give_up(run);
}

/// What a relocation that found nothing leaves of an instruction.
pub(crate) const POISONED: crate::program::Call = crate::program::Call {
    shim: shim!(poisoned),
    custom: 0,
    name: "a poisoned instruction",
};

fn poisoned(_: &Run<'_>, _: Arguments) -> Outcome {
    Err(Stop::Fault(FaultKind::Argument {
        function: "a poisoned instruction",
        reason: "its relocation found nothing here",
    }))
}

/// What is called for a weak function that is not here.
pub(crate) const ABSENT: crate::program::Call = crate::program::Call {
    shim: shim!(absent),
    custom: 0,
    name: "a weak function",
};

fn absent(_: &Run<'_>, _: Arguments) -> Outcome {
    Err(Stop::Fault(FaultKind::Argument {
        function: "a weak function",
        reason: "it is not there, and the program did not ask for it first (bpf_ksym_exists)",
    }))
}

/// What stands in the place of an instruction that writes R10.
pub(crate) const FRAME_POINTER_WRITTEN: crate::program::Call = crate::program::Call {
    shim: shim!(frame_pointer_written),
    custom: 0,
    name: "a write to R10",
};

fn frame_pointer_written(_: &Run<'_>, _: Arguments) -> Outcome {
    Err(Stop::Fault(FaultKind::FramePointer))
}

/// A file's helpers by their numbers.
pub(crate) type Table = &'static [(u32, Shim)];

/// Which helpers the machine has: a table a file.
static TABLES: &[Table] = &[
    cgroup::TABLE,
    context::TABLE,
    control::TABLE,
    dynptr::TABLE,
    lock::TABLE,
    maps::TABLE,
    names::TABLE,
    packet::TABLE,
    perf::TABLE,
    probe::TABLE,
    ring::TABLE,
    seq::TABLE,
    stack::TABLE,
    storage::TABLE,
    system::TABLE,
    text::TABLE,
    timer::TABLE,
];

/// The function of a helper, by its number. Asked when programs are loaded.
pub(crate) fn by_id(id: u32) -> Option<Shim> {
    let mut all = TABLES.iter().flat_map(|table| table.iter());
    all.find_map(|(number, shim)| (*number == id).then_some(*shim))
}

#[cfg(test)]
mod tests;
