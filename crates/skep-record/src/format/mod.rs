//! The file of a recording: a head, then blocks, each with its kind and length, so that a writer
//! streams and a file that was cut off is read as far as it goes.
//!
//! ```text
//! "SKEPREC\n"  u32 version = 1  u32 0x01020304 in the byte order of the machine
//! block:  u32 kind  u32 bytes  the bytes, and zeros to a multiple of 8
//! ```
//!
//! | kind | what |
//! |---|---|
//! | 1 | who recorded what where: [`Header`] |
//! | 2 | the object, an ELF file |
//! | 3 | the image: the object linked for that host, before it was changed |
//! | 4 | the [places](crate::Sites) at which something was recorded |
//! | 5 | a map's entries: when the recording began |
//! | 6 | an [event](crate::Event) |
//! | 7 | counts of events that were lost so far |
//! | 8 | a map's entries: when the recording ended |
//! | 9 | names of addresses: for stacks |
//! | 10 | the end |
//! | 11 | types of the host, as BTF: for another version of the object |
//!
//! Numbers are little-endian, but in events, which are as the machine wrote them: machines of
//! another byte order refuse the file.

#![warn(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects
)]

mod codec;
mod image;
mod read;
mod write;

pub use read::Recording;
pub use write::{Contents, Writer};

/// How a file begins.
pub(crate) const MAGIC: &[u8; 8] = b"SKEPREC\n";
/// The format that this crate writes, and the only one that it reads.
pub(crate) const VERSION: u32 = 1;
/// Says a byte order.
pub(crate) const ORDER: u32 = 0x0102_0304;

pub(crate) mod kind {
    pub(crate) const HEADER: u32 = 1;
    pub(crate) const OBJECT: u32 = 2;
    pub(crate) const IMAGE: u32 = 3;
    pub(crate) const SITES: u32 = 4;
    pub(crate) const BEFORE: u32 = 5;
    pub(crate) const EVENT: u32 = 6;
    pub(crate) const LOST: u32 = 7;
    pub(crate) const AFTER: u32 = 8;
    pub(crate) const NAMES: u32 = 9;
    pub(crate) const END: u32 = 10;
    pub(crate) const TYPES: u32 = 11;
}

/// Who recorded what where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// The program's file, as it was named.
    pub program: String,
    /// SHA-256 of the object.
    pub object_hash: [u8; 32],
    /// The host, for people: `kernel 6.18.5`.
    pub host: String,
    /// The kernel's version, as it codes it.
    pub version: u32,
    /// CPUs that the host may have.
    pub cpus: u32,
    /// When it began: nanoseconds since 1970.
    pub began: u64,
    /// The same on the monotonic clock, from which times of events are counted.
    pub zero: u64,
}

/// Entries of a map.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MapState {
    /// The map, by its number in the image.
    pub map: u32,
    /// Keys and values; of per-CPU maps, the values of all CPUs, as the boundary has them.
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The name of an address, as a stack is printed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The process; 0 for the kernel.
    pub process: u32,
    /// The address.
    pub address: u64,
    /// The lines that are printed for it, innermost first.
    pub lines: Vec<String>,
}

/// What was not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// Runs for which the ring had no room.
    pub full: u64,
    /// Runs that interrupted two others on their CPU.
    pub deep: u64,
}

impl Lost {
    /// All of them.
    #[must_use]
    pub const fn all(self) -> u64 {
        self.full.saturating_add(self.deep)
    }
}
