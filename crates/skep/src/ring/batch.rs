//! Records lent from the ring itself; one position store gives the room of all of them back.

use std::{
    fmt,
    marker::PhantomData,
    ops::ControlFlow,
    sync::atomic::{AtomicU64, Ordering},
};

use skep_host::ring::{HEADER_SIZE, Header, Span};

use super::Consumed;
use crate::Record;

/// Records lent from a ring. Dropping the batch gives their room back to the producer.
pub struct RingBatch<'a, T: ?Sized> {
    bytes: &'a [u8],
    /// Words of the consumer's page; the first is its position.
    consumer: &'a [AtomicU64],
    /// Where the batch begins, and where the consumer will be when it is dropped.
    start: u64,
    next: u64,
    records: usize,
    short: usize,
    header: Option<Header>,
    record: PhantomData<fn() -> Box<T>>,
}

impl<'a, T: ?Sized> RingBatch<'a, T> {
    pub(super) fn new(bytes: &'a [u8], start: u64, span: Span, consumer: &'a [AtomicU64]) -> Self {
        Self {
            bytes,
            consumer,
            start,
            next: start.wrapping_add(bytes.len() as u64),
            records: span.records,
            short: span.short,
            header: span.header,
            record: PhantomData,
        }
    }

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

    /// There is not even one that was discarded.
    pub(crate) fn is_gone(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The position after what is consumed.
    pub(super) fn next(&self) -> u64 {
        self.next
    }
}

impl<'a, T: Record + ?Sized> RingBatch<'a, T> {
    /// The records, in the order they were reserved, without those that [`short`](Self::short)
    /// counts.
    pub fn iter(&self) -> RingIter<'a, T> {
        RingIter {
            rest: self.bytes,
            header: self.header,
            short: 0,
            record: PhantomData,
        }
    }

    /// Hands records to `each` until it breaks off, and answers whether it did. The batch gives
    /// back only the room of those, whatever happens in `each`.
    pub(crate) fn hand_out(
        &mut self,
        each: &mut impl FnMut(&T) -> ControlFlow<()>,
        consumed: &mut Consumed,
    ) -> bool {
        let mut records = self.iter();
        while let Some(record) = records.next() {
            let done = self.bytes.len() - records.rest.len();
            self.next = self.start.wrapping_add(done as u64);
            consumed.records += 1;
            if each(record).is_break() {
                consumed.stopped = true;
                break;
            }
        }
        consumed.short += records.short;
        if !consumed.stopped {
            self.next = self.start.wrapping_add(self.bytes.len() as u64);
        }
        consumed.stopped
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
        if let (true, Some(position)) = (self.next != self.start, self.consumer.first()) {
            position.store(self.next, Ordering::Release);
        }
    }
}

impl<T: ?Sized> fmt::Debug for RingBatch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingBatch")
            .field("records", &self.records)
            .field("short", &self.short)
            .finish_non_exhaustive()
    }
}

/// Iterates over the records of a [`RingBatch`].
pub struct RingIter<'a, T: ?Sized> {
    rest: &'a [u8],
    /// That of every record, where they are all alike: then none need be read.
    header: Option<Header>,
    /// Records that were passed over.
    short: usize,
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
                self.short += 1;
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
