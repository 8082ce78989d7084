//! Variables of the kernel's, read from Rust: one there is one of, and one that each CPU has.
#![no_std]
#![no_main]
// Variables are named as their readers look for them.
#![allow(non_upper_case_globals, unused_unsafe)]

use skep_ebpf::prelude::*;

license!("GPL");

#[kernel]
struct task_struct {
    pid: i32,
}

#[ksym(weak)]
static init_task: task_struct;
#[ksym(weak)]
static bpf_prog_active: i32;
#[ksym(weak)]
static no_such_variable: i32;

macro_rules! numbers {
    ($($name:ident)*) => { $(
        #[unsafe(no_mangle)]
        static mut $name: u64 = 77;
    )* };
}

numbers! { init_pid active first_active no_cpu nothing }

macro_rules! set {
    ($name:ident = $value:expr) => {
        // SAFETY: nothing else writes it meanwhile.
        unsafe { (&raw mut $name).write_volatile($value as u64) }
    };
}

#[raw_tracepoint("sys_enter")]
fn variables(_: &RawTracepointContext) {
    if init_task.exists() {
        set!(init_pid = core_load!(init_task.pid));
    }
    if bpf_prog_active.exists() {
        // SAFETY: the verifier knows that a number is there.
        unsafe {
            set!(active = *bpf_prog_active.this_cpu());
            if let Some(first) = bpf_prog_active.on_cpu(0) {
                set!(first_active = *first);
            }
        }
        set!(no_cpu = bpf_prog_active.on_cpu(100_000).is_none());
    }
    set!(nothing = no_such_variable.exists());
    if no_such_variable.exists() {
        set!(nothing = no_such_variable.get());
    }
}
