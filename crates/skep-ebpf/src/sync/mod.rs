//! Fields of values with a meaning to the kernel: locks and timers; and what orders memory.
//!
//! They lie in the values of maps, and are used where they lie: [`field!`](crate::field) leads to
//! them. The kernel finds them by the names of their types.

mod lock;
mod timer;

pub use lock::{SpinGuard, bpf_spin_lock, bpf_spin_lock as SpinLock};
pub use timer::{Clock, Timed, bpf_timer, bpf_timer as Timer};

/// Keeps the compiler from moving accesses of memory across.
#[inline(always)]
pub fn barrier() {
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
}
