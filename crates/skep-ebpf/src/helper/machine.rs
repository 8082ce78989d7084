//! Time, chance, and the CPU that runs the program.

use super::raw;

/// Nanoseconds since boot, without the time that the machine was suspended. Linux 4.1.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::ktime_ns;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static LATEST: Array<u64, 1> = Array::new();
///
/// #[xdp]
/// fn note(_: &XdpContext) -> XdpAction {
///     if let Some(latest) = LATEST.get(0) {
///         latest.store(ktime_ns());
///     }
///     XdpAction::PASS
/// }
/// ```
#[doc(alias = "bpf_ktime_get_ns")]
#[inline(always)]
#[must_use]
pub fn ktime_ns() -> u64 {
    // SAFETY: takes nothing.
    unsafe { raw::bpf_ktime_get_ns() }
}

/// Nanoseconds since boot, with the time that the machine was suspended. Linux 5.8.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::ktime_boot_ns;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static LATEST: Array<u64, 1> = Array::new();
///
/// #[xdp]
/// fn note(_: &XdpContext) -> XdpAction {
///     if let Some(latest) = LATEST.get(0) {
///         latest.store(ktime_boot_ns());
///     }
///     XdpAction::PASS
/// }
/// ```
#[doc(alias = "bpf_ktime_get_boot_ns")]
#[inline(always)]
#[must_use]
pub fn ktime_boot_ns() -> u64 {
    // SAFETY: takes nothing.
    unsafe { raw::bpf_ktime_get_boot_ns() }
}

/// Nanoseconds since boot as of the last tick: cheaper, and some milliseconds old. Linux 5.11.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::ktime_coarse_ns;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static LATEST: Array<u64, 1> = Array::new();
///
/// #[xdp]
/// fn note(_: &XdpContext) -> XdpAction {
///     if let Some(latest) = LATEST.get(0) {
///         latest.store(ktime_coarse_ns());
///     }
///     XdpAction::PASS
/// }
/// ```
#[doc(alias = "bpf_ktime_get_coarse_ns")]
#[inline(always)]
#[must_use]
pub fn ktime_coarse_ns() -> u64 {
    // SAFETY: takes nothing.
    unsafe { raw::bpf_ktime_get_coarse_ns() }
}

/// Nanoseconds of atomic time, which has no leap seconds. Linux 6.1.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::ktime_tai_ns;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static LATEST: Array<u64, 1> = Array::new();
///
/// #[xdp]
/// fn note(_: &XdpContext) -> XdpAction {
///     if let Some(latest) = LATEST.get(0) {
///         latest.store(ktime_tai_ns());
///     }
///     XdpAction::PASS
/// }
/// ```
#[doc(alias = "bpf_ktime_get_tai_ns")]
#[inline(always)]
#[must_use]
pub fn ktime_tai_ns() -> u64 {
    // SAFETY: takes nothing.
    unsafe { raw::bpf_ktime_get_tai_ns() }
}

/// The kernel's count of ticks. Linux 5.5.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::jiffies;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static LATEST: Array<u64, 1> = Array::new();
///
/// #[xdp]
/// fn note(_: &XdpContext) -> XdpAction {
///     if let Some(latest) = LATEST.get(0) {
///         latest.store(jiffies());
///     }
///     XdpAction::PASS
/// }
/// ```
#[doc(alias = "bpf_jiffies64")]
#[inline(always)]
#[must_use]
pub fn jiffies() -> u64 {
    // SAFETY: takes nothing.
    unsafe { raw::bpf_jiffies64() }
}

/// A pseudo-random number, not for secrets. Linux 4.1.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::random;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static LATEST: Array<u32, 1> = Array::new();
///
/// #[xdp]
/// fn note(_: &XdpContext) -> XdpAction {
///     if let Some(latest) = LATEST.get(0) {
///         latest.store(random());
///     }
///     XdpAction::PASS
/// }
/// ```
#[doc(alias = "bpf_get_prandom_u32")]
#[inline(always)]
#[must_use]
pub fn random() -> u32 {
    // SAFETY: takes nothing.
    unsafe { raw::bpf_get_prandom_u32() }
}

/// The CPU that runs the program. Linux 4.1.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::processor_id;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static LATEST: Array<u32, 1> = Array::new();
///
/// #[xdp]
/// fn note(_: &XdpContext) -> XdpAction {
///     if let Some(latest) = LATEST.get(0) {
///         latest.store(processor_id());
///     }
///     XdpAction::PASS
/// }
/// ```
#[doc(alias = "bpf_get_smp_processor_id")]
#[inline(always)]
#[must_use]
pub fn processor_id() -> u32 {
    // SAFETY: takes nothing.
    unsafe { raw::bpf_get_smp_processor_id() }
}

/// The NUMA node of the CPU that runs the program. Linux 4.10.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::helper::numa_node;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static LATEST: Array<u32, 1> = Array::new();
///
/// #[xdp]
/// fn note(_: &XdpContext) -> XdpAction {
///     if let Some(latest) = LATEST.get(0) {
///         latest.store(numa_node());
///     }
///     XdpAction::PASS
/// }
/// ```
#[doc(alias = "bpf_get_numa_node_id")]
#[inline(always)]
#[must_use]
pub fn numa_node() -> u32 {
    // SAFETY: takes nothing.
    unsafe { raw::bpf_get_numa_node_id() as u32 }
}
