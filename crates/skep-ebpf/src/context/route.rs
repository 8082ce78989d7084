//! What programs ask of the machine's routes: where a packet would go, and whether it would fit.

use super::{TcContext, XdpContext, methods::methods};
use crate::Plain;
use crate::error::{Error, Result};
use crate::helper::raw;

/// A question to the routing table, and, where it was answered, the answer.
///
/// Made by [`of_ipv4`](Self::of_ipv4) or [`of_ipv6`](Self::of_ipv6), from the addresses of a packet.
#[doc(alias = "bpf_fib_lookup")]
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The address family: 2 for IPv4, 10 for IPv6.
    pub family: u8,
    /// The protocol, where routes look at ports.
    pub protocol: u8,
    /// The source's port, in network byte order.
    pub source_port: [u8; 2],
    /// The destination's port, in network byte order.
    pub destination_port: [u8; 2],
    /// How many bytes the packet has, to be held against the route's MTU (0: not); in the answer the
    /// MTU.
    pub mtu: u16,
    /// The device that the packet is at; in the answer the one that it leaves by.
    pub ifindex: u32,
    /// IPv4's type of service in the first byte, or IPv6's flow label; in the answer the route's
    /// metric.
    pub tos: [u8; 4],
    source: [u32; 4],
    destination: [u32; 4],
    /// In the answer, the VLAN's EtherType and tag, in network byte order (not filled yet). As a
    /// question the table, with [`FibFlags::TABLE`].
    pub vlan_or_table: u32,
    /// In the answer, the hardware address of the device.
    pub source_mac: [u8; 6],
    /// In the answer, the hardware address of the next hop.
    pub destination_mac: [u8; 6],
}

// SAFETY: numbers, without gaps.
unsafe impl Plain for Route {}

const _: () = assert!(size_of::<Route>() == 64);

impl Route {
    const fn of(family: u8, source: [u32; 4], destination: [u32; 4], ifindex: u32) -> Self {
        Self {
            family,
            protocol: 0,
            source_port: [0; 2],
            destination_port: [0; 2],
            mtu: 0,
            ifindex,
            tos: [0; 4],
            source,
            destination,
            vlan_or_table: 0,
            source_mac: [0; 6],
            destination_mac: [0; 6],
        }
    }

    /// Where a packet of these addresses goes that is at a device.
    #[inline(always)]
    #[must_use]
    pub fn of_ipv4(source: [u8; 4], destination: [u8; 4], ifindex: u32) -> Self {
        let word = |address| [u32::from_ne_bytes(address), 0, 0, 0];
        Self::of(2, word(source), word(destination), ifindex)
    }

    /// The same of IPv6.
    #[inline(always)]
    #[must_use]
    pub fn of_ipv6(source: [u8; 16], destination: [u8; 16], ifindex: u32) -> Self {
        // SAFETY: the same size, and any bytes are numbers.
        let words = |address: [u8; 16]| unsafe { core::mem::transmute::<_, [u32; 4]>(address) };
        Self::of(10, words(source), words(destination), ifindex)
    }

    /// In the answer, the next hop's IPv4 address.
    #[inline(always)]
    #[must_use]
    pub const fn next_hop_ipv4(&self) -> [u8; 4] {
        self.destination[0].to_ne_bytes()
    }

    /// In the answer, the next hop's IPv6 address.
    #[inline(always)]
    #[must_use]
    pub fn next_hop_ipv6(&self) -> [u8; 16] {
        // SAFETY: the same size.
        unsafe { core::mem::transmute(self.destination) }
    }
}

/// How [`fib_lookup`](XdpContext::fib_lookup) looks: values that are or-ed.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// /// Sends everything as if it was for one machine, by whatever gateway leads there.
/// #[tc]
/// fn lead(context: &TcContext) -> Result<TcAction> {
///     let flags = FibFlags::OUTPUT | FibFlags::NO_NEIGHBOUR;
///     let here = context.ifindex();
///     let mut route = Route::of_ipv4([10, 0, 0, 1], [10, 0, 0, 2], here);
///     if context.fib_lookup(&mut route, flags)? == Forward::YES {
///         let hop = Neighbour::ipv4(route.next_hop_ipv4());
///         return Ok(context.redirect_to(route.ifindex, &hop));
///     }
///     let mut route = Route::of_ipv6([0xfd; 16], [0xfe; 16], here);
///     if context.fib_lookup(&mut route, flags)? == Forward::YES {
///         let hop = Neighbour::ipv6(route.next_hop_ipv6());
///         return Ok(context.redirect_to(route.ifindex, &hop));
///     }
///     Ok(TcAction::SHOT)
/// }
/// ```
#[derive(Debug)]
pub struct FibFlags;

impl FibFlags {
    /// Without rules, in the device's table (`BPF_FIB_LOOKUP_DIRECT`).
    pub const DIRECT: u32 = 1;
    /// As of a packet that leaves by the device, not of one that came in by it.
    pub const OUTPUT: u32 = 2;
    /// Without looking for the next hop's hardware address. Linux 6.3.
    pub const NO_NEIGHBOUR: u32 = 4;
    /// In the table that the question names. Linux 6.5.
    pub const TABLE: u32 = 8;
    /// With the source address that the machine would take. Linux 6.7.
    pub const SOURCE: u32 = 16;
}

/// What came of a question to the routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward(i64);

impl Forward {
    /// It is forwarded: the answer is in the question (`BPF_FIB_LKUP_RET_SUCCESS`).
    pub const YES: Self = Self(0);
    /// It is dropped, and nobody is told.
    pub const BLACKHOLE: Self = Self(1);
    /// The destination can't be reached.
    pub const UNREACHABLE: Self = Self(2);
    /// It is not allowed.
    pub const PROHIBITED: Self = Self(3);
    /// It is not forwarded: for this machine, for instance.
    pub const NOT_FORWARDED: Self = Self(4);
    /// The device does not forward.
    pub const DISABLED: Self = Self(5);
    /// The route encapsulates, which is not for this.
    pub const TUNNEL: Self = Self(6);
    /// The next hop's hardware address is not known yet.
    pub const NO_NEIGHBOUR: Self = Self(7);
    /// It is too large, and has to be cut.
    pub const TOO_LARGE: Self = Self(8);
    /// There is no source address. Linux 6.7.
    pub const NO_SOURCE: Self = Self(9);
}

/// Whether a packet fits a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mtu {
    /// How many bytes fit, without the header of the link.
    pub mtu: u32,
    /// Whether the packet does.
    pub fits: bool,
}

methods!([XdpContext TcContext] {
    /// Asks the routing table; `flags` are [`FibFlags`]. Linux 4.18.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// Forwards IPv4 before the network stack.
    /// #[xdp]
    /// fn forward(context: &mut XdpContext) -> Result<XdpAction> {
    ///     let here = context.ingress_ifindex();
    ///     let Some(mut route) = question(context.packet(), here) else {
    ///         return Ok(XdpAction::PASS);
    ///     };
    ///     if context.fib_lookup(&mut route, 0)? != Forward::YES {
    ///         return Ok(XdpAction::PASS);
    ///     }
    ///     if let Some(ethernet) = context.packet_mut().write::<Ethernet>(0) {
    ///         ethernet.set_destination(route.destination_mac);
    ///         ethernet.set_source(route.source_mac);
    ///     }
    ///     Ok(context.redirect(route.ifindex))
    /// }
    ///
    /// fn question(packet: Packet<'_>, here: u32) -> Option<Route> {
    ///     let mut cursor = packet.cursor();
    ///     match cursor.next::<Ethernet>()?.ethertype() {
    ///         ethertype::IPV4 => {
    ///             let ip = cursor.next::<Ipv4>()?;
    ///             Some(Route::of_ipv4(ip.source(), ip.destination(), here))
    ///         }
    ///         ethertype::IPV6 => {
    ///             let ip = cursor.next::<Ipv6>()?;
    ///             Some(Route::of_ipv6(ip.source(), ip.destination(), here))
    ///         }
    ///         _ => None,
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// `EINVAL` for what is no question; `ENODEV` if there is no such device.
    #[doc(alias = "bpf_fib_lookup")]
    #[inline(always)]
    pub fn fib_lookup(&self, route: &mut Route, flags: u32) -> Result<Forward> {
        let (at, size) = (core::ptr::from_mut(route).cast(), size_of::<Route>() as i32);
        // SAFETY: all of the question.
        let came = unsafe { raw::bpf_fib_lookup(self.as_ptr(), at, size, flags) };
        Ok(Forward(Error::check(came)?))
    }

    /// Whether the packet, with so many bytes more or less, fits a device; 0 is the one that it is
    /// at. Linux 5.12.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// Is there room for a header of UDP?
    /// #[tc]
    /// fn small(context: &TcContext) -> Result<TcAction> {
    ///     let found: Mtu = context.check_mtu(0, Udp::LEN as i32)?;
    ///     if !found.fits {
    ///         printk!("more than %u bytes", found.mtu);
    ///         return Ok(TcAction::SHOT);
    ///     }
    ///     Ok(TcAction::OK)
    /// }
    /// ```
    ///
    /// # Errors
    /// `ENODEV` if there is no such device; `EINVAL`.
    #[doc(alias = "bpf_check_mtu")]
    #[inline(always)]
    pub fn check_mtu(&self, ifindex: u32, difference: i32) -> Result<Mtu> {
        let mut mtu = 0;
        // SAFETY: fills the number.
        let came =
            unsafe { raw::bpf_check_mtu(self.as_ptr(), ifindex, &raw mut mtu, difference, 0) };
        let fits = Error::check(came)? == 0;
        Ok(Mtu { mtu, fits })
    }
});
