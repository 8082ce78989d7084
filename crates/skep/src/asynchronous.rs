//! Readers for tokio (feature `tokio`): a task waits in place of a thread.
//!
//! tokio's poller reports a descriptor once each time it becomes readable. So readiness is given
//! back before looking for records: what comes after the look is reported anew.
//!
//! What tokio watches is a poller of the host, since only that surely is a file of this process:
//! a map of the virtual machine is none.

use std::{
    fmt,
    os::fd::{AsRawFd, RawFd},
    time::Duration,
};

use skep_host::{Descriptor, Errno, Poller};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    Error, PerfBatch, PerfBuffer, Polled, Readers, Record, Result, RingBatch, RingBuffer,
    perf::FOR_NOTHING,
};

/// A [`RingBuffer`] whose records a task awaits. Made inside a tokio runtime with I/O enabled.
///
/// ```no_run
/// # async fn read(map: std::sync::Arc<skep::Map>) -> skep::Result<()> {
/// let mut events = skep::AsyncRingBuffer::new(skep::RingBuffer::<u64>::new(map)?)?;
/// loop {
///     for number in &events.next_batch().await? {
///         println!("{number}");
///     }
/// }
/// # }
/// ```
pub struct AsyncRingBuffer<T: ?Sized = [u8]> {
    // Given up before the ring, whose descriptor it watches.
    watch: Watch,
    ring: RingBuffer<T>,
}

impl<T: Record + ?Sized> AsyncRingBuffer<T> {
    /// Has the runtime watch the ring.
    ///
    /// # Errors
    /// The ring can't be watched.
    ///
    /// # Panics
    /// Outside a tokio runtime, or in one without I/O.
    pub fn new(ring: RingBuffer<T>) -> Result<Self> {
        let host = ring.map().host().as_ref();
        let watch = Watch::new(host, std::iter::once(ring.descriptor()))?;
        Ok(Self { watch, ring })
    }

    /// The next records; none, if programs gave up all of a batch. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// The ring is damaged, or the runtime shuts down.
    pub async fn next_batch(&mut self) -> Result<RingBatch<'_, T>> {
        while !self.ring.has_some()? {
            self.watch.wait().await?;
        }
        self.ring.batch()
    }

    /// The ring, to look at. It can't be changed for another: the runtime watches this one.
    pub fn get_ref(&self) -> &RingBuffer<T> {
        &self.ring
    }
}

/// A [`PerfBuffer`] whose records a task awaits. Made inside a tokio runtime with I/O enabled.
pub struct AsyncPerfBuffer<T = u8> {
    // Given up before the buffer, whose descriptors it watches.
    watch: Watch,
    perf: PerfBuffer<T>,
}

impl<T> AsyncPerfBuffer<T> {
    /// Has the runtime watch the buffer's rings.
    ///
    /// # Errors
    /// A ring can't be watched.
    ///
    /// # Panics
    /// Outside a tokio runtime, or in one without I/O.
    pub fn new(perf: PerfBuffer<T>) -> Result<Self> {
        let watch = Watch::new(perf.map().host().as_ref(), perf.descriptors())?;
        Ok(Self { watch, perf })
    }

    /// The next records of some CPU. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The runtime shuts down.
    pub async fn next_batch(&mut self) -> Result<PerfBatch<'_, T>> {
        let mut for_nothing = 0;
        while !self.perf.has_some() {
            // The ring of a CPU that went is ready for ever.
            if for_nothing >= FOR_NOTHING {
                self.refresh()?;
                for_nothing = 0;
            }
            self.watch.wait().await?;
            for_nothing += 1;
        }
        Ok(self.perf.batch())
    }

    /// Follows CPUs that went offline or came online: see [`PerfBuffer::refresh`].
    ///
    /// # Errors
    /// A ring can't be opened or watched.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn refresh(&mut self) -> Result<Vec<u32>> {
        let added = self.perf.refresh()?;
        // Rings that are gone may have to be forgotten, too.
        self.watch = Watch::new(self.perf.map().host().as_ref(), self.perf.descriptors())?;
        Ok(added)
    }

    /// The buffer, to look at what was lost. It can't be changed for another: the runtime watches
    /// this one.
    pub fn get_ref(&self) -> &PerfBuffer<T> {
        &self.perf
    }
}

/// [`Readers`] that a task polls. Made inside a tokio runtime with I/O enabled.
pub struct AsyncReaders<'h> {
    readiness: Readiness,
    readers: Readers<'h>,
}

impl<'h> AsyncReaders<'h> {
    /// Has the runtime watch the readers' poller.
    ///
    /// # Errors
    /// The host's poller has no descriptor of its own, or it can't be watched.
    ///
    /// # Panics
    /// Outside a tokio runtime, or in one without I/O.
    pub fn new(readers: Readers<'h>) -> Result<Self> {
        let raw = readers.raw().ok_or_else(not_watched)?;
        Ok(Self {
            readiness: Readiness::new(raw)?,
            readers,
        })
    }

    /// Has perf buffers follow CPUs: see [`Readers::refresh`].
    ///
    /// # Errors
    /// As those of [`PerfBuffer::new`].
    pub fn refresh(&mut self) -> Result<()> {
        self.readers.refresh()
    }

    /// Hands out what the readers have, once there is something: see [`Readers::poll`].
    ///
    /// # Errors
    /// A ring is damaged, or the runtime shuts down.
    pub async fn poll(&mut self) -> Result<Polled> {
        loop {
            let polled = self.readers.poll(Some(Duration::ZERO))?;
            if polled != Polled::default() {
                return Ok(polled);
            }
            self.readiness.wait().await?;
        }
    }
}

/// Things of a host that the runtime watches by a poller. They are owned by the reader beside it.
struct Watch {
    // Given up before the poller, whose descriptor it watches.
    readiness: Readiness,
    poller: Box<dyn Poller>,
    ready: Vec<u64>,
}

impl Watch {
    fn new<'d>(
        host: &dyn skep_host::Host,
        things: impl Iterator<Item = &'d Descriptor>,
    ) -> Result<Self> {
        let mut poller = host.poller()?;
        for (thing, token) in things.zip(0..) {
            poller.add(thing, token)?;
        }
        let raw = poller.raw().ok_or_else(not_watched)?;
        Ok(Self {
            readiness: Readiness::new(raw)?,
            poller,
            ready: Vec::new(),
        })
    }

    /// Waits until one became readable since the last time.
    async fn wait(&mut self) -> Result<()> {
        self.readiness.wait().await?;
        // The reader looks by itself; this is for the poller, which else stays readable.
        self.poller.wait(Some(Duration::ZERO), &mut self.ready)?;
        Ok(())
    }
}

fn not_watched() -> Error {
    let unsupported = skep_host::Error::Unsupported {
        host: "this host",
        what: "poller that another event loop can watch".into(),
    };
    unsupported.into()
}

/// A descriptor that the runtime watches. It is owned by the reader beside it.
struct Readiness(AsyncFd<Watched>);

struct Watched(RawFd);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl Readiness {
    #[allow(
        deprecated,
        reason = "its successor wants what only unsafe code can make of a host's number; the \
                  descriptor is open as long as the reader, which is dropped after this"
    )]
    fn new(raw: RawFd) -> Result<Self> {
        AsyncFd::with_interest(Watched(raw), Interest::READABLE)
            .map(Self)
            .map_err(|error| failed(&error))
    }

    /// Waits until it became readable since the last time.
    async fn wait(&self) -> Result<()> {
        let mut ready = self.0.readable().await.map_err(|error| failed(&error))?;
        ready.clear_ready();
        Ok(())
    }
}

fn failed(error: &std::io::Error) -> Error {
    // The runtime has no number for its own end.
    let errno = error.raw_os_error().map_or(Errno::ESRCH, Errno);
    skep_host::Error::system("wait for", "events in the tokio runtime", errno).into()
}

impl<T: ?Sized> fmt::Debug for AsyncRingBuffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncRingBuffer").field(&self.ring).finish()
    }
}

impl fmt::Debug for AsyncReaders<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncReaders").field(&self.readers).finish()
    }
}

impl<T> fmt::Debug for AsyncPerfBuffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncPerfBuffer").field(&self.perf).finish()
    }
}
