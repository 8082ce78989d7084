//! Stacks, copied.

use super::raw;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::map::{StackFlags, context};

/// Copies the addresses of a stack, the innermost first; gives how many there are. `EFAULT` where
/// there is no such stack. Linux 4.18.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::read_stack;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static STACKS: RingBuf<{ 64 * 1024 }> = RingBuf::new();
///
/// #[perf_event]
/// fn sample(context: &PerfEventContext) -> Result {
///     let mut stack = STACKS.reserve::<[u64; 127]>()?;
///     read_stack(context, &mut stack, StackFlags::USER)?;
///     stack.submit();
///     Ok(())
/// }
/// ```
#[doc(alias = "bpf_get_stack")]
#[inline(always)]
pub fn read_stack<C: Context, const N: usize>(
    of: &C,
    into: &mut [u64; N],
    flags: StackFlags,
) -> Result<usize> {
    // SAFETY: writes inside of the array; the context is the program's own, or the verifier says so.
    Error::check(unsafe {
        raw::bpf_get_stack(
            context(of),
            into.as_mut_ptr().cast(),
            size_of::<[u64; N]>() as u32,
            flags.raw(),
        )
    })
    .map(|bytes| bytes as usize / size_of::<u64>())
}
