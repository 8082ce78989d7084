//! Settings: variables that are fixed when an object is loaded.

/// A variable that who loads the object may set before, and programs only read.
///
/// The verifier knows its value, and leaves out what a value makes unreachable: a filter that is
/// not used costs nothing. A `static` of a plain type with `#[setting]` is one; `name = "…"` gives it
/// another name. `skep run` sets it by `--set NAME=VALUE`, and `target_pid` and `target_uid` by `-p`
/// and `-u`; the library by `object.global(NAME)`. Linux 5.2.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// /// Packets from this length on are dropped.
/// #[setting]
/// static LONGEST: u64 = 1500;
///
/// #[xdp]
/// fn limit(context: &XdpContext) -> XdpAction {
///     let _ = context;
///     match LONGEST.get() {
///         0 => XdpAction::DROP,
///         _ => XdpAction::PASS,
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Setting<T: 'static>(&'static T);

pub use skep_ebpf_macros::setting;

impl<T: Copy> Setting<T> {
    /// The setting that stands there.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(place: &'static T) -> Self {
        Self(place)
    }

    /// Its value.
    #[inline(always)]
    #[must_use]
    pub fn get(self) -> T {
        // SAFETY: a reference; volatile, since it is not the value that the compiler sees.
        unsafe { core::ptr::read_volatile(self.0) }
    }
}
