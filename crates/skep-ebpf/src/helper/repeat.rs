//! Loops: by a helper that calls a closure, and by an instruction that ends a loop for the verifier.

use core::ffi::c_void;
use core::ops::ControlFlow;

use super::raw;
use crate::error::{Error, Result};

/// What a closure says that is called again and again: go on, or stop. Nothing means go on.
pub trait Step {
    /// Whether that was the last time.
    fn stops(self) -> bool;
}

impl Step for () {
    #[inline(always)]
    fn stops(self) -> bool {
        false
    }
}

impl Step for ControlFlow<()> {
    #[inline(always)]
    fn stops(self) -> bool {
        self.is_break()
    }
}

/// Calls a closure with 0, 1, 2 … up to, but without, `times`; gives how often it was called.
///
/// The verifier looks at the closure once, so there may be up to 8 million rounds. `E2BIG` where
/// there are more. Linux 5.17.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use core::ops::ControlFlow;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static SUMS: Array<u64, 1> = Array::new();
///
/// #[xdp]
/// fn sum(_: &XdpContext) -> XdpAction {
///     let mut sum = 0_u64;
///     let _ = repeat(1000, |round| {
///         sum += u64::from(round);
///         if sum > 10_000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
///     });
///     let _ = SUMS.set(0, &sum);
///     XdpAction::PASS
/// }
/// ```
#[doc(alias = "bpf_loop")]
#[inline(always)]
pub fn repeat<F: FnMut(u32) -> S, S: Step>(times: u32, mut step: F) -> Result<u32> {
    let callback: extern "C" fn(u32, *mut F) -> i64 = round::<F, S>;
    // SAFETY: calls the function with the address of the closure while it is here.
    let rounds =
        unsafe { raw::bpf_loop(times, callback as *mut c_void, (&raw mut step).cast(), 0) };
    // Where the verifier puts the loop in the helper's place, its error has 32 bits only.
    Error::check(i64::from(rounds as i32)).map(|rounds| rounds as u32)
}

extern "C" fn round<F: FnMut(u32) -> S, S: Step>(round: u32, step: *mut F) -> i64 {
    // SAFETY: the closure of `repeat`, which nobody else uses meanwhile.
    let step = unsafe { &mut *step };
    i64::from(step(round).stops())
}

/// Whether a loop may go on: a `while can_loop()` needs no bound that the verifier could see. The
/// kernel ends it after 8 million rounds, or a quarter of a second. Linux 6.9.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static ROUNDS: Array<u64, 1> = Array::new();
///
/// #[xdp]
/// fn roll(_: &XdpContext) -> XdpAction {
///     if let Some(rounds) = ROUNDS.get(0) {
///         while can_loop() && random() % 6 != 0 {
///             rounds.update(|rounds| rounds + 1);
///         }
///     }
///     XdpAction::PASS
/// }
/// ```
#[doc(alias = "may_goto")]
#[inline(always)]
#[must_use]
pub fn can_loop() -> bool {
    #[cfg(target_arch = "bpf")]
    {
        // SAFETY: jumps to the label, or not.
        unsafe { core::arch::asm!("may_goto {}", label { return false }) };
        true
    }
    #[cfg(not(target_arch = "bpf"))]
    super::call::not_here("may_goto")
}
