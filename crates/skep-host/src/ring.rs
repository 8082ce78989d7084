//! The reading end of a ring buffer (`BPF_MAP_TYPE_RINGBUF`), without types: where records are, and
//! finding the run of finished ones after the consumer's position, quickly.
//!
//! The layout (`linux/bpf.h`): a page with the consumer's position, a page with the producer's, then
//! the data twice in a row, so that no record ever wraps.
//!
//! Where the next header lies follows from the length in this one, so a plain walk waits for
//! one load after the other, each of a line that another CPU wrote. Most rings hold records of
//! one length: the walk bets that the next header is like the first, which makes its address
//! known beforehand, and the processor loads many at once.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::{Access, Error, Host, MapFd, Memory, Result, Word};

/// A batch ends with the record that reaches this many bytes: many enough that the loads of
/// headers overlap, few enough that what was found is still in the cache when it is handed out,
/// and that the ring is freed soon.
const BATCH: usize = 16 * 1024;

/// The producer is still writing the record (`BPF_RINGBUF_BUSY_BIT`).
const BUSY: u32 = 1 << 31;
/// The producer gave the record up (`BPF_RINGBUF_DISCARD_BIT`).
const DISCARD: u32 = 1 << 30;
/// Bytes before each record (`BPF_RINGBUF_HDR_SZ`).
pub const HEADER_SIZE: usize = 8;

/// A ring's reading end.
#[derive(Debug)]
pub struct RingReader {
    consumer: Box<dyn Memory>,
    producer: Box<dyn Memory>,
    /// Where the data begins in `producer`.
    data: usize,
    size: u64,
    /// The producer's position as it was last looked at.
    end: u64,
}

impl RingReader {
    /// Maps the memory of a ring of `size` bytes.
    ///
    /// # Errors
    /// The host refuses, or the ring is larger than this machine's memory.
    pub fn open<H: Host + ?Sized>(host: &H, map: &MapFd, size: u32) -> Result<Self> {
        let page = host.page_size();
        let data_len = usize::try_from(size)
            .ok()
            .and_then(|size| size.checked_mul(2));
        let producer_len = data_len.and_then(|len| len.checked_add(page));
        let producer_len = producer_len.ok_or_else(|| Error::Request {
            object: format!("a ring of {size} bytes"),
            reason: "it is larger than this machine's memory".into(),
        })?;
        let consumer = host.map_memory(map, 0, page, Access::ReadWrite)?;
        let producer = host.map_memory(map, page as u64, producer_len, Access::Read)?;
        let end = producer.long_words()[0].acquire();
        Ok(Self {
            consumer,
            producer,
            data: page,
            size: u64::from(size),
            end,
        })
    }

    /// Where the consumer is.
    pub fn position(&self) -> u64 {
        self.consumer.long_words()[0].acquire()
    }

    /// Where the producer is.
    pub fn end(&self) -> u64 {
        self.producer.long_words()[0].acquire()
    }

    /// Words of the consumer's page; the first is its position, whose store gives room back.
    pub fn consumer(&self) -> &[AtomicU64] {
        self.consumer.writable().unwrap_or_default()
    }

    /// The consumer's position, and the run of finished records after it, up to 16 KiB of them; those
    /// shorter than `least` bytes are counted apart.
    ///
    /// # Errors
    /// The ring's headers contradict its positions.
    pub fn committed(&mut self, least: usize) -> Result<(u64, Span), Damaged> {
        let start = self.position();
        // The producer's line is left to the producer while there is a whole batch.
        if self.end.wrapping_sub(start) < BATCH as u64 {
            self.end = self.end();
        }
        let span = self.scan(start, least)?;
        if span.bytes > 0 {
            return Ok((start, span));
        }
        // The producer wakes us only if it sees that we have read all before its record. So our
        // position must be out before we look for the last time, or both sides may miss each
        // other.
        fence(Ordering::SeqCst);
        self.end = self.end();
        Ok((start, self.scan(start, least)?))
    }

    fn scan(&self, start: u64, least: usize) -> Result<Span, Damaged> {
        let mut available = self.end.wrapping_sub(start);
        if available > self.size {
            // Another reader of the same ring was here.
            available = self.end().wrapping_sub(start);
        }
        if available > self.size {
            return Err(Damaged { position: start });
        }
        // The data lies twice in a row: what is published never wraps.
        let from = self.place(start);
        let published = &self.producer.words()[from / 4..(from + available as usize) / 4];
        scan(published, BATCH, least).map_err(|after| Damaged {
            position: start.wrapping_add(after as u64),
        })
    }

    /// The bytes of a run of records that [`committed`](Self::committed) found at `start`. The
    /// position is not read again: another reader may have moved it meanwhile, and what lies behind
    /// its own batch nobody has looked at.
    pub fn bytes(&self, start: u64, span: &Span) -> &[u8] {
        let from = self.place(start);
        self.producer.committed(from..from + span.bytes)
    }

    fn place(&self, position: u64) -> usize {
        self.data + (position & (self.size - 1)) as usize
    }
}

/// The first word of a record's header: its length and two flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header(pub u32);

impl Header {
    fn is_busy(self) -> bool {
        self.0 & BUSY != 0
    }

    /// The producer gave the record up.
    #[inline]
    pub fn is_discarded(self) -> bool {
        self.0 & DISCARD != 0
    }

    /// Bytes of the record behind it.
    #[inline]
    pub fn length(self) -> usize {
        (self.0 & !(BUSY | DISCARD)) as usize
    }

    /// Bytes from this header to the next.
    #[inline]
    pub fn stride(self) -> usize {
        (self.length() + HEADER_SIZE + 7) & !7
    }
}

/// A run of finished records.
#[derive(Debug, Default)]
pub struct Span {
    /// Bytes of them all, headers included.
    pub bytes: usize,
    /// Records that are long enough, and not discarded.
    pub records: usize,
    /// Records that are too short.
    pub short: usize,
    /// The header of every record, where they are all alike.
    pub header: Option<Header>,
}

/// A header leads out of what the producer published: something else wrote into the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged {
    /// The position of the header.
    pub position: u64,
}

/// Finds finished records in `published`, the words that the producer's position covers: those
/// that begin in the first `most` bytes. Records shorter than `least` bytes are counted apart. Else how
/// many bytes before a header that leads out of them.
fn scan(published: &[Word], most: usize, least: usize) -> Result<Span, usize> {
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
        return Err(span.bytes - first.stride());
    }
    span.count(first, alike, least);
    while let Some(word) = begins.get(span.bytes / 4) {
        let header = Header(word.acquire());
        if header.is_busy() {
            break;
        }
        let bytes = span.bytes + header.stride();
        if bytes > available {
            return Err(span.bytes);
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
