//! Loops over what the kernel has: its open-coded iterators, as `for`.
//!
//! | loop | over | since Linux |
//! |---|---|---|
//! | `for number in range!(0..1000)` | numbers | 6.4 |
//! | `for bit in bits!(words)` | bits that are set in memory | 6.11 |
//! | `for task in tasks!(task_struct)` | processes; all threads by `threads!` | 6.7 |
//! | `for thread in threads_of!(task)` | threads of a process | 6.7 |
//! | `for area in areas!(vm_area_struct, task, 0)` | a process's memory areas | 6.7 |
//! | `for css in groups!(start, Order::Down)` | control groups above or below one | 6.7 |
//!
//! The verifier looks at such a loop until a round changes nothing that matters to it, so that it
//! needs no bound. Whichever way a loop is left (`break`, `return`, `?`), the iterator is given back.
//!
//! Its state lies on the program's stack and may not be moved, which is why these are macros: each
//! makes a [`Slot`] that stays where it is until the loop has ended. Another of the kernel's iterators
//! is declared by its functions (`#[kfunc]`) and [`OpenCoded`].
//!
//! Loops without an iterator: [`repeat`](crate::helper::repeat) calls a closure,
//! [`can_loop`](crate::helper::can_loop) ends any loop for the verifier.

use core::{marker::PhantomData, mem::MaybeUninit};

mod group;
mod number;
mod task;

pub use crate::{areas, bits, groups, range, tasks, threads, threads_of};
pub use group::{Groups, Order, groups};
pub use number::{Bits, Numbers, bits, numbers};
pub use task::{Areas, Tasks, areas, every_task, every_thread, threads_of};

/// Memory on the program's stack for `WORDS` times 8 bytes of state, which a kernel calls `T`.
#[repr(C)]
pub struct Slot<T, const WORDS: usize> {
    state: MaybeUninit<[u64; WORDS]>,
    of: PhantomData<T>,
}

impl<T, const WORDS: usize> Slot<T, WORDS> {
    /// Nothing yet.
    #[allow(clippy::new_without_default)]
    #[inline(always)]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: MaybeUninit::uninit(),
            of: PhantomData,
        }
    }

    /// Where it is.
    #[inline(always)]
    #[must_use]
    pub const fn as_mut_ptr(&mut self) -> *mut T {
        self.state.as_mut_ptr().cast()
    }
}

/// One of the kernel's open-coded iterators.
///
/// # Safety
/// `next` and `destroy` call the kernel's functions for `State`.
///
/// That of the example is in Linux 6.14.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::iterate::{Each, OpenCoded, Slot};
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct kmem_cache {
///     object_size: u32,
/// }
///
/// #[kernel]
/// struct bpf_iter_kmem_cache {}
///
/// #[kfunc]
/// unsafe extern "C" {
///     fn bpf_iter_kmem_cache_new(it: *mut bpf_iter_kmem_cache) -> i32;
///     fn bpf_iter_kmem_cache_next(it: *mut bpf_iter_kmem_cache) -> *mut kmem_cache;
///     fn bpf_iter_kmem_cache_destroy(it: *mut bpf_iter_kmem_cache);
/// }
///
/// struct Caches;
///
/// // SAFETY: these are its functions.
/// unsafe impl OpenCoded for Caches {
///     type State = bpf_iter_kmem_cache;
///     type Item = *mut kmem_cache;
///     unsafe fn next(state: *mut bpf_iter_kmem_cache) -> Option<*mut kmem_cache> {
///         let cache = unsafe { bpf_iter_kmem_cache_next(state) };
///         (!cache.is_null()).then_some(cache)
///     }
///     unsafe fn destroy(state: *mut bpf_iter_kmem_cache) {
///         unsafe { bpf_iter_kmem_cache_destroy(state) }
///     }
/// }
///
/// #[syscall]
/// fn caches(_: &SyscallContext) -> i32 {
///     let mut slot = Slot::<bpf_iter_kmem_cache, 1>::new();
///     // SAFETY: begun, and given back by `Each`.
///     let caches = unsafe {
///         bpf_iter_kmem_cache_new(slot.as_mut_ptr());
///         Each::<Caches>::begun(slot.as_mut_ptr())
///     };
///     let mut largest = 0;
///     for cache in caches {
///         largest = largest.max(core_load!(cache.object_size));
///     }
///     printk!("%u bytes are the largest", largest);
///     0
/// }
/// ```
pub unsafe trait OpenCoded {
    /// The kernel's type of its state.
    type State;
    /// What it gives.
    type Item;

    /// The next, if there is one.
    ///
    /// # Safety
    /// The iterator was begun, and not given back.
    unsafe fn next(state: *mut Self::State) -> Option<Self::Item>;

    /// Gives the iterator back.
    ///
    /// # Safety
    /// As [`next`](Self::next), and it is not used again.
    unsafe fn destroy(state: *mut Self::State);
}

/// An iterator that was begun, and is given back when it is dropped.
pub struct Each<'a, I: OpenCoded> {
    state: *mut I::State,
    of: PhantomData<&'a mut I>,
}

impl<I: OpenCoded> Each<'_, I> {
    /// Of a state that was begun.
    ///
    /// # Safety
    /// Nothing else uses the state, which stays where it is.
    #[inline(always)]
    pub unsafe fn begun(state: *mut I::State) -> Self {
        Self {
            state,
            of: PhantomData,
        }
    }
}

impl<I: OpenCoded> Iterator for Each<'_, I> {
    type Item = I::Item;

    #[inline(always)]
    fn next(&mut self) -> Option<I::Item> {
        // SAFETY: begun, and not given back before it is dropped.
        unsafe { I::next(self.state) }
    }
}

impl<I: OpenCoded> Drop for Each<'_, I> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: begun, and nothing uses it any more.
        unsafe { I::destroy(self.state) }
    }
}
