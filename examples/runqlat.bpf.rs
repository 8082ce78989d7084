// SPDX-License-Identifier: MIT OR Apache-2.0
//! runqlat: how long threads that could run wait for a CPU. The same as runqlat.bpf.c, in Rust.
//!
//! Teaches: typed tracepoints (tp_btf), whose arguments are kernel structures that are read
//! directly, and a histogram.
//!
//!   skep run examples/runqlat.bpf.rs --duration 10s
#![no_std]
#![no_main]

use skep_ebpf::prelude::*;

license!("Dual MIT/GPL");

/// -p: only this process
#[setting(name = "target_pid")]
static TARGET_PID: i32 = 0;

/// When a thread became able to run, by thread.
#[map(name = "waiting_since", hidden)]
static WAITING_SINCE: HashMap<i32, u64, 10240> = HashMap::new();

/// Slot i counts waits of 2^i to 2^(i+1) microseconds.
#[map(name = "latency", title = "run-queue latency", histogram = "us")]
static LATENCY: Array<u64, 27> = Array::new();

#[kernel]
struct task_struct {
    pid: i32,
    tgid: i32,
}

fn starts_waiting(task: &task_struct) -> Result {
    let (tgid, tid) = (core_load!(task.tgid), core_load!(task.pid));
    let now = ktime_ns();
    if tid == 0 || (TARGET_PID.get() != 0 && tgid != TARGET_PID.get()) {
        return Ok(());
    }
    WAITING_SINCE
        .insert(&tid, &now)
        .inspect_err(|_| count_lost())
}

#[tp_btf("sched_wakeup")]
fn wakeup(task: &task_struct) -> Result {
    starts_waiting(task)
}

#[tp_btf("sched_wakeup_new")]
fn wakeup_new(task: &task_struct) -> Result {
    starts_waiting(task)
}

#[tp_btf("sched_switch")]
fn switched(preempt: bool, from: &task_struct, to: &task_struct) -> Result {
    let tid = core_load!(to.pid);
    // Taken off the CPU while it could go on: it waits again.
    if preempt {
        let _ = starts_waiting(from);
    }
    let Some(since) = WAITING_SINCE.get(&tid) else {
        return Ok(());
    };
    let waited = ktime_ns().wrapping_sub(since.load()) as i64;
    WAITING_SINCE.remove(&tid)?;
    if waited < 0 {
        return Ok(());
    }
    if let Some(count) = LATENCY.get(log2(waited as u64 / 1000).min(26)) {
        count.add(1);
    }
    Ok(())
}
