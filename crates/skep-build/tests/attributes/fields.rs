//! Fields of tracepoints by name.
#![no_std]
#![no_main]
use skep_ebpf::prelude::*;

license!("GPL");

#[tracepoint]
fn of_no_tracepoint(prev_pid: i32) {
    let _ = prev_pid;
}

#[tracepoint("sched/sched_switch")]
fn without_a_name(_: i32) {}

#[tracepoint("sched/sched_switch")]
fn by_reference(prev_comm: &[u8; 16]) {
    let _ = prev_comm;
}

#[tracepoint("syscalls/sys_enter_openat")]
fn with_seven(_: u64, _: u64, _: u64, _: u64, _: u64, _: u64, _: u64) {}
