//! Helpers on timers.

use std::{
    sync::atomic::Ordering::Acquire,
    time::{Duration, Instant},
};

use skep_host::Errno;

use super::{Arguments, Outcome, Table, errno, shim, status};
use crate::{FaultKind, machine::ClockKind, map::FieldKind, memory::View, run::Run};

pub(super) static TABLE: Table = &[
    (169, shim!(timer_init)),
    (170, shim!(timer_set_callback)),
    (171, shim!(timer_start)),
    (172, shim!(timer_cancel)),
];

/// Waiting for a callback that took longer than this is paid for.
const BRIEF: Duration = Duration::from_millis(1);

/// The word of a timer, which holds its number.
fn word<'r>(run: &'r Run<'_>, timer: u64) -> Result<View<'r>, FaultKind> {
    run.view(timer, 16, true)
}

fn number(run: &Run<'_>, timer: u64) -> Result<u64, FaultKind> {
    Ok(word(run, timer)?.u64_at(0).unwrap_or_default())
}

/// `bpf_timer_init(timer, map, flags)`
fn timer_init(run: &Run<'_>, [timer, map, flags, ..]: Arguments) -> Outcome {
    let word = word(run, timer)?;
    let map = run.shared_map(map)?;
    let clock = match flags {
        0 => ClockKind::Real,
        1 => ClockKind::Monotonic,
        7 => ClockKind::Boot,
        _ => return Ok(errno(Errno::EINVAL)),
    };
    let misplaced = FaultKind::Argument {
        function: "bpf_timer_init",
        reason: "this is no timer in a value of this map",
    };
    let field = map.shape.fields.find(FieldKind::Timer);
    let range = map.kind.region(timer);
    let value = match (field, range) {
        (Some(field), Some(range)) if range.start + u64::from(field.offset) == timer => range.start,
        _ => return Err(misplaced.into()),
    };
    if map.users.load(Acquire) == 0 {
        // Nobody could ever stop it.
        return Ok(errno(Errno::EPERM));
    }
    let before = word.u64_at(0).unwrap_or_default();
    match run.vm.timers.init(before, map, value, timer, clock) {
        Ok(number) => {
            word.set_u64(0, number);
            Ok(0)
        }
        Err(failed) => Ok(errno(failed)),
    }
}

/// `bpf_timer_set_callback(timer, callback_fn)`
fn timer_set_callback(run: &Run<'_>, [timer, function, ..]: Arguments) -> Outcome {
    let number = number(run, timer)?;
    if run.program().code.callback(function).is_none() {
        return Err(FaultKind::Jump { target: function }.into());
    }
    let program = run.shared_program();
    Ok(status(
        run.vm.timers.set_callback(number, timer, program, function),
    ))
}

/// `bpf_timer_start(timer, nsecs, flags)`
fn timer_start(run: &Run<'_>, [timer, time, flags, ..]: Arguments) -> Outcome {
    let place = (number(run, timer)?, timer);
    let timers = &run.vm.timers;
    Ok(status(timers.start(run.vm, run.cpu, place, time, flags)))
}

/// `bpf_timer_cancel(timer)`
fn timer_cancel(run: &Run<'_>, [timer, ..]: Arguments) -> Outcome {
    if run.held.lock.get().is_some() {
        // Its callback may wait for the lock.
        return Err(FaultKind::Argument {
            function: "bpf_timer_cancel",
            reason: "the program holds a lock",
        }
        .into());
    }
    let begun = Instant::now();
    let cancelled = run.vm.timers.cancel(number(run, timer)?, timer);
    if begun.elapsed() > BRIEF {
        run.pay_for_waiting()?;
    }
    Ok(cancelled.map_or_else(errno, u64::from))
}
