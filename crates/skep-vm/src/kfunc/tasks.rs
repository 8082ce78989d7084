//! Kernel functions on tasks: references, and loops over all of them.

use skep_host::Errno;

use super::Table;
use crate::{
    FaultKind,
    helper::{Arguments, Outcome, errno, shim, status},
    machine::objects::ObjectKind,
    memory::View,
    run::Run,
};

pub(super) static TABLE: Table = &[
    ("bpf_task_acquire", shim!(task_acquire)),
    ("bpf_task_release", shim!(task_release)),
    ("bpf_task_from_pid", shim!(task_from_pid)),
    ("bpf_task_from_vpid", shim!(task_from_pid)),
    ("bpf_task_under_cgroup", shim!(task_under_cgroup)),
    ("bpf_send_signal_task", shim!(send_signal_task)),
    ("bpf_iter_task_new", shim!(iter_new)),
    ("bpf_iter_task_next", shim!(iter_next)),
    ("bpf_iter_task_destroy", shim!(iter_destroy)),
];

/// One more reference of an object, or 0 if it is going away.
pub(super) fn acquire(
    run: &Run<'_>,
    address: u64,
    kind: ObjectKind,
    function: &'static str,
) -> Outcome {
    let object = run.object(address, kind, function)?;
    Ok(if object.acquire() {
        run.hold(object)
    } else {
        0
    })
}

pub(super) fn release(
    run: &Run<'_>,
    address: u64,
    kind: ObjectKind,
    function: &'static str,
) -> Outcome {
    run.object(address, kind, function)?;
    let object = run.take(address, function)?;
    run.vm.objects.release(&object);
    Ok(0)
}

/// `bpf_task_acquire(p)`
fn task_acquire(run: &Run<'_>, [task, ..]: Arguments) -> Outcome {
    acquire(run, task, ObjectKind::Task, "bpf_task_acquire")
}

/// `bpf_task_release(p)`
fn task_release(run: &Run<'_>, [task, ..]: Arguments) -> Outcome {
    release(run, task, ObjectKind::Task, "bpf_task_release")
}

/// `bpf_task_from_pid(pid)`; all tasks are in one namespace, so `bpf_task_from_vpid` is the same.
fn task_from_pid(run: &Run<'_>, [pid, ..]: Arguments) -> Outcome {
    run.reach_objects();
    // A run's own task is known once it has asked for it.
    let own = run.task();
    let found = match own.info().pid == pid as u32 {
        true => Some(own.clone()),
        false => run.vm.tasks.by_pid(pid as u32),
    };
    let object = found.as_ref().and_then(|task| task.object());
    Ok(match object {
        Some(object) if pid as u32 != 0 && object.acquire() => run.hold(object.clone()),
        _ => 0,
    })
}

/// `bpf_task_under_cgroup(task, ancestor)`
fn task_under_cgroup(run: &Run<'_>, [task, cgroup, ..]: Arguments) -> Outcome {
    let function = "bpf_task_under_cgroup";
    run.object(task, ObjectKind::Task, function)?;
    run.object(cgroup, ObjectKind::Cgroup, function)?;
    let Some(task) = run.vm.tasks.at(task) else {
        return Ok(0);
    };
    let tasks = &run.vm.tasks;
    let is_it = |id: &u64| {
        let known = tasks.cgroup_by_id(*id);
        known.is_some_and(|known| known.address() == cgroup)
    };
    Ok(task.info().cgroups.iter().any(is_it).into())
}

/// `bpf_send_signal_task(task, sig, type, value)`
fn send_signal_task(run: &Run<'_>, [task, signal, to, value, _]: Arguments) -> Outcome {
    run.object(task, ObjectKind::Task, "bpf_send_signal_task")?;
    // `PIDTYPE_PID` and `PIDTYPE_TGID`
    let thread = match to as u32 {
        0 => true,
        1 => false,
        _ => return Ok(errno(Errno::EINVAL)),
    };
    if signal as u32 > 64 {
        return Ok(errno(Errno::EINVAL));
    }
    let task = run.vm.tasks.at(task).ok_or(Errno::ESRCH);
    Ok(status(task.and_then(|task| {
        task.signal(signal as u32, thread, Some(value))
    })))
}

// ── all tasks: the numbers of the last one, which tasks, and of which process ───────────────

/// `BPF_TASK_ITER_ALL_THREADS`
const ALL_THREADS: u32 = 1;
/// `BPF_TASK_ITER_PROC_THREADS`
const PROCESS_THREADS: u32 = 2;
/// The iterator was not made, or is at its end.
const NOTHING: u32 = 0xffff;

fn state<'r>(run: &'r Run<'_>, iterator: u64) -> Result<View<'r>, FaultKind> {
    run.view(iterator, 24, true)
}

/// `bpf_iter_task_new(it, task, flags)`
fn iter_new(run: &Run<'_>, [iterator, task, flags, ..]: Arguments) -> Outcome {
    let state = state(run, iterator)?;
    let flags = flags as u32;
    state.fill(0);
    state.set_u32(16, NOTHING);
    if flags > PROCESS_THREADS || flags == PROCESS_THREADS && task == 0 {
        return Ok(errno(Errno::EINVAL));
    }
    if flags == PROCESS_THREADS {
        run.object(task, ObjectKind::Task, "bpf_iter_task_new")?;
        let Some(task) = run.vm.tasks.at(task) else {
            return Ok(0);
        };
        // From the task itself on.
        state.set_u32(0, task.info().pid.wrapping_sub(1));
        state.set_u32(4, task.info().tgid);
    }
    state.set_u32(16, flags);
    Ok(0)
}

/// `bpf_iter_task_next(it)`
fn iter_next(run: &Run<'_>, [iterator, ..]: Arguments) -> Outcome {
    let state = state(run, iterator)?;
    let number = |offset| state.u32_at(offset).unwrap_or_default();
    let (pid, tgid, flags) = (number(0), number(4), number(16));
    run.reach_objects();
    // This thread is a task, too.
    run.task();
    let mut last = (tgid, pid);
    let next = loop {
        let Some((numbers, task)) = run.vm.tasks.behind(last) else {
            break None;
        };
        run.pay(1)?;
        last = numbers;
        let (tgid_now, pid_now) = numbers;
        let wanted = match flags {
            0 => pid_now == tgid_now,
            ALL_THREADS => true,
            PROCESS_THREADS if tgid_now == tgid => true,
            _ => break None,
        };
        if let Some(task) = task.upgrade().filter(|task| task.object().is_some())
            && wanted
        {
            break Some(task);
        }
    };
    let Some(next) = next else {
        state.set_u32(16, NOTHING);
        return Ok(0);
    };
    state.set_u32(0, last.1);
    state.set_u32(4, last.0);
    Ok(next.address())
}

/// `bpf_iter_task_destroy(it)`
fn iter_destroy(run: &Run<'_>, [iterator, ..]: Arguments) -> Outcome {
    state(run, iterator)?.set_u32(16, NOTHING);
    Ok(0)
}
