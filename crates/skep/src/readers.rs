//! Several rings and perf buffers on one poller, each with its own handler.

use std::{fmt, ops::ControlFlow, time::Duration};

use skep_host::{Descriptor, Host, Poller};

use crate::{
    Consumed, PerfBuffer, Record, Result, RingBuffer, perf::FOR_NOTHING, waiting::Deadline,
};

/// Reads several rings and perf buffers in turns, so that a busy one can't keep the others
/// waiting.
///
/// ```no_run
/// # fn read(loaded: &skep::Loaded) -> skep::Result<()> {
/// use std::{ops::ControlFlow, time::Duration};
/// use skep::{PerfBuffer, PerfOptions, Readers, RingBuffer};
///
/// let mut readers = Readers::new(loaded.host())?;
/// readers.ring(RingBuffer::<u64>::new(loaded.map("numbers")?)?, |number| {
///     println!("{number}");
///     ControlFlow::Continue(())
/// })?;
/// let samples = PerfBuffer::<u8>::new(loaded.map("samples")?, PerfOptions::default())?;
/// readers.perf(samples, |cpu, bytes| {
///     println!("CPU {cpu}: {} bytes", bytes.len());
///     ControlFlow::Continue(())
/// })?;
/// loop {
///     let polled = readers.poll(Some(Duration::from_millis(100)))?;
///     if polled.stopped.is_some() {
///         break;
///     }
/// }
/// # Ok(()) }
/// ```
pub struct Readers<'h> {
    poller: Box<dyn Poller>,
    sources: Vec<Source<'h>>,
    ready: Vec<u64>,
    /// Whose turn is next.
    turn: usize,
}

/// A reader with its handler.
trait Reader: Send {
    /// Hands out one batch.
    fn take(&mut self, consumed: &mut Consumed) -> Result<Batch>;

    /// Follows CPUs that went and came; what is to be waited for since goes to the poller.
    fn refresh(&mut self, _poller: &mut dyn Poller, _token: u64) -> Result<()> {
        Ok(())
    }
}

struct Ring<T: ?Sized, F> {
    ring: RingBuffer<T>,
    each: F,
}

impl<T: Record + ?Sized, F: FnMut(&T) -> ControlFlow<()> + Send> Reader for Ring<T, F> {
    fn take(&mut self, consumed: &mut Consumed) -> Result<Batch> {
        let mut batch = self.ring.batch()?;
        if batch.is_gone() {
            return Ok(Batch::Empty);
        }
        batch.hand_out(&mut self.each, consumed);
        Ok(Batch::Some)
    }
}

struct Perf<T, F> {
    perf: PerfBuffer<T>,
    each: F,
}

impl<T, F: FnMut(u32, &[u8]) -> ControlFlow<()> + Send> Reader for Perf<T, F> {
    fn take(&mut self, consumed: &mut Consumed) -> Result<Batch> {
        let mut batch = self.perf.batch();
        if batch.is_empty() {
            return Ok(Batch::Empty);
        }
        batch.hand_out(&mut self.each, consumed);
        Ok(Batch::Some)
    }

    fn refresh(&mut self, poller: &mut dyn Poller, token: u64) -> Result<()> {
        let added = self.perf.refresh()?;
        for event in self.perf.descriptors_of(&added) {
            poller.add(event, token)?;
        }
        Ok(())
    }
}

struct Source<'h> {
    reader: Box<dyn Reader + 'h>,
    /// Times in a row that the poller said that it is ready, and there was nothing.
    for_nothing: u32,
    /// It may have more, which no poller will tell: perf events are ready once a wake-up.
    pending: bool,
}

/// What was in a batch.
enum Batch {
    /// Nothing: there is no more for now.
    Empty,
    /// Something.
    Some,
}

/// What [`Readers::poll`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Polled {
    /// Records that were handed out.
    pub records: usize,
    /// Records that were passed over, as they are shorter than the type.
    pub short: usize,
    /// The reader whose handler broke off, by the number that adding it gave. The rest of its
    /// records, and the other readers', are left unread.
    pub stopped: Option<usize>,
}

impl<'h> Readers<'h> {
    /// None yet.
    ///
    /// # Errors
    /// The host has no poller to give (`EMFILE`).
    pub fn new(host: &crate::Host) -> Result<Self> {
        Self::on(host.boundary().as_ref())
    }

    fn on(host: &dyn Host) -> Result<Self> {
        Ok(Self {
            poller: host.poller()?,
            sources: Vec::new(),
            ready: Vec::new(),
            turn: 0,
        })
    }

    /// Adds a ring; gives the number that stands for it.
    ///
    /// # Errors
    /// It can't be waited for.
    pub fn ring<T: Record + ?Sized + 'h>(
        &mut self,
        ring: RingBuffer<T>,
        each: impl FnMut(&T) -> ControlFlow<()> + Send + 'h,
    ) -> Result<usize> {
        self.watch(std::iter::once(ring.descriptor()))?;
        Ok(self.add(Box::new(Ring { ring, each })))
    }

    /// Adds a perf buffer, whose handler also gets the CPU; gives the number that stands for it.
    ///
    /// # Errors
    /// It can't be waited for.
    pub fn perf<T: 'h>(
        &mut self,
        perf: PerfBuffer<T>,
        each: impl FnMut(u32, &[u8]) -> ControlFlow<()> + Send + 'h,
    ) -> Result<usize> {
        self.watch(perf.descriptors())?;
        Ok(self.add(Box::new(Perf { perf, each })))
    }

    /// Has perf buffers follow CPUs that went offline or came online: see [`PerfBuffer::refresh`].
    /// To be called about once a second where CPUs do.
    ///
    /// # Errors
    /// As those of [`PerfBuffer::new`].
    pub fn refresh(&mut self) -> Result<()> {
        for (source, token) in self.sources.iter_mut().zip(0..) {
            source.reader.refresh(self.poller.as_mut(), token)?;
        }
        Ok(())
    }

    fn watch<'d>(&mut self, things: impl Iterator<Item = &'d Descriptor>) -> Result<()> {
        for thing in things {
            self.poller.add(thing, self.sources.len() as u64)?;
        }
        Ok(())
    }

    fn add(&mut self, reader: Box<dyn Reader + 'h>) -> usize {
        self.sources.push(Source {
            reader,
            for_nothing: 0,
            pending: true,
        });
        self.sources.len() - 1
    }

    /// Hands out what the readers have: a batch of each that has any, at most. Waits for the
    /// first record, at most for `timeout` (`None`: for ever); signals don't end that. Without a
    /// timeout to wait for (`Some(Duration::ZERO)`), every reader is looked at. Nothing is
    /// answered only if there is nothing, not if there is something behind what programs gave up.
    ///
    /// # Errors
    /// Waiting failed, or a ring is damaged.
    pub fn poll(&mut self, timeout: Option<Duration>) -> Result<Polled> {
        let deadline = Deadline::after(timeout);
        if timeout == Some(Duration::ZERO) {
            for source in &mut self.sources {
                source.pending = true;
            }
        }
        loop {
            let some_pending = self.sources.iter().any(|source| source.pending);
            let left = if some_pending {
                Some(Duration::ZERO)
            } else {
                deadline.left()
            };
            self.poller.wait(left, &mut self.ready)?;
            for token in &self.ready {
                if let Some(source) = self.sources.get_mut(*token as usize) {
                    source.pending = true;
                    source.for_nothing += 1;
                }
            }
            let polled = self.hand_out()?;
            // What programs gave up counts for nothing, and behind it may be records of which
            // nothing tells any more: other event loops have had their wake-up.
            let some_pending = self.sources.iter().any(|source| source.pending);
            let time_is_up = deadline.left() == Some(Duration::ZERO) && !some_pending;
            if polled != Polled::default() || time_is_up {
                return Ok(polled);
            }
        }
    }

    /// A turn of all readers that may have something.
    fn hand_out(&mut self) -> Result<Polled> {
        let mut polled = Polled::default();
        for _ in 0..self.sources.len() {
            let number = self.turn % self.sources.len();
            self.turn = number + 1;
            let source = &mut self.sources[number];
            if !source.pending {
                continue;
            }
            let mut consumed = Consumed::default();
            source.pending = matches!(source.reader.take(&mut consumed)?, Batch::Some);
            if source.pending {
                source.for_nothing = 0;
            }
            // The ring of a CPU that went is ready for ever.
            if source.for_nothing > FOR_NOTHING {
                source.for_nothing = 0;
                source.reader.refresh(self.poller.as_mut(), number as u64)?;
            }
            polled.records += consumed.records;
            polled.short += consumed.short;
            if consumed.stopped {
                polled.stopped = Some(number);
                break;
            }
        }
        Ok(polled)
    }

    /// The poller's own descriptor, for another event loop: readable when a reader has records.
    /// Then call [`poll`](Self::poll) with a timeout of zero: perf events tell once that they are
    /// ready, and the other loop has asked them already.
    pub fn raw(&self) -> Option<i32> {
        self.poller.raw()
    }
}

impl fmt::Debug for Readers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers")
            .field("readers", &self.sources.len())
            .finish_non_exhaustive()
    }
}
