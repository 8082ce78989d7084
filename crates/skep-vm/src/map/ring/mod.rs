//! `BPF_MAP_TYPE_RINGBUF`: programs on any CPU write records, one reader takes them in order.
//!
//! The layout is the kernel's, since readers map it: a page with the consumer's position, a page
//! with the producer's, then the data, twice in a row. A record is a header of 8 bytes (length
//! with a busy and a discard bit; the page it is in) and its bytes, rounded up to 8.

mod user;

use std::sync::{
    Mutex,
    atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        fence,
    },
};

use skep_abi::{MapCreateFlags, MapType, RingbufFlags};
use skep_host::{Access, Errno};

use super::{
    Kind, Shape,
    signal::{Signal, Waitable},
};
use crate::memory::{Mirror, PAGE, View};

pub(crate) use user::{Drain, UserRing};

/// The record is being written (`BPF_RINGBUF_BUSY_BIT`).
pub(crate) const BUSY: u32 = 1 << 31;
/// The record was given up (`BPF_RINGBUF_DISCARD_BIT`).
pub(crate) const DISCARD: u32 = 1 << 30;
/// Bytes before each record (`BPF_RINGBUF_HDR_SZ`).
pub(crate) const HEADER: u64 = 8;
/// Most bytes of a record.
const LARGEST: u64 = u32::MAX as u64 / 4;
/// Where the data begins in the pages that users map.
const DATA: usize = 2 * PAGE;
/// Pages of the kernel's that stand before those; headers count them.
const HIDDEN_PAGES: u64 = 1;

/// The pages of a ring, and where its words are.
#[derive(Debug)]
struct Pages {
    memory: Mirror,
    size: u64,
}

impl Pages {
    fn new(size: u32) -> Result<Self, Errno> {
        let memory = Mirror::new(DATA, size as usize)?;
        Ok(Self {
            memory,
            size: u64::from(size),
        })
    }

    fn mask(&self) -> u64 {
        self.size - 1
    }

    /// A word of the first two pages.
    fn word(&self, offset: usize) -> &AtomicU64 {
        static NOWHERE: AtomicU64 = AtomicU64::new(0);
        self.memory.all().long_word(offset).unwrap_or(&NOWHERE)
    }

    fn consumer(&self) -> &AtomicU64 {
        self.word(0)
    }

    fn producer(&self) -> &AtomicU64 {
        self.word(PAGE)
    }

    /// `len` bytes of the data from a position on; they never wrap, but may not be there for a
    /// length that is more than the ring's.
    fn data(&self, position: u64, len: u64) -> Option<View<'_>> {
        let offset = DATA + (position & self.mask()) as usize;
        self.memory.all().part(offset, usize::try_from(len).ok()?)
    }

    /// The position in the ring, without its rounds, that an address is of.
    fn position_of(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.memory.address() + DATA as u64)?;
        (offset < 2 * self.size).then_some(offset & self.mask())
    }

    /// What users map of it: pages that lie side by side.
    fn mapped(&self, offset: u64, len: usize) -> Result<View<'_>, Errno> {
        let len = crate::memory::round_up(len, PAGE).ok_or(Errno::EINVAL)?;
        let offset = usize::try_from(offset).map_err(|_| Errno::EINVAL)?;
        self.memory.all().part(offset, len).ok_or(Errno::EINVAL)
    }

    fn used(&self) -> u64 {
        // The kernel keeps a pointer for each page, those that appear twice counted twice.
        let pages = self.size / PAGE as u64;
        (pages + 3) * PAGE as u64 + (2 * pages + 3) * 8
    }
}

/// The flags that say who is woken; `None` if there is another among them.
pub(crate) fn flags(flags: u64) -> Option<RingbufFlags> {
    const KNOWN: RingbufFlags = RingbufFlags::NO_WAKEUP.union(RingbufFlags::FORCE_WAKEUP);
    let flags = RingbufFlags::from_bits_retain(flags);
    KNOWN.contains(flags).then_some(flags)
}

/// Rounds a record's length up to where the next header is.
fn stride(header: u32) -> u64 {
    (u64::from(header & !(BUSY | DISCARD)) + HEADER).next_multiple_of(8)
}

/// A ring that programs write to.
#[derive(Debug)]
pub(crate) struct Ring {
    pages: Pages,
    overwrite: bool,
    /// Held by a producer while it moves the positions.
    reserving: Mutex<()>,
    signal: Signal,
}

impl Ring {
    /// # Errors
    /// `EINVAL`, `ENOMEM`.
    pub(crate) fn new(shape: &Shape) -> Result<Self, Errno> {
        let page = PAGE as u32;
        if !MapType::Ringbuf
            .rules()
            .max_entries
            .allows(shape.max_entries, page)
        {
            return Err(Errno::EINVAL);
        }
        Ok(Self {
            pages: Pages::new(shape.max_entries)?,
            overwrite: shape.flags.contains(MapCreateFlags::RB_OVERWRITE),
            reserving: Mutex::new(()),
            signal: Signal::default(),
        })
    }

    /// Where the record that is written longest begins: none of those before it is busy.
    fn pending(&self) -> &AtomicU64 {
        self.pages.word(PAGE + 8)
    }

    /// Where the oldest record begins that was not overwritten.
    fn overwritten(&self) -> &AtomicU64 {
        self.pages.word(PAGE + 16)
    }

    fn header_at(&self, position: u64) -> u32 {
        let header = self.pages.data(position, HEADER);
        let word = header.and_then(|header| header.word(0));
        word.map_or(0, |word| word.load(Acquire))
    }

    /// Room for a record of `size` bytes, whose bytes are what was there before; `None` when
    /// there is none. It must be committed, or the ring stops there.
    #[doc(alias = "bpf_ringbuf_reserve")]
    pub(crate) fn reserve(&self, size: u64) -> Option<View<'_>> {
        if size > LARGEST {
            return None;
        }
        let len = (size + HEADER).next_multiple_of(8);
        if len > self.pages.size {
            return None;
        }
        let consumer = self.pages.consumer().load(Acquire);
        let _reserving = self
            .reserving
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let start = self.pages.producer().load(Relaxed);
        let end = start.wrapping_add(len);
        let mut pending = self.pending().load(Relaxed);
        while (start.wrapping_sub(pending) as i64) > 0 {
            let header = self.header_at(pending);
            if header & BUSY != 0 {
                break;
            }
            pending = pending.wrapping_add(stride(header));
        }
        self.pending().store(pending, Relaxed);
        let mask = self.pages.mask();
        if end.wrapping_sub(pending) > mask {
            return None;
        }
        if self.overwrite {
            let mut oldest = self.overwritten().load(Relaxed);
            while end.wrapping_sub(oldest) > mask {
                oldest = oldest.wrapping_add(stride(self.header_at(oldest)));
            }
            self.overwritten().store(oldest, Release);
        } else if end.wrapping_sub(consumer) > mask {
            return None;
        }
        let record = self.pages.data(start, HEADER + size)?;
        let page = HIDDEN_PAGES + (DATA as u64 + (start & mask)) / PAGE as u64;
        record.word(4)?.store(page as u32, Relaxed);
        record.word(0)?.store(size as u32 | BUSY, Relaxed);
        self.pages.producer().store(end, Release);
        record.part(HEADER as usize, size as usize)
    }

    /// Publishes a record, or gives it up, and wakes the reader if it has read all before it.
    /// Nothing is done for what is no record.
    #[doc(alias = "bpf_ringbuf_submit")]
    pub(crate) fn commit(&self, record: u64, discard: bool, flags: RingbufFlags) {
        let header = record.wrapping_sub(HEADER);
        let Some(position) = self.pages.position_of(header) else {
            return;
        };
        let word = self.pages.data(position, HEADER);
        let Some(word) = word.and_then(|header| header.word(0)) else {
            return;
        };
        let length = word.load(Relaxed) & !BUSY;
        word.store(if discard { length | DISCARD } else { length }, Release);
        // The reader stores its position and then looks for a record; we do it the other way
        // round. One of us sees the other.
        fence(SeqCst);
        let consumer = self.pages.consumer().load(Acquire) & self.pages.mask();
        let wake = flags.contains(RingbufFlags::FORCE_WAKEUP)
            || (consumer == position && !flags.contains(RingbufFlags::NO_WAKEUP));
        if wake {
            self.signal.wake();
        }
    }

    /// Bytes that were not read yet.
    fn available(&self) -> u64 {
        let consumer = self.pages.consumer().load(Acquire);
        if !self.overwrite {
            return self.pages.producer().load(Acquire).wrapping_sub(consumer);
        }
        let oldest = self.overwritten().load(Acquire);
        let producer = self.pages.producer().load(Acquire);
        producer.wrapping_sub(consumer.max(oldest))
    }

    /// `bpf_ringbuf_query`; 0 for what is no question.
    pub(crate) fn query(&self, what: u64) -> u64 {
        use skep_abi::RingbufQuery;
        match RingbufQuery::from_raw(what) {
            Some(RingbufQuery::AvailData) => self.available(),
            Some(RingbufQuery::RingSize) => self.pages.size,
            Some(RingbufQuery::ConsPos) => self.pages.consumer().load(Acquire),
            Some(RingbufQuery::ProdPos) => self.pages.producer().load(Acquire),
            Some(RingbufQuery::OverwritePos) => self.overwritten().load(Acquire),
            _ => 0,
        }
    }
}

impl Waitable for Ring {
    fn signal(&self) -> &Signal {
        &self.signal
    }

    fn readable(&self) -> bool {
        self.available() != 0
    }
}

/// What rings answer to all operations on elements.
macro_rules! no_elements {
    () => {
        fn lookup(&self, _cpu: u32, _key: View<'_>) -> Option<View<'_>> {
            None
        }

        fn update(&self, _: u32, _: View<'_>, _: View<'_>, _: u64) -> Result<(), Errno> {
            Err(Errno::ENOTSUPP)
        }

        fn delete(&self, _key: View<'_>) -> Result<(), Errno> {
            Err(Errno::ENOTSUPP)
        }

        fn user_lookup(&self, _: &[u8], _: &mut [u8], _: u64) -> Result<(), Errno> {
            Err(Errno::ENOTSUPP)
        }

        fn user_update(&self, _: &[u8], _: &[u8], _: u64) -> Result<(), Errno> {
            Err(Errno::ENOTSUPP)
        }

        fn user_delete(&self, _key: &[u8]) -> Result<(), Errno> {
            Err(Errno::ENOTSUPP)
        }

        fn user_next_key(&self, _: Option<&[u8]>, _: &mut [u8]) -> Result<(), Errno> {
            Err(Errno::ENOTSUPP)
        }

        fn user_value_size(&self) -> usize {
            0
        }
    };
}
use no_elements;

impl Kind for Ring {
    no_elements!();

    /// A record is a region of the run that reserved it; nobody else may touch the data.
    fn mappable(&self, offset: u64, len: usize, access: Access) -> Result<View<'_>, Errno> {
        let first_page_only = offset == 0 && (1..=PAGE).contains(&len);
        if access == Access::ReadWrite && !first_page_only {
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

// Mapped memory, which Miri does not have.
#[cfg(all(test, not(miri)))]
mod tests;
