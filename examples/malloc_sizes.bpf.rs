// SPDX-License-Identifier: MIT OR Apache-2.0
//! malloc_sizes: how much memory a process asks for at a time. The same as malloc_sizes.bpf.c, in
//! Rust.
//!
//! Teaches: a uprobe on a function of a library, its first argument, and a histogram.
//!
//!   skep run examples/malloc_sizes.bpf.rs -- ls -R /etc
#![no_std]
#![no_main]

use skep_ebpf::prelude::*;

license!("Dual MIT/GPL");

/// -p: only this process
#[setting(name = "target_pid")]
static TARGET_PID: u32 = 0;

#[map(name = "sizes", title = "malloc sizes", histogram = "bytes")]
static SIZES: Array<u64, 40> = Array::new();

#[uprobe("libc.so.6:malloc")]
fn allocate(size: u64) {
    if TARGET_PID.get() != 0 && current_pid_tgid().tgid != TARGET_PID.get() {
        return;
    }
    if let Some(count) = SIZES.get(log2(size).min(39)) {
        count.add(1);
    }
}
