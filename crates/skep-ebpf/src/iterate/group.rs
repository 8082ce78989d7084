//! Control groups, as a controller sees them.

use core::marker::PhantomData;

use super::{Each, OpenCoded, Slot};
use crate::{co_re::Kernel, external::kfunc};

#[crate::co_re::macros::kernel]
struct cgroup_subsys_state {}

#[crate::co_re::macros::kernel]
#[doc(hidden)]
pub struct bpf_iter_css {}

#[kfunc]
unsafe extern "C" {
    fn bpf_iter_css_new(it: *mut bpf_iter_css, start: *mut cgroup_subsys_state, flags: u32) -> i32;
    fn bpf_iter_css_next(it: *mut bpf_iter_css) -> *mut cgroup_subsys_state;
    fn bpf_iter_css_destroy(it: *mut bpf_iter_css);
}

/// Control groups above or below one, which is among them: `for css in groups!(start, Order::Down)`.
///
/// `start` is a reference or pointer to the program's `cgroup_subsys_state`, which `#[kernel]`
/// declares. Programs that can sleep hold [`rcu_read_lock`](crate::sync::rcu_read_lock) meanwhile.
/// Linux 6.7.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::iterate::{Order, groups};
/// use skep_ebpf::prelude::*;
/// use skep_ebpf::sync::rcu_read_lock;
///
/// license!("GPL");
///
/// #[kernel]
/// struct cgroup_subsys_state {
///     id: i32,
/// }
///
/// #[kernel]
/// struct cgroup {
///     #[name = "self"]
///     own: cgroup_subsys_state,
/// }
///
/// #[kfunc]
/// unsafe extern "C" {
///     fn bpf_cgroup_from_id(id: u64) -> *mut cgroup;
///     fn bpf_cgroup_release(group: *mut cgroup);
/// }
///
/// #[syscall]
/// fn count(_: &SyscallContext) -> i32 {
///     // SAFETY: what is acquired is released.
///     let root = unsafe { bpf_cgroup_from_id(1) };
///     if root.is_null() {
///         return 0;
///     }
///     let mut count = 0;
///     {
///         let _guard = rcu_read_lock();
///         for css in groups!(core_address!(root.own), Order::Down) {
///             count += (core_load!(css.id) != 0) as u32;
///         }
///     }
///     // SAFETY: as above.
///     unsafe { bpf_cgroup_release(root) };
///     printk!("%u groups", count);
///     0
/// }
/// ```
#[doc(alias = "bpf_iter_css")]
#[macro_export]
macro_rules! groups {
    ($start:expr, $order:expr) => {
        $crate::iterate::groups(&mut $crate::iterate::Slot::new(), $start, $order)
    };
}

/// In which order control groups come: `BPF_CGROUP_ITER_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Order {
    /// Those below, each before what is below it.
    #[doc(alias = "BPF_CGROUP_ITER_DESCENDANTS_PRE")]
    Down = 2,
    /// Those below, each behind what is below it.
    #[doc(alias = "BPF_CGROUP_ITER_DESCENDANTS_POST")]
    Back = 3,
    /// Those above.
    #[doc(alias = "BPF_CGROUP_ITER_ANCESTORS_UP")]
    Up = 4,
}

/// What [`groups!`](crate::groups) begins.
pub struct Groups<'a, T>(PhantomData<&'a T>);

/// What [`groups!`](crate::groups) makes, with a place for its state.
#[doc(hidden)]
#[inline(always)]
pub fn groups<T: Kernel>(
    slot: &mut Slot<bpf_iter_css, 3>,
    start: *const T,
    order: Order,
) -> Each<'_, Groups<'_, T>> {
    // SAFETY: the state is given back by `Each`, also where it could not be begun, as the verifier
    // wants it.
    unsafe {
        bpf_iter_css_new(slot.as_mut_ptr(), start.cast_mut().cast(), order as u32);
        Each::begun(slot.as_mut_ptr())
    }
}

// SAFETY: these are its functions.
unsafe impl<'a, T: Kernel> OpenCoded for Groups<'a, T> {
    type State = bpf_iter_css;
    type Item = &'a T;

    #[inline(always)]
    unsafe fn next(state: *mut bpf_iter_css) -> Option<&'a T> {
        // SAFETY: begun, says the caller; a group is there, or null.
        unsafe { bpf_iter_css_next(state).cast::<T>().as_ref() }
    }

    #[inline(always)]
    unsafe fn destroy(state: *mut bpf_iter_css) {
        // SAFETY: begun, says the caller.
        unsafe { bpf_iter_css_destroy(state) }
    }
}
