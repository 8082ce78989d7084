//! The ring buffer's reading end with types: opening it, looking for records, waiting for them. What
//! is lent is in `batch.rs`; how records are found, in `skep_host::ring`.

use std::{fmt, marker::PhantomData, ops::ControlFlow, sync::Arc, time::Duration};

use skep_abi::{MapCreateFlags, MapType};
use skep_host::{
    Descriptor,
    ring::{Damaged, RingReader, Span},
};

use crate::{
    Error, Map, Record, Result,
    waiting::{Deadline, Waiting},
};

mod batch;

pub use batch::{RingBatch, RingIter};

/// Reads records of type `T` from a `BPF_MAP_TYPE_RINGBUF` map (5.8).
///
/// `T` is any [`Record`]: a plain `#[repr(C)]` type that derives zerocopy's `FromBytes`,
/// `KnownLayout` and `Immutable`, or `[u8]` for the bytes as they are. Records are lent from the
/// ring itself.
pub struct RingBuffer<T: ?Sized = [u8]> {
    map: Arc<Map>,
    reader: RingReader,
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
        let reader = RingReader::open(map.host().as_ref(), map.fd(), map.max_entries())?;
        Ok(Self {
            map,
            reader,
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
        let until = self.reader.end();
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
        let start = self.reader.position();
        self.reader.end().wrapping_sub(start)
    }

    /// Whether a batch would be more than nothing.
    #[cfg(feature = "tokio")]
    pub(crate) fn has_some(&mut self) -> Result<bool> {
        let (_, span) = self.committed()?;
        Ok(span.bytes > 0)
    }

    /// The consumer's position, and the run of finished records after it.
    fn committed(&mut self) -> Result<(u64, Span)> {
        let found = self.reader.committed(T::SIZE);
        found.map_err(|Damaged { position }| {
            Error::map(
                &self.map,
                &format!("a record's length is impossible at position {position:#x}"),
            )
        })
    }

    /// Lends what was found at `start`.
    fn lend(&mut self, start: u64, span: Span) -> RingBatch<'_, T> {
        let bytes = self.reader.bytes(start, &span);
        RingBatch::new(bytes, start, span, self.reader.consumer())
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
