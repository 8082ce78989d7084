//! Going through a packet, header by header.

use core::marker::PhantomData;

use super::{Ipv4, Mode, Packet, Shared, Tcp, add, unaligned};
use crate::Plain;
use crate::hidden::hide;

/// A place in a packet: see [`Packet::cursor`].
#[derive(Debug)]
pub struct Cursor<'a, M = Shared> {
    at: *mut u8,
    end: *mut u8,
    life: PhantomData<(&'a mut u8, M)>,
}

impl<'a, M: Mode> Cursor<'a, M> {
    #[inline(always)]
    pub(super) fn new(at: *mut u8, end: *mut u8) -> Self {
        Self {
            at,
            end,
            life: PhantomData,
        }
    }

    /// What is here, and goes behind it: nothing, if it is not all there.
    #[inline(always)]
    #[expect(clippy::should_implement_trait, reason = "each time another type")]
    pub fn next<T: Plain>(&mut self) -> Option<M::Ref<'a, T>> {
        unaligned::<T>();
        let (at, behind) = (self.at, self.at.wrapping_add(size_of::<T>()));
        if behind > self.end {
            return None;
        }
        self.at = behind;
        // SAFETY: it ends before the packet does, and the cursor has gone on.
        Some(unsafe { M::lend(at) })
    }

    /// What is here, without going on.
    #[inline(always)]
    #[must_use]
    pub fn peek<T: Plain>(&self) -> Option<&T> {
        unaligned::<T>();
        let fits = self.at.wrapping_add(size_of::<T>()) <= self.end;
        // SAFETY: it ends before the packet does, and `&self` is lent as long as it.
        fits.then(|| unsafe { Shared::lend(self.at) })
    }

    /// An IPv4 header, and goes behind its options: nothing, if it is not all there, or says that
    /// it is shorter than it is.
    #[inline(always)]
    pub fn ipv4(&mut self) -> Option<M::Ref<'a, Ipv4>> {
        let start = self.at;
        let length = self.peek::<Ipv4>()?.header_len();
        if length < size_of::<Ipv4>() {
            return None;
        }
        let header = self.next()?;
        // Four bits, times four: the verifier sees the mask.
        self.at = hide(start.wrapping_add(length));
        Some(header)
    }

    /// A TCP header, and goes behind its options: nothing, if it is not all there, or says that it
    /// is shorter than it is.
    #[inline(always)]
    pub fn tcp(&mut self) -> Option<M::Ref<'a, Tcp>> {
        let start = self.at;
        let length = self.peek::<Tcp>()?.header_len();
        if length < size_of::<Tcp>() {
            return None;
        }
        let header = self.next()?;
        self.at = hide(start.wrapping_add(length));
        Some(header)
    }

    /// Goes so many bytes on: nothing, if these are more than 32767. Whether they are there, what
    /// is read next finds out.
    #[inline(always)]
    pub fn skip(&mut self, bytes: usize) -> Option<()> {
        self.at = add(self.at, bytes)?;
        Some(())
    }

    /// What follows.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[xdp]
    /// fn no_http(context: &XdpContext) -> XdpAction {
    ///     match payload(context.packet().cursor()) {
    ///         Some(rest) if rest.read::<[u8; 4]>(0) == Some(b"GET ") => XdpAction::DROP,
    ///         _ => XdpAction::PASS,
    ///     }
    /// }
    ///
    /// fn payload<'a>(mut cursor: Cursor<'a>) -> Option<Packet<'a>> {
    ///     cursor.next::<Ethernet>()?;
    ///     cursor.ipv4()?;
    ///     cursor.tcp()?;
    ///     Some(cursor.rest())
    /// }
    /// ```
    #[inline(always)]
    #[must_use]
    pub fn rest(self) -> Packet<'a, M> {
        // SAFETY: the rest of what was lent.
        unsafe { Packet::new(self.at, self.end) }
    }
}
