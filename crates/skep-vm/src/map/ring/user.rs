//! `BPF_MAP_TYPE_USER_RINGBUF`: one writer in user space, and programs that drain what it wrote.
//!
//! The layout is that of the other ring with the roles changed: users write the producer's page
//! and the data. So nothing of that is believed.

use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};

use skep_abi::{MapCreateFlags, MapType, RingbufFlags};
use skep_host::{Access, Errno};

use super::{BUSY, DISCARD, HEADER, Pages, no_elements, stride};
use crate::{
    map::{
        Kind, Shape,
        signal::{Signal, Waitable},
    },
    memory::{PAGE, View},
    run::MAX_DYNPTR,
};

/// Most samples that one drain takes (`BPF_MAX_USER_RINGBUF_SAMPLES`).
const MOST: u32 = 128 * 1024;

/// A ring that users write to.
#[derive(Debug)]
pub(crate) struct UserRing {
    pub(super) pages: Pages,
    /// Somebody drains it.
    busy: AtomicBool,
    signal: Signal,
}

/// What a user wrote.
pub(crate) struct Sample<'a> {
    pub(crate) bytes: View<'a>,
    /// Where the consumer is behind it.
    next: u64,
}

/// What is at the consumer's position.
enum Found<'a> {
    Nothing,
    /// One that was given up; it is passed over.
    Discarded,
    Sample(Sample<'a>),
}

impl UserRing {
    /// # Errors
    /// `EINVAL`, `ENOMEM`.
    pub(crate) fn new(shape: &Shape) -> Result<Self, Errno> {
        let entries = MapType::UserRingbuf.rules().max_entries;
        let overwrite = shape.flags.contains(MapCreateFlags::RB_OVERWRITE);
        if overwrite || !entries.allows(shape.max_entries, PAGE as u32) {
            return Err(Errno::EINVAL);
        }
        Ok(Self {
            pages: Pages::new(shape.max_entries)?,
            busy: AtomicBool::new(false),
            signal: Signal::default(),
        })
    }

    /// Begins to take samples out; whoever else tries until it is dropped is refused.
    ///
    /// # Errors
    /// `EINVAL`: unknown flags; `EBUSY`.
    pub(crate) fn drain(&self, flags: u64) -> Result<Drain<'_>, Errno> {
        let flags = super::flags(flags).ok_or(Errno::EINVAL)?;
        self.busy
            .compare_exchange(false, true, Acquire, Relaxed)
            .map_err(|_| Errno::EBUSY)?;
        Ok(Drain {
            ring: self,
            flags,
            seen: 0,
            discarded: 0,
        })
    }

    fn find(&self) -> Result<Found<'_>, Errno> {
        let producer = self.pages.producer().load(Acquire);
        if !producer.is_multiple_of(8) {
            return Err(Errno::EINVAL);
        }
        let consumer = self.pages.consumer().load(Acquire);
        if consumer >= producer {
            return Ok(Found::Nothing);
        }
        let header = self.pages.data(consumer, HEADER);
        let header = header.and_then(|header| header.word(0));
        let header = header.map_or(0, |word| word.load(Acquire));
        let total = stride(header);
        if total > producer - consumer {
            return Err(Errno::EINVAL);
        }
        let size = u64::from(header & !(BUSY | DISCARD));
        if total > self.pages.size || size > MAX_DYNPTR {
            return Err(Errno::E2BIG);
        }
        let next = consumer.wrapping_add(total);
        if header & DISCARD != 0 {
            self.pages.consumer().store(next, Release);
            return Ok(Found::Discarded);
        }
        if header & BUSY != 0 {
            return Ok(Found::Nothing);
        }
        let bytes = self.pages.data(consumer.wrapping_add(HEADER), size);
        let bytes = bytes.ok_or(Errno::E2BIG)?;
        Ok(Found::Sample(Sample { bytes, next }))
    }
}

/// Takes samples out of a user ring; dropping it lets others do so, and wakes the writer.
pub(crate) struct Drain<'a> {
    ring: &'a UserRing,
    flags: RingbufFlags,
    seen: u32,
    discarded: u32,
}

impl<'a> Drain<'a> {
    /// The next sample, to be given back by [`Drain::release`]; `None` when there is none, or
    /// when it were too many for one drain.
    ///
    /// # Errors
    /// What the user wrote is no sample: `EINVAL`, `E2BIG`.
    pub(crate) fn next(&mut self) -> Result<Option<Sample<'a>>, Errno> {
        while self.seen < MOST {
            match self.ring.find()? {
                Found::Nothing => break,
                Found::Discarded => self.discarded += 1,
                Found::Sample(sample) => {
                    self.seen += 1;
                    return Ok(Some(sample));
                }
            }
            self.seen += 1;
        }
        Ok(None)
    }

    /// Gives a sample's room back to the writer.
    pub(crate) fn release(&mut self, sample: &Sample<'_>) {
        self.ring.pages.consumer().store(sample.next, Release);
    }

    /// How many were passed over.
    pub(crate) fn discarded(&self) -> u32 {
        self.discarded
    }

    /// How many there were, without those that were discarded.
    pub(crate) fn samples(&self) -> u32 {
        self.seen - self.discarded
    }
}

impl Drop for Drain<'_> {
    fn drop(&mut self) {
        self.ring.busy.store(false, Release);
        let wake = self.flags.contains(RingbufFlags::FORCE_WAKEUP)
            || (self.seen > 0 && !self.flags.contains(RingbufFlags::NO_WAKEUP));
        if wake {
            self.ring.signal.wake();
        }
    }
}

impl Waitable for UserRing {
    fn signal(&self) -> &Signal {
        &self.signal
    }

    fn writable(&self) -> bool {
        let consumer = self.pages.consumer().load(Acquire);
        let producer = self.pages.producer().load(Acquire);
        producer.wrapping_sub(consumer) < self.pages.size
    }
}

impl Kind for UserRing {
    no_elements!();

    /// A sample is a region of the run that drains it.
    fn mappable(&self, offset: u64, len: usize, access: Access) -> Result<View<'_>, Errno> {
        if access == Access::ReadWrite && offset == 0 {
            return Err(Errno::EPERM);
        }
        self.pages.mapped(offset, len)
    }

    fn waitable(&self) -> Option<&dyn Waitable> {
        Some(self)
    }

    fn memory_used(&self) -> u64 {
        self.pages.used()
    }
}
