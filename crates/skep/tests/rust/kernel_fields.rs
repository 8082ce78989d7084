//! One load and one read of fields, to be relocated by types that are made up.
#![no_std]
#![no_main]
use skep_ebpf::{helper::raw, prelude::*};

license!("GPL");

#[kernel]
struct inner {
    deep: u32,
}

#[kernel(typedef)]
struct count_t {
    value: u32,
}

#[kernel]
struct task_struct {
    count: *const count_t,
    pid: u32,
    inner: inner,
    #[bits]
    mode: u32,
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp/sys_enter")]
extern "C" fn look(_: *const u64) -> i32 {
    // SAFETY: the helper has no arguments.
    let task = unsafe { raw::bpf_get_current_task() } as *const task_struct;
    let mode = core_read!(task.mode).unwrap_or(0);
    let sum = core_read!(task.pid).unwrap_or(0) + core_read!(task.inner.deep).unwrap_or(0);
    let counted = core_read!(task.count.value).unwrap_or(0);
    (sum + mode + counted) as i32
}
