//! Kernel functions on work queues: callbacks that the machine's thread of timers runs at once.

use skep_host::Errno;

use super::Table;
use crate::{
    FaultKind,
    helper::{Arguments, Outcome, errno, shim, status},
    machine::ClockKind,
    map::FieldKind,
    run::Run,
};

pub(super) static TABLE: Table = &[
    ("bpf_wq_init", shim!(init)),
    ("bpf_wq_set_callback_impl", shim!(set_callback)),
    ("bpf_wq_start", shim!(start)),
];

fn number(run: &Run<'_>, work: u64) -> Result<u64, FaultKind> {
    Ok(run.view(work, 16, true)?.u64_at(0).unwrap_or_default())
}

/// `bpf_wq_init(wq, map, flags)`
fn init(run: &Run<'_>, [work, map, flags, ..]: Arguments) -> Outcome {
    let word = run.view(work, 16, true)?;
    let map = run.shared_map(map)?;
    if flags as u32 != 0 {
        return Ok(errno(Errno::EINVAL));
    }
    let field = map.shape.fields.find(FieldKind::Workqueue);
    let range = map.kind.region(work);
    let value = match (field, range) {
        (Some(field), Some(range)) if range.start + u64::from(field.offset) == work => range.start,
        _ => {
            return Err(FaultKind::Argument {
                function: "bpf_wq_init",
                reason: "this is no work queue in a value of this map",
            }
            .into());
        }
    };
    let before = word.u64_at(0).unwrap_or_default();
    let timers = &run.vm.timers;
    match timers.init(before, map, value, work, ClockKind::Monotonic) {
        Ok(number) => {
            word.set_u64(0, number);
            Ok(0)
        }
        Err(failed) => Ok(errno(failed)),
    }
}

/// `bpf_wq_set_callback_impl(wq, callback_fn, flags, aux)`
fn set_callback(run: &Run<'_>, [work, function, flags, ..]: Arguments) -> Outcome {
    let number = number(run, work)?;
    if flags as u32 != 0 {
        return Ok(errno(Errno::EINVAL));
    }
    if run.program().code.callback(function).is_none() {
        return Err(FaultKind::Jump { target: function }.into());
    }
    let program = run.shared_program();
    let timers = &run.vm.timers;
    Ok(status(timers.set_callback(number, work, program, function)))
}

/// `bpf_wq_start(wq, flags)`
fn start(run: &Run<'_>, [work, flags, ..]: Arguments) -> Outcome {
    let place = (number(run, work)?, work);
    if flags as u32 != 0 {
        return Ok(errno(Errno::EINVAL));
    }
    Ok(status(run.vm.timers.start(run.vm, run.cpu, place, 0, 0)))
}
