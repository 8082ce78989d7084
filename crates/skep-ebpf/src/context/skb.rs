//! What programs do with packets of the network stack.

use super::{
    CgroupSkbContext, FlowDissectorContext, LwtContext, ReuseportContext, SkSkbContext,
    SocketFilterContext, TcContext, methods::methods,
};
use crate::Plain;
use crate::error::{Error, Result};
use crate::helper::{done, filled, raw};
use crate::hook::{LwtAction, TcAction};

methods!([
    TcContext CgroupSkbContext SocketFilterContext LwtContext SkSkbContext FlowDissectorContext
    ReuseportContext
] {
    /// Copies a value out of the packet, wherever it lies.
    ///
    /// # Errors
    /// `EFAULT` if it is not all there.
    #[doc(alias = "bpf_skb_load_bytes")]
    #[inline(always)]
    pub fn load<T: Plain>(&self, offset: u32) -> Result<T> {
        filled(|at, size| {
            // SAFETY: room for all of the value.
            unsafe { raw::bpf_skb_load_bytes(self.as_ptr(), offset, at, size) }
        })
    }

    /// Copies bytes out of the packet, wherever they lie.
    ///
    /// # Errors
    /// `EFAULT` if they are not all there.
    #[doc(alias = "bpf_skb_load_bytes")]
    #[inline(always)]
    pub fn load_bytes(&self, offset: u32, into: &mut [u8]) -> Result {
        let (at, size) = (into.as_mut_ptr().cast(), into.len() as u32);
        // SAFETY: all of the slice.
        done(unsafe { raw::bpf_skb_load_bytes(self.as_ptr(), offset, at, size) })
    }
});

/// Which header an offset is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Header {
    /// That of the link (`BPF_HDR_START_MAC`).
    Link = 0,
    /// That of the network (`BPF_HDR_START_NET`).
    Network = 1,
}

methods!([TcContext CgroupSkbContext SocketFilterContext ReuseportContext] {
    /// Copies a value out of the packet, from so many bytes behind the start of a header. Linux
    /// 4.18.
    ///
    /// # Errors
    /// `EFAULT` if it is not all there.
    #[doc(alias = "bpf_skb_load_bytes_relative")]
    #[inline(always)]
    pub fn load_from<T: Plain>(&self, header: Header, offset: u32) -> Result<T> {
        filled(|at, size| {
            let context = self.as_ptr();
            // SAFETY: room for all of the value.
            unsafe { raw::bpf_skb_load_bytes_relative(context, offset, at, size, header as u32) }
        })
    }
});

methods!([TcContext LwtContext SkSkbContext] {
    /// Brings so many bytes of the packet into one piece, and makes them writable; all of those in
    /// its head for 0. Linux 4.9.
    ///
    /// # Errors
    /// `ENOMEM`; `EINVAL` if there are not so many.
    #[doc(alias = "bpf_skb_pull_data")]
    #[inline(always)]
    pub fn pull_data(&mut self, len: u32) -> Result {
        // SAFETY: no pointer into the packet is left: they are lent by the context.
        done(unsafe { raw::bpf_skb_pull_data(self.as_ptr(), len) })
    }

    /// Writes a value into the packet, wherever that lies. Of lightweight tunnels `lwt_xmit` can.
    /// Checksums stay as they are: see [`store_and_sum`](TcContext::store_and_sum).
    ///
    /// # Errors
    /// `EFAULT` if there is no room for all of it.
    #[doc(alias = "bpf_skb_store_bytes")]
    #[inline(always)]
    pub fn store<T: Plain>(&mut self, offset: u32, value: &T) -> Result {
        let (at, size) = (core::ptr::from_ref(value).cast(), size_of::<T>() as u32);
        // SAFETY: all of the value; no pointer into the packet is left.
        done(unsafe { raw::bpf_skb_store_bytes(self.as_ptr(), offset, at, size, 0) })
    }

    /// Makes the packet longer, with zeros, or shorter, to so many bytes. Of lightweight tunnels
    /// `lwt_xmit` can. Linux 4.9.
    ///
    /// # Errors
    /// `EINVAL` if it would be too long, or cut inside of its headers; `ENOMEM`.
    #[doc(alias = "bpf_skb_change_tail")]
    #[inline(always)]
    pub fn change_tail(&mut self, len: u32) -> Result {
        // SAFETY: as above.
        done(unsafe { raw::bpf_skb_change_tail(self.as_ptr(), len, 0) })
    }

    /// Makes so many bytes of room before the packet, for a header of the link. Of lightweight
    /// tunnels `lwt_xmit` can. Linux 4.10.
    ///
    /// # Errors
    /// `EINVAL` if it would be too long; `ENOMEM`.
    #[doc(alias = "bpf_skb_change_head")]
    #[inline(always)]
    pub fn change_head(&mut self, len: u32) -> Result {
        // SAFETY: as above.
        done(unsafe { raw::bpf_skb_change_head(self.as_ptr(), len, 0) })
    }
});

/// Or-ed to what a checksum is replaced by: how many bytes of it changed.
const WORD: u64 = 2;
const DOUBLE_WORD: u64 = 4;

/// Flags of `bpf_l4_csum_replace`.
const MARK_MANGLED_0: u64 = 1 << 5;
const PSEUDO_HEADER: u64 = 1 << 4;

/// Flag of `bpf_skb_store_bytes`.
const RECOMPUTE_CHECKSUM: u64 = 1;

methods!([TcContext LwtContext] {
    /// Mends the checksum of the network's header, at this offset, after two bytes, such as a
    /// number's, became others (in network byte order). Of lightweight tunnels `lwt_xmit` can.
    ///
    /// # Errors
    /// `EFAULT` if the checksum is not there.
    #[doc(alias = "bpf_l3_csum_replace")]
    #[inline(always)]
    pub fn replace_l3_checksum(&mut self, offset: u32, old: [u8; 2], new: [u8; 2]) -> Result {
        let (old, new) = (u16::from_ne_bytes(old).into(), u16::from_ne_bytes(new).into());
        // SAFETY: no pointer into the packet is left.
        done(unsafe { raw::bpf_l3_csum_replace(self.as_ptr(), offset, old, new, WORD) })
    }

    /// Mends the checksum of the network's header after four bytes, such as an address, became
    /// others.
    ///
    /// # Errors
    /// `EFAULT` if the checksum is not there.
    #[doc(alias = "bpf_l3_csum_replace")]
    #[inline(always)]
    pub fn replace_l3_address(&mut self, offset: u32, old: [u8; 4], new: [u8; 4]) -> Result {
        let (old, new) = (u32::from_ne_bytes(old).into(), u32::from_ne_bytes(new).into());
        // SAFETY: as above.
        done(unsafe { raw::bpf_l3_csum_replace(self.as_ptr(), offset, old, new, DOUBLE_WORD) })
    }

    /// Mends the checksum of the transport's header, at this offset, after two bytes of what it is
    /// of became others. UDP's, which is 0 where there is none, stays so.
    ///
    /// # Errors
    /// `EFAULT` if the checksum is not there.
    #[doc(alias = "bpf_l4_csum_replace")]
    #[inline(always)]
    pub fn replace_l4_checksum(&mut self, offset: u32, old: [u8; 2], new: [u8; 2]) -> Result {
        let (old, new) = (u16::from_ne_bytes(old).into(), u16::from_ne_bytes(new).into());
        let flags = WORD | MARK_MANGLED_0;
        // SAFETY: as above.
        done(unsafe { raw::bpf_l4_csum_replace(self.as_ptr(), offset, old, new, flags) })
    }

    /// Mends the checksum of the transport's header after an address of the network's header became
    /// another, of which it is, too.
    ///
    /// # Errors
    /// `EFAULT` if the checksum is not there.
    #[doc(alias = "bpf_l4_csum_replace")]
    #[inline(always)]
    pub fn replace_l4_address(&mut self, offset: u32, old: [u8; 4], new: [u8; 4]) -> Result {
        let (old, new) = (u32::from_ne_bytes(old).into(), u32::from_ne_bytes(new).into());
        let flags = DOUBLE_WORD | MARK_MANGLED_0 | PSEUDO_HEADER;
        // SAFETY: as above.
        done(unsafe { raw::bpf_l4_csum_replace(self.as_ptr(), offset, old, new, flags) })
    }

    /// Writes a value into the packet, and has the device's checksum of the whole mended.
    ///
    /// # Errors
    /// `EFAULT` if there is no room for all of it.
    #[doc(alias = "bpf_skb_store_bytes")]
    #[inline(always)]
    pub fn store_and_sum<T: Plain>(&mut self, offset: u32, value: &T) -> Result {
        let (at, size) = (core::ptr::from_ref(value).cast(), size_of::<T>() as u32);
        let flags = RECOMPUTE_CHECKSUM;
        // SAFETY: all of the value; no pointer into the packet is left.
        done(unsafe { raw::bpf_skb_store_bytes(self.as_ptr(), offset, at, size, flags) })
    }

    /// The hash of the flow, computed if it was not yet.
    #[doc(alias = "bpf_get_hash_recalc")]
    #[inline(always)]
    #[must_use]
    pub fn flow_hash(&self) -> u32 {
        // SAFETY: the context.
        unsafe { raw::bpf_get_hash_recalc(self.as_ptr()) }
    }

    /// Sends a copy of the packet out of a device, or into it. Of lightweight tunnels `lwt_xmit`
    /// can.
    ///
    /// # Errors
    /// `EINVAL` if there is no such device; `ENOMEM`.
    #[doc(alias = "bpf_clone_redirect")]
    #[inline(always)]
    pub fn clone_to(&mut self, ifindex: u32, way: Way) -> Result {
        // SAFETY: as above.
        Error::check(unsafe { raw::bpf_clone_redirect(self.as_ptr(), ifindex, way as u64) })?;
        Ok(())
    }
});

/// Which way a packet goes at the device that it is redirected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Way {
    /// Out of it.
    Out = 0,
    /// Into the machine, as if it had come by it (`BPF_F_INGRESS`).
    In = 1,
}

/// Where [`TcContext::adjust_room`] makes room, or takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Room {
    /// Behind the network's header (`BPF_ADJ_ROOM_NET`).
    BehindNetwork = 0,
    /// Behind the link's header (`BPF_ADJ_ROOM_MAC`).
    BehindLink = 1,
}

impl LwtContext {
    /// Has the packet sent out of a device: what the program then returns. Of `lwt_xmit` only.
    #[doc(alias = "bpf_redirect")]
    #[inline(always)]
    #[must_use = "it is what the program returns"]
    pub fn redirect(&self, ifindex: u32, way: Way) -> LwtAction {
        // SAFETY: numbers.
        LwtAction::new(unsafe { raw::bpf_redirect(ifindex, way as u64) } as i32)
    }
}

impl TcContext {
    /// Has the packet go to a device: what the program then returns.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[setting]
    /// static DEVICE: u32 = 1;
    ///
    /// #[tc]
    /// fn mirror(context: &mut TcContext) -> Result<TcAction> {
    ///     context.clone_to(DEVICE.get(), Way::Out)?;
    ///     Ok(context.redirect(DEVICE.get(), Way::In))
    /// }
    /// ```
    #[doc(alias = "bpf_redirect")]
    #[inline(always)]
    #[must_use = "it is what the program returns"]
    pub fn redirect(&self, ifindex: u32, way: Way) -> TcAction {
        // SAFETY: numbers.
        TcAction::new(unsafe { raw::bpf_redirect(ifindex, way as u64) } as i32)
    }

    /// Has the packet go to the other end of a device in another network namespace, without
    /// waiting: what the program then returns. At the ingress only. Linux 5.10.
    #[doc(alias = "bpf_redirect_peer")]
    #[inline(always)]
    #[must_use = "it is what the program returns"]
    pub fn redirect_peer(&self, ifindex: u32) -> TcAction {
        // SAFETY: numbers.
        TcAction::new(unsafe { raw::bpf_redirect_peer(ifindex, 0) } as i32)
    }

    /// Has the packet sent out of a device to the neighbour by which its address is reached: what
    /// the program then returns. Linux 5.10.
    #[doc(alias = "bpf_redirect_neigh")]
    #[inline(always)]
    #[must_use = "it is what the program returns"]
    pub fn redirect_neighbour(&self, ifindex: u32) -> TcAction {
        let none = core::ptr::null_mut();
        // SAFETY: no parameters, of no length.
        TcAction::new(unsafe { raw::bpf_redirect_neigh(ifindex, none, 0, 0) } as i32)
    }

    /// Makes a packet of IPv4 one of IPv6, or the reverse, by this EtherType: room is made or taken,
    /// and the header is the program's to write.
    ///
    /// # Errors
    /// `EOPNOTSUPP` if it is no such packet; `ENOMEM`.
    #[doc(alias = "bpf_skb_change_proto")]
    #[inline(always)]
    pub fn change_protocol(&mut self, ethertype: u16) -> Result {
        // SAFETY: no pointer into the packet is left.
        done(unsafe { raw::bpf_skb_change_proto(self.as_ptr(), ethertype.to_be(), 0) })
    }

    /// Says whom the packet is for, as [`pkt_type`](Self::pkt_type) has it.
    ///
    /// # Errors
    /// `EINVAL` for what it can't be.
    #[doc(alias = "bpf_skb_change_type")]
    #[inline(always)]
    pub fn change_type(&self, pkt_type: u32) -> Result {
        // SAFETY: the context.
        done(unsafe { raw::bpf_skb_change_type(self.as_ptr(), pkt_type) })
    }

    /// Makes room behind a header, or takes it, by so many bytes. Linux 4.13.
    ///
    /// # Errors
    /// `ENOTSUPP` (524) if it is neither IPv4 nor IPv6; `EFAULT` if there are not so many bytes;
    /// `ENOMEM`.
    #[doc(alias = "bpf_skb_adjust_room")]
    #[inline(always)]
    pub fn adjust_room(&mut self, bytes: i32, room: Room) -> Result {
        // SAFETY: no pointer into the packet is left.
        done(unsafe { raw::bpf_skb_adjust_room(self.as_ptr(), bytes, room as u32, 0) })
    }

    /// Puts a VLAN tag on the packet: EtherType and tag.
    ///
    /// # Errors
    /// `ENOMEM`.
    #[doc(alias = "bpf_skb_vlan_push")]
    #[inline(always)]
    pub fn push_vlan(&mut self, ethertype: u16, tci: u16) -> Result {
        // SAFETY: as above.
        done(unsafe { raw::bpf_skb_vlan_push(self.as_ptr(), ethertype.to_be(), tci) })
    }

    /// Takes the VLAN tag off the packet, if there is one.
    ///
    /// # Errors
    /// `ENOMEM`.
    #[doc(alias = "bpf_skb_vlan_pop")]
    #[inline(always)]
    pub fn pop_vlan(&mut self) -> Result {
        // SAFETY: as above.
        done(unsafe { raw::bpf_skb_vlan_pop(self.as_ptr()) })
    }

    /// Adds to the checksum that the device computed of the packet, as
    /// [`Checksum::difference`](crate::packet::Checksum::difference) says it.
    ///
    /// # Errors
    /// `ENOTSUPP` (524) if the device computed none.
    #[doc(alias = "bpf_csum_update")]
    #[inline(always)]
    pub fn update_checksum(&self, difference: u32) -> Result {
        // SAFETY: the context.
        Error::check(unsafe { raw::bpf_csum_update(self.as_ptr(), difference) })?;
        Ok(())
    }
}

methods!([TcContext CgroupSkbContext] {
    /// Marks the packet as having met congestion, if its sender understands that; says whether it
    /// did. Linux 5.1.
    #[doc(alias = "bpf_skb_ecn_set_ce")]
    #[inline(always)]
    pub fn mark_congestion(&mut self) -> bool {
        // SAFETY: no pointer into the packet is left.
        unsafe { raw::bpf_skb_ecn_set_ce(self.as_ptr()) == 1 }
    }

    /// The cgroup of the socket that sends the packet, by its number in version 2; 0 if there is no
    /// socket. Linux 4.18.
    #[doc(alias = "bpf_skb_cgroup_id")]
    #[inline(always)]
    #[must_use]
    pub fn cgroup_id(&self) -> u64 {
        // SAFETY: the context.
        unsafe { raw::bpf_skb_cgroup_id(self.as_ptr()) }
    }
});

methods!([TcContext CgroupSkbContext SocketFilterContext SkSkbContext] {
    /// Whose the packet's socket is; 65534 if there is none.
    #[doc(alias = "bpf_get_socket_uid")]
    #[inline(always)]
    #[must_use]
    pub fn socket_uid(&self) -> u32 {
        // SAFETY: the context.
        unsafe { raw::bpf_get_socket_uid(self.as_ptr()) }
    }
});
