// SPDX-License-Identifier: MIT OR Apache-2.0
//! One program in three forms, of which each kernel takes the best that it can, as `forms.bpf.c`.
#![no_std]
#![no_main]
use skep_ebpf::prelude::*;

license!("GPL");

#[setting(name = "target_pid")]
static TARGET_PID: u32 = 0;

#[global(name = "by_entry")]
static BY_ENTRY: u64 = 0;

#[global(name = "by_probe")]
static BY_PROBE: u64 = 0;

#[global(name = "by_tracepoint")]
static BY_TRACEPOINT: u64 = 0;

#[inline(always)]
fn count(hits: Value<'_, u64>) {
    if current_pid_tgid().tgid == TARGET_PID.get() {
        hits.add(1);
    }
}

#[fentry("vfs_read")]
fn at_entry() {
    count(BY_ENTRY);
}

#[kprobe("vfs_read", instead_of = at_entry)]
fn probed() {
    count(BY_PROBE);
}

#[tracepoint("syscalls/sys_enter_read", instead_of = probed)]
fn traced() {
    count(BY_TRACEPOINT);
}
