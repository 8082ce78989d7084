//! What can be wrong with a capture, and where.

use std::{fmt, io};

use super::LinkType;

/// Why a capture can't be read, or not further.
#[derive(Debug, thiserror::Error)]
#[error("{problem} at byte {offset}")]
pub struct CaptureError {
    /// Where in the file: the first byte of what is wrong.
    pub offset: u64,
    /// What is wrong there.
    pub problem: Problem,
}

impl CaptureError {
    pub(crate) fn new(offset: u64, problem: Problem) -> Self {
        Self { offset, problem }
    }
}

/// What is wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// It can't be read.
    Read(io::Error),
    /// It ends in the middle of something.
    Cut {
        /// Of what.
        what: &'static str,
        /// How many bytes of it were expected.
        expected: u64,
        /// How many are there.
        found: u64,
    },
    /// It is no capture.
    NoCapture {
        /// How it begins.
        magic: [u8; 4],
    },
    /// A number that can't be.
    Bad {
        /// What the number is.
        what: &'static str,
        /// The number.
        value: u64,
        /// What it should be.
        expected: &'static str,
    },
    /// Packets of a kind of link that no Ethernet frames can be made of.
    Link(LinkType),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "cannot read: {error}"),
            Self::Cut {
                what,
                expected,
                found,
            } => write!(
                f,
                "the file ends in {what}: {expected} bytes expected, {found} there"
            ),
            Self::NoCapture { magic } => {
                let [a, b, c, d] = magic;
                write!(
                    f,
                    "no capture: a pcap or pcapng file expected, this begins with \
                     {a:02x} {b:02x} {c:02x} {d:02x}"
                )?;
                match packed(*magic) {
                    Some(tool) => write!(f, ", which is packed: unpack it with `{tool}`;"),
                    None => Ok(()),
                }
            }
            Self::Bad {
                what,
                value,
                expected,
            } => write!(f, "{what} is {value}: {expected} expected"),
            Self::Link(link) => write!(
                f,
                "packets of {link}: Ethernet, raw IP, loopback or Linux SLL expected,"
            ),
        }
    }
}

/// What unpacks files that begin so.
fn packed(magic: [u8; 4]) -> Option<&'static str> {
    match magic {
        [0x1f, 0x8b, ..] => Some("gzip -d"),
        [0x28, 0xb5, 0x2f, 0xfd] => Some("zstd -d"),
        [0xfd, b'7', b'z', b'X'] => Some("xz -d"),
        [b'B', b'Z', b'h', _] => Some("bzip2 -d"),
        _ => None,
    }
}
