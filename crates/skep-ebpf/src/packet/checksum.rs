//! The Internet's checksum (RFC 1071), and how it changes with what it is of (RFC 1624).

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

    /// The checksum of what a sum of words is of.
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
