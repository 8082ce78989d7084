//! The user ring buffer's writing end: samples reserved in the ring, drained by a program with
//! `bpf_user_ringbuf_drain`.
//!
//! The layout is that of the ring buffer, with the roles changed: the first page with the
//! consumer's position can only be read, the producer's and the data are ours to write.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use skep_abi::MapType;
use skep_host::{Access, Memory, Poller};
use zerocopy::{Immutable, IntoBytes};

use crate::{Error, Map, Result};

/// The producer is still writing the sample (`BPF_RINGBUF_BUSY_BIT`).
const BUSY: u32 = 1 << 31;
/// The producer gave the sample up (`BPF_RINGBUF_DISCARD_BIT`).
const DISCARD: u32 = 1 << 30;
/// Bytes before each sample (`BPF_RINGBUF_HDR_SZ`).
const HEADER: usize = 8;
/// Bytes of the words that memory is written by.
const WORD: usize = 8;

/// Sends samples to a program through a `BPF_MAP_TYPE_USER_RINGBUF` map (6.1).
///
/// There is one producer: every method takes `&mut self`. Threads share one behind a lock.
///
/// ```no_run
/// # fn send(map: std::sync::Arc<skep::Map>) -> skep::Result<()> {
/// use std::time::Duration;
/// use skep::UserRingBuffer;
///
/// let mut commands = UserRingBuffer::new(map)?;
/// if !commands.send(&42_u64)? {
///     // It is full: wait until the program has drained something.
///     let room = commands.reserve_within(8, Some(Duration::from_secs(1)))?;
///     if let Some(mut sample) = room {
///         sample.write(0, &43_u64.to_ne_bytes())?;
///         sample.submit();
///     }
/// }
/// # Ok(()) }
/// ```
#[doc(alias = "BPF_MAP_TYPE_USER_RINGBUF")]
pub struct UserRingBuffer {
    map: Arc<Map>,
    consumer: Box<dyn Memory>,
    producer: Box<dyn Memory>,
    /// Where the data begins in `producer`.
    data: usize,
    size: usize,
    poller: Option<Box<dyn Poller>>,
    ready: Vec<u64>,
}

impl UserRingBuffer {
    /// Opens the writing end of `map`. Nothing else may write to it.
    ///
    /// # Errors
    /// The map is of another type, or its memory can't be mapped.
    pub fn new(map: Arc<Map>) -> Result<Self> {
        map.expect_type(&[MapType::UserRingbuf])?;
        let host = map.host();
        let page = host.page_size();
        let too_big = || Error::map(&map, "the ring is larger than this machine's memory");
        let size = usize::try_from(map.max_entries()).map_err(|_| too_big())?;
        let len = size
            .checked_mul(2)
            .and_then(|len| len.checked_add(page))
            .ok_or_else(too_big)?;
        let consumer = host.map_memory(map.fd(), 0, page, Access::Read)?;
        let producer = host.map_memory(map.fd(), page as u64, len, Access::ReadWrite)?;
        Ok(Self {
            map,
            consumer,
            producer,
            data: page,
            size,
            poller: None,
            ready: Vec::new(),
        })
    }

    /// The map that is written to.
    pub fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// Bytes that the program has not drained yet, samples and headers.
    pub fn pending(&self) -> u64 {
        let end = self.words()[0].load(Ordering::Acquire);
        end.wrapping_sub(self.consumer.long_words()[0].acquire())
    }

    /// Sends a value; `false` when there is no room for it.
    ///
    /// # Errors
    /// The value is larger than the ring.
    pub fn send<T: IntoBytes + Immutable + ?Sized>(&mut self, value: &T) -> Result<bool> {
        let Some(mut sample) = self.reserve(value.as_bytes().len())? else {
            return Ok(false);
        };
        sample.write(0, value.as_bytes())?;
        sample.submit();
        Ok(true)
    }

    /// Reserves room for a sample of `len` bytes; `None` when there is none now. Its bytes are
    /// whatever was there before.
    ///
    /// # Errors
    /// It is larger than the ring.
    #[doc(alias = "user_ring_buffer__reserve")]
    pub fn reserve(&mut self, len: usize) -> Result<Option<UserSample<'_>>> {
        match self.place(len)? {
            Some(place) => Ok(Some(self.take(place, len))),
            None => Ok(None),
        }
    }

    /// Reserves room as [`reserve`](Self::reserve) does, and waits for it until `timeout` has
    /// passed (`None`: for ever). Signals don't end it.
    ///
    /// The kernel wakes us when a program has drained samples, unless the program asks it not to
    /// (`BPF_RB_NO_WAKEUP`).
    ///
    /// # Errors
    /// The sample is larger than the ring, or waiting failed.
    #[doc(alias = "user_ring_buffer__reserve_blocking")]
    pub fn reserve_within(
        &mut self,
        len: usize,
        timeout: Option<Duration>,
    ) -> Result<Option<UserSample<'_>>> {
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if let Some(place) = self.place(len)? {
                return Ok(Some(self.take(place, len)));
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            self.wait(left)?;
        }
    }

    fn wait(&mut self, left: Option<Duration>) -> Result<()> {
        let poller = match &mut self.poller {
            Some(poller) => poller,
            None => {
                let mut poller = self.map.host().poller()?;
                poller.add_writable(self.map.fd().descriptor(), 0)?;
                self.poller.insert(poller)
            }
        };
        Ok(poller.wait(left, &mut self.ready)?)
    }

    fn words(&self) -> &[AtomicU64] {
        self.producer.writable().unwrap_or_default()
    }

    /// Where a sample of `len` bytes goes, as an offset in `producer`.
    fn place(&self, len: usize) -> Result<Option<usize>> {
        let most = self.size - HEADER;
        if len > most || len >= DISCARD as usize {
            return Err(Error::map(
                &self.map,
                &format!("a sample of {len} bytes is larger than the ring, which holds {most}"),
            ));
        }
        let end = self.words()[0].load(Ordering::Relaxed);
        let used = end.wrapping_sub(self.consumer.long_words()[0].acquire());
        if used > self.size as u64 {
            return Err(Error::map(
                &self.map,
                &format!("its positions are {used} bytes apart: something else wrote to it"),
            ));
        }
        let fits = stride(len) as u64 <= self.size as u64 - used;
        Ok(fits.then(|| self.data + (end & (self.size as u64 - 1)) as usize))
    }

    fn take(&mut self, place: usize, len: usize) -> UserSample<'_> {
        let words = self.words();
        // Lengths are below 1 << 30, as `place` has seen.
        words[place / WORD].store(header(len as u32 | BUSY), Ordering::Relaxed);
        let end = words[0].load(Ordering::Relaxed);
        // The header must be there before the position that covers it.
        words[0].store(end.wrapping_add(stride(len) as u64), Ordering::Release);
        UserSample {
            words,
            place,
            len,
            done: false,
        }
    }
}

/// The first 8 bytes of a sample: its length and flags, and four of no meaning here.
fn header(word: u32) -> u64 {
    let mut bytes = [0; WORD];
    bytes[..4].copy_from_slice(&word.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

/// From one header to the next.
fn stride(len: usize) -> usize {
    (len + HEADER).next_multiple_of(WORD)
}

impl fmt::Debug for UserRingBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRingBuffer")
            .field("map", &self.map.name())
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}

/// Room for a sample. Dropped without [`submit`](Self::submit), the sample is discarded: the
/// program does not see it.
#[must_use = "a sample that is dropped is discarded"]
pub struct UserSample<'a> {
    words: &'a [AtomicU64],
    place: usize,
    len: usize,
    done: bool,
}

impl UserSample<'_> {
    /// Bytes that it has room for.
    pub fn len(&self) -> usize {
        self.len
    }

    /// It has room for none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes bytes, from `offset` on.
    ///
    /// # Errors
    /// They don't fit.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        let end = offset.checked_add(bytes.len());
        if end.is_none_or(|end| end > self.len) {
            return Err(skep_host::Error::Request {
                object: format!("a sample of {} bytes", self.len),
                reason: format!("{} bytes at {offset} don't fit", bytes.len()),
            }
            .into());
        }
        skep_host::words::write(self.words, self.place + HEADER + offset, bytes);
        Ok(())
    }

    /// Gives it to the program.
    pub fn submit(mut self) {
        self.finish(0);
    }

    /// Gives it up.
    pub fn discard(self) {
        drop(self);
    }

    fn finish(&mut self, flags: u32) {
        self.done = true;
        // All that was written before is there when the program sees the header.
        self.words[self.place / WORD].store(header(self.len as u32 | flags), Ordering::Release);
    }
}

impl Drop for UserSample<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.finish(DISCARD);
        }
    }
}

impl fmt::Debug for UserSample<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserSample")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
