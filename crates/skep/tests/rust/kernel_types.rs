//! What programs in Rust ask of the kernel's types: the running task's fields, by loads and by
//! helpers, and everything that can be asked without memory.
#![no_std]
#![no_main]
// Variables are named as their readers look for them.
#![allow(non_upper_case_globals, static_mut_refs)]
use skep_ebpf::{helper::raw, prelude::*};

license!("GPL");

#[kernel]
struct sched_entity {
    vruntime: u64,
}

#[kernel(typedef)]
struct atomic_t {
    counter: i32,
}

/// What it is not.
#[kernel(name = "atomic_t")]
struct atomic_t___named {
    counter: i32,
}

#[kernel]
struct mm_struct {
    mm_users: atomic_t,
}

#[kernel]
struct task_struct {
    mm: *const mm_struct,
    pid: i32,
    tgid: i32,
    real_parent: *const task_struct,
    comm: [u8; 16],
    se: sched_entity,
    never_there: u32,
    #[bits]
    sched_reset_on_fork: u32,
    #[bits]
    static_prio: i32,
}

#[kernel]
struct list_head {
    next: *mut list_head,
    prev: *mut list_head,
}

#[kernel(name = "list_head")]
struct list_head___other {
    sideways: *mut list_head,
}

#[kernel]
struct no_such_type {
    field: u32,
}

#[kernel]
enum bpf_map_type {
    BPF_MAP_TYPE_HASH,
    BPF_MAP_TYPE_NEVER,
    BPF_MAP_TYPE_RINGBUF,
}

macro_rules! outputs {
    ($($name:ident),*) => { $(#[unsafe(no_mangle)] static mut $name: u64 = 77;)* };
}

outputs!(pid, tgid, parent, letters, loaded_pid, loaded_tgid, loaded_parent, vruntime);
outputs!(has_pid, has_never, has_far, comm_size, pid_signed, vruntime_signed, type_there);
outputs!(type_missing, task_size, list_matches, other_matches, task_id, ringbuf, has_hash);
outputs!(has_never_type, reset, priority, loaded_priority, offset, guarded);
outputs!(users, users_by_path, atomic_there, atomic_named, atomic_size);

fn numbers() {
    // SAFETY: each variable is written by one run at a time.
    unsafe {
        has_pid = core_exists!(task_struct, pid) as u64;
        has_never = core_exists!(task_struct, never_there) as u64;
        has_far = core_exists!(task_struct, real_parent.se.vruntime) as u64;
        comm_size = core_size!(task_struct, comm);
        pid_signed = core_signed!(task_struct, pid) as u64;
        vruntime_signed = core_signed!(task_struct, se.vruntime) as u64;
        type_there = core_type_exists!(task_struct) as u64;
        type_missing = core_type_exists!(no_such_type) as u64;
        task_size = core_type_size!(task_struct);
        list_matches = core_type_matches!(list_head) as u64;
        other_matches = core_type_matches!(list_head___other) as u64;
        task_id = core_type_id!(task_struct);
        ringbuf = core_enum!(bpf_map_type::BPF_MAP_TYPE_RINGBUF).0.into();
        has_hash = core_enum_exists!(bpf_map_type::BPF_MAP_TYPE_HASH) as u64;
        has_never_type = core_enum_exists!(bpf_map_type::BPF_MAP_TYPE_NEVER) as u64;
        offset = core_offset!(task_struct, comm[3]);
        atomic_there = core_type_exists!(atomic_t) as u64;
        atomic_named = core_type_exists!(atomic_t___named) as u64;
        atomic_size = core_type_size!(atomic_t);
    }
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp/sys_enter")]
extern "C" fn by_helpers(_: *const u64) -> i32 {
    // SAFETY: as above; the helper has no arguments.
    unsafe {
        let task = raw::bpf_get_current_task() as *const task_struct;
        pid = core_read!(task.pid).unwrap_or(-1) as u64;
        tgid = core_read!(task.tgid).unwrap_or(-1) as u64;
        parent = core_read!(task.real_parent.tgid).unwrap_or(-1) as u64;
        let mut name = [0; 16];
        letters = core_read_str!(task.comm, &mut name).map_or(99, |name| name.len() as u64);
        reset = core_read!(task.sched_reset_on_fork).unwrap_or(99).into();
        priority = core_read!(task.static_prio).unwrap_or(-1) as u64;
        let memory = core_read!(task.mm).unwrap_or(core::ptr::null());
        let count: *const atomic_t = core_address!(memory.mm_users);
        users = core_read!(count.counter).unwrap_or(-1) as u64;
        users_by_path = core_read!(memory.mm_users.counter).unwrap_or(-2) as u64;
    }
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp/sys_exit")]
extern "C" fn by_loads(_: *const u64) -> i32 {
    numbers();
    // SAFETY: as above.
    unsafe {
        let task = raw::bpf_get_current_task_btf() as *const task_struct;
        loaded_pid = core_load!(task.pid) as u64;
        loaded_tgid = core_load!(task.tgid) as u64;
        loaded_parent = core_load!(task.real_parent.tgid) as u64;
        vruntime = core_load!(task.se.vruntime);
        loaded_priority = core_load!(task.static_prio) as u64;
        guarded = if core_exists!(task.never_there) {
            core_load!(task.never_there).into()
        } else {
            5
        };
    }
    0
}
