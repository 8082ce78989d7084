//! Loops over what the kernel has, from Rust.
#![no_std]
#![no_main]
// Variables are named as their readers look for them.
#![allow(non_upper_case_globals, unused_unsafe)]

use skep_ebpf::iterate::{Order, areas, bits, groups, tasks, threads, threads_of};
use skep_ebpf::prelude::*;
use skep_ebpf::sync::{preempt_disable, rcu_read_lock};

license!("GPL");

#[kernel]
struct task_struct {
    pid: i32,
    tgid: i32,
    group_leader: *const task_struct,
}

#[kernel]
struct vm_area_struct {
    vm_start: u64,
    vm_end: u64,
}

#[kernel]
struct cgroup_subsys_state {
    id: i32,
}

#[kernel]
struct cgroup {
    #[name = "self"]
    own: cgroup_subsys_state,
}

#[kfunc]
unsafe extern "C" {
    fn bpf_cgroup_from_id(id: u64) -> *mut cgroup;
    fn bpf_cgroup_release(group: *mut cgroup);
}

macro_rules! numbers {
    ($($name:ident)*) => { $(
        #[unsafe(no_mangle)]
        static mut $name: u64 = 77;
    )* };
}

numbers! { sum products left early bit_sum own_process all_processes own_threads all_threads }
numbers! { own_areas above root_id }

macro_rules! set {
    ($name:ident = $value:expr) => {
        // SAFETY: nothing else writes it meanwhile.
        unsafe { (&raw mut $name).write_volatile($value as u64) }
    };
}

#[syscall]
fn counted(_: &SyscallContext) -> i32 {
    let mut total = 0_u64;
    for number in range!(0..100_000) {
        total += number as u64;
    }
    set!(sum = total);
    let mut all = 0_u64;
    for one in range!(1..11) {
        for other in range!(1..11) {
            if other > one {
                break;
            }
            all += (one * other) as u64;
        }
    }
    set!(products = all);
    set!(left = find(40).unwrap_or(-1));
    set!(early = find(4000).is_err());
    let mut found = 0;
    for bit in bits!(&[0x11, 0, 1 << 63]) {
        found += bit;
    }
    set!(bit_sum = found);
    0
}

/// Leaves a loop by an error, and by a result.
fn find(wanted: i32) -> Result<i32> {
    for number in range!(0..100) {
        if number == wanted {
            return Ok(number);
        }
    }
    Err(Error::ENOENT)
}

#[syscall]
fn processes(_: &SyscallContext) -> i32 {
    let own = current_pid_tgid().tgid as i32;
    let (mut found, mut all, mut every, mut mine) = (0, 0, 0, 0);
    let _guard = rcu_read_lock();
    for task in tasks!(task_struct) {
        found += (core_load!(task.pid) == own) as u64;
        all += 1;
    }
    for thread in threads!(task_struct) {
        every += 1;
        let _ = thread;
    }
    // SAFETY: the current task stays while it is current.
    let current: &task_struct = unsafe { &*current_task() };
    for thread in threads_of!(current) {
        mine += (core_load!(thread.tgid) == own) as u64;
    }
    set!(own_process = found);
    set!(all_processes = all);
    set!(all_threads = every);
    set!(own_threads = mine);
    0
}

#[raw_tracepoint("sys_enter")]
fn memory(_: &RawTracepointContext) {
    // SAFETY: the current task stays while it is current.
    let current: &task_struct = unsafe { &*current_task() };
    let mut bytes = 0;
    for area in areas!(vm_area_struct, current, 0) {
        bytes += core_load!(area.vm_end) - core_load!(area.vm_start);
    }
    set!(own_areas = bytes);
}

#[syscall]
fn control_groups(_: &SyscallContext) -> i32 {
    // SAFETY: what is acquired is released.
    let root = unsafe { bpf_cgroup_from_id(1) };
    if root.is_null() {
        return 0;
    }
    let mut count = 0;
    {
        let _guard = rcu_read_lock();
        for css in groups!(core_address!(root.own), Order::Up) {
            set!(root_id = core_load!(css.id));
            count += 1;
        }
    }
    // SAFETY: as above.
    unsafe { bpf_cgroup_release(root) };
    set!(above = count);
    0
}

#[syscall]
fn alone(_: &SyscallContext) -> i32 {
    let _guard = preempt_disable();
    processor_id() as i32
}
