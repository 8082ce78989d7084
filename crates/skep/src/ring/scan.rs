//! Finding the run of finished records after the consumer's position, quickly.
//!
//! Where the next header lies follows from the length in this one, so a plain walk waits for
//! one load after the other, each of a line that another CPU wrote. Most rings hold records of
//! one length: the walk bets that the next header is like the first, which makes its address
//! known beforehand, and the processor loads many at once.

use skep_host::Word;

/// The producer is still writing the record (`BPF_RINGBUF_BUSY_BIT`).
const BUSY: u32 = 1 << 31;
/// The producer gave the record up (`BPF_RINGBUF_DISCARD_BIT`).
const DISCARD: u32 = 1 << 30;
/// Bytes before each record (`BPF_RINGBUF_HDR_SZ`).
pub(super) const HEADER_SIZE: usize = 8;

/// The first word of a record's header: its length and two flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header(pub(super) u32);

impl Header {
    fn is_busy(self) -> bool {
        self.0 & BUSY != 0
    }

    pub(super) fn is_discarded(self) -> bool {
        self.0 & DISCARD != 0
    }

    /// Bytes of the record behind it.
    pub(super) fn length(self) -> usize {
        (self.0 & !(BUSY | DISCARD)) as usize
    }

    /// Bytes from this header to the next.
    pub(super) fn stride(self) -> usize {
        (self.length() + HEADER_SIZE + 7) & !7
    }
}

/// A run of finished records.
#[derive(Debug, Default)]
pub(super) struct Span {
    pub(super) bytes: usize,
    /// Records that are long enough, and not discarded.
    pub(super) records: usize,
    /// Records that are too short.
    pub(super) short: usize,
    /// The header of every record, where they are all alike.
    pub(super) header: Option<Header>,
}

/// A header leads out of what the producer published, after so many bytes.
#[derive(Debug)]
pub(super) struct Damaged(pub(super) usize);

/// Finds finished records in `published`, the words that the producer's position covers: those
/// that begin in the first `most` bytes. Records shorter than `least` bytes are counted apart.
pub(super) fn scan(published: &[Word], most: usize, least: usize) -> Result<Span, Damaged> {
    let available = published.len() * 4;
    let Some(first) = published.first().map(|word| Header(word.acquire())) else {
        return Ok(Span::default());
    };
    if first.is_busy() {
        return Ok(Span::default());
    }
    let begins = &published[..published.len().min(most / 4)];
    // The comparison is a branch, which the processor predicts: no load waits for another.
    let alike = begins
        .iter()
        .step_by(first.stride() / 4)
        .take_while(|word| word.acquire() == first.0)
        .count();
    let mut span = Span {
        bytes: alike * first.stride(),
        header: Some(first),
        ..Span::default()
    };
    if span.bytes > available {
        return Err(Damaged(span.bytes - first.stride()));
    }
    span.count(first, alike, least);
    while let Some(word) = begins.get(span.bytes / 4) {
        let header = Header(word.acquire());
        if header.is_busy() {
            break;
        }
        let bytes = span.bytes + header.stride();
        if bytes > available {
            return Err(Damaged(span.bytes));
        }
        span.bytes = bytes;
        span.header = None;
        span.count(header, 1, least);
    }
    Ok(span)
}

impl Span {
    fn count(&mut self, header: Header, times: usize, least: usize) {
        if header.is_discarded() {
        } else if header.length() < least {
            self.short += times;
        } else {
            self.records += times;
        }
    }
}
