//! What the kernel provides by name, from Rust: the twin of `externs.bpf.c`.
#![no_std]
#![no_main]
// Variables are named as their readers look for them.
#![allow(non_upper_case_globals, unused_unsafe)]

use skep_ebpf::prelude::*;

license!("GPL");

#[kconfig]
static CONFIG_BPF_SYSCALL: bool;
#[kconfig]
static CONFIG_BPF_JIT: Tristate;
#[kconfig]
static CONFIG_BPF: u8;
#[kconfig]
static CONFIG_HZ: u16;
#[kconfig]
static CONFIG_PHYSICAL_START: u64;
#[kconfig(name = "CONFIG_NR_CPUS")]
static CPUS: i64;
#[kconfig]
static CONFIG_DEFAULT_HOSTNAME: [u8; 16];
#[kconfig]
static LINUX_KERNEL_VERSION: u32;
#[kconfig]
static LINUX_HAS_BPF_COOKIE: bool;
#[kconfig(weak)]
static CONFIG_NO_SUCH_OPTION: i32;
#[kconfig(weak)]
static CONFIG_NO_SUCH_MODULE: Tristate;
/// Nothing uses it, so it is not in the object.
#[kconfig]
static CONFIG_UNUSED_AND_MISSING: i32;

macro_rules! numbers {
    ($($name:ident)*) => { $(
        #[unsafe(no_mangle)]
        static mut $name: u64 = 77;
    )* };
}

numbers! {
    bpf_syscall bpf_jit bpf_letter hz physical_start cpus hostname version has_cookie
    missing_option missing_module
    banner put nothing letter nothing_typed locked called released
}

macro_rules! set {
    ($($name:ident = $value:expr;)*) => { $(
        // SAFETY: nothing else writes it meanwhile.
        unsafe { (&raw mut $name).write_volatile($value as u64) };
    )* };
}

#[raw_tracepoint("sys_enter")]
fn configuration(_: &RawTracepointContext) {
    set! {
        bpf_syscall = CONFIG_BPF_SYSCALL.get();
        bpf_jit = CONFIG_BPF_JIT.get().0;
        bpf_letter = CONFIG_BPF.get();
        hz = CONFIG_HZ.get();
        physical_start = CONFIG_PHYSICAL_START.get();
        cpus = CPUS.get();
        hostname = u64::from_ne_bytes(*CONFIG_DEFAULT_HOSTNAME.first_chunk().unwrap());
        version = LINUX_KERNEL_VERSION.get();
        has_cookie = LINUX_HAS_BPF_COOKIE.get();
        missing_option = CONFIG_NO_SUCH_OPTION.get();
        missing_module = CONFIG_NO_SUCH_MODULE.get().0;
    }
}

#[kernel]
struct task_struct {
    pid: i32,
}

#[ksym(weak)]
static linux_banner: ();
#[ksym]
static bpf_prog_put: ();
#[ksym(weak)]
static no_such_symbol: ();
#[ksym(weak)]
static no_such_variable: i32;

#[raw_tracepoint("sys_enter")]
fn symbols(_: &RawTracepointContext) {
    set! {
        banner = linux_banner.address();
        put = bpf_prog_put.address();
        nothing = no_such_symbol.address();
        nothing_typed = no_such_variable.exists();
    }
    if linux_banner.exists()
        && let Ok(read) = read_kernel(linux_banner.address().cast::<u8>())
    {
        set! { letter = read; }
    }
}

#[kfunc]
unsafe extern "C" {
    fn bpf_rcu_read_lock();
    fn bpf_rcu_read_unlock();
    #[weak]
    fn bpf_no_such_function(number: i32, task: *mut task_struct) -> i32;
    #[weak]
    fn bpf_task_from_pid(_: i32) -> *mut task_struct;
    #[weak]
    #[name = "bpf_task_release"]
    fn release(task: *mut task_struct);
    /// Nothing calls it, so it is not in the object.
    fn bpf_unused_and_missing(numbers: *const [u64; 4]) -> bool;
}

#[raw_tracepoint("sys_enter")]
fn functions(_: &RawTracepointContext) {
    // SAFETY: what is locked is unlocked, and what is absent not called.
    unsafe {
        bpf_rcu_read_lock();
        set! { locked = 1; }
        bpf_rcu_read_unlock();
        set! { called = kfunc_exists!(bpf_no_such_function); }
        if kfunc_exists!(bpf_no_such_function) {
            set! { called = bpf_no_such_function(1, core::ptr::null_mut()); }
        }
    }
}

#[syscall]
fn tasks(_: &SyscallContext) -> i32 {
    // SAFETY: what is acquired is released.
    unsafe {
        if kfunc_exists!(bpf_task_from_pid) && kfunc_exists!(release) {
            let current = current_pid_tgid().pid as i32;
            let task = bpf_task_from_pid(current);
            if !task.is_null() {
                set! { released = core_load!(task.pid) == current; }
                release(task);
            }
        }
    }
    0
}
