//! The ring buffer's reading end: opening it, looking for records, waiting for them. What is
//! lent is in `batch.rs`, how records are found in `scan.rs`.
//!
//! The layout (`linux/bpf.h`, `BPF_MAP_TYPE_RINGBUF`): a page with the consumer's position, a
//! page with the producer's, then the data twice in a row, so that no record ever wraps.

use std::{
    fmt,
    marker::PhantomData,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
    time::Duration,
};

use skep_abi::{MapCreateFlags, MapType};
use skep_host::{Access, Descriptor, Memory};

use crate::{
    Error, Map, Record, Result,
    waiting::{Deadline, Waiting},
};

mod batch;
mod scan;

pub use batch::{RingBatch, RingIter};

use scan::{Damaged, Span};

/// A batch ends with the record that reaches this many bytes: many enough that the loads of
/// headers overlap, few enough that what was found is still in the cache when it is handed out,
/// and that the ring is freed soon.
const BATCH: usize = 16 * 1024;

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
    waiting: Waiting,
    record: PhantomData<fn() -> Box<T>>,
}

impl<T: Record + ?Sized> RingBuffer<T> {
    /// Opens the reading end of `map`.
    ///
    /// # Errors
    /// The map is of another type, or its memory can't be mapped.
    pub fn new(map: Arc<Map>) -> Result<Self> {
        map.expect_type(&[MapType::Ringbuf])?;
        let flags = MapCreateFlags::from_bits_retain(map.known_info().flags);
        if flags.contains(MapCreateFlags::RB_OVERWRITE) {
            return Err(Error::map(
                &map,
                "its oldest records are overwritten (BPF_F_RB_OVERWRITE), which can't be read \
                 while programs write",
            ));
        }
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
        let end = producer.long_words()[0].acquire();
        Ok(Self {
            map,
            consumer,
            producer,
            data: page,
            size,
            end,
            waiting: Waiting::default(),
            record: PhantomData,
        })
    }

    /// The records that are there now, up to 16 KiB of them at a time; empty when there are none.
    /// Never waits.
    ///
    /// # Errors
    /// The ring's headers contradict its positions: something else wrote into it.
    pub fn batch(&mut self) -> Result<RingBatch<'_, T>> {
        let (start, span) = self.committed()?;
        Ok(self.lend(start, span))
    }

    /// Waits for records, at most for `timeout` (`None`: for ever). `None` when the time is up.
    /// Signals don't end it. The batch is empty if programs gave up all of its records.
    ///
    /// # Errors
    /// Waiting failed, or the ring is damaged (see [`batch`](Self::batch)).
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<RingBatch<'_, T>>> {
        let deadline = Deadline::after(timeout);
        loop {
            let (start, span) = self.committed()?;
            if span.bytes > 0 {
                return Ok(Some(self.lend(start, span)));
            }
            let things = std::iter::once(self.map.fd().descriptor());
            let host = self.map.host().as_ref();
            if !self.waiting.wait(host, things, deadline)? {
                return Ok(None);
            }
        }
    }

    /// Hands the records that are there now to `each`, until it breaks off. Exactly those that
    /// it was given are consumed, the one at which it broke off with them, even if it panics.
    /// Never waits.
    ///
    /// ```no_run
    /// use std::ops::ControlFlow;
    /// # fn first(ring: &mut skep::RingBuffer<u64>) -> skep::Result<()> {
    /// let consumed = ring.consume(|number| match number {
    ///     0 => ControlFlow::Break(()),
    ///     _ => ControlFlow::Continue(()),
    /// })?;
    /// println!("{} records{}", consumed.records, if consumed.stopped { ", and more" } else { "" });
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The ring is damaged (see [`batch`](Self::batch)).
    pub fn consume(&mut self, mut each: impl FnMut(&T) -> ControlFlow<()>) -> Result<Consumed> {
        // A fast producer could keep us here for ever.
        let until = self.producer.long_words()[0].acquire();
        let mut consumed = Consumed::default();
        loop {
            let mut batch = self.batch()?;
            if batch.hand_out(&mut each, &mut consumed) {
                return Ok(consumed);
            }
            let ahead = until.wrapping_sub(batch.next());
            if batch.is_gone() || ahead == 0 || ahead > u64::MAX / 2 {
                return Ok(consumed);
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

    /// Whether a batch would be more than nothing.
    #[cfg(feature = "tokio")]
    pub(crate) fn has_some(&mut self) -> Result<bool> {
        let (_, span) = self.committed()?;
        Ok(span.bytes > 0)
    }

    /// Where the consumer is: what the last batch stored.
    fn position(&self) -> u64 {
        self.consumer.long_words()[0].acquire()
    }

    /// The consumer's position, and the run of finished records after it.
    fn committed(&mut self) -> Result<(u64, Span)> {
        let start = self.position();
        // The producer's line is left to the producer while there is a whole batch.
        if self.end.wrapping_sub(start) < BATCH as u64 {
            self.end = self.producer.long_words()[0].acquire();
        }
        let span = self.scan(start)?;
        if span.bytes > 0 {
            return Ok((start, span));
        }
        // The producer wakes us only if it sees that we have read all before its record. So our
        // position must be out before we look for the last time, or both sides may miss each
        // other.
        fence(Ordering::SeqCst);
        self.end = self.producer.long_words()[0].acquire();
        Ok((start, self.scan(start)?))
    }

    fn scan(&self, start: u64) -> Result<Span> {
        let mut available = self.end.wrapping_sub(start);
        if available > self.size {
            // Another reader of the same ring was here.
            let end = self.producer.long_words()[0].acquire();
            available = end.wrapping_sub(start);
        }
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

    /// Lends what was found at `start`. The position is not read again: another reader may have
    /// moved it meanwhile, and what lies behind its own batch nobody has looked at.
    fn lend(&mut self, start: u64, span: Span) -> RingBatch<'_, T> {
        let from = self.data + (start & (self.size - 1)) as usize;
        let bytes = self.producer.committed(from..from + span.bytes);
        RingBatch::new(bytes, start, span, self.consumer.as_ref())
    }
}

impl<T: ?Sized> fmt::Debug for RingBuffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingBuffer")
            .field("map", &self.map.name())
            .finish_non_exhaustive()
    }
}

/// How far [`RingBuffer::consume`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Consumed {
    /// Records that were handed out.
    pub records: usize,
    /// Records that were passed over, as they are shorter than the type.
    pub short: usize,
    /// The closure broke off.
    pub stopped: bool,
}
