//! Numbers of which some have names.

use core::fmt;

use crate::plain::Plain;

/// A number that is shown by name, where the enumeration `E` has one for it.
///
/// What comes from outside, such as the protocol of a packet, may be any number, which no `enum` of
/// Rust's may be. In the object's types it is an enumeration as C has it: `skep run` shows names,
/// and tests are written with them.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// pub enum Size {
///     Small,
///     Large,
///     Jumbo = 9,
/// }
///
/// #[map]
/// static PACKETS: HashMap<Named<Size>, u64, 16> = HashMap::new();
///
/// #[xdp]
/// fn count(context: &XdpContext) -> XdpAction {
///     let size = match context.packet().len() {
///         ..128 => Size::Small,
///         128..1515 => Size::Large,
///         _ => Size::Jumbo,
///     };
///     if let Ok(packets) = PACKETS.get_or_insert(&Named::new(size as u32), &0) {
///         packets.add(1);
///     }
///     XdpAction::PASS
/// }
/// ```
// No pointer, and none's alignment.
#[repr(C, packed(4))]
pub struct Named<E> {
    number: u32,
    /// For its type alone, which debug information names.
    names: [*const E; 0],
}

impl<E> Named<E> {
    /// A number, whether it has a name or not.
    #[inline(always)]
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self { number, names: [] }
    }

    /// The number.
    #[inline(always)]
    #[must_use]
    pub const fn number(self) -> u32 {
        self.number
    }
}

// SAFETY: a number; what stands behind it has no bytes.
unsafe impl<E> Plain for Named<E> {}

impl<E> Clone for Named<E> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Named<E> {}

impl<E> PartialEq for Named<E> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.number() == other.number()
    }
}

impl<E> Eq for Named<E> {}

impl<E> fmt::Debug for Named<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Named").field(&self.number()).finish()
    }
}
