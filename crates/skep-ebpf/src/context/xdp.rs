//! What programs do with frames at a network device.

use super::XdpContext;
use crate::Plain;
use crate::error::Result;
use crate::helper::{done, filled, raw};
use crate::hook::XdpAction;
use crate::packet::{Packet, PacketMut};

impl XdpContext {
    /// What programs left before the packet for those after them, as
    /// [`adjust_meta`](Self::adjust_meta) made room for. Empty without it.
    #[inline(always)]
    #[must_use]
    pub fn metadata(&self) -> Packet<'_> {
        // SAFETY: its own pointers, lent with it.
        unsafe { Packet::new(self.data_meta(), self.data()) }
    }

    /// The same, to be changed.
    #[inline(always)]
    #[must_use]
    pub fn metadata_mut(&mut self) -> PacketMut<'_> {
        // SAFETY: its own pointers, lent with it and to nobody else.
        unsafe { PacketMut::new(self.data_meta(), self.data()) }
    }

    /// Moves the packet's start: by a negative number to make room for a header, by a positive one
    /// to take bytes off. What is in new bytes is not said. Linux 4.10.
    ///
    /// # Errors
    /// `EINVAL` if there is no such room, or less than an Ethernet header would be left.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// Takes VLAN tags off.
    /// #[xdp]
    /// fn untag(context: &mut XdpContext) -> Result<XdpAction> {
    ///     let Some((ethernet, tag)) = headers(context) else {
    ///         return Ok(XdpAction::PASS);
    ///     };
    ///     if ethernet.ethertype() != ethertype::VLAN {
    ///         return Ok(XdpAction::PASS);
    ///     }
    ///     context.adjust_head(Vlan::LEN as i32)?;
    ///     if let Some(first) = context.packet_mut().write::<Ethernet>(0) {
    ///         *first = ethernet;
    ///         first.set_ethertype(tag.ethertype());
    ///     }
    ///     Ok(XdpAction::PASS)
    /// }
    ///
    /// fn headers(context: &XdpContext) -> Option<(Ethernet, Vlan)> {
    ///     let mut cursor = context.packet().cursor();
    ///     Some((cursor.next::<Ethernet>()?.clone(), cursor.next::<Vlan>()?.clone()))
    /// }
    /// ```
    #[doc(alias = "bpf_xdp_adjust_head")]
    #[inline(always)]
    pub fn adjust_head(&mut self, delta: i32) -> Result {
        // SAFETY: no pointer into the packet is left: they are lent by the context.
        done(unsafe { raw::bpf_xdp_adjust_head(self.as_ptr(), delta) })
    }

    /// Moves the packet's end: by a negative number to cut bytes off, by a positive one to make
    /// room, which is zeroed. Linux 4.18, to make room 5.8.
    ///
    /// # Errors
    /// `EINVAL` if there is no such room, or less than an Ethernet header would be left.
    #[doc(alias = "bpf_xdp_adjust_tail")]
    #[inline(always)]
    pub fn adjust_tail(&mut self, delta: i32) -> Result {
        // SAFETY: as above.
        done(unsafe { raw::bpf_xdp_adjust_tail(self.as_ptr(), delta) })
    }

    /// Moves where metadata begins: by a negative multiple of four to make room. All
    /// drivers with metadata have room for 32 bytes. Linux 4.15.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// Leaves a mark before the packet, and cuts it behind 1000 bytes.
    /// #[xdp]
    /// fn mark(context: &mut XdpContext) -> Result<XdpAction> {
    ///     if !context.metadata().is_empty() {
    ///         return Ok(XdpAction::PASS);
    ///     }
    ///     context.adjust_meta(-4)?;
    ///     if let Some(mark) = context.metadata_mut().write::<[u8; 4]>(0) {
    ///         *mark = [1, 2, 3, 4];
    ///     }
    ///     let len = context.packet().len() as i32;
    ///     if len > 1000 {
    ///         context.adjust_tail(1000 - len)?;
    ///     }
    ///     Ok(XdpAction::PASS)
    /// }
    /// ```
    ///
    /// # Errors
    /// `EACCES` if the room is too large or the number no multiple of four; `EOPNOTSUPP` if the
    /// driver has no metadata.
    #[doc(alias = "bpf_xdp_adjust_meta")]
    #[inline(always)]
    pub fn adjust_meta(&mut self, delta: i32) -> Result {
        // SAFETY: as above.
        done(unsafe { raw::bpf_xdp_adjust_meta(self.as_ptr(), delta) })
    }

    /// How many bytes the packet has, over all of its fragments. Linux 5.18.
    #[doc(alias = "bpf_xdp_get_buff_len")]
    #[inline(always)]
    #[must_use]
    pub fn buffer_len(&self) -> u64 {
        // SAFETY: the context.
        unsafe { raw::bpf_xdp_get_buff_len(self.as_ptr()) }
    }

    /// Copies a value out of the packet, from any of its fragments. Linux 5.18.
    ///
    /// # Errors
    /// `EINVAL` if it is not all there.
    #[doc(alias = "bpf_xdp_load_bytes")]
    #[inline(always)]
    pub fn load<T: Plain>(&self, offset: u32) -> Result<T> {
        filled(|at, size| {
            // SAFETY: room for all of the value.
            unsafe { raw::bpf_xdp_load_bytes(self.as_ptr(), offset, at, size) }
        })
    }

    /// Copies a value out of the packet to where it belongs, as
    /// [`TcContext::load_into`](super::TcContext::load_into). Linux 5.18.
    ///
    /// # Errors
    /// `EINVAL` if it is not all there.
    #[doc(alias = "bpf_xdp_load_bytes")]
    #[inline(always)]
    pub fn load_into<T: Plain>(&self, offset: u32, into: &mut T) -> Result {
        let (at, size) = (core::ptr::from_mut(into).cast(), size_of::<T>() as u32);
        // SAFETY: all of the value.
        done(unsafe { raw::bpf_xdp_load_bytes(self.as_ptr(), offset, at, size) })
    }

    /// Copies bytes out of the packet, from any of its fragments. Linux 5.18.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[xdp(frags)]
    /// fn large(context: &XdpContext) -> Result<XdpAction> {
    ///     let mut addresses = [0; 12];
    ///     context.load_bytes(0, &mut addresses)?;
    ///     Ok(match context.buffer_len() {
    ///         9000.. if addresses[0] & 1 == 1 => XdpAction::DROP,
    ///         _ => XdpAction::PASS,
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// `EINVAL` if they are not all there.
    #[doc(alias = "bpf_xdp_load_bytes")]
    #[inline(always)]
    pub fn load_bytes(&self, offset: u32, into: &mut [u8]) -> Result {
        let (at, size) = (into.as_mut_ptr().cast(), into.len() as u32);
        // SAFETY: all of the slice.
        done(unsafe { raw::bpf_xdp_load_bytes(self.as_ptr(), offset, at, size) })
    }

    /// Writes a value into the packet, in any of its fragments. Linux 5.18.
    ///
    /// # Errors
    /// `EINVAL` if there is no room for all of it.
    #[doc(alias = "bpf_xdp_store_bytes")]
    #[inline(always)]
    pub fn store<T: Plain>(&mut self, offset: u32, value: &T) -> Result {
        let at = core::ptr::from_ref(value).cast_mut().cast();
        // SAFETY: all of the value, which is read.
        done(unsafe { raw::bpf_xdp_store_bytes(self.as_ptr(), offset, at, size_of::<T>() as u32) })
    }

    /// Has the packet sent out of a device: what the program then returns. A map of devices does the
    /// same faster.
    #[doc(alias = "bpf_redirect")]
    #[inline(always)]
    #[must_use = "it is what the program returns"]
    pub fn redirect(&self, ifindex: u32) -> XdpAction {
        // SAFETY: numbers.
        XdpAction::new(unsafe { raw::bpf_redirect(ifindex, 0) } as i32)
    }
}
