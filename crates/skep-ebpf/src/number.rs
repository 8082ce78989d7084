//! Arithmetic that BPF has no instruction for.

/// The whole part of the logarithm to base 2, and 0 for 0: a slot of a histogram.
///
/// Without a loop or a table, and seen by the verifier to be at most 63.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map(histogram = "ns")]
/// static TIMES: Array<u64, 64> = Array::new();
///
/// #[tracepoint("syscalls/sys_enter_getpid")]
/// fn called(_: &TracepointContext) -> Result {
///     TIMES.get(log2(ktime_ns())).ok_or(Error::ENOENT)?.add(1);
///     Ok(())
/// }
/// ```
///
/// ```
/// assert_eq!(skep_ebpf::log2(0), 0);
/// assert_eq!(skep_ebpf::log2(1023), 9);
/// assert_eq!(skep_ebpf::log2(u64::MAX), 63);
/// ```
#[doc(alias = "skep_log2")]
#[inline(always)]
#[must_use]
pub const fn log2(mut value: u64) -> u32 {
    let mut log = 0;
    let mut half = ((value > 0xffff_ffff) as u32) << 5;
    value >>= half;
    log |= half;
    half = ((value > 0xffff) as u32) << 4;
    value >>= half;
    log |= half;
    half = ((value > 0xff) as u32) << 3;
    value >>= half;
    log |= half;
    half = ((value > 0xf) as u32) << 2;
    value >>= half;
    log |= half;
    half = ((value > 3) as u32) << 1;
    value >>= half;
    log |= half;
    log | (value >> 1) as u32
}
