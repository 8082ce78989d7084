// SPDX-License-Identifier: MIT OR Apache-2.0
//! opensnoop: which process opens which file, and what came of it. The same as opensnoop.bpf.c, in
//! Rust.
//!
//! Teaches: two tracepoints that belong together and whose parameters are those of the system call,
//! a hash map that carries state from the one to the other, settings of the command line, and a
//! ring buffer of typed events.
//!
//!   skep run examples/opensnoop.bpf.rs
//!   skep run examples/opensnoop.bpf.rs -- ls /etc
//!   skep run examples/opensnoop.bpf.rs -p 812 --format json | jq -r .path
#![no_std]
#![no_main]

use skep_ebpf::prelude::*;

license!("Dual MIT/GPL");

/// -p: only this process
#[setting(name = "target_pid")]
static TARGET_PID: u32 = 0;
/// -u: only this user
#[setting(name = "target_uid")]
static TARGET_UID: u32 = u32::MAX;
/// --set failed_only=true
#[setting(name = "failed_only")]
static FAILED_ONLY: bool = false;

#[repr(C)]
#[derive(Clone, Copy, Plain)]
struct Event {
    #[show(time)]
    time: u64,
    #[show(pid)]
    pid: u32,
    #[show(text)]
    comm: [u8; 16],
    ret: i32,
    #[show(text)]
    path: [u8; 256],
}

#[map(name = "events", event = Event)]
static EVENTS: RingBuf<{ 256 * 1024 }> = RingBuf::new();

/// From entry to return: the file name's address, by thread.
#[map(name = "opening", hidden)]
static OPENING: HashMap<u32, *const u8, 10240> = HashMap::new();

fn enter(path: *const u8) -> Result {
    let id = current_pid_tgid();
    if TARGET_PID.get() != 0 && id.tgid != TARGET_PID.get() {
        return Ok(());
    }
    if TARGET_UID.get() != u32::MAX && current_uid_gid().uid != TARGET_UID.get() {
        return Ok(());
    }
    OPENING.insert(&id.pid, &path).inspect_err(|_| count_lost())
}

fn leave(ret: i64) -> Result {
    let id = current_pid_tgid();
    let Some(path) = OPENING.get(&id.pid) else {
        return Ok(());
    };
    if !FAILED_ONLY.get() || ret < 0 {
        // A full ring is counted.
        if let Ok(mut event) = EVENTS.reserve::<Event>() {
            event.time = ktime_ns();
            event.pid = id.tgid;
            event.ret = ret as i32;
            let _ = read_current_comm(&mut event.comm);
            // By now the kernel has read the name itself, so it is in memory.
            if read_user_str(&mut event.path, path.load()).is_err() {
                event.path[0] = 0;
            }
            event.submit();
        }
    }
    OPENING.remove(&id.pid)
}

#[tracepoint("syscalls/sys_enter_openat")]
fn enter_openat(_: i32, path: *const u8) -> Result {
    enter(path)
}

#[tracepoint("syscalls/sys_exit_openat")]
fn leave_openat(ret: i64) -> Result {
    leave(ret)
}

#[tracepoint("syscalls/sys_enter_openat2")]
fn enter_openat2(_: i32, path: *const u8) -> Result {
    enter(path)
}

#[tracepoint("syscalls/sys_exit_openat2")]
fn leave_openat2(ret: i64) -> Result {
    leave(ret)
}
