//! Helpers on spin locks, kernel pointers in values, and copies of each CPU.

use std::{
    sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
    thread,
    time::{Duration, Instant},
};

use super::{Arguments, Outcome, Table, shim};
use crate::{FaultKind, machine::objects::ObjectKind, run::Run};

pub(super) static TABLE: Table = &[
    (93, shim!(spin_lock)),
    (94, shim!(spin_unlock)),
    (153, shim!(per_cpu_ptr)),
    (154, shim!(this_cpu_ptr)),
    (194, shim!(kptr_xchg)),
];

/// Rounds of waiting without giving the processor away.
const EAGER: u32 = 100;

/// How long a lock is waited for where the run has no limit of its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// Instructions that waiting for a microsecond counts as. By the limits where nobody says otherwise
/// patience ends first, which tells more.
const MICROSECOND: u128 = 10;

/// `bpf_spin_lock(lock)`
fn spin_lock(run: &Run<'_>, [lock, ..]: Arguments) -> Outcome {
    let wrong = |reason| FaultKind::Argument {
        function: "bpf_spin_lock",
        reason,
    };
    let word = run.view(lock, 4, true)?.word(0);
    let word = word.ok_or(wrong("the lock is not aligned"))?;
    if run.held.lock.get().is_some() {
        return Err(wrong("the program holds a lock already").into());
    }
    let taken = || word.compare_exchange_weak(0, 1, Acquire, Relaxed).is_ok();
    let mut begun = None;
    let mut paid = Duration::ZERO;
    let mut round = 0_u32;
    while word.load(Relaxed) != 0 || !taken() {
        round = round.wrapping_add(1);
        if round < EAGER {
            std::hint::spin_loop();
            continue;
        }
        thread::yield_now();
        if round.is_multiple_of(EAGER) {
            let begun = begun.get_or_insert_with(Instant::now);
            if run.vm.interrupted() {
                return Err(FaultKind::Interrupted.into());
            }
            let waited = begun.elapsed();
            if waited > run.patience().unwrap_or(PATIENCE) {
                return Err(wrong("nobody gives the lock back").into());
            }
            let cost = (waited - paid).as_micros() * MICROSECOND;
            run.pay(u32::try_from(cost).unwrap_or(u32::MAX))?;
            paid = waited;
        }
    }
    run.held.lock.set(Some(run.taken(lock)));
    Ok(0)
}

/// `bpf_spin_unlock(lock)`
fn spin_unlock(run: &Run<'_>, [lock, ..]: Arguments) -> Outcome {
    if run.held.lock.get().map(|held| held.address) != Some(lock) {
        return Err(FaultKind::Argument {
            function: "bpf_spin_unlock",
            reason: "the program does not hold this lock",
        }
        .into());
    }
    give_up(run);
    Ok(0)
}

/// Gives back the lock that the run holds, if it holds one.
pub(super) fn give_up(run: &Run<'_>) {
    if let Some(lock) = run.held.lock.take()
        && let Ok(view) = run.view(lock.address, 4, true)
        && let Some(word) = view.word(0)
    {
        word.store(0, Release);
    }
}

/// `bpf_kptr_xchg(dst, ptr)`
fn kptr_xchg(run: &Run<'_>, [place, pointer, ..]: Arguments) -> Outcome {
    const NAME: &str = "bpf_kptr_xchg";
    let word = run.view(place, 8, true)?.long_word(0);
    let word = word.ok_or(FaultKind::Argument {
        function: NAME,
        reason: "the field is not aligned",
    })?;
    let given = match pointer {
        0 => None,
        pointer => Some(run.take(pointer, NAME)?),
    };
    if let Some(object) = &given {
        object.put_in();
    }
    // The reference is the field's now: whoever swaps it out has it.
    let before = word.swap(given.map_or(0, |object| object.address()), AcqRel);
    Ok(run
        .vm
        .objects
        .at(before)
        .filter(|object| object.take_out())
        .map_or(0, |object| run.hold(object)))
}

/// `bpf_per_cpu_ptr(percpu_ptr, cpu)`
fn per_cpu_ptr(run: &Run<'_>, [pointer, cpu, ..]: Arguments) -> Outcome {
    let cpu = cpu as u32;
    if cpu >= run.vm.cpus.count() {
        return Ok(0);
    }
    let object = run.object(pointer, ObjectKind::PerCpu, "bpf_per_cpu_ptr")?;
    Ok(object.copy(cpu).map_or(0, |copy| copy.address()))
}

/// `bpf_this_cpu_ptr(percpu_ptr)`
fn this_cpu_ptr(run: &Run<'_>, [pointer, ..]: Arguments) -> Outcome {
    let object = run.object(pointer, ObjectKind::PerCpu, "bpf_this_cpu_ptr")?;
    Ok(object.copy(run.cpu).map_or(0, |copy| copy.address()))
}
