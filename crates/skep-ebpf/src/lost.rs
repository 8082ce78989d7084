//! What could not be handed on is counted, as `SKEP_LOST()` of `skep.h` does in C.

/// By this name, `skep run` finds it and shows the sum. In objects that never count, it is not
/// there.
#[cfg(target_arch = "bpf")]
#[allow(non_upper_case_globals, reason = "the name is what it is found by")]
#[unsafe(link_section = ".bss")]
static mut skep_lost: u64 = 0;

/// Counts an event that could not be handed on: a map that is full, a record that did not fit.
///
/// `skep run` shows the sum, so that nothing is lost in silence. Rings count by themselves.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static CALLS: HashMap<u32, u64, 16> = HashMap::new();
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     CALLS.insert(&1, &1).inspect_err(|_| count_lost())
/// }
/// ```
#[doc(alias = "SKEP_LOST")]
#[inline(always)]
pub fn count_lost() {
    #[cfg(target_arch = "bpf")]
    // SAFETY: a number of this object, which only such additions write.
    unsafe {
        core::sync::atomic::AtomicU64::from_ptr(&raw mut skep_lost)
            .fetch_add(1, core::sync::atomic::Ordering::Relaxed);
    }
    #[cfg(not(target_arch = "bpf"))]
    crate::helper::call::not_here("skep_lost")
}
