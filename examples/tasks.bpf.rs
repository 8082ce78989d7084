// SPDX-License-Identifier: MIT OR Apache-2.0
//! tasks: every thread there is, from the kernel's own list. The same as tasks.bpf.c, in Rust.
//!
//! Teaches: an iterator, which runs once for each thing of a kind and writes text. The kernel's
//! last call, without a thing, ends before the function.
//!
//!   skep run examples/tasks.bpf.rs
#![no_std]
#![no_main]

use skep_ebpf::prelude::*;

license!("Dual MIT/GPL");

#[kernel]
struct task_struct {
    tgid: i32,
    pid: i32,
    real_parent: *const task_struct,
    comm: [u8; 16],
}

#[iter("task")]
fn list(context: &IterContext, task: &task_struct) -> Result {
    let seq = context.seq();
    if context.seq_num() == 0 {
        seq_printf!(seq, "%8s %8s %8s  %s\n", b"TGID\0", b"TID\0", b"PPID\0", b"COMM\0")?;
    }
    seq_printf!(
        seq,
        "%8d %8d %8d  %s\n",
        core_load!(task.tgid),
        core_load!(task.pid),
        core_load!(task.real_parent.tgid),
        core_address!(task.comm).cast::<u8>()
    )
}
