//! What programs do with packets of the network stack.

use super::{
    CgroupSkbContext, FlowDissectorContext, LwtContext, ReuseportContext, SkSkbContext,
    SocketFilterContext, TcContext, methods::methods,
};
use crate::Plain;
use crate::error::{Error, Result};
use crate::helper::{done, filled, raw};
use crate::hook::LwtAction;

methods!([
    TcContext CgroupSkbContext SocketFilterContext LwtContext SkSkbContext FlowDissectorContext
    ReuseportContext
] {
    /// Copies a value out of the packet, wherever it lies.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[socket_filter]
    /// fn only_arp(context: &SocketFilterContext) -> Result<Keep> {
    ///     Ok(match context.load::<Ethernet>(0)?.ethertype() {
    ///         ethertype::ARP => Keep::ALL,
    ///         _ => Keep::NOTHING,
    ///     })
    /// }
    /// ```
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

    /// Copies a value out of the packet to where it belongs: into a record of a ring, for instance.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map(event = Ipv4)]
    /// static HEADERS: RingBuf<4096> = RingBuf::new();
    ///
    /// #[socket_filter]
    /// fn headers(context: &SocketFilterContext) -> Result<Keep> {
    ///     let mut header = HEADERS.reserve::<Ipv4>()?;
    ///     context.load_into(Ethernet::LEN as u32, &mut *header)?;
    ///     header.submit();
    ///     Ok(Keep::NOTHING)
    /// }
    /// ```
    ///
    /// # Errors
    /// `EFAULT` if it is not all there.
    #[doc(alias = "bpf_skb_load_bytes")]
    #[inline(always)]
    pub fn load_into<T: Plain>(&self, offset: u32, into: &mut T) -> Result {
        let (at, size) = (core::ptr::from_mut(into).cast(), size_of::<T>() as u32);
        // SAFETY: all of the value.
        done(unsafe { raw::bpf_skb_load_bytes(self.as_ptr(), offset, at, size) })
    }

    /// Copies bytes out of the packet, wherever they lie.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[socket_filter]
    /// fn from_itself(context: &SocketFilterContext) -> Result<Keep> {
    ///     let mut addresses = [0; 12];
    ///     context.load_bytes(0, &mut addresses)?;
    ///     let (to, from) = addresses.split_at(6);
    ///     Ok(if to == from { Keep::ALL } else { Keep::NOTHING })
    /// }
    /// ```
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
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[socket_filter]
    /// fn only_ipv6(context: &SocketFilterContext) -> Result<Keep> {
    ///     let first: u8 = context.load_from(Header::Network, 0)?;
    ///     Ok(if first >> 4 == 6 { Keep::ALL } else { Keep::NOTHING })
    /// }
    /// ```
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
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// Cuts UDP's payloads behind their 64th byte, and clears the first.
    /// #[tc]
    /// fn short(context: &mut TcContext) -> Result<TcAction> {
    ///     const HEADERS: u32 = (Ethernet::LEN + Ipv4::LEN + Udp::LEN) as u32;
    ///     if context.len() > HEADERS + 64 {
    ///         context.change_tail(HEADERS + 64)?;
    ///     }
    ///     context.pull_data(HEADERS + 1)?;
    ///     if let Some(first) = context.packet_mut().write::<[u8; 1]>(HEADERS as usize) {
    ///         *first = [0];
    ///     }
    ///     Ok(TcAction::OK)
    /// }
    /// ```
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
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// const IP: u32 = Ethernet::LEN as u32;
    /// const UDP: u32 = IP + Ipv4::LEN as u32;
    ///
    /// /// Sends UDP that is for 10.0.0.1, port 7, to 10.0.0.2, port 9, and says so in the type of service.
    /// #[tc]
    /// fn translate(context: &mut TcContext) -> Result<TcAction> {
    ///     let (old, new) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    ///     if context.load::<[u8; 4]>(IP + 16)? != old || context.load::<[u8; 2]>(UDP + 2)? != [0, 7] {
    ///         return Ok(TcAction::OK);
    ///     }
    ///     let first: [u8; 2] = context.load(IP)?;
    ///     let marked = [first[0], first[1] | 4];
    ///     context.replace_l3_checksum(IP + 10, first, marked)?;
    ///     context.store(IP, &marked)?;
    ///
    ///     context.replace_l4_address(UDP + 6, old, new)?;
    ///     context.replace_l3_address(IP + 10, old, new)?;
    ///     context.store(IP + 16, &new)?;
    ///
    ///     context.replace_l4_checksum(UDP + 6, [0, 7], [0, 9])?;
    ///     context.store(UDP + 2, &[0_u8, 9])?;
    ///     Ok(TcAction::OK)
    /// }
    /// ```
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
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[tc]
    /// fn to_all(context: &mut TcContext) -> Result<TcAction> {
    ///     context.store_and_sum(0, &[0xff_u8; 6])?;
    ///     Ok(TcAction::OK)
    /// }
    /// ```
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
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// One flow of eight has its packets marked.
    /// #[tc]
    /// fn some(context: &TcContext) -> TcAction {
    ///     if context.flow_hash() % 8 == 0 {
    ///         context.set_mark(7);
    ///     }
    ///     TcAction::OK
    /// }
    /// ```
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

methods!([TcContext CgroupSkbContext] {
    /// Marks the packet as having met congestion, if its sender understands that; says whether it
    /// did. Linux 5.1.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// Slows down one cgroup.
    /// #[setting]
    /// static SLOW: u64 = 1;
    ///
    /// #[cgroup_skb(egress)]
    /// fn slow(context: &mut CgroupSkbContext) -> Access {
    ///     if context.cgroup_id() == SLOW.get() && context.mark_congestion() {
    ///         printk!("marked");
    ///     }
    ///     Access::ALLOW
    /// }
    /// ```
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
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// Only root sends.
    /// #[cgroup_skb(egress)]
    /// fn of_root(context: &CgroupSkbContext) -> Access {
    ///     (context.socket_uid() == 0).into()
    /// }
    /// ```
    #[doc(alias = "bpf_get_socket_uid")]
    #[inline(always)]
    #[must_use]
    pub fn socket_uid(&self) -> u32 {
        // SAFETY: the context.
        unsafe { raw::bpf_get_socket_uid(self.as_ptr()) }
    }
});
