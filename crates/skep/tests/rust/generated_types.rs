//! What `skep btf dump --format rust` says of this kernel, used: `vmlinux.rs` is put beside this.
#![no_std]
#![no_main]
// Variables are named as their readers look for them.
#![allow(non_upper_case_globals)]

mod vmlinux;

use skep_ebpf::prelude::*;
use vmlinux::{bpf_map_type, task_struct};

license!("GPL");

macro_rules! numbers {
    ($($name:ident)*) => { $(
        #[unsafe(no_mangle)]
        static mut $name: u64 = 77;
    )* };
}

numbers! { pid parent counted ringbuf }

macro_rules! set {
    ($name:ident = $value:expr) => {
        // SAFETY: nothing else writes it meanwhile.
        unsafe { (&raw mut $name).write_volatile($value as u64) }
    };
}

#[raw_tracepoint("sys_enter")]
fn look(_: &RawTracepointContext) -> Result {
    let task: *const task_struct = current_task();
    set!(pid = core_read!(task.pid)?);
    set!(parent = core_read!(task.real_parent.tgid)?);
    // Of a type that is nested in it, and of one that has a name by its typedef alone.
    set!(counted = core_read!(task.usage.refs.counter)?);
    set!(ringbuf = core_enum!(bpf_map_type::BPF_MAP_TYPE_RINGBUF).0);
    Ok(())
}
