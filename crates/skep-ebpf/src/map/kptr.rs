//! References to objects of the kernel that the values of maps hold.

use core::ffi::c_void;
use core::fmt;

use super::Value;
use crate::co_re::Kernel;
use crate::helper::raw;
use crate::plain::Plain;

/// A reference to an object of the kernel, in the value of a map: it stays while it is there, and the
/// kernel gives it up with the entry. Linux 6.4.
///
/// `T` is declared with `#[kernel]`, and one of those that have references: `task_struct`, `cgroup`,
/// `bpf_cpumask`, `bpf_crypto_ctx`, `nf_conn`. [`swap`](Value::swap) puts one in and takes one out;
/// [`get`](Value::get) looks at what is there. Programs read and write the field by these alone, which
/// the verifier sees to, and user space sees zeros.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::map::Kptr;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct task_struct {
///     tgid: i32,
/// }
///
/// #[kfunc]
/// unsafe extern "C" {
///     fn bpf_task_acquire(task: *mut task_struct) -> *mut task_struct;
///     fn bpf_task_release(task: *mut task_struct);
/// }
///
/// #[repr(C)]
/// #[derive(Plain)]
/// struct Latest {
///     task: Kptr<task_struct>,
/// }
///
/// #[map]
/// static LATEST: Array<Latest, 1> = Array::new();
///
/// #[tp_btf("task_newtask")]
/// fn created(task: &task_struct) -> Result {
///     let latest = LATEST.get(0).ok_or(Error::ENOENT)?;
///     if let Some(before) = field!(latest.task).get() {
///         printk!("%d is the one before", core_load!(before.tgid));
///     }
///     // SAFETY: what is acquired is put away, and what was there is released.
///     unsafe {
///         let task = bpf_task_acquire(core::ptr::from_ref(task).cast_mut());
///         if !task.is_null() {
///             let before = field!(latest.task).swap(task);
///             if !before.is_null() {
///                 bpf_task_release(before);
///             }
///         }
///     }
///     Ok(())
/// }
/// ```
#[doc(alias = "__kptr")]
#[repr(C)]
pub struct Kptr<T> {
    at: *mut c_void,
    /// For its type alone: `skep build` makes a pointer to it of this, with the tag `kptr`.
    of: [T; 0],
}

// SAFETY: an address, which only the kernel and the verifier's rules follow.
unsafe impl<T: Kernel> Plain for Kptr<T> {}

impl<T> Kptr<T> {
    /// No reference: what is inserted with a new value.
    #[must_use]
    #[inline(always)]
    pub const fn new() -> Self {
        let at = core::ptr::null_mut();
        Self { at, of: [] }
    }
}

impl<T> Default for Kptr<T> {
    #[inline(always)]
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Kptr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kptr").field(&self.at).finish()
    }
}

impl<'a, T: Kernel> Value<'a, Kptr<T>> {
    /// Puts a reference in, or null, and gives what was there, or null. Both are the program's to care
    /// for: one that it acquired, and one that it must release, or put elsewhere.
    #[doc(alias = "bpf_kptr_xchg")]
    #[inline(always)]
    pub fn swap(self, new: *mut T) -> *mut T {
        // SAFETY: a field for references, and the verifier lets nothing else be put there.
        unsafe { raw::bpf_kptr_xchg(self.as_ptr().cast(), new.cast()).cast() }
    }

    /// What is there, without taking it: valid until the program ends, or in programs that sleep while
    /// they hold [`rcu_read_lock`](crate::sync::rcu_read_lock). Of types that are not protected so
    /// (`bpf_crypto_ctx`, `nf_conn`), fields can only be read.
    #[inline(always)]
    pub fn get(self) -> Option<&'a T> {
        let field = self.as_ptr().cast::<*const T>();
        // SAFETY: the field is there; volatile, since others write to it. What is at the address has no
        // size here, and is only gone into by relocated loads, which the verifier judges.
        unsafe { field.read_volatile().as_ref() }
    }
}
