//! Fields of values with a meaning to the kernel: locks, timers and work; stretches of a program in
//! which something must not happen; and what orders memory.
//!
//! They lie in the values of maps, and are used where they lie: [`field!`](crate::field) leads to
//! them. The kernel finds them by the names of their types.

mod guard;
mod lock;
mod timer;
mod work;

pub use guard::{PreemptGuard, RcuGuard, preempt_disable, rcu_read_lock, without_interrupts};
pub use lock::{SpinGuard, bpf_spin_lock, bpf_spin_lock as SpinLock};
pub use timer::{Clock, Timed, bpf_timer, bpf_timer as Timer};
pub use work::{Work, bpf_wq, bpf_wq as WorkQueue};

/// Keeps the compiler from moving accesses of memory across. It is no instruction.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
/// use skep_ebpf::sync::barrier;
///
/// license!("GPL");
///
/// #[map]
/// static STATE: Array<[u64; 2], 1> = Array::new();
///
/// #[xdp]
/// fn note(_: &XdpContext) -> Result<XdpAction> {
///     let state = STATE.get(0).ok_or(Error::ENOENT)?;
///     state.at(0).ok_or(Error::ENOENT)?.store(1);
///     barrier();
///     state.at(1).ok_or(Error::ENOENT)?.store(ktime_ns());
///     Ok(XdpAction::PASS)
/// }
/// ```
#[inline(always)]
pub fn barrier() {
    // LLVM can't compile a fence of the compiler's alone for BPF either.
    #[cfg(target_arch = "bpf")]
    // SAFETY: there is nothing in it, but the compiler must think that memory changes.
    unsafe {
        core::arch::asm!("", options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "bpf"))]
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
}
