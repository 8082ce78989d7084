//! What machine code calls: Rust functions with the C calling convention.

use std::panic::{AssertUnwindSafe, catch_unwind};

use skep_isa::InsnIndex;

use crate::{
    FaultKind,
    engine::{Answer, Status},
    run::{Region, Run},
};

/// An access's answer: it may be done.
pub(super) const OURS: i64 = 0;
/// It is of an arena, where nothing is: a store is lost.
pub(super) const VOID: i64 = 1;
/// The run has a fault.
pub(super) const FAULT: i64 = 2;

/// What `size_and_write` has for a store.
pub(super) const WRITE: i64 = 1 << 32;

/// Nothing unwinds through machine code: a panic of ours becomes a fault.
fn guard<T>(run: &Run<'_>, failed: T, call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
        run.fail(
            InsnIndex(0),
            FaultKind::Internal("the machine panicked".into()),
        );
        failed
    })
}

/// Whether an access that is in no cached region may be done; sets the fault if not.
pub(super) extern "C" fn check(run: &Run<'_>, address: u64, size_and_write: u64, at: u64) -> i64 {
    guard(run, FAULT, || {
        let (size, write) = (size_and_write & 0xffff_ffff, size_and_write >> 32 != 0);
        match run.check(address, size, write) {
            Region::Ours => {
                run.hot.caches.prefer(address, write);
                OURS
            }
            Region::Void if write => VOID,
            Region::Void => OURS,
            Region::Nothing => {
                fail_memory(run, address, size_and_write, at);
                FAULT
            }
            Region::Spent => {
                run.spent(InsnIndex(at as u32));
                FAULT
            }
        }
    })
}

/// Where a guarded access of a verified program goes.
pub(super) extern "C" fn guarded(
    run: &Run<'_>,
    address: u64,
    size_and_write: u64,
    aligned: u64,
) -> u64 {
    let (size, write) = (size_and_write & 0xffff_ffff, size_and_write >> 32 != 0);
    guard(
        run,
        std::ptr::from_ref(&run.hot.nowhere).expose_provenance() as u64,
        || run.guard(address, size, write, aligned != 0),
    )
}

/// Sets the fault of an access.
pub(super) extern "C" fn fail_memory(run: &Run<'_>, address: u64, size_and_write: u64, at: u64) {
    let kind = FaultKind::Memory {
        address,
        size: size_and_write & 0xffff_ffff,
        write: size_and_write >> 32 != 0,
    };
    run.fail(InsnIndex(at as u32), kind);
}

/// Sets the fault of a `gotox` to nowhere.
pub(super) extern "C" fn fail_jump(run: &Run<'_>, target: u64, at: u64) {
    run.fail(InsnIndex(at as u32), FaultKind::Jump { target });
}

/// Begins a function whose frame ends at `frame`, when it is the lowest so far: 0, or a fault.
pub(super) extern "C" fn enter(run: &Run<'_>, frame: u64, at: u64) -> u64 {
    u64::from(!run.enter_frame(frame, InsnIndex(at as u32)))
}

/// Begins a new slice of the budget: 0, or a fault.
pub(super) extern "C" fn refill(run: &Run<'_>, at: u64) -> u64 {
    guard(run, 1, || u64::from(!run.refill(InsnIndex(at as u32))))
}

/// A helper was not done. Tail calls are for the caller of the function, or for the run.
pub(super) extern "C" fn stopped(run: &Run<'_>, status: Status, at: u64) {
    let _ = run.stopped(Answer::stopped(status), InsnIndex(at as u32), 0);
}

/// A function of the program was not done: after a tail call, the other program's value is its.
pub(super) extern "C" fn returned(run: &Run<'_>, status: Status, at: u64) -> Answer {
    guard(run, Answer::stopped(Status::Fault), || {
        run.stopped(Answer::stopped(status), InsnIndex(at as u32), 1)
    })
}

/// A legacy packet load; not done outside the packet.
pub(super) extern "C" fn load_packet(
    run: &Run<'_>,
    context: u64,
    offset: u64,
    size: u64,
) -> Answer {
    guard(run, Answer::stopped(Status::Fault), || {
        match run.load_packet(context, offset as i32, size as u8) {
            Some(value) => Answer::done(value),
            None => Answer::stopped(Status::TailCall),
        }
    })
}
