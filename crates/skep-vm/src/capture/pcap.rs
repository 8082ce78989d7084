//! pcap: a header of 24 bytes, then packets with headers of 16.

use std::io::Read;

use super::{
    CaptureError, Found, LONGEST, LinkType, Problem,
    source::{Order, Source},
};

/// Bytes of the file's header and of a packet's.
const HEADER: usize = 24;
const RECORD: usize = 16;

/// The magic numbers of microseconds and nanoseconds.
pub(super) const MICROSECONDS: u32 = 0xa1b2_c3d4;
pub(super) const NANOSECONDS: u32 = 0xa1b2_3c4d;

/// The version there is.
const MAJOR: u16 = 2;

/// What the header says.
#[derive(Debug)]
pub(super) struct Header {
    order: Order,
    /// Nanoseconds of a unit of the timestamps' second part.
    unit: u64,
    link: LinkType,
}

impl Header {
    /// Reads it; `None`: this is pcapng.
    pub(super) fn read<R: Read>(source: &mut Source<R>) -> Result<Option<Self>, CaptureError> {
        let magic = source.need("its first header", 4)?;
        if Order::Little.u32(magic, 0) == super::pcapng::SECTION {
            return Ok(None);
        }
        let magic = magic.first_chunk::<4>().copied().unwrap_or_default();
        let known = [Order::Little, Order::Big].into_iter().find_map(|order| {
            let unit = match order.u32(&magic, 0) {
                MICROSECONDS => 1000,
                NANOSECONDS => 1,
                _ => return None,
            };
            Some((order, unit))
        });
        let Some((order, unit)) = known else {
            return Err(CaptureError::new(0, Problem::NoCapture { magic }));
        };
        let header = source.need("its first header", HEADER)?;
        let major = order.u16(header, 4);
        if major != MAJOR {
            let bad = Problem::Bad {
                what: "the version of the format",
                value: major.into(),
                expected: "2",
            };
            return Err(CaptureError::new(4, bad));
        }
        // The upper half says how many bytes of a checksum end each packet.
        let link = LinkType(order.u32(header, 20) & 0xffff);
        source.take(HEADER);
        Ok(Some(Self { order, unit, link }))
    }

    pub(super) fn nanoseconds(&self) -> bool {
        self.unit == 1
    }

    #[inline]
    pub(super) fn next<R: Read>(
        &self,
        source: &mut Source<R>,
    ) -> Result<Option<Found>, CaptureError> {
        let offset = source.offset();
        if source.peek(RECORD)?.is_empty() {
            return Ok(None);
        }
        let header = source.need("a packet's header", RECORD)?;
        let order = self.order;
        let seconds = u64::from(order.u32(header, 0));
        let part = u64::from(order.u32(header, 4));
        let (captured, original_len) = (order.u32(header, 8), order.u32(header, 12));
        if captured > LONGEST {
            return Err(too_long(offset.saturating_add(8), captured));
        }
        let whole = RECORD.saturating_add(captured as usize);
        source.need("a packet", whole)?;
        Ok(Some(Found {
            timestamp: seconds
                .saturating_mul(1_000_000_000)
                .saturating_add(part.saturating_mul(self.unit)),
            skip: RECORD,
            len: captured as usize,
            original_len,
            link: self.link,
            interface: 0,
            whole,
        }))
    }
}

/// A packet says that it is longer than packets are.
#[cold]
pub(super) fn too_long(offset: u64, captured: u32) -> CaptureError {
    let bad = Problem::Bad {
        what: "a packet's length",
        value: captured.into(),
        expected: "at most 16 MiB",
    };
    CaptureError::new(offset, bad)
}
