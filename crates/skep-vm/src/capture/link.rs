//! What packets of a capture begin with, and how those that are no Ethernet frames become some.

use std::fmt;

/// The kind of link that packets were captured on (`LINKTYPE_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u32);

impl LinkType {
    /// A header of four bytes: the address family, in the order of the machine that captured.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// IPv4 or IPv6 without a header before it.
    pub const RAW: Self = Self(101);
    /// A header of four bytes: the address family, in network order.
    pub const LOOP: Self = Self(108);
    /// Linux's header of any device (`tcpdump -i any`).
    pub const LINUX_SLL: Self = Self(113);
    /// IPv4.
    pub const IPV4: Self = Self(228);
    /// IPv6.
    pub const IPV6: Self = Self(229);
    /// The second version of Linux's header of any device.
    pub const LINUX_SLL2: Self = Self(276);

    /// What is known of kinds, by number; the last column: packets can be made Ethernet frames.
    const KNOWN: &'static [(u32, &'static str, bool)] = &[
        (0, "NULL", true),
        (1, "Ethernet", true),
        (6, "Token Ring", false),
        (9, "PPP", false),
        (12, "RAW", true),
        (14, "RAW", true),
        (101, "RAW", true),
        (105, "802.11", false),
        (108, "LOOP", true),
        (113, "Linux SLL", true),
        (127, "802.11 radiotap", false),
        (189, "USB", false),
        (195, "802.15.4", false),
        (201, "Bluetooth", false),
        (220, "USB", false),
        (227, "CAN", false),
        (228, "IPv4", true),
        (229, "IPv6", true),
        (239, "netfilter log", false),
        (253, "netlink", false),
        (276, "Linux SLL2", true),
    ];

    /// Whether [`LinkType::ethernet`] can make Ethernet frames of its packets.
    #[must_use]
    pub fn is_supported(self) -> bool {
        let mut known = Self::KNOWN.iter();
        self == Self::ETHERNET
            || known.any(|(number, _, supported)| *number == self.0 && *supported)
    }

    /// Makes an Ethernet frame of a packet. What is no Ethernet frame gets a header: to the
    /// address `device` (where the capture does not say that it was sent by it), from the address
    /// that the capture knows, or else from none, with the type of what is behind.
    ///
    /// `None`: it is too short, or not what its kind says.
    #[must_use]
    #[inline]
    pub fn ethernet<'a>(
        self,
        bytes: &'a [u8],
        device: [u8; 6],
        buffer: &'a mut Ethernet,
    ) -> Option<&'a [u8]> {
        if self == Self::ETHERNET {
            return Some(bytes);
        }
        self.converted(bytes, device, &mut buffer.0)?;
        Some(&buffer.0)
    }

    fn converted(self, bytes: &[u8], device: [u8; 6], out: &mut Vec<u8>) -> Option<()> {
        const BROADCAST: [u8; 6] = [0xff; 6];
        /// `PACKET_BROADCAST` and `PACKET_OUTGOING`
        const TO_ALL: u16 = 1;
        const OUTGOING: u16 = 4;
        let word = |at: usize| {
            let part = bytes.get(at..)?.first_chunk()?;
            Some(u16::from_be_bytes(*part))
        };
        let address = |at: usize, len: u16| {
            let part = bytes.get(at..)?.first_chunk::<6>()?;
            Some(if len == 6 { *part } else { [0; 6] })
        };
        let ends = |kind: u16, peer: [u8; 6]| match kind {
            TO_ALL => (BROADCAST, peer),
            // The address is the sender's: the device's own.
            OUTGOING => ([0; 6], peer),
            _ => (device, peer),
        };
        let ((to, from), protocol, skip) = match self {
            Self::RAW | Self(12 | 14) => ((device, [0; 6]), of_version(bytes)?, 0),
            Self::IPV4 => ((device, [0; 6]), IPV4, 0),
            Self::IPV6 => ((device, [0; 6]), IPV6, 0),
            Self::NULL | Self::LOOP => {
                let family = *bytes.first_chunk::<4>()?;
                let protocol = match family {
                    [0, 0, 0, 2] | [2, 0, 0, 0] => IPV4,
                    // What systems number IPv6.
                    [0, 0, 0, 10 | 24 | 28 | 30] | [10 | 24 | 28 | 30, 0, 0, 0] => IPV6,
                    _ => return None,
                };
                ((device, [0; 6]), protocol, 4)
            }
            Self::LINUX_SLL => {
                let peer = address(6, word(4)?)?;
                (ends(word(0)?, peer), word(14)?, 16)
            }
            Self::LINUX_SLL2 => {
                let kind_and_length = word(10)?;
                let peer = address(12, kind_and_length & 0xff)?;
                (ends(kind_and_length >> 8, peer), word(0)?, 20)
            }
            _ => return None,
        };
        out.clear();
        out.extend_from_slice(&to);
        out.extend_from_slice(&from);
        out.extend_from_slice(&protocol.to_be_bytes());
        out.extend_from_slice(bytes.get(skip..)?);
        Some(())
    }
}

/// EtherTypes.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

fn of_version(bytes: &[u8]) -> Option<u16> {
    match bytes.first()? >> 4 {
        4 => Some(IPV4),
        6 => Some(IPV6),
        _ => None,
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut known = Self::KNOWN.iter();
        match known.find(|(number, ..)| *number == self.0) {
            Some((number, name, _)) => write!(f, "{name} (link type {number})"),
            None => write!(f, "link type {}", self.0),
        }
    }
}

/// Where frames are made; kept from one packet to the next.
#[derive(Debug, Default)]
pub struct Ethernet(Vec<u8>);
