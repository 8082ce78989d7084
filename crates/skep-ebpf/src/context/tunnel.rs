//! The keys of tunnels: what a packet came by, and what it is to leave by.

use super::{LwtContext, TcContext, methods::methods};
use crate::Plain;
use crate::error::Result;
use crate::helper::{done, filled, raw};

/// What a tunnel's header says of a packet, or is to say: of devices with `external` keys, such as
/// VXLAN, Geneve or GRE.
#[doc(alias = "bpf_tunnel_key")]
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct TunnelKey {
    /// The tunnel's number.
    pub id: u32,
    remote: [u32; 4],
    /// The type of service of the outer header.
    pub tos: u8,
    /// How many hops the outer packet has left.
    pub ttl: u8,
    /// Flags of the tunnel, in network byte order. Linux 6.0.
    pub flags: u16,
    /// The flow label of an outer IPv6 header.
    pub label: u32,
    local: [u32; 4],
}

// SAFETY: numbers, without gaps.
unsafe impl Plain for TunnelKey {}

const _: () = assert!(size_of::<TunnelKey>() == 44);

/// `BPF_F_TUNINFO_IPV6`.
const IPV6: u64 = 1;

/// How a tunnel's packets are made: values that are or-ed, for
/// [`set_tunnel_key`](TcContext::set_tunnel_key).
#[derive(Debug)]
pub struct TunnelFlags;

impl TunnelFlags {
    /// UDP without a checksum (`BPF_F_ZERO_CSUM_TX`).
    pub const NO_CHECKSUM: u64 = 2;
    /// Not to be cut into fragments.
    pub const DONT_FRAGMENT: u64 = 4;
    /// With a number each (GRE).
    pub const SEQUENCE: u64 = 8;
    /// Without a key (GRE). Linux 6.2.
    pub const NO_KEY: u64 = 16;
}

impl TunnelKey {
    /// To the other end of a tunnel with this number.
    #[inline(always)]
    #[must_use]
    pub const fn to_ipv4(id: u32, remote: [u8; 4]) -> Self {
        // As addresses of tunnels are held: in host byte order.
        Self::to(id, [u32::from_be_bytes(remote), 0, 0, 0])
    }

    /// The same over IPv6.
    #[inline(always)]
    #[must_use]
    pub fn to_ipv6(id: u32, remote: [u8; 16]) -> Self {
        // SAFETY: the same size, and any bytes are numbers.
        Self::to(id, unsafe {
            core::mem::transmute::<[u8; 16], [u32; 4]>(remote)
        })
    }

    const fn to(id: u32, remote: [u32; 4]) -> Self {
        Self {
            id,
            remote,
            tos: 0,
            ttl: 64,
            flags: 0,
            label: 0,
            local: [0; 4],
        }
    }

    /// The other end's IPv4 address.
    #[inline(always)]
    #[must_use]
    pub const fn remote_ipv4(&self) -> [u8; 4] {
        self.remote[0].to_be_bytes()
    }

    /// The other end's IPv6 address.
    #[inline(always)]
    #[must_use]
    pub fn remote_ipv6(&self) -> [u8; 16] {
        // SAFETY: the same size.
        unsafe { core::mem::transmute(self.remote) }
    }

    /// This end's IPv4 address.
    #[inline(always)]
    #[must_use]
    pub const fn local_ipv4(&self) -> [u8; 4] {
        self.local[0].to_be_bytes()
    }
}

methods!([TcContext LwtContext] {
    /// By which tunnel over IPv4 a packet came. Of lightweight tunnels `lwt_xmit` can. Linux 5.19.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// One tunnel's packets are from one machine.
    /// #[tc(ingress)]
    /// fn from(context: &TcContext) -> Result<TcAction> {
    ///     let key = context.tunnel_key()?;
    ///     Ok(match (key.id, key.remote_ipv4()) {
    ///         (7, [10, 0, 0, 1]) => TcAction::OK,
    ///         _ => TcAction::SHOT,
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// `EINVAL` if it came by none; `EPROTO` if by one over IPv6.
    #[doc(alias = "bpf_skb_get_tunnel_key")]
    #[inline(always)]
    pub fn tunnel_key(&self) -> Result<TunnelKey> {
        filled(|at, size| {
            // SAFETY: room for all of the key.
            unsafe { raw::bpf_skb_get_tunnel_key(self.as_ptr(), at, size, 0) }
        })
    }

    /// By which tunnel over IPv6 a packet came. Of lightweight tunnels `lwt_xmit` can. Linux 5.19.
    ///
    /// # Errors
    /// `EINVAL` if it came by none; `EPROTO` if by one over IPv4.
    #[doc(alias = "bpf_skb_get_tunnel_key")]
    #[inline(always)]
    pub fn tunnel_key_ipv6(&self) -> Result<TunnelKey> {
        filled(|at, size| {
            // SAFETY: room for all of the key.
            unsafe { raw::bpf_skb_get_tunnel_key(self.as_ptr(), at, size, IPV6) }
        })
    }

    /// By which tunnel over IPv4 a packet is to leave; `flags` are [`TunnelFlags`]. Of lightweight
    /// tunnels `lwt_xmit` can. Linux 5.19.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[setting]
    /// static TUNNEL: u32 = 1;
    ///
    /// #[tc(egress)]
    /// fn through(context: &mut TcContext) -> Result<TcAction> {
    ///     let key = TunnelKey::to_ipv4(7, [10, 0, 0, 2]);
    ///     context.set_tunnel_key(&key, TunnelFlags::DONT_FRAGMENT)?;
    ///     Ok(context.redirect(TUNNEL.get(), Way::Out))
    /// }
    /// ```
    ///
    /// # Errors
    /// `EINVAL` for what can't be in a key.
    #[doc(alias = "bpf_skb_set_tunnel_key")]
    #[inline(always)]
    pub fn set_tunnel_key(&mut self, key: &TunnelKey, flags: u64) -> Result {
        let (at, size) = (core::ptr::from_ref(key).cast_mut().cast(), size_of::<TunnelKey>());
        // SAFETY: all of the key, which is read.
        done(unsafe { raw::bpf_skb_set_tunnel_key(self.as_ptr(), at, size as u32, flags) })
    }

    /// The same over IPv6.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// Sends packets back through the tunnel that they came by.
    /// #[tc(ingress)]
    /// fn back(context: &mut TcContext) -> Result<TcAction> {
    ///     let came = context.tunnel_key_ipv6()?;
    ///     let key = TunnelKey::to_ipv6(came.id, came.remote_ipv6());
    ///     context.set_tunnel_key_ipv6(&key, 0)?;
    ///     Ok(context.redirect(context.ifindex(), Way::Out))
    /// }
    ///
    /// /// Tells the ends of those over IPv4.
    /// #[tc(ingress)]
    /// fn tell(context: &TcContext) -> Result<TcAction> {
    ///     let local = context.tunnel_key()?.local_ipv4();
    ///     printk!("to %u.%u", local[2], local[3]);
    ///     Ok(TcAction::OK)
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`set_tunnel_key`](Self::set_tunnel_key).
    #[doc(alias = "bpf_skb_set_tunnel_key")]
    #[inline(always)]
    pub fn set_tunnel_key_ipv6(&mut self, key: &TunnelKey, flags: u64) -> Result {
        let (at, size) = (core::ptr::from_ref(key).cast_mut().cast(), size_of::<TunnelKey>());
        // SAFETY: as above.
        done(unsafe { raw::bpf_skb_set_tunnel_key(self.as_ptr(), at, size as u32, flags | IPV6) })
    }
});
