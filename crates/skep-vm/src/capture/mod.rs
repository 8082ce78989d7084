//! Captures: files of packets, as network tools write them. Both formats there are (pcap and
//! pcapng) are read and written, one packet after the other, so that a file of any length takes
//! the memory of one buffer.
//!
//! ```
//! use skep_vm::capture::{Capture, Format, Record, Writer};
//!
//! let mut file = Vec::new();
//! let mut writer = Writer::new(&mut file, Format::Pcap)?;
//! writer.write(&Record::new(1_500_000_000, &[0; 60]))?;
//! writer.finish()?;
//!
//! let mut capture = Capture::new(&file[..])?;
//! while let Some(packet) = capture.next()? {
//!     assert_eq!(packet.timestamp, 1_500_000_000);
//!     assert_eq!(packet.bytes.len(), 60);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects
)]

mod error;
mod link;
mod pcap;
mod pcapng;
mod source;
#[cfg(test)]
mod tests;
mod writer;

use std::{io::Read, path::Path};

pub use error::{CaptureError, Problem};
pub use link::{Ethernet, LinkType};
pub use writer::{Record, Writer};

use source::Source;

/// The most bytes of a packet: no device has longer ones, and what says so is damaged.
const LONGEST: u32 = 16 << 20;

/// How packets stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// pcap with microseconds.
    Pcap,
    /// pcap with nanoseconds.
    PcapNanoseconds,
    /// pcapng.
    PcapNg,
}

impl Format {
    /// The format that a file's name asks for: `.pcapng` and `.ntar` the one, `.pcap`, `.cap` and
    /// `.dmp` the other.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "pcapng" | "ntar" => Some(Self::PcapNg),
            "pcap" | "cap" | "dmp" => Some(Self::Pcap),
            _ => None,
        }
    }
}

/// A packet of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Packet<'a> {
    /// When it was captured: nanoseconds since 1970.
    pub timestamp: u64,
    /// What was captured of it.
    pub bytes: &'a [u8],
    /// How many bytes it had on the wire: more than are here where the capture cut it.
    pub original_len: u32,
    /// What it begins with.
    pub link: LinkType,
    /// The interface that it came by: its number in the section of a pcapng file, else 0.
    pub interface: u32,
}

impl Packet<'_> {
    /// Whether the capture has less of it than was on the wire.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        (self.bytes.len() as u64) < u64::from(self.original_len)
    }
}

/// A capture that is read.
#[derive(Debug)]
pub struct Capture<R> {
    source: Source<R>,
    reader: Reader,
    /// Nothing comes any more: its end, or an error.
    ended: bool,
}

#[derive(Debug)]
enum Reader {
    Pcap(pcap::Header),
    PcapNg(pcapng::Section),
}

/// Where in the source's buffer a packet is, and what is known of it.
#[derive(Debug, Clone, Copy)]
struct Found {
    timestamp: u64,
    /// Bytes before it, in what the source has shown.
    skip: usize,
    len: usize,
    original_len: u32,
    link: LinkType,
    interface: u32,
    /// Bytes of all that belongs to it.
    whole: usize,
}

impl<R: Read> Capture<R> {
    /// Reads a capture's first header. The reader needs no buffer of its own.
    ///
    /// # Errors
    /// It can't be read, or is no capture.
    pub fn new(from: R) -> Result<Self, CaptureError> {
        let mut source = Source::new(from);
        let reader = match pcap::Header::read(&mut source)? {
            Some(header) => Reader::Pcap(header),
            None => Reader::PcapNg(pcapng::Section::read(&mut source)?),
        };
        Ok(Self {
            source,
            reader,
            ended: false,
        })
    }

    /// The next packet; `None` at the end.
    ///
    /// # Errors
    /// The file can't be read, or is damaged or cut off from here on: the packets before were
    /// whole. After an error nothing more comes.
    #[allow(clippy::should_implement_trait, reason = "packets are lent")]
    pub fn next(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        if self.ended {
            return Ok(None);
        }
        let found = match &mut self.reader {
            Reader::Pcap(header) => header.next(&mut self.source),
            Reader::PcapNg(section) => section.next(&mut self.source),
        };
        let Some(found) = found.inspect_err(|_| self.ended = true)? else {
            self.ended = true;
            return Ok(None);
        };
        let end = found.skip.saturating_add(found.len);
        let shown = self.source.take(found.whole);
        Ok(Some(Packet {
            timestamp: found.timestamp,
            bytes: shown.get(found.skip..end).unwrap_or_default(),
            original_len: found.original_len,
            link: found.link,
            interface: found.interface,
        }))
    }

    /// Its format.
    #[must_use]
    pub fn format(&self) -> Format {
        match &self.reader {
            Reader::Pcap(header) if header.nanoseconds() => Format::PcapNanoseconds,
            Reader::Pcap(_) => Format::Pcap,
            Reader::PcapNg(_) => Format::PcapNg,
        }
    }

    /// Bytes that were read of it so far.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.source.offset()
    }
}
