//! What programs of traffic control do with packets: where they go, and what they are.

use super::{TcContext, Way};
use crate::error::{Error, Result};
use crate::helper::{done, raw};
use crate::hook::TcAction;

/// Where [`TcContext::adjust_room`] makes room, or takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Room {
    /// Behind the network's header (`BPF_ADJ_ROOM_NET`).
    BehindNetwork = 0,
    /// Behind the link's header (`BPF_ADJ_ROOM_MAC`).
    BehindLink = 1,
}

/// Whom [`TcContext::redirect_to`] sends to.
#[doc(alias = "bpf_redir_neigh")]
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Neighbour {
    family: u32,
    address: [u8; 16],
}

impl Neighbour {
    /// The neighbour of an IPv4 address.
    #[inline(always)]
    #[must_use]
    pub const fn ipv4([a, b, c, d]: [u8; 4]) -> Self {
        let address = [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        Self { family: 2, address }
    }

    /// The neighbour of an IPv6 address.
    #[inline(always)]
    #[must_use]
    pub const fn ipv6(address: [u8; 16]) -> Self {
        Self {
            family: 10,
            address,
        }
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
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[setting]
    /// static INSIDE: u32 = 1;
    ///
    /// /// Into a container, whose device's other end is here.
    /// #[tc(ingress)]
    /// fn enter(context: &TcContext) -> TcAction {
    ///     context.redirect_peer(INSIDE.get())
    /// }
    /// ```
    #[doc(alias = "bpf_redirect_peer")]
    #[inline(always)]
    #[must_use = "it is what the program returns"]
    pub fn redirect_peer(&self, ifindex: u32) -> TcAction {
        // SAFETY: numbers.
        TcAction::new(unsafe { raw::bpf_redirect_peer(ifindex, 0) } as i32)
    }

    /// Has the packet sent out of a device to the neighbour by which its address is reached: what
    /// the program then returns. Linux 5.10.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[setting]
    /// static UPLINK: u32 = 1;
    ///
    /// #[tc]
    /// fn leave(context: &TcContext) -> TcAction {
    ///     context.redirect_neighbour(UPLINK.get())
    /// }
    /// ```
    #[doc(alias = "bpf_redirect_neigh")]
    #[inline(always)]
    #[must_use = "it is what the program returns"]
    pub fn redirect_neighbour(&self, ifindex: u32) -> TcAction {
        let none = core::ptr::null_mut();
        // SAFETY: no parameters, of no length.
        TcAction::new(unsafe { raw::bpf_redirect_neigh(ifindex, none, 0, 0) } as i32)
    }

    /// Has the packet sent out of a device to this neighbour, as [`redirect_neighbour`] does to the
    /// one that its address says. Linux 5.10.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[setting]
    /// static UPLINK: u32 = 1;
    ///
    /// #[tc]
    /// fn leave(context: &TcContext) -> TcAction {
    ///     if context.protocol() == u32::from(ethertype::IPV6.to_be()) {
    ///         let mut gateway = [0; 16];
    ///         gateway[0] = 0xfd;
    ///         return context.redirect_to(UPLINK.get(), &Neighbour::ipv6(gateway));
    ///     }
    ///     context.redirect_to(UPLINK.get(), &Neighbour::ipv4([10, 0, 0, 1]))
    /// }
    /// ```
    ///
    /// [`redirect_neighbour`]: Self::redirect_neighbour
    #[doc(alias = "bpf_redirect_neigh")]
    #[inline(always)]
    #[must_use = "it is what the program returns"]
    pub fn redirect_to(&self, ifindex: u32, neighbour: &Neighbour) -> TcAction {
        let at = core::ptr::from_ref(neighbour).cast_mut().cast();
        let size = size_of::<Neighbour>() as i32;
        // SAFETY: all of the neighbour, which is read.
        TcAction::new(unsafe { raw::bpf_redirect_neigh(ifindex, at, size, 0) } as i32)
    }

    /// Makes a packet of IPv4 one of IPv6, or the reverse, by this EtherType: room is made or taken,
    /// and the header is the program's to write.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// const PACKET_HOST: u32 = 0;
    ///
    /// /// Makes IPv4 of IPv6, and takes what it is now for this host. The header is written next.
    /// #[tc]
    /// fn old(context: &mut TcContext) -> Result<TcAction> {
    ///     if context.protocol() == u32::from(ethertype::IPV6.to_be()) {
    ///         context.change_protocol(ethertype::IPV4)?;
    ///         context.change_type(PACKET_HOST)?;
    ///     }
    ///     Ok(TcAction::OK)
    /// }
    /// ```
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
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// Room for a header of UDP behind that of IP.
    /// #[tc]
    /// fn wrap(context: &mut TcContext) -> Result<TcAction> {
    ///     context.adjust_room(Udp::LEN as i32, Room::BehindNetwork)?;
    ///     Ok(TcAction::OK)
    /// }
    /// ```
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
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// What comes without a tag gets one, and the other way round.
    /// #[tc]
    /// fn tag(context: &mut TcContext) -> Result<TcAction> {
    ///     match context.vlan_present() {
    ///         0 => context.push_vlan(ethertype::VLAN, 7)?,
    ///         _ => context.pop_vlan()?,
    ///     }
    ///     Ok(TcAction::OK)
    /// }
    /// ```
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
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// Writes where the device's checksum has been already.
    /// #[tc]
    /// fn first(context: &mut TcContext) -> Result<TcAction> {
    ///     let old: [u8; 4] = context.load(0)?;
    ///     let new = [1, 2, 3, 4];
    ///     context.store(0, &new)?;
    ///     context.update_checksum(Checksum::difference(&old, &new, 0)?)?;
    ///     Ok(TcAction::OK)
    /// }
    /// ```
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
