//! Requests to the kernel's routing netlink: what hooks need that `bpf(2)` has no command for
//! (rtnetlink(7), netlink(7)).

use std::{
    os::fd::OwnedFd,
    sync::atomic::{AtomicU32, Ordering},
};

use skep_host::Errno;

use crate::sys::{self, SysResult};

/// Bytes of a message's header.
const HEADER: usize = 16;
/// What attributes and messages are aligned to.
const ALIGNMENT: usize = 4;
/// The kernel sends no longer messages to those who did not ask with a longer buffer.
const LONGEST: usize = 32 * 1024;

const ERROR: u16 = 2;
const DONE: u16 = 3;

/// Every request asks for an answer.
const REQUEST: u16 = 0x1 | 0x4;
/// Send what was made, too.
pub(crate) const ECHO: u16 = 0x8;
/// Take the place of what is there.
pub(crate) const REPLACE: u16 = 0x100;
/// Only if nothing is there.
pub(crate) const EXCLUSIVE: u16 = 0x200;
/// Make it.
pub(crate) const CREATE: u16 = 0x400;
/// All there are.
pub(crate) const DUMP: u16 = 0x300;

/// An attribute that holds attributes.
pub(crate) const NESTED: u16 = 0x8000;

/// A socket in the network namespace of the thread that opened it, and it stays there.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: AtomicU32,
}

impl Netlink {
    pub(crate) fn open() -> SysResult<Self> {
        Ok(Self {
            socket: sys::route_socket()?,
            sequence: AtomicU32::new(1),
        })
    }

    /// Sends a request and gives what the kernel sends back before it says that it is done: types
    /// and bodies of messages.
    pub(crate) fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> SysResult<Vec<(u16, Vec<u8>)>> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let length = u32::try_from(HEADER + body.len()).map_err(|_| Errno::E2BIG)?;
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((REQUEST | flags).to_ne_bytes());
        message.extend(sequence.to_ne_bytes());
        message.extend(0_u32.to_ne_bytes());
        message.extend(body);
        sys::send(&self.socket, &message)?;
        let mut answers = Vec::new();
        let mut buffer = vec![0; LONGEST];
        loop {
            let count = sys::receive(&self.socket, &mut buffer)?;
            let mut rest = buffer.get(..count).unwrap_or_default();
            while let Some((kind, of, body, next)) = split(rest) {
                rest = next;
                if of != sequence {
                    continue;
                }
                match kind {
                    DONE => return Ok(answers),
                    ERROR => {
                        return match word(body, 0).map(u32::cast_signed) {
                            Some(0) => Ok(answers),
                            Some(errno) => Err(Errno(errno.wrapping_neg())),
                            None => Err(Errno::EIO),
                        };
                    }
                    _ => answers.push((kind, body.to_vec())),
                }
            }
        }
    }
}

/// A message's type, sequence number and body, and what is behind it.
fn split(bytes: &[u8]) -> Option<(u16, u32, &[u8], &[u8])> {
    let length = word(bytes, 0)? as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let sequence = word(bytes, 8)?;
    let body = bytes.get(HEADER..length)?;
    let next = bytes.get(length.next_multiple_of(ALIGNMENT)..);
    Some((kind, sequence, body, next.unwrap_or_default()))
}

/// The number at an offset.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*word))
}

/// The attributes in a body, as far as they are whole: their kinds and values.
pub(crate) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
        let value = rest.get(4..length)?;
        rest = rest
            .get(length.next_multiple_of(ALIGNMENT)..)
            .unwrap_or_default();
        // Two bits say how the value is to be read.
        Some((kind & 0x3fff, value))
    })
}

/// Adds an attribute to a request's body.
pub(crate) fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = 4 + value.len() as u16;
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(ALIGNMENT), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded() {
        let mut body = Vec::new();
        attribute(&mut body, 1, b"bpf\0x");
        assert_eq!(body.len(), 12);
        assert_eq!(body[..2], 9_u16.to_ne_bytes());
    }

    #[test]
    fn attributes_are_read_as_they_are_written() {
        let mut body = Vec::new();
        attribute(&mut body, 1, b"abc");
        attribute(&mut body, 2 | NESTED, b"");
        attribute(&mut body, 3, &7_u32.to_ne_bytes());
        let read: Vec<_> = attributes(&body).collect();
        assert_eq!(
            read,
            [(1, &b"abc"[..]), (2, b""), (3, &7_u32.to_ne_bytes())]
        );
        // What is cut off, or says that it is, ends it.
        assert_eq!(attributes(&body[..body.len() - 1]).count(), 2);
        assert_eq!(attributes(&[0; 8]).count(), 0);
    }

    #[test]
    fn messages_are_split_and_halves_are_none() {
        let mut bytes = Vec::new();
        for kind in [44_u16, DONE] {
            bytes.extend(18_u32.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend([0; 2]);
            bytes.extend(7_u32.to_ne_bytes());
            bytes.extend([0; 4]);
            bytes.extend([1, 2, 0, 0]);
        }
        let (kind, sequence, body, rest) = split(&bytes).unwrap();
        assert_eq!((kind, sequence, body), (44, 7, &[1, 2][..]));
        let (kind, _, _, rest) = split(rest).unwrap();
        assert_eq!((kind, rest.len()), (DONE, 0));
        assert!(split(&bytes[..17]).is_none());
        assert!(split(&[]).is_none());
        // A length that lies goes nowhere.
        assert!(split(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_none());
    }
}
