//! The Internet's checksum (RFC 1071), and how it changes with what it is of (RFC 1624).

use crate::error::{Error, Result};
use crate::helper::raw;

/// A checksum as headers hold it, in host byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum(u16);

impl Checksum {
    /// What a header holds.
    #[inline(always)]
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// What the header is to hold.
    #[inline(always)]
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// After a word of 16 bits, at an even offset, became another.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// Sends UDP for port 7 to port 9.
    /// #[xdp]
    /// fn led(context: &mut XdpContext) -> XdpAction {
    ///     let mut cursor = context.packet_mut().cursor();
    ///     if let (Some(_), Some(ip)) = (cursor.next::<Ethernet>(), cursor.next::<Ipv4>())
    ///         && ip.protocol() == protocol::UDP
    ///         && let Some(udp) = cursor.next::<Udp>()
    ///         && udp.destination() == 7
    ///     {
    ///         let (old, new) = (ip.destination(), [10, 0, 0, 2]);
    ///         let of_ip = Checksum::new(ip.checksum()).replace_bytes(old, new);
    ///         let of_udp = Checksum::new(udp.checksum()).replace(7, 9).replace_bytes(old, new);
    ///         ip.set_destination(new);
    ///         ip.set_checksum(of_ip.number());
    ///         udp.set_destination(9);
    ///         udp.set_checksum(of_udp.number());
    ///     }
    ///     XdpAction::PASS
    /// }
    /// ```
    #[inline(always)]
    #[must_use]
    pub const fn replace(self, old: u16, new: u16) -> Self {
        Self(Self::fold(!self.0 as u64 + !old as u64 + new as u64))
    }

    /// After four bytes, such as an address, became others.
    #[inline(always)]
    #[must_use]
    pub const fn replace_bytes(self, old: [u8; 4], new: [u8; 4]) -> Self {
        let (old, new) = (u32::from_be_bytes(old), u32::from_be_bytes(new));
        Self(Self::fold(!self.0 as u64 + !old as u64 + new as u64))
    }

    /// What becomes of a sum of words when bytes become others, or are added, if there were none:
    /// for [`update_checksum`](crate::context::TcContext::update_checksum), and, from the sum that
    /// is given, for [`fold`](Self::fold). Both have a multiple of four bytes. Linux 4.6.
    ///
    /// # Errors
    /// `EINVAL` if they have not.
    #[doc(alias = "bpf_csum_diff")]
    #[inline(always)]
    pub fn difference(from: &[u8], to: &[u8], sum: u32) -> Result<u32> {
        // The helper takes null where there is nothing.
        let start = |bytes: &[u8]| match bytes.is_empty() {
            true => core::ptr::null_mut(),
            false => bytes.as_ptr().cast_mut().cast(),
        };
        let (old, new) = (start(from), start(to));
        // SAFETY: all of the slices, which are read.
        let sum = unsafe { raw::bpf_csum_diff(old, from.len() as u32, new, to.len() as u32, sum) };
        Ok(Error::check(sum)? as u32)
    }

    /// The checksum of what a sum of words is of.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// The checksum of an ICMP header that is made anew.
    /// #[xdp]
    /// fn answer(context: &mut XdpContext) -> Result<XdpAction> {
    ///     let mut reply = Icmp::from_bytes([0, 0, 0, 0, 1, 2, 0, 1]);
    ///     let sum = Checksum::difference(&[], &reply.to_bytes(), 0)?;
    ///     reply.set_checksum(u16::from_be(Checksum::fold(sum.into())));
    ///     let at = Ethernet::LEN + Ipv4::LEN;
    ///     if let Some(icmp) = context.packet_mut().write::<[u8; 8]>(at) {
    ///         *icmp = reply.to_bytes();
    ///     }
    ///     Ok(XdpAction::PASS)
    /// }
    /// ```
    #[inline(always)]
    #[must_use]
    pub const fn fold(sum: u64) -> u16 {
        let sum = (sum >> 32) + (sum & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        !(sum as u16)
    }
}
