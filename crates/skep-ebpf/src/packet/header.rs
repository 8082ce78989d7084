//! Headers: bytes, with a method a field. Numbers are in host byte order, addresses as on the wire.

// `len` is a field, named as the kernel names it.
#![allow(clippy::len_without_is_empty)]

use core::cell::UnsafeCell;
use core::ffi::c_void;

use super::Checksum;
use crate::Plain;
use crate::context::access::Word;

/// Reads `/// doc  Name size { /// doc  be u16 name set_name @ offset; … }`.
macro_rules! headers {
    ($($(#[$doc:meta])* $Header:ident $size:literal { $($lines:tt)* })*) => {$(
        $(#[$doc])*
        #[repr(transparent)]
        pub struct $Header(UnsafeCell<[u8; $size]>);

        // SAFETY: bytes.
        unsafe impl Plain for $Header {}

        impl Clone for $Header {
            #[inline(always)]
            fn clone(&self) -> Self {
                Self::from_bytes(self.to_bytes())
            }
        }

        impl $Header {
            /// How many bytes it has, without options.
            pub const LEN: usize = $size;

            /// The header of bytes.
            #[inline(always)]
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $size]) -> Self {
                Self(UnsafeCell::new(bytes))
            }

            /// Its bytes.
            #[inline(always)]
            #[must_use]
            pub fn to_bytes(&self) -> [u8; $size] {
                // SAFETY: they are lent with `&self`, and only written through `&mut`.
                unsafe { *self.0.get() }
            }

            #[inline(always)]
            fn at(&self) -> *mut c_void {
                self.0.get().cast()
            }

            headers!(@ $($lines)*);
        }
    )*};
    (@) => {};
    (@ $(#[$doc:meta])* be $type:ident $name:ident $set:ident @ $offset:literal; $($rest:tt)*) => {
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub fn $name(&self) -> $type {
            // SAFETY: inside of the header.
            $type::from_be(unsafe { Word::load::<$offset>(self.at()) })
        }

        #[doc = concat!("Sets [`", stringify!($name), "`](Self::", stringify!($name), ").")]
        #[inline(always)]
        pub fn $set(&mut self, value: $type) {
            // SAFETY: inside of the header.
            unsafe { value.to_be().store::<$offset>(self.at()) }
        }
        headers!(@ $($rest)*);
    };
    (@ $(#[$doc:meta])* mac $name:ident $set:ident @ $low:literal $high:literal; $($rest:tt)*) => {
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub fn $name(&self) -> [u8; 6] {
            let (low, high): (u32, u16) =
                // SAFETY: inside of the header.
                unsafe { (Word::load::<$low>(self.at()), Word::load::<$high>(self.at())) };
            let ([a, b, c, d], [e, f]) = (low.to_ne_bytes(), high.to_ne_bytes());
            [a, b, c, d, e, f]
        }

        #[doc = concat!("Sets [`", stringify!($name), "`](Self::", stringify!($name), ").")]
        #[inline(always)]
        pub fn $set(&mut self, [a, b, c, d, e, f]: [u8; 6]) {
            // SAFETY: inside of the header.
            unsafe {
                u32::from_ne_bytes([a, b, c, d]).store::<$low>(self.at());
                u16::from_ne_bytes([e, f]).store::<$high>(self.at());
            }
        }
        headers!(@ $($rest)*);
    };
    (@ $(#[$doc:meta])* ip4 $name:ident $set:ident @ $offset:literal; $($rest:tt)*) => {
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub fn $name(&self) -> [u8; 4] {
            // SAFETY: inside of the header.
            let word: u32 = unsafe { Word::load::<$offset>(self.at()) };
            word.to_ne_bytes()
        }

        #[doc = concat!("Sets [`", stringify!($name), "`](Self::", stringify!($name), ").")]
        #[inline(always)]
        pub fn $set(&mut self, address: [u8; 4]) {
            // SAFETY: inside of the header.
            unsafe { u32::from_ne_bytes(address).store::<$offset>(self.at()) }
        }
        headers!(@ $($rest)*);
    };
    (@ $(#[$doc:meta])* ip6 $name:ident $set:ident @ $low:literal $high:literal; $($rest:tt)*) => {
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub fn $name(&self) -> [u8; 16] {
            let words: [u64; 2] =
                // SAFETY: inside of the header.
                unsafe { [Word::load::<$low>(self.at()), Word::load::<$high>(self.at())] };
            // SAFETY: the same size, and any bytes are numbers.
            unsafe { core::mem::transmute(words) }
        }

        #[doc = concat!("Sets [`", stringify!($name), "`](Self::", stringify!($name), ").")]
        #[inline(always)]
        pub fn $set(&mut self, address: [u8; 16]) {
            // SAFETY: the same size, and any bytes are numbers.
            let [low, high]: [u64; 2] = unsafe { core::mem::transmute(address) };
            // SAFETY: inside of the header.
            unsafe {
                low.store::<$low>(self.at());
                high.store::<$high>(self.at());
            }
        }
        headers!(@ $($rest)*);
    };
}

headers! {
    /// An Ethernet header.
    #[doc(alias = "ethhdr")]
    Ethernet 14 {
        /// Whom it is for.
        mac destination set_destination @ 0 4;
        /// Whom it is from.
        mac source set_source @ 6 10;
        /// What follows: see [`ethertype`](super::ethertype).
        be u16 ethertype set_ethertype @ 12;
    }

    /// A VLAN tag, behind an Ethernet header.
    #[doc(alias = "vlan_hdr")]
    Vlan 4 {
        /// Priority, mark and VLAN.
        be u16 tci set_tci @ 0;
        /// What follows: see [`ethertype`](super::ethertype).
        be u16 ethertype set_ethertype @ 2;
    }

    /// An ARP message of Ethernet and IPv4.
    #[doc(alias = "arphdr")]
    Arp 28 {
        /// The kind of hardware: 1 for Ethernet.
        be u16 hardware set_hardware @ 0;
        /// The kind of addresses: see [`ethertype`](super::ethertype).
        be u16 protocol set_protocol @ 2;
        /// The lengths of both kinds of addresses: 0x0604.
        be u16 lengths set_lengths @ 4;
        /// 1 for a question, 2 for an answer.
        be u16 operation set_operation @ 6;
        /// The sender's hardware address.
        mac sender_mac set_sender_mac @ 8 12;
        /// The sender's IPv4 address.
        ip4 sender_ip set_sender_ip @ 14;
        /// The target's hardware address.
        mac target_mac set_target_mac @ 18 22;
        /// The target's IPv4 address.
        ip4 target_ip set_target_ip @ 24;
    }

    /// An IPv4 header, without its options: [`Cursor::ipv4`](super::Cursor::ipv4) skips them.
    #[doc(alias = "iphdr")]
    Ipv4 20 {
        /// The version, 4, and the length of the header in words.
        be u8 version_and_len set_version_and_len @ 0;
        /// The type of service.
        be u8 tos set_tos @ 1;
        /// How many bytes the packet has, with this header.
        be u16 total_len set_total_len @ 2;
        /// Which packet a fragment is of.
        be u16 id set_id @ 4;
        /// Flags, and where a fragment belongs, in units of 8 bytes.
        be u16 fragment set_fragment @ 6;
        /// How many hops are left.
        be u8 ttl set_ttl @ 8;
        /// What follows: see [`protocol`](super::protocol).
        be u8 protocol set_protocol @ 9;
        /// The checksum of the header.
        be u16 checksum set_checksum @ 10;
        /// Whom it is from.
        ip4 source set_source @ 12;
        /// Whom it is for.
        ip4 destination set_destination @ 16;
    }

    /// An IPv6 header.
    #[doc(alias = "ipv6hdr")]
    Ipv6 40 {
        /// The version, 6, the class and the flow label.
        be u32 version_class_flow set_version_class_flow @ 0;
        /// How many bytes follow.
        be u16 payload_len set_payload_len @ 4;
        /// What follows: see [`protocol`](super::protocol).
        be u8 next_header set_next_header @ 6;
        /// How many hops are left.
        be u8 hop_limit set_hop_limit @ 7;
        /// Whom it is from.
        ip6 source set_source @ 8 16;
        /// Whom it is for.
        ip6 destination set_destination @ 24 32;
    }

    /// A TCP header, without its options: [`Cursor::tcp`](super::Cursor::tcp) skips them.
    #[doc(alias = "tcphdr")]
    Tcp 20 {
        /// The port that it is from.
        be u16 source set_source @ 0;
        /// The port that it is for.
        be u16 destination set_destination @ 2;
        /// The number of the first byte.
        be u32 sequence set_sequence @ 4;
        /// The number of the byte that is expected next.
        be u32 acknowledgement set_acknowledgement @ 8;
        /// The length of the header in words, in the upper four bits.
        be u8 offset set_offset @ 12;
        /// See [`tcp_flags`](super::tcp_flags).
        be u8 flags set_flags @ 13;
        /// How much may be sent.
        be u16 window set_window @ 14;
        /// The checksum of all.
        be u16 checksum set_checksum @ 16;
        /// Where urgent data ends.
        be u16 urgent set_urgent @ 18;
    }

    /// A UDP header.
    #[doc(alias = "udphdr")]
    Udp 8 {
        /// The port that it is from.
        be u16 source set_source @ 0;
        /// The port that it is for.
        be u16 destination set_destination @ 2;
        /// How many bytes there are, with this header.
        be u16 len set_len @ 4;
        /// The checksum of all; 0 for none, over IPv4.
        be u16 checksum set_checksum @ 6;
    }

    /// The start of a message of ICMP, of either version.
    #[doc(alias = "icmphdr")]
    Icmp 8 {
        /// What it is: 8 and 0 are an echo's question and answer, 128 and 129 those of IPv6.
        be u8 kind set_kind @ 0;
        /// What it is about.
        be u8 code set_code @ 1;
        /// The checksum of all.
        be u16 checksum set_checksum @ 2;
        /// Of an echo: whose it is.
        be u16 id set_id @ 4;
        /// Of an echo: which it is.
        be u16 sequence set_sequence @ 6;
    }
}

impl Ethernet {
    /// Sends it back to where it is from.
    #[inline(always)]
    pub fn swap(&mut self) {
        let (source, destination) = (self.source(), self.destination());
        self.set_source(destination);
        self.set_destination(source);
    }
}

impl Vlan {
    /// The VLAN.
    #[inline(always)]
    #[must_use]
    pub fn id(&self) -> u16 {
        self.tci() & 0xfff
    }
}

impl Ipv4 {
    /// How many bytes the header has with its options, as it says: 0 to 60.
    #[inline(always)]
    #[must_use]
    pub fn header_len(&self) -> usize {
        usize::from(self.version_and_len() & 15) * 4
    }

    /// Whether it is a fragment, of which only the first has the transport's header.
    #[inline(always)]
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        self.fragment() & 0x3fff != 0
    }

    /// Sends it back to where it is from. The checksum stays right.
    #[inline(always)]
    pub fn swap(&mut self) {
        let (source, destination) = (self.source(), self.destination());
        self.set_source(destination);
        self.set_destination(source);
    }

    /// One hop less, in the checksum, too.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// /// Sends packets on as a router does.
    /// #[xdp]
    /// fn hop(context: &mut XdpContext) -> XdpAction {
    ///     let mut cursor = context.packet_mut().cursor();
    ///     if let (Some(_), Some(ip)) = (cursor.next::<Ethernet>(), cursor.next::<Ipv4>()) {
    ///         if ip.is_fragment() || ip.header_len() != Ipv4::LEN || ip.ttl() < 2 {
    ///             return XdpAction::PASS;
    ///         }
    ///         ip.decrement_ttl();
    ///     }
    ///     XdpAction::TX
    /// }
    /// ```
    #[inline(always)]
    pub fn decrement_ttl(&mut self) {
        let ttl = self.ttl();
        let checksum = Checksum::new(self.checksum());
        // The word that TTL and protocol make; the protocol adds nothing to the difference.
        let changed = checksum.replace(u16::from(ttl) << 8, u16::from(ttl.wrapping_sub(1)) << 8);
        self.set_ttl(ttl.wrapping_sub(1));
        self.set_checksum(changed.number());
    }

    /// Computes the checksum of the header anew, which must have no options.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[xdp]
    /// fn nobody(context: &mut XdpContext) -> XdpAction {
    ///     let mut packet = context.packet_mut();
    ///     if let Some(ip) = packet.write::<Ipv4>(Ethernet::LEN)
    ///         && ip.header_len() == Ipv4::LEN
    ///     {
    ///         ip.set_source([0; 4]);
    ///         ip.set_id(7);
    ///         ip.update_checksum();
    ///     }
    ///     XdpAction::PASS
    /// }
    /// ```
    #[inline(always)]
    pub fn update_checksum(&mut self) {
        self.set_checksum(0);
        // SAFETY: inside of the header.
        let words: [u32; 5] = unsafe {
            [
                Word::load::<0>(self.at()),
                Word::load::<4>(self.at()),
                Word::load::<8>(self.at()),
                Word::load::<12>(self.at()),
                Word::load::<16>(self.at()),
            ]
        };
        let sum = words.iter().fold(0_u64, |sum, word| sum + u64::from(*word));
        // The sum of words in network byte order is in that order, too.
        self.set_checksum(u16::from_be(Checksum::fold(sum)));
    }
}

impl Tcp {
    /// How many bytes the header has with its options, as it says: 0 to 60.
    #[inline(always)]
    #[must_use]
    pub fn header_len(&self) -> usize {
        usize::from(self.offset() >> 4) * 4
    }
}

impl Udp {
    /// Sends it back to where it is from.
    #[inline(always)]
    pub fn swap(&mut self) {
        let (source, destination) = (self.source(), self.destination());
        self.set_source(destination);
        self.set_destination(source);
    }
}
