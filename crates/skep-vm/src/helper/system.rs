//! Helpers on clocks, CPUs, random numbers and the current task.

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
};

use skep_host::Errno;

use super::{Arguments, Outcome, Table, errno, shim, status, task};
use crate::{FaultKind, machine::ClockKind, map::CgroupArray, run::Run};

pub(super) static TABLE: Table = &[
    (5, shim!(ktime_get_ns)),
    (7, shim!(get_prandom_u32)),
    (8, shim!(get_smp_processor_id)),
    (14, shim!(get_current_pid_tgid)),
    (15, shim!(get_current_uid_gid)),
    (16, shim!(get_current_comm)),
    (35, shim!(get_current_task)),
    (37, shim!(current_task_under_cgroup)),
    (42, shim!(get_numa_node_id)),
    (80, shim!(get_current_cgroup_id)),
    (109, shim!(send_signal)),
    (117, shim!(send_signal_thread)),
    (118, shim!(jiffies64)),
    (120, shim!(get_ns_current_pid_tgid)),
    (123, shim!(get_current_ancestor_cgroup_id)),
    (125, shim!(ktime_get_boot_ns)),
    (158, shim!(get_current_task)),
    (160, shim!(ktime_get_coarse_ns)),
    (175, shim!(task_pt_regs)),
    (208, shim!(ktime_get_tai_ns)),
];

/// Signals that there are (`_NSIG`).
const SIGNALS: u32 = 64;

/// `bpf_ktime_get_ns()`
fn ktime_get_ns(run: &Run<'_>, _: Arguments) -> Outcome {
    Ok(run.vm.clock.read(ClockKind::Monotonic))
}

/// `bpf_ktime_get_boot_ns()`
fn ktime_get_boot_ns(run: &Run<'_>, _: Arguments) -> Outcome {
    Ok(run.vm.clock.read(ClockKind::Boot))
}

/// `bpf_ktime_get_coarse_ns()`
fn ktime_get_coarse_ns(run: &Run<'_>, _: Arguments) -> Outcome {
    Ok(run.vm.clock.read(ClockKind::Coarse))
}

/// `bpf_ktime_get_tai_ns()`
fn ktime_get_tai_ns(run: &Run<'_>, _: Arguments) -> Outcome {
    Ok(run.vm.clock.read(ClockKind::Tai))
}

/// `bpf_jiffies64()`
fn jiffies64(run: &Run<'_>, _: Arguments) -> Outcome {
    Ok(run.vm.clock.jiffies())
}

/// `bpf_get_prandom_u32()`
fn get_prandom_u32(run: &Run<'_>, _: Arguments) -> Outcome {
    if let Some(number) = run.draw() {
        return Ok(u64::from(number));
    }
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u32));
    }
    // SplitMix64: a counter, mixed.
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    Ok(mixed >> 32)
}

/// `bpf_get_smp_processor_id()`
fn get_smp_processor_id(run: &Run<'_>, _: Arguments) -> Outcome {
    Ok(u64::from(run.cpu))
}

/// `bpf_get_numa_node_id()`
fn get_numa_node_id(_: &Run<'_>, _: Arguments) -> Outcome {
    Ok(0)
}

/// `bpf_get_current_pid_tgid()`
fn get_current_pid_tgid(run: &Run<'_>, _: Arguments) -> Outcome {
    let task = run.task().info();
    Ok(u64::from(task.tgid) << 32 | u64::from(task.pid))
}

/// `bpf_get_current_uid_gid()`
fn get_current_uid_gid(run: &Run<'_>, _: Arguments) -> Outcome {
    let task = run.task().info();
    Ok(u64::from(task.gid) << 32 | u64::from(task.uid))
}

/// `bpf_get_current_comm(buf, size_of_buf)`
fn get_current_comm(run: &Run<'_>, [to, size, ..]: Arguments) -> Outcome {
    let size = u64::from(size as u32);
    let to = run.view(to, size, true)?;
    // As much as fits, with a NUL at the end, and zeros behind it.
    to.fill(0);
    let comm = run.task().comm();
    let len = comm.len().min((size as usize).saturating_sub(1));
    to.write(comm.get(..len).unwrap_or_default());
    Ok(0)
}

/// `bpf_get_current_task()`, `bpf_get_current_task_btf()`
fn get_current_task(run: &Run<'_>, _: Arguments) -> Outcome {
    Ok(run.task().address())
}

/// `bpf_task_pt_regs(task)`
fn task_pt_regs(run: &Run<'_>, [of, ..]: Arguments) -> Outcome {
    let task = task(run, "bpf_task_pt_regs", of)?;
    Ok(task.registers().map_or(0, |view| view.address()))
}

/// `bpf_get_ns_current_pid_tgid(dev, ino, nsdata, size)`
fn get_ns_current_pid_tgid(run: &Run<'_>, [device, inode, to, size, _]: Arguments) -> Outcome {
    let to = run.view(to, u64::from(size as u32), true)?;
    let info = run.task().info();
    let namespace = (info.namespaces.device, info.namespaces.pid);
    if to.len() != 8 || (device, inode) != namespace || inode == 0 {
        to.fill(0);
        return Ok(errno(Errno::EINVAL));
    }
    to.set_u32(0, info.pid);
    to.set_u32(4, info.tgid);
    Ok(0)
}

/// `bpf_get_current_cgroup_id()`
fn get_current_cgroup_id(run: &Run<'_>, _: Arguments) -> Outcome {
    Ok(run
        .task()
        .info()
        .cgroups
        .last()
        .copied()
        .unwrap_or_default())
}

/// `bpf_get_current_ancestor_cgroup_id(ancestor_level)`
fn get_current_ancestor_cgroup_id(run: &Run<'_>, [level, ..]: Arguments) -> Outcome {
    let level = usize::try_from(level as i32).unwrap_or(usize::MAX);
    let info = run.task().info();
    Ok(info.cgroups.get(level).copied().unwrap_or_default())
}

/// `bpf_current_task_under_cgroup(map, index)`
fn current_task_under_cgroup(run: &Run<'_>, [map, index, ..]: Arguments) -> Outcome {
    let array = run.map(map)?.of::<CgroupArray>();
    let array = array.ok_or(FaultKind::Argument {
        function: "bpf_current_task_under_cgroup",
        reason: "this is no array of cgroups",
    })?;
    let cgroup = array.cgroup(index as u32);
    let info = run.task().info();
    Ok(cgroup.map_or_else(errno, |cgroup| {
        u64::from(run.is_under(&info.cgroups, &cgroup))
    }))
}

/// `bpf_send_signal(sig)`
fn send_signal(run: &Run<'_>, [signal, ..]: Arguments) -> Outcome {
    send(run, signal as u32, false)
}

/// `bpf_send_signal_thread(sig)`
fn send_signal_thread(run: &Run<'_>, [signal, ..]: Arguments) -> Outcome {
    send(run, signal as u32, true)
}

fn send(run: &Run<'_>, signal: u32, thread: bool) -> Outcome {
    if signal > SIGNALS {
        return Ok(errno(Errno::EINVAL));
    }
    Ok(status(run.task().signal(signal, thread, None)))
}
