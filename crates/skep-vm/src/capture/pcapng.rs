//! pcapng: blocks, in sections of one byte order each. Interfaces are described before their
//! packets; blocks of other kinds are gone over.

use std::io::Read;

use super::{
    CaptureError, Found, LONGEST, LinkType, Problem,
    pcap::too_long,
    source::{Order, Source},
};

/// Types of blocks.
pub(super) const SECTION: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
pub(super) const PACKET: u32 = 6;

/// How a section says its byte order.
pub(super) const BYTE_ORDER: u32 = 0x1a2b_3c4d;

/// Bytes around a block's content: type and length before it, the length once more behind.
const AROUND: u32 = 12;
/// Bytes of a block's type and length.
const HEAD: usize = 8;

/// Most interfaces that are remembered of a section.
const INTERFACES: usize = 1 << 16;
/// The longest description of an interface that is looked at.
const DESCRIPTION: u32 = 1 << 20;

/// Options of an interface.
const END: u16 = 0;
pub(super) const RESOLUTION: u16 = 9;
const SHIFT: u16 = 14;

/// A section, and what it has said of its interfaces.
#[derive(Debug)]
pub(super) struct Section {
    order: Order,
    interfaces: Vec<Interface>,
}

/// An interface.
#[derive(Debug, Clone, Copy)]
struct Interface {
    link: LinkType,
    /// The most bytes that it has of a packet; 0: as many as there are.
    snap: u32,
    resolution: Resolution,
    /// Seconds that are added to its timestamps.
    shift: i64,
}

/// What a timestamp counts.
#[derive(Debug, Clone, Copy)]
enum Resolution {
    /// So many nanoseconds each.
    Nanoseconds(u64),
    /// So many a second.
    Units(u128),
}

impl Resolution {
    /// From the option's byte: a power of ten, or with the highest bit set of two.
    fn of(byte: u8) -> Option<Self> {
        let power = u32::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            return 1_u128.checked_shl(power).map(Self::Units);
        }
        match 9_u32.checked_sub(power) {
            Some(left) => Some(Self::Nanoseconds(10_u64.pow(left))),
            None => 10_u128.checked_pow(power).map(Self::Units),
        }
    }

    #[inline]
    fn nanoseconds(self, count: u64) -> u64 {
        match self {
            Self::Nanoseconds(unit) => count.saturating_mul(unit),
            Self::Units(second) => {
                let all = u128::from(count).saturating_mul(1_000_000_000);
                u64::try_from(all.checked_div(second).unwrap_or_default()).unwrap_or(u64::MAX)
            }
        }
    }
}

impl Section {
    /// Reads the block that begins a section.
    pub(super) fn read<R: Read>(source: &mut Source<R>) -> Result<Self, CaptureError> {
        /// Bytes of the block up to the length of the section.
        const FIXED: usize = 16;
        let offset = source.offset();
        let block = source.need("the header of a section", FIXED)?;
        let order = match Order::Little.u32(block, 8) {
            BYTE_ORDER => Order::Little,
            _ if Order::Big.u32(block, 8) == BYTE_ORDER => Order::Big,
            other => {
                let bad = Problem::Bad {
                    what: "the byte-order magic of a section",
                    value: other.into(),
                    expected: "0x1a2b3c4d in either order",
                };
                return Err(CaptureError::new(offset.saturating_add(8), bad));
            }
        };
        let major = order.u16(block, 12);
        if major != 1 {
            let bad = Problem::Bad {
                what: "the version of a section",
                value: major.into(),
                expected: "1",
            };
            return Err(CaptureError::new(offset.saturating_add(12), bad));
        }
        let section = Self {
            order,
            interfaces: Vec::new(),
        };
        let len = section.length(offset, order.u32(block, 4), 28)?;
        section.go_over(source, len)?;
        Ok(section)
    }

    /// Checks a block's length.
    fn length(&self, offset: u64, len: u32, least: u32) -> Result<u32, CaptureError> {
        if len >= least.max(AROUND) && len.is_multiple_of(4) {
            return Ok(len);
        }
        let bad = Problem::Bad {
            what: "a block's length",
            value: len.into(),
            expected: "a multiple of 4 that holds the block",
        };
        Err(CaptureError::new(offset.saturating_add(4), bad))
    }

    /// Goes over a block, at the end of which its length must stand again.
    fn go_over<R: Read>(&self, source: &mut Source<R>, len: u32) -> Result<(), CaptureError> {
        source.skip("a block", u64::from(len.saturating_sub(4)))?;
        let offset = source.offset();
        let again = self.order.u32(source.need("a block", 4)?, 0);
        self.same(offset, again, len)?;
        source.take(4);
        Ok(())
    }

    #[inline]
    fn same(&self, offset: u64, again: u32, len: u32) -> Result<(), CaptureError> {
        if again == len {
            return Ok(());
        }
        let bad = Problem::Bad {
            what: "the length at the end of a block",
            value: again.into(),
            expected: "the same as at its begin",
        };
        Err(CaptureError::new(offset, bad))
    }

    /// The next packet.
    #[inline]
    pub(super) fn next<R: Read>(
        &mut self,
        source: &mut Source<R>,
    ) -> Result<Option<Found>, CaptureError> {
        loop {
            let offset = source.offset();
            if source.peek(HEAD)?.is_empty() {
                return Ok(None);
            }
            let head = source.need("a block's header", HEAD)?;
            let (kind, len) = (self.order.u32(head, 0), self.order.u32(head, 4));
            match kind {
                SECTION => *self = Self::read(source)?,
                INTERFACE => {
                    let len = self.length(offset, len, 20)?;
                    self.interface(source, len)?;
                }
                PACKET | OLD_PACKET => {
                    let len = self.length(offset, len, 32)?;
                    return self.packet(source, offset, len, kind == OLD_PACKET);
                }
                SIMPLE_PACKET => {
                    let len = self.length(offset, len, 16)?;
                    return self.simple(source, offset, len);
                }
                _ => {
                    let len = self.length(offset, len, AROUND)?;
                    self.go_over(source, len)?;
                }
            }
        }
    }

    /// Remembers an interface.
    fn interface<R: Read>(&mut self, source: &mut Source<R>, len: u32) -> Result<(), CaptureError> {
        let offset = source.offset();
        let order = self.order;
        if self.interfaces.len() >= INTERFACES || len > DESCRIPTION {
            let bad = Problem::Bad {
                what: "the description of an interface",
                value: len.into(),
                expected: "one of at most 1 MiB, and at most 65536 of them,",
            };
            return Err(CaptureError::new(offset, bad));
        }
        let block = source.need("the description of an interface", len as usize)?;
        let mut interface = Interface {
            link: LinkType(order.u16(block, 8).into()),
            snap: order.u32(block, 12),
            resolution: Resolution::Nanoseconds(1000),
            shift: 0,
        };
        let mut at = 16_usize;
        let end = (len as usize).saturating_sub(4);
        while at.saturating_add(4) <= end {
            let (code, size) = (order.u16(block, at), order.u16(block, at.saturating_add(2)));
            let value_at = at.saturating_add(4);
            let value_end = value_at.saturating_add(size.into());
            let value = block.get(value_at..value_end.min(end)).unwrap_or_default();
            match (code, value) {
                (END, _) => break,
                (RESOLUTION, [byte, ..]) => {
                    interface.resolution = Resolution::of(*byte).ok_or_else(|| {
                        let bad = Problem::Bad {
                            what: "the resolution of timestamps",
                            value: (*byte).into(),
                            expected: "a power of ten up to 38, or of two",
                        };
                        CaptureError::new(offset.saturating_add(value_at as u64), bad)
                    })?;
                }
                (SHIFT, [_, _, _, _, _, _, _, _, ..]) => {
                    let (first, second) = (order.u32(value, 0), order.u32(value, 4));
                    let (high, low) = match order {
                        Order::Big => (first, second),
                        Order::Little => (second, first),
                    };
                    interface.shift = (u64::from(high) << 32 | u64::from(low)).cast_signed();
                }
                _ => {}
            }
            at = value_end.next_multiple_of(4);
        }
        self.same(
            offset.saturating_add(end as u64),
            order.u32(block, end),
            len,
        )?;
        source.take(len as usize);
        self.interfaces.push(interface);
        Ok(())
    }

    /// A packet by its interface.
    #[inline]
    fn packet<R: Read>(
        &self,
        source: &mut Source<R>,
        offset: u64,
        len: u32,
        old: bool,
    ) -> Result<Option<Found>, CaptureError> {
        /// Where the packet begins in its block.
        const SKIP: usize = 28;
        let order = self.order;
        let fixed = source.need("a packet's block", SKIP)?;
        let number = match old {
            true => order.u16(fixed, 8).into(),
            false => order.u32(fixed, 8),
        };
        let (high, low) = (order.u32(fixed, 12), order.u32(fixed, 16));
        let (captured, original_len) = (order.u32(fixed, 20), order.u32(fixed, 24));
        if captured > LONGEST {
            return Err(too_long(offset.saturating_add(20), captured));
        }
        let interface = self.by_number(number, offset.saturating_add(8))?;
        let count = u64::from(high) << 32 | u64::from(low);
        let shift = interface.shift.saturating_mul(1_000_000_000);
        let timestamp = interface
            .resolution
            .nanoseconds(count)
            .saturating_add_signed(shift);
        let found = Found {
            timestamp,
            skip: SKIP,
            len: captured as usize,
            original_len,
            link: interface.link,
            interface: number,
            whole: 0,
        };
        self.whole(source, offset, len, found)
    }

    /// A packet of the first interface, without a time.
    fn simple<R: Read>(
        &self,
        source: &mut Source<R>,
        offset: u64,
        len: u32,
    ) -> Result<Option<Found>, CaptureError> {
        const SKIP: usize = 12;
        let original_len = self.order.u32(source.need("a packet's block", SKIP)?, 8);
        let interface = self.by_number(0, offset)?;
        let most = match interface.snap {
            0 => u32::MAX,
            snap => snap,
        };
        let room = len.saturating_sub(16);
        let captured = original_len.min(most).min(room);
        if captured > LONGEST {
            return Err(too_long(offset.saturating_add(8), captured));
        }
        let found = Found {
            timestamp: 0,
            skip: SKIP,
            len: captured as usize,
            original_len,
            link: interface.link,
            interface: 0,
            whole: 0,
        };
        self.whole(source, offset, len, found)
    }

    /// Makes sure that a packet's whole block is there.
    #[inline]
    fn whole<R: Read>(
        &self,
        source: &mut Source<R>,
        offset: u64,
        len: u32,
        found: Found,
    ) -> Result<Option<Found>, CaptureError> {
        let end = (len as usize).saturating_sub(4);
        let room = end.saturating_sub(found.skip);
        // Options behind a packet may be long, but not without a limit.
        if found.len > room || len > LONGEST.saturating_mul(2) {
            let bad = Problem::Bad {
                what: "a block's length",
                value: len.into(),
                expected: "one that holds its packet, and at most 32 MiB,",
            };
            return Err(CaptureError::new(offset.saturating_add(4), bad));
        }
        let block = source.need("a packet's block", len as usize)?;
        self.same(
            offset.saturating_add(end as u64),
            self.order.u32(block, end),
            len,
        )?;
        Ok(Some(Found {
            whole: len as usize,
            ..found
        }))
    }

    #[inline]
    fn by_number(&self, number: u32, offset: u64) -> Result<&Interface, CaptureError> {
        self.interfaces.get(number as usize).ok_or_else(|| {
            let bad = Problem::Bad {
                what: "a packet's interface",
                value: number.into(),
                expected: "one that was described before",
            };
            CaptureError::new(offset, bad)
        })
    }
}
