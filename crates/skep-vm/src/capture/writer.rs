//! Captures that are written: Ethernet frames, in either format.

use std::io::{self, Write};

use super::{
    Format, LinkType,
    pcap::{MICROSECONDS, NANOSECONDS},
    pcapng,
};

/// The most bytes that are said to be kept of a packet: as other tools say.
const SNAP: u32 = 262_144;
/// Bytes that are written at once.
const BUFFER: usize = 256 << 10;

/// A packet to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record<'a> {
    /// Nanoseconds since 1970; formats of microseconds cut it.
    pub timestamp: u64,
    /// The Ethernet frame, or the first part of it.
    pub bytes: &'a [u8],
    /// How many bytes it had. Not less than are here.
    pub original_len: u32,
}

impl<'a> Record<'a> {
    /// A frame that is whole.
    #[must_use]
    pub fn new(timestamp: u64, bytes: &'a [u8]) -> Self {
        Self {
            timestamp,
            bytes,
            original_len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        }
    }
}

/// A capture that is written. [`Writer::finish`] must be called for all of it to be there.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: io::BufWriter<W>,
    format: Format,
    count: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a capture of Ethernet frames, in this machine's byte order.
    ///
    /// # Errors
    /// It can't be written.
    pub fn new(out: W, format: Format) -> io::Result<Self> {
        let mut out = io::BufWriter::with_capacity(BUFFER, out);
        let link = LinkType::ETHERNET.0;
        let pcap = |magic: u32| {
            // Version 2.4; no correction of time zones; what is kept of packets; the link.
            let version = [2_u16.to_ne_bytes(), 4_u16.to_ne_bytes()].concat();
            let words = [0, 0, SNAP, link].map(u32::to_ne_bytes).concat();
            [&magic.to_ne_bytes()[..], &version, &words].concat()
        };
        let header = match format {
            Format::Pcap => pcap(MICROSECONDS),
            Format::PcapNanoseconds => pcap(NANOSECONDS),
            Format::PcapNg => {
                let (version, unknown) = ([1_u16.to_ne_bytes(), [0; 2]].concat(), [0xff; 8]);
                let order = pcapng::BYTE_ORDER.to_ne_bytes();
                let section = [&order[..], &version, &unknown].concat();
                // Nanoseconds, and the end of options.
                let head = [pcapng::RESOLUTION, 1].map(u16::to_ne_bytes).concat();
                let options = [&head[..], &[9, 0, 0, 0], &[0; 4]].concat();
                // The link takes two bytes, and two are reserved.
                let link = u16::try_from(link).unwrap_or_default().to_ne_bytes();
                let interface = [&link[..], &[0; 2], &SNAP.to_ne_bytes(), &options].concat();
                let mut header = block(pcapng::SECTION, &section);
                header.extend(block(pcapng::INTERFACE, &interface));
                header
            }
        };
        out.write_all(&header)?;
        Ok(Self {
            out,
            format,
            count: 0,
        })
    }

    /// Writes a packet.
    ///
    /// # Errors
    /// It can't be written; `InvalidInput`: it is longer than a packet can be.
    pub fn write(&mut self, record: &Record<'_>) -> io::Result<()> {
        let bytes = record.bytes;
        let Some(len) = u32::try_from(bytes.len())
            .ok()
            .filter(|len| *len <= super::LONGEST)
        else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a packet longer than 16 MiB",
            ));
        };
        let original_len = record.original_len.max(len);
        let (seconds, part) = (
            record.timestamp / 1_000_000_000,
            record.timestamp % 1_000_000_000,
        );
        match self.format {
            Format::Pcap | Format::PcapNanoseconds => {
                let unit = match self.format {
                    Format::Pcap => 1000,
                    _ => 1,
                };
                let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
                #[expect(clippy::arithmetic_side_effects, reason = "the unit is not 0")]
                let part = u32::try_from(part / unit).unwrap_or(u32::MAX);
                let head = [seconds, part, len, original_len];
                for word in head {
                    self.out.write_all(&word.to_ne_bytes())?;
                }
                self.out.write_all(bytes)?;
            }
            Format::PcapNg => {
                let padding = len.next_multiple_of(4).saturating_sub(len) as usize;
                let whole = len.next_multiple_of(4).saturating_add(32);
                let (high, low) = (record.timestamp >> 32, record.timestamp & 0xffff_ffff);
                let half = |half| u32::try_from(half).unwrap_or_default();
                let head = [pcapng::PACKET, whole, 0, half(high), half(low)];
                for word in head.into_iter().chain([len, original_len]) {
                    self.out.write_all(&word.to_ne_bytes())?;
                }
                self.out.write_all(bytes)?;
                self.out
                    .write_all([0; 4].get(..padding).unwrap_or_default())?;
                self.out.write_all(&whole.to_ne_bytes())?;
            }
        }
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    /// Packets that were written.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Writes what is still in the buffer, and gives back what it wrote to.
    ///
    /// # Errors
    /// It can't be written.
    pub fn finish(self) -> io::Result<W> {
        self.out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
    }
}

/// A block with type and lengths around it.
fn block(kind: u32, content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len()).unwrap_or_default();
    let whole = len.saturating_add(12).to_ne_bytes();
    [&kind.to_ne_bytes()[..], &whole, content, &whole].concat()
}
