// SPDX-License-Identifier: MIT OR Apache-2.0
//! execsnoop: which programs are started, by whom, with what arguments. The same as
//! execsnoop.bpf.c, in Rust.
//!
//! Teaches: reading kernel structures with CO-RE, so that one object fits every kernel, and
//! copying text of a length that is known only at run time.
//!
//!   skep run examples/execsnoop.bpf.rs
//!   skep run examples/execsnoop.bpf.rs --duration 10s
#![no_std]
#![no_main]

use skep_ebpf::prelude::*;

license!("Dual MIT/GPL");

/// -u: only this user
#[setting(name = "target_uid")]
static TARGET_UID: u32 = u32::MAX;

#[repr(C)]
#[derive(Clone, Copy, Plain)]
struct Event {
    #[show(time)]
    time: u64,
    #[show(pid)]
    pid: i32,
    #[show(pid)]
    ppid: i32,
    uid: u32,
    #[show(text)]
    comm: [u8; 16],
    #[show(text)]
    args: [u8; 160],
    #[show(hidden)]
    padding: [u8; 4],
}

#[map(name = "events", event = Event)]
static EVENTS: RingBuf<{ 256 * 1024 }> = RingBuf::new();

/// Of what the kernel has there, the fields that are used.
#[kernel]
struct task_struct {
    tgid: i32,
    real_parent: *const task_struct,
    mm: *const mm_struct,
}

#[kernel]
struct mm_struct {
    arg_start: u64,
    arg_end: u64,
}

#[tp_btf("sched_process_exec")]
fn exec(task: &task_struct) -> Result {
    let uid = current_uid_gid().uid;
    if TARGET_UID.get() != u32::MAX && uid != TARGET_UID.get() {
        return Ok(());
    }
    let mut event = EVENTS.reserve::<Event>()?;
    event.time = ktime_ns();
    // What can't be read is 0, and the event is sent all the same.
    event.pid = core_read!(task.tgid).unwrap_or(0);
    event.ppid = core_read!(task.real_parent.tgid).unwrap_or(0);
    event.uid = uid;
    let _ = read_current_comm(&mut event.comm);

    // The arguments lie behind each other in the new process' memory, a zero byte after each.
    let start = core_read!(task.mm.arg_start).unwrap_or(0);
    let length = core_read!(task.mm.arg_end).unwrap_or(0).wrapping_sub(start);
    let args = &mut event.args;
    let length = (length as usize).min(args.len() - 1);
    args[0] = 0;
    if read_user_bytes(&mut args[..length], start as *const u8).is_ok() {
        // The last word keeps its zero byte.
        for byte in args.iter_mut().take(length.saturating_sub(1)) {
            if *byte == 0 {
                *byte = b' ';
            }
        }
        args[length] = 0;
    }
    event.submit();
    Ok(())
}
