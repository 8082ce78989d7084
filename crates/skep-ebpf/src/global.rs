//! Variables that programs and user space read and write at any time.

use crate::map::Value;
use crate::plain::Plain;

/// A variable of the object, which all of its programs, on all CPUs, and user space share.
///
/// A `static` of a plain type with `#[global]` is one: it is a [`Value`] there, as the value of a map
/// is, to be loaded, stored, and counted up. `name = "…"` gives it another name in the object.
/// User space finds it by that name: `loaded.global(…)` and `loaded.live(…)` in the library. What is
/// each CPU's own is a [`PerCpuArray`](crate::map::PerCpuArray) of one element, and what only user
/// space changes, before it loads the object, a [`setting`](macro@crate::setting). Linux 5.2.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[repr(C)]
/// #[derive(Clone, Copy, Plain)]
/// struct Longest {
///     time: u64,
///     length: u64,
/// }
///
/// /// Packets so far.
/// #[global]
/// static PACKETS: u64 = 0;
///
/// #[global(name = "longest")]
/// static LONGEST: Longest = Longest { time: 0, length: 60 };
///
/// #[xdp]
/// fn count(context: &XdpContext) -> XdpAction {
///     PACKETS.add(1);
///     let length = context.packet().len() as u64;
///     if length > field!(LONGEST.length).load() {
///         LONGEST.store(Longest { time: ktime_ns(), length });
///     }
///     XdpAction::PASS
/// }
/// ```
pub use skep_ebpf_macros::global;

/// The value that lies there.
///
/// # Safety
///
/// A static is there, and is only used by what this returns.
#[doc(hidden)]
#[must_use]
pub const unsafe fn place<T: Plain>(at: *mut T) -> Value<'static, T> {
    // SAFETY: as the caller says.
    unsafe { Value::new_unchecked(at) }
}
