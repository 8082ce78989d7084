//! Tracepoints: records whose fields are found by name, and system calls.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::marker::PhantomData;

use super::{Argument, Context};
use crate::co_re::{Kernel, hidden::Base};
use crate::error::Result;
use crate::helper;
use crate::hook::Is;
use crate::prelude::{core_load, kernel};

/// A tracepoint's record. See [`tracepoint`](crate::hook::tracepoint).
///
/// `T` says which fields it has: the kernel's type of the record, `trace_event_raw_` and the
/// tracepoint's class, declared by the fields that are used. [`core_load!`](crate::core_load) and
/// [`core_read!`](crate::core_read) then take the context itself. Most programs need no such type,
/// since the attribute hands fields over by name.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct trace_event_raw_sched_switch {
///     prev_pid: i32,
///     next_comm: [u8; 16],
/// }
///
/// #[tracepoint("sched/sched_switch")]
/// fn switched(context: &TracepointContext<trace_event_raw_sched_switch>) -> Result {
///     let pid = core_load!(context.prev_pid);
///     let mut comm = [0_u8; 16];
///     core_read_into!(context.next_comm, &mut comm)?;
///     printk!("from %d to %s", pid, &comm);
///     Ok(())
/// }
/// ```
#[repr(transparent)]
pub struct TracepointContext<T = ()>(UnsafeCell<[u8; 0]>, PhantomData<T>);

impl<T> Context for TracepointContext<T> {
    type Raw = c_void;
}

impl<T> Is<TracepointContext> for TracepointContext<T> {}

impl<T: Kernel> Base for &TracepointContext<T> {
    type Kernel = T;

    #[inline(always)]
    fn address(&self) -> *const u8 {
        self.as_ptr().cast_const().cast()
    }
}

impl<T> TracepointContext<T> {
    /// Its address.
    #[inline(always)]
    #[must_use]
    pub const fn as_ptr(&self) -> *mut c_void {
        self.0.get().cast()
    }

    /// The number that was given when the program was attached; 0 if none was. Linux 5.15.
    #[doc(alias = "bpf_get_attach_cookie")]
    #[inline(always)]
    #[must_use]
    pub fn attach_cookie(&self) -> u64 {
        // SAFETY: the context.
        unsafe { helper::raw::bpf_get_attach_cookie(self.as_ptr()) }
    }
}

/// The record of a system call's entry.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[tracepoint("raw_syscalls/sys_enter")]
/// fn call(context: &TracepointContext<SysEnter>) {
///     printk!("call %lld, first argument %llx", context.id(), context.argument::<u64>(0));
/// }
/// ```
#[doc(alias = "trace_event_raw_sys_enter")]
#[kernel(name = "trace_event_raw_sys_enter")]
pub struct SysEnter {
    id: i64,
    args: [u64; 6],
}

/// The record of a system call's return.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[tracepoint("raw_syscalls/sys_exit")]
/// fn failed(context: &TracepointContext<SysExit>) {
///     if context.returned() < 0 {
///         printk!("call %lld failed with %lld", context.id(), context.returned());
///     }
/// }
/// ```
#[doc(alias = "trace_event_raw_sys_exit")]
#[kernel(name = "trace_event_raw_sys_exit")]
pub struct SysExit {
    id: i64,
    ret: i64,
}

impl TracepointContext<SysEnter> {
    /// The system call's number.
    #[inline(always)]
    #[must_use]
    pub fn id(&self) -> i64 {
        core_load!(self.id)
    }

    /// An argument of the system call, of six from 0.
    #[inline(always)]
    #[must_use]
    pub fn argument<T: Argument>(&self, index: usize) -> T {
        T::from_raw(match index {
            0 => core_load!(self.args[0]),
            1 => core_load!(self.args[1]),
            2 => core_load!(self.args[2]),
            3 => core_load!(self.args[3]),
            4 => core_load!(self.args[4]),
            5 => core_load!(self.args[5]),
            _ => panic!("a system call has six arguments at most"),
        })
    }
}

impl TracepointContext<SysExit> {
    /// The system call's number.
    #[inline(always)]
    #[must_use]
    pub fn id(&self) -> i64 {
        core_load!(self.id)
    }

    /// What the system call returned: a negative error, or what its manual says.
    #[inline(always)]
    #[must_use]
    pub fn returned(&self) -> i64 {
        core_load!(self.ret)
    }
}

/// A field of a tracepoint's record whose length differs from one to the other: text, mostly. In
/// the kernel its name begins with `__data_loc_`.
#[doc(alias = "__data_loc")]
#[derive(Clone, Copy)]
pub struct DynamicField {
    start: *const u8,
    len: u16,
}

impl DynamicField {
    /// What the word in the record says, where in the record it is.
    #[doc(hidden)]
    #[inline(always)]
    #[must_use]
    pub fn new(record: *const u8, place: u32) -> Self {
        Self {
            start: record.wrapping_add((place & 0xffff) as usize),
            len: (place >> 16) as u16,
        }
    }

    /// How many bytes it has, with the NUL of text.
    #[inline(always)]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.into()
    }

    /// Whether it has none.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[tracepoint("sched/sched_process_exec")]
    /// fn executed(filename: DynamicField) {
    ///     if filename.is_empty() {
    ///         printk!("by a descriptor");
    ///     }
    /// }
    /// ```
    #[inline(always)]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where it is, for [`read_kernel`](crate::helper::read_kernel).
    #[inline(always)]
    #[must_use]
    pub const fn as_ptr(&self) -> *const u8 {
        self.start
    }

    /// Copies text into a buffer, up to its NUL or as much as there is room for, with a NUL at the
    /// end in any case; gives the length with it.
    ///
    /// # Errors
    /// Those of [`read_kernel_str`](crate::helper::read_kernel_str).
    #[inline(always)]
    pub fn read_str(&self, into: &mut [u8]) -> Result<usize> {
        helper::read_kernel_str(into, self.start)
    }
}
