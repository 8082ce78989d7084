//! A file as a window that moves over it: one buffer, in which what is asked for lies in one piece.

use std::io::{ErrorKind, Read};

use super::{CaptureError, Problem};

/// Bytes that are read at once: enough for a call to cost nothing beside them, and little enough
/// to stay in a processor's cache.
const BUFFER: usize = 256 << 10;

/// See the top of the file.
#[derive(Debug)]
pub(super) struct Source<R> {
    from: R,
    buffer: Vec<u8>,
    /// The bytes of the buffer that hold something not yet taken.
    start: usize,
    end: usize,
    /// The file's offset of `start`.
    offset: u64,
}

/// Numbers as one machine or the other writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    /// The four bytes at `at`; 0 where there are none, which no caller comes to that has looked at
    /// the length.
    #[inline]
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let part = bytes.get(at..).and_then(|part| part.first_chunk());
        let part = part.copied().unwrap_or_default();
        match self {
            Self::Little => u32::from_le_bytes(part),
            Self::Big => u32::from_be_bytes(part),
        }
    }

    /// The two bytes at `at`.
    #[inline]
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let part = bytes.get(at..).and_then(|part| part.first_chunk());
        let part = part.copied().unwrap_or_default();
        match self {
            Self::Little => u16::from_le_bytes(part),
            Self::Big => u16::from_be_bytes(part),
        }
    }
}

impl<R: Read> Source<R> {
    pub(super) fn new(from: R) -> Self {
        Self {
            from,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            offset: 0,
        }
    }

    /// Where the file is now.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// What is there of the next bytes: `len` of them, or less at the file's end.
    ///
    /// # Errors
    /// It can't be read.
    #[inline]
    pub(super) fn peek(&mut self, len: usize) -> Result<&[u8], CaptureError> {
        if self.end.saturating_sub(self.start) < len {
            self.fill(len)?;
        }
        let end = self.end.min(self.start.saturating_add(len));
        Ok(self.buffer.get(self.start..end).unwrap_or_default())
    }

    /// The next `len` bytes of `what`.
    ///
    /// # Errors
    /// It can't be read, or ends before.
    #[inline]
    pub(super) fn need(&mut self, what: &'static str, len: usize) -> Result<&[u8], CaptureError> {
        let offset = self.offset;
        let bytes = self.peek(len)?;
        if bytes.len() < len {
            let (expected, found) = (len as u64, bytes.len() as u64);
            let cut = Problem::Cut {
                what,
                expected,
                found,
            };
            return Err(CaptureError::new(offset, cut));
        }
        Ok(bytes)
    }

    /// Gives `len` bytes that were peeked at, and goes on behind them.
    #[inline]
    pub(super) fn take(&mut self, len: usize) -> &[u8] {
        let start = self.start;
        self.start = start.saturating_add(len).min(self.end);
        let taken = self.start.saturating_sub(start);
        self.offset = self.offset.saturating_add(taken as u64);
        self.buffer.get(start..self.start).unwrap_or_default()
    }

    /// Goes over `len` bytes of `what`, without keeping them.
    ///
    /// # Errors
    /// It can't be read, or ends before.
    pub(super) fn skip(&mut self, what: &'static str, len: u64) -> Result<(), CaptureError> {
        let (offset, mut left) = (self.offset, len);
        while left > 0 {
            let part = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
            let found = self.peek(part)?.len();
            self.take(found);
            left = left.saturating_sub(found as u64);
            if found < part {
                let cut = Problem::Cut {
                    what,
                    expected: len,
                    found: len.saturating_sub(left),
                };
                return Err(CaptureError::new(offset, cut));
            }
        }
        Ok(())
    }

    /// Reads until there are `len` bytes, or no more.
    #[cold]
    #[inline(never)]
    fn fill(&mut self, len: usize) -> Result<(), CaptureError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end = self.end.saturating_sub(self.start);
        self.start = 0;
        while self.end < len {
            if self.end == self.buffer.len() {
                // Only as fast as the file really has the bytes that a length in it speaks of.
                let longer = self.buffer.len().saturating_mul(2);
                self.buffer.resize(longer, 0);
            }
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.from.read(room) {
                Ok(0) => break,
                Ok(count) => self.end = self.end.saturating_add(count).min(self.buffer.len()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let offset = self.offset.saturating_add(self.end as u64);
                    return Err(CaptureError::new(offset, Problem::Read(error)));
                }
            }
        }
        Ok(())
    }
}
