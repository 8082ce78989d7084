//! Kernel functions on work queues and work for tasks: callbacks that the machine's thread of timers
//! runs at once.

use skep_host::Errno;

use super::Table;
use crate::{
    FaultKind,
    helper::{Arguments, Outcome, errno, shim, status},
    machine::{ClockKind, objects::ObjectKind},
    map::{FieldKind, Map},
    run::Run,
};

pub(super) static TABLE: Table = &[
    ("bpf_wq_init", shim!(init)),
    ("bpf_wq_set_callback", shim!(set_callback)),
    ("bpf_wq_start", shim!(start)),
    ("bpf_task_work_schedule_signal", shim!(task_work_schedule)),
    ("bpf_task_work_schedule_resume", shim!(task_work_schedule)),
];

/// Where the value begins whose field of this kind is at an address.
fn value_of(
    map: &Map,
    kind: FieldKind,
    place: u64,
    function: &'static str,
) -> Result<u64, FaultKind> {
    let field = map.shape.fields.find(kind);
    let range = map.kind.region(place);
    match (field, range) {
        (Some(field), Some(range)) if range.start + u64::from(field.offset) == place => {
            Ok(range.start)
        }
        _ => Err(FaultKind::Argument {
            function,
            reason: "there is no such field in a value of this map",
        }),
    }
}

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
    let value = value_of(&map, FieldKind::Workqueue, work, "bpf_wq_init")?;
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

/// `bpf_wq_set_callback(wq, callback_fn, flags)`
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

/// `bpf_task_work_schedule_signal(task, tw, map, callback)`, and
/// `bpf_task_work_schedule_resume`: here no task has to be stopped for its work.
fn task_work_schedule(run: &Run<'_>, [task, work, map, function, _]: Arguments) -> Outcome {
    const NAME: &str = "bpf_task_work_schedule";
    let word = run.view(work, 8, true)?;
    run.object(task, ObjectKind::Task, NAME)?;
    let map = run.shared_map(map)?;
    if run.program().code.callback(function).is_none() {
        return Err(FaultKind::Jump { target: function }.into());
    }
    let value = value_of(&map, FieldKind::TaskWork, work, NAME)?;
    let Some(task) = run.vm.tasks.at(task) else {
        return Ok(errno(Errno::ESRCH));
    };
    let timers = &run.vm.timers;
    let before = word.u64_at(0).unwrap_or_default();
    if timers.is_busy(before, work) {
        return Ok(errno(Errno::EBUSY));
    }
    let number = match timers.init(before, map, value, work, ClockKind::Monotonic) {
        Ok(number) => {
            word.set_u64(0, number);
            number
        }
        // It has done its work before.
        Err(_) => before,
    };
    timers.set_task(number, work, task);
    let program = run.shared_program();
    let started = timers
        .set_callback(number, work, program, function)
        .and_then(|()| timers.start(run.vm, run.cpu, (number, work), 0, 0));
    Ok(status(started))
}
