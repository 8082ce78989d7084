//! Processes, threads, and the areas of their memory.

use core::marker::PhantomData;

use super::{Each, OpenCoded, Slot};
use crate::{co_re::Kernel, external::kfunc};

#[crate::co_re::macros::kernel]
struct task_struct {}

#[crate::co_re::macros::kernel]
struct vm_area_struct {}

#[crate::co_re::macros::kernel]
#[doc(hidden)]
pub struct bpf_iter_task {}

#[crate::co_re::macros::kernel]
#[doc(hidden)]
pub struct bpf_iter_task_vma {}

#[kfunc]
unsafe extern "C" {
    fn bpf_iter_task_new(it: *mut bpf_iter_task, task: *mut task_struct, flags: u32) -> i32;
    fn bpf_iter_task_next(it: *mut bpf_iter_task) -> *mut task_struct;
    fn bpf_iter_task_destroy(it: *mut bpf_iter_task);
    fn bpf_iter_task_vma_new(
        it: *mut bpf_iter_task_vma,
        task: *mut task_struct,
        address: u64,
    ) -> i32;
    fn bpf_iter_task_vma_next(it: *mut bpf_iter_task_vma) -> *mut vm_area_struct;
    fn bpf_iter_task_vma_destroy(it: *mut bpf_iter_task_vma);
}

/// Which tasks: `enum` of `BPF_TASK_ITER_*`.
const PROCESSES: u32 = 0;
const ALL_THREADS: u32 = 1;
const THREADS_OF_ONE: u32 = 2;

/// Processes, by their first threads: `for task in tasks!(task_struct)`, with the program's type of
/// a task, which `#[kernel]` declares.
///
/// Programs that can sleep hold [`rcu_read_lock`](crate::sync::rcu_read_lock) meanwhile. Linux 6.7.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::iterate::{tasks, threads_of};
/// use skep_ebpf::prelude::*;
/// use skep_ebpf::sync::rcu_read_lock;
///
/// license!("GPL");
///
/// #[kernel]
/// struct task_struct {
///     pid: i32,
///     tgid: i32,
/// }
///
/// #[syscall]
/// fn list(_: &SyscallContext) -> i32 {
///     let _guard = rcu_read_lock();
///     for task in tasks!(task_struct) {
///         printk!("process %d", core_load!(task.pid));
///     }
///     // SAFETY: the current task stays while it is current.
///     let current: &task_struct = unsafe { &*current_task() };
///     for thread in threads_of!(current) {
///         printk!("thread %d of this", core_load!(thread.pid));
///     }
///     0
/// }
/// ```
#[doc(alias = "bpf_iter_task")]
#[macro_export]
macro_rules! tasks {
    ($task:ty) => {
        $crate::iterate::every_task::<$task>(&mut $crate::iterate::Slot::new())
    };
}

/// The threads of all processes, as [`tasks!`](crate::tasks). Linux 6.7.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::iterate::threads;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct task_struct {
///     pid: i32,
/// }
///
/// #[raw_tracepoint("sched_process_exit")]
/// fn left(_: &RawTracepointContext) {
///     let mut count = 0;
///     for thread in threads!(task_struct) {
///         count += (core_load!(thread.pid) > 1) as u32;
///     }
///     printk!("%u threads", count);
/// }
/// ```
#[macro_export]
macro_rules! threads {
    ($task:ty) => {
        $crate::iterate::every_thread::<$task>(&mut $crate::iterate::Slot::new())
    };
}

/// The threads of a task's process: `for thread in threads_of!(task)`, as [`tasks!`](crate::tasks).
///
/// Of a task that the verifier trusts: the current one, a hook's argument, or one that was acquired
/// (`bpf_task_acquire`); what [`tasks!`](crate::tasks) gives is none until then. Linux 6.7.
#[macro_export]
macro_rules! threads_of {
    ($task:expr) => {
        $crate::iterate::threads_of(&mut $crate::iterate::Slot::new(), $task)
    };
}

/// A process's areas of memory, from that of an address on:
/// `for area in areas!(vm_area_struct, task, 0)`.
///
/// None where the process has no memory, or its list of areas can't be locked at once. Of one
/// process at a time. Linux 6.7.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::iterate::areas;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct task_struct {}
///
/// #[kernel]
/// struct vm_area_struct {
///     vm_start: u64,
///     vm_end: u64,
/// }
///
/// #[tp_btf("sys_enter")]
/// fn called(_: &TpBtfContext) {
///     // SAFETY: the current task stays while it is current.
///     let task: &task_struct = unsafe { &*current_task() };
///     let mut bytes = 0;
///     for area in areas!(vm_area_struct, task, 0) {
///         bytes += core_load!(area.vm_end) - core_load!(area.vm_start);
///     }
///     printk!("%lu bytes", bytes);
/// }
/// ```
#[doc(alias = "bpf_iter_task_vma")]
#[macro_export]
macro_rules! areas {
    ($area:ty, $task:expr, $address:expr) => {
        $crate::iterate::areas::<$area, _>(&mut $crate::iterate::Slot::new(), $task, $address)
    };
}

/// What [`tasks!`](crate::tasks) and its siblings begin.
pub struct Tasks<'a, T>(PhantomData<&'a T>);

/// What [`areas!`](crate::areas) begins.
pub struct Areas<'a, T>(PhantomData<&'a T>);

/// What [`tasks!`](crate::tasks) makes, with a place for its state.
#[doc(hidden)]
#[inline(always)]
pub fn every_task<T: Kernel>(slot: &mut Slot<bpf_iter_task, 3>) -> Each<'_, Tasks<'_, T>> {
    begin(slot, core::ptr::null_mut(), PROCESSES)
}

/// What [`threads!`](crate::threads) makes, with a place for its state.
#[doc(hidden)]
#[inline(always)]
pub fn every_thread<T: Kernel>(slot: &mut Slot<bpf_iter_task, 3>) -> Each<'_, Tasks<'_, T>> {
    begin(slot, core::ptr::null_mut(), ALL_THREADS)
}

/// What [`threads_of!`](crate::threads_of) makes, with a place for its state.
#[doc(hidden)]
#[inline(always)]
pub fn threads_of<'a, T: Kernel>(
    slot: &'a mut Slot<bpf_iter_task, 3>,
    task: &T,
) -> Each<'a, Tasks<'a, T>> {
    begin(slot, (&raw const *task).cast_mut().cast(), THREADS_OF_ONE)
}

#[inline(always)]
fn begin<T: Kernel>(
    slot: &mut Slot<bpf_iter_task, 3>,
    task: *mut task_struct,
    flags: u32,
) -> Each<'_, Tasks<'_, T>> {
    // SAFETY: the state is given back by `Each`, also where it could not be begun, as the verifier
    // wants it.
    unsafe {
        bpf_iter_task_new(slot.as_mut_ptr(), task, flags);
        Each::begun(slot.as_mut_ptr())
    }
}

/// What [`areas!`](crate::areas) makes, with a place for its state.
#[doc(hidden)]
#[inline(always)]
pub fn areas<'a, A: Kernel, T: Kernel>(
    slot: &'a mut Slot<bpf_iter_task_vma, 1>,
    task: &T,
    address: u64,
) -> Each<'a, Areas<'a, A>> {
    let task = (&raw const *task).cast_mut().cast();
    // SAFETY: as in `begin`.
    unsafe {
        bpf_iter_task_vma_new(slot.as_mut_ptr(), task, address);
        Each::begun(slot.as_mut_ptr())
    }
}

// SAFETY: these are its functions.
unsafe impl<'a, T: Kernel> OpenCoded for Tasks<'a, T> {
    type State = bpf_iter_task;
    type Item = &'a T;

    #[inline(always)]
    unsafe fn next(state: *mut bpf_iter_task) -> Option<&'a T> {
        // SAFETY: begun, says the caller; a task is there, or null.
        unsafe { bpf_iter_task_next(state).cast::<T>().as_ref() }
    }

    #[inline(always)]
    unsafe fn destroy(state: *mut bpf_iter_task) {
        // SAFETY: begun, says the caller.
        unsafe { bpf_iter_task_destroy(state) }
    }
}

// SAFETY: these are its functions.
unsafe impl<'a, T: Kernel> OpenCoded for Areas<'a, T> {
    type State = bpf_iter_task_vma;
    type Item = &'a T;

    #[inline(always)]
    unsafe fn next(state: *mut bpf_iter_task_vma) -> Option<&'a T> {
        // SAFETY: begun, says the caller; an area is there, or null.
        unsafe { bpf_iter_task_vma_next(state).cast::<T>().as_ref() }
    }

    #[inline(always)]
    unsafe fn destroy(state: *mut bpf_iter_task_vma) {
        // SAFETY: begun, says the caller.
        unsafe { bpf_iter_task_vma_destroy(state) }
    }
}
