//! Stretches of a program in which something must not happen, as guards.

use core::marker::PhantomData;
use core::mem::MaybeUninit;

use crate::external::kfunc;

#[kfunc]
unsafe extern "C" {
    fn bpf_rcu_read_lock();
    fn bpf_rcu_read_unlock();
    fn bpf_preempt_disable();
    fn bpf_preempt_enable();
    fn bpf_local_irq_save(flags: *mut u64);
    fn bpf_local_irq_restore(flags: *mut u64);
}

/// What [`rcu_read_lock`] gives; dropped, the stretch ends.
#[must_use = "the lock is released when this is dropped"]
pub struct RcuGuard(PhantomData<*const ()>);

/// Keeps what RCU protects, until the guard is dropped: pointers that the verifier calls `rcu` may
/// be followed meanwhile, in programs that can sleep. All others are in such a stretch always.
///
/// Nothing in it may sleep. They can be nested since Linux 6.18. Linux 6.2.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
/// use skep_ebpf::sync::rcu_read_lock;
///
/// license!("GPL");
///
/// #[kernel]
/// struct task_struct {
///     tgid: i32,
///     real_parent: *const task_struct,
/// }
///
/// #[syscall]
/// fn parent(_: &SyscallContext) -> i32 {
///     let task: *const task_struct = current_task();
///     let _guard = rcu_read_lock();
///     core_load!(task.real_parent.tgid)
/// }
/// ```
#[doc(alias = "bpf_rcu_read_lock")]
#[inline(always)]
pub fn rcu_read_lock() -> RcuGuard {
    // SAFETY: the guard unlocks it.
    unsafe { bpf_rcu_read_lock() };
    RcuGuard(PhantomData)
}

impl Drop for RcuGuard {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: it was locked.
        unsafe { bpf_rcu_read_unlock() }
    }
}

/// What [`preempt_disable`] gives; dropped, the stretch ends.
#[must_use = "preemption is enabled again when this is dropped"]
pub struct PreemptGuard(PhantomData<*const ()>);

/// Keeps other tasks from this CPU, until the guard is dropped. Nothing in it may sleep. Linux 6.10.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
/// use skep_ebpf::sync::preempt_disable;
///
/// license!("GPL");
///
/// #[map]
/// static RUNS: PerCpuArray<u64, 1> = PerCpuArray::new();
///
/// #[syscall]
/// fn run(_: &SyscallContext) -> i32 {
///     let _guard = preempt_disable();
///     // Nobody else on this CPU writes it meanwhile.
///     if let Some(runs) = RUNS.get(0) {
///         runs.update(|runs| runs + 1);
///     }
///     processor_id() as i32
/// }
/// ```
#[doc(alias = "bpf_preempt_disable")]
#[inline(always)]
pub fn preempt_disable() -> PreemptGuard {
    // SAFETY: the guard enables it.
    unsafe { bpf_preempt_disable() };
    PreemptGuard(PhantomData)
}

impl Drop for PreemptGuard {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: it was disabled.
        unsafe { bpf_preempt_enable() }
    }
}

/// Runs a function while this CPU takes no interrupts, and gives what it gives. Nothing in it may
/// sleep. A function and no guard: the verifier follows the place on the stack where the state is
/// kept, which must not move. They can be nested. Linux 6.14.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
/// use skep_ebpf::sync::without_interrupts;
///
/// license!("GPL");
///
/// #[map]
/// static RUNS: PerCpuArray<u64, 1> = PerCpuArray::new();
///
/// #[syscall]
/// fn run(_: &SyscallContext) -> i32 {
///     without_interrupts(|| {
///         // Not even an interrupt of this CPU writes it meanwhile.
///         if let Some(runs) = RUNS.get(0) {
///             runs.update(|runs| runs + 1);
///         }
///         processor_id() as i32
///     })
/// }
/// ```
#[doc(alias = "bpf_local_irq_save")]
#[inline(always)]
pub fn without_interrupts<R>(run: impl FnOnce() -> R) -> R {
    let mut flags = MaybeUninit::<u64>::uninit();
    // SAFETY: a place that nobody else sees, in which the kernel keeps the state.
    unsafe { bpf_local_irq_save(flags.as_mut_ptr()) };
    let result = run();
    // SAFETY: saved there, and the last that was.
    unsafe { bpf_local_irq_restore(flags.as_mut_ptr()) };
    result
}
