//! The ring buffer's reading end: batches borrowed from the ring, one position store a batch.
//!
//! The layout (`linux/bpf.h`, `BPF_MAP_TYPE_RINGBUF`): a page with the consumer's position, a
//! page with the producer's, then the data twice in a row, so that no record ever wraps.

use std::{
    fmt,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering, fence},
    },
    time::{Duration, Instant},
};

use skep_abi::MapType;
use skep_host::{Access, Descriptor, Memory, Poller};

use crate::{Error, Map, Record, Result};

mod scan;

use scan::{Damaged, HEADER_SIZE, Header, Span};

/// A batch ends with the record that reaches this many bytes: many enough that the loads of
/// headers overlap, few enough that what was found is still in the cache when it is handed out,
/// and that the ring is freed soon.
const BATCH: usize = 64 * 1024;

/// Reads records of type `T` from a `BPF_MAP_TYPE_RINGBUF` map (5.8).
///
/// `T` is any [`Record`]: a plain `#[repr(C)]` type that derives zerocopy's `FromBytes`,
/// `KnownLayout` and `Immutable`, or `[u8]` for the bytes as they are. Records are lent from the
/// ring itself.
pub struct RingBuffer<T: ?Sized = [u8]> {
    map: Arc<Map>,
    consumer: Box<dyn Memory>,
    producer: Box<dyn Memory>,
    /// Where the data begins in `producer`.
    data: usize,
    size: u64,
    /// The producer's position as it was last looked at.
    end: u64,
    poller: Box<dyn Poller>,
    ready: Vec<u64>,
    record: PhantomData<fn() -> Box<T>>,
}

impl<T: Record + ?Sized> RingBuffer<T> {
    /// Opens the reading end of `map`.
    ///
    /// # Errors
    /// The map is of another type, or its memory can't be mapped.
    pub fn new(map: Arc<Map>) -> Result<Self> {
        map.expect_type(&[MapType::Ringbuf])?;
        let host = map.host();
        let page = host.page_size();
        let size = u64::from(map.max_entries());
        let too_big = || Error::map(&map, "the ring is larger than this machine's memory");
        let data_len = usize::try_from(size)
            .ok()
            .and_then(|size| size.checked_mul(2));
        let producer_len = data_len
            .and_then(|len| len.checked_add(page))
            .ok_or_else(too_big)?;
        let consumer = host.map_memory(map.fd(), 0, page, Access::ReadWrite)?;
        let producer = host.map_memory(map.fd(), page as u64, producer_len, Access::Read)?;
        let mut poller = host.poller()?;
        poller.add(map.fd().descriptor(), 0)?;
        Ok(Self {
            map,
            consumer,
            producer,
            data: page,
            size,
            end: 0,
            poller,
            ready: Vec::with_capacity(1),
            record: PhantomData,
        })
    }

    /// The records that are there now; empty when there are none. Never waits.
    ///
    /// # Errors
    /// The ring's headers contradict its positions: something else wrote into it.
    pub fn batch(&mut self) -> Result<RingBatch<'_, T>> {
        let span = self.committed()?;
        Ok(self.lend(span))
    }

    /// Waits for records, at most for `timeout` (`None`: for ever). `None` when the time is up
    /// or a signal came.
    ///
    /// # Errors
    /// Waiting failed, or the ring is damaged (see [`batch`](Self::batch)).
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<RingBatch<'_, T>>> {
        let end = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let span = self.committed()?;
            if span.bytes > 0 {
                return Ok(Some(self.lend(span)));
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            self.poller.wait(left, &mut self.ready)?;
            if self.ready.is_empty() {
                return Ok(None);
            }
        }
    }

    /// What to wait for in an event loop of one's own: readable when there are records.
    pub fn descriptor(&self) -> &Descriptor {
        self.map.fd().descriptor()
    }

    /// The map that is read.
    pub fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// Bytes in the ring that are not read yet, records and headers.
    pub fn pending(&self) -> u64 {
        let start = self.position();
        let end = self.producer.long_words()[0].acquire();
        end.wrapping_sub(start)
    }

    /// Where the consumer is: what the last batch stored.
    fn position(&self) -> u64 {
        self.consumer.long_words()[0].acquire()
    }

    /// The run of finished records after the consumer's position.
    fn committed(&mut self) -> Result<Span> {
        let start = self.position();
        let span = self.scan(start)?;
        if span.bytes > 0 {
            return Ok(span);
        }
        // The producer wakes us only if it sees that we have read all before its record. So our
        // position must be out before we look for the last time, or both sides may miss each
        // other.
        fence(Ordering::SeqCst);
        self.end = self.producer.long_words()[0].acquire();
        self.scan(start)
    }

    fn scan(&self, start: u64) -> Result<Span> {
        let available = self.end.wrapping_sub(start);
        if available > self.size {
            return Err(self.damaged(start));
        }
        // The data lies twice in a row: what is published never wraps.
        let from = self.data + (start & (self.size - 1)) as usize;
        let published = &self.producer.words()[from / 4..(from + available as usize) / 4];
        scan::scan(published, BATCH, T::SIZE)
            .map_err(|Damaged(after)| self.damaged(start.wrapping_add(after as u64)))
    }

    fn damaged(&self, position: u64) -> Error {
        Error::map(
            &self.map,
            &format!("a record's length is impossible at position {position:#x}"),
        )
    }

    fn lend(&mut self, span: Span) -> RingBatch<'_, T> {
        let start = self.position();
        let from = self.data + (start & (self.size - 1)) as usize;
        RingBatch {
            bytes: self.producer.committed(from..from + span.bytes),
            consumer: self.consumer.writable().unwrap_or_default(),
            next: start.wrapping_add(span.bytes as u64),
            records: span.records,
            short: span.short,
            header: span.header,
            record: PhantomData,
        }
    }
}

impl<T: ?Sized> fmt::Debug for RingBuffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingBuffer")
            .field("map", &self.map.name())
            .finish_non_exhaustive()
    }
}

/// Records lent from a ring. Dropping the batch gives their room back to the producer.
pub struct RingBatch<'a, T: ?Sized> {
    bytes: &'a [u8],
    consumer: &'a [AtomicU64],
    next: u64,
    records: usize,
    short: usize,
    header: Option<Header>,
    record: PhantomData<fn() -> Box<T>>,
}

impl<T: ?Sized> RingBatch<'_, T> {
    /// Records that are shorter than `T` and so are left out by [`iter`](Self::iter): the
    /// program and the reader disagree about the type.
    pub fn short(&self) -> usize {
        self.short
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }
}

impl<'a, T: Record + ?Sized> RingBatch<'a, T> {
    /// The records, in the order they were reserved, without those that [`short`](Self::short)
    /// counts.
    pub fn iter(&self) -> RingIter<'a, T> {
        RingIter {
            rest: self.bytes,
            header: self.header,
            record: PhantomData,
        }
    }
}

impl<'a, T: Record + ?Sized + 'a> IntoIterator for &RingBatch<'a, T> {
    type Item = &'a T;
    type IntoIter = RingIter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: ?Sized> Drop for RingBatch<'_, T> {
    fn drop(&mut self) {
        if let (false, Some(position)) = (self.bytes.is_empty(), self.consumer.first()) {
            position.store(self.next, Ordering::Release);
        }
    }
}

impl<T: ?Sized> fmt::Debug for RingBatch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingBatch")
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}

/// Iterates over the records of a [`RingBatch`].
pub struct RingIter<'a, T: ?Sized> {
    rest: &'a [u8],
    header: Option<Header>,
    record: PhantomData<fn() -> Box<T>>,
}

impl<'a, T: Record + ?Sized + 'a> Iterator for RingIter<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let header = match self.header {
                Some(header) => header,
                None => Header(u32::from_ne_bytes(*self.rest.first_chunk()?)),
            };
            let (record, rest) = self.rest.split_at_checked(header.stride())?;
            self.rest = rest;
            if !header.is_discarded() {
                let bytes = record.get(HEADER_SIZE..HEADER_SIZE + header.length())?;
                if let Some(value) = T::view(bytes) {
                    return Some(value);
                }
            }
        }
    }
}

impl<T: ?Sized> fmt::Debug for RingIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingIter")
            .field("bytes", &self.rest.len())
            .finish()
    }
}
