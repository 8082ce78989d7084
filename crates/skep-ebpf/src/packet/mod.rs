//! Packets: reading and writing their headers with checks that the kernel's verifier follows.
//!
//! ```
//! #![no_std]
//! #![no_main]
//! use skep_ebpf::prelude::*;
//!
//! license!("GPL");
//!
//! /// Drops UDP to port 7.
//! #[xdp]
//! fn no_echo(context: &XdpContext) -> XdpAction {
//!     match udp_port(context) {
//!         Some(7) => XdpAction::DROP,
//!         _ => XdpAction::PASS,
//!     }
//! }
//!
//! fn udp_port(context: &XdpContext) -> Option<u16> {
//!     let mut cursor = context.packet().cursor();
//!     if cursor.next::<Ethernet>()?.ethertype() != ethertype::IPV4 {
//!         return None;
//!     }
//!     // Its options are skipped.
//!     if cursor.ipv4()?.protocol() != protocol::UDP {
//!         return None;
//!     }
//!     Some(cursor.next::<Udp>()?.destination())
//! }
//! ```
//!
//! The verifier lets a program access what it compared with the end of the packet, by the very
//! register that it compared. A compiler that knows how such a pointer came about may compute it
//! once more, or compare another one; so a pointer whose offset is not a constant is hidden from
//! it (which costs no instruction). Headers are read by one load a field, as wide as the field.

mod checksum;
mod cursor;
mod header;
mod numbers;

use core::marker::PhantomData;

use crate::Plain;
use crate::hidden::{hide, known};

pub use checksum::Checksum;
pub use cursor::Cursor;
pub use header::{Arp, Ethernet, Icmp, Ipv4, Ipv6, Tcp, Udp, Vlan};
pub use numbers::{ethertype, protocol, tcp_flags};

/// The farthest offset that the verifier follows, less the largest header.
const FARTHEST: usize = 0x7fff;

/// Whether a packet can be written to.
pub trait Mode {
    /// How a part of it is lent.
    type Ref<'a, T: 'a>;

    /// The part at an address.
    ///
    /// # Safety
    /// The address is inside of the packet with all of `T`, nobody else has it while `'a` lasts if
    /// it can be written to.
    unsafe fn lend<'a, T: 'a>(at: *mut u8) -> Self::Ref<'a, T>;
}

/// A packet that is read.
#[derive(Debug, Clone, Copy)]
pub struct Shared;

/// A packet that is written to.
#[derive(Debug)]
pub struct Exclusive;

impl Mode for Shared {
    type Ref<'a, T: 'a> = &'a T;

    #[inline(always)]
    unsafe fn lend<'a, T: 'a>(at: *mut u8) -> &'a T {
        // SAFETY: the caller's promise; it has no alignment.
        unsafe { &*at.cast() }
    }
}

impl Mode for Exclusive {
    type Ref<'a, T: 'a> = &'a mut T;

    #[inline(always)]
    unsafe fn lend<'a, T: 'a>(at: *mut u8) -> &'a mut T {
        // SAFETY: the caller's promise; it has no alignment.
        unsafe { &mut *at.cast() }
    }
}

/// The part of a packet that lies in one piece: all of most, the headers of others (see
/// `pull_data` of contexts).
///
/// It is lent by a context, and ends with what changes where the packet lies: the compiler sees to
/// that.
#[derive(Debug)]
pub struct Packet<'a, M = Shared> {
    start: *mut u8,
    end: *mut u8,
    life: PhantomData<(&'a mut u8, M)>,
}

/// A packet that is written to.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[xdp]
/// fn clear(context: &mut XdpContext) -> XdpAction {
///     match context.packet().is_empty() {
///         true => XdpAction::ABORTED,
///         false => cleared(context.packet_mut()),
///     }
/// }
///
/// fn cleared(mut packet: PacketMut<'_>) -> XdpAction {
///     if let Some(bytes) = packet.write::<[u8; 6]>(0) {
///         *bytes = [0; 6];
///     }
///     XdpAction::PASS
/// }
/// ```
pub type PacketMut<'a> = Packet<'a, Exclusive>;

impl Clone for Packet<'_> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl Copy for Packet<'_> {}

impl<'a, M: Mode> Packet<'a, M> {
    /// What lies between two pointers.
    ///
    /// # Safety
    /// They are the pointers of a context which is lent for `'a`, as `M` says.
    #[inline(always)]
    pub(crate) unsafe fn new(start: *mut u8, end: *mut u8) -> Self {
        Self {
            start,
            end,
            life: PhantomData,
        }
    }

    /// How many bytes there are in one piece.
    #[inline(always)]
    #[must_use]
    pub fn len(&self) -> usize {
        // A cursor may have skipped more than there is.
        (self.end as usize).saturating_sub(self.start as usize)
    }

    /// Whether there is nothing.
    #[inline(always)]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// Goes through the packet from its start.
    #[inline(always)]
    #[must_use]
    pub fn cursor(self) -> Cursor<'a, M> {
        Cursor::new(self.start, self.end)
    }

    #[inline(always)]
    fn place(&self, offset: usize, size: usize) -> Option<*mut u8> {
        let at = if known(offset) {
            self.start.wrapping_add(offset)
        } else {
            add(self.start, offset)?
        };
        (at.wrapping_add(size) <= self.end).then_some(at)
    }
}

impl<'a> Packet<'a> {
    /// What is at an offset: nothing, if it is not all there.
    #[inline(always)]
    #[must_use]
    pub fn read<T: Plain>(self, offset: usize) -> Option<&'a T> {
        let at = self.place(offset, size_of::<T>())?;
        unaligned::<T>();
        // SAFETY: it ends before the packet does, which is lent as long as it.
        Some(unsafe { Shared::lend(at) })
    }
}

impl Packet<'_, Exclusive> {
    /// What is at an offset: nothing, if it is not all there.
    #[inline(always)]
    #[must_use]
    pub fn read<T: Plain>(&self, offset: usize) -> Option<&T> {
        let at = self.place(offset, size_of::<T>())?;
        unaligned::<T>();
        // SAFETY: it ends before the packet does, and `&self` is lent as long as it.
        Some(unsafe { Shared::lend(at) })
    }

    /// What is at an offset, to be changed: nothing, if it is not all there.
    #[inline(always)]
    #[must_use]
    pub fn write<T: Plain>(&mut self, offset: usize) -> Option<&mut T> {
        let at = self.place(offset, size_of::<T>())?;
        unaligned::<T>();
        // SAFETY: it ends before the packet does, and `&mut self` is lent as long as it.
        Some(unsafe { Exclusive::lend(at) })
    }
}

/// A pointer by so many bytes farther, which the compiler knows nothing else of: nothing, if it is
/// farther than the verifier follows.
#[inline(always)]
fn add(pointer: *mut u8, offset: usize) -> Option<*mut u8> {
    let offset = hide(offset);
    (offset <= FARTHEST).then(|| hide(pointer.wrapping_add(offset)))
}

/// Holds that a type may lie anywhere.
#[inline(always)]
const fn unaligned<T>() {
    const {
        assert!(
            align_of::<T>() == 1,
            "a packet's parts have no alignment: make the type of bytes, such as `[u8; 2]` \
             instead of `u16`, or `#[repr(C, packed)]`"
        );
    }
}
