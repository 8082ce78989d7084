//! A lock in a value, held by a guard.

use core::fmt;

use crate::helper::raw;
use crate::map::Value;
use crate::plain::Plain;

/// A lock in the value of a map, one at most. Linux 5.1.
///
/// While it is held, no helper or function may be called, and only one lock is held at a time: the
/// verifier sees to both.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
/// use skep_ebpf::sync::SpinLock;
///
/// license!("GPL");
///
/// #[repr(C)]
/// #[derive(Plain)]
/// struct Account {
///     lock: SpinLock,
///     packets: u32,
///     bytes: u64,
/// }
///
/// #[map]
/// static ACCOUNTS: Array<Account, 16> = Array::new();
///
/// #[xdp]
/// fn count(_: &XdpContext) -> XdpAction {
///     if let Some(account) = ACCOUNTS.get(0) {
///         let held = field!(account.lock).lock();
///         field!(account.packets).update(|packets| packets + 1);
///         field!(account.bytes).update(|bytes| bytes + 64);
///         drop(held);
///     }
///     XdpAction::PASS
/// }
/// ```
#[allow(non_camel_case_types, reason = "the kernel finds it by this name")]
#[derive(Debug)]
#[repr(C)]
pub struct bpf_spin_lock {
    val: u32,
}

// SAFETY: a number, which is only the kernel's.
unsafe impl Plain for bpf_spin_lock {}

impl bpf_spin_lock {
    /// A lock that nobody holds: what is inserted with a new value. The kernel makes its own of it.
    #[must_use]
    #[inline(always)]
    pub const fn new() -> Self {
        Self { val: 0 }
    }
}

impl Default for bpf_spin_lock {
    #[inline(always)]
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Value<'a, bpf_spin_lock> {
    /// Waits for the lock and holds it until the guard is dropped.
    #[inline(always)]
    pub fn lock(self) -> SpinGuard<'a> {
        // SAFETY: a lock in a value of a map.
        unsafe { raw::bpf_spin_lock(self.as_ptr().cast()) };
        SpinGuard { lock: self }
    }
}

/// A lock that is held. Dropped, it is let go.
#[must_use = "dropped, the lock is let go"]
pub struct SpinGuard<'a> {
    lock: Value<'a, bpf_spin_lock>,
}

impl Drop for SpinGuard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: this lock is held.
        unsafe { raw::bpf_spin_unlock(self.lock.as_ptr().cast()) };
    }
}

impl fmt::Debug for SpinGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpinGuard")
    }
}
