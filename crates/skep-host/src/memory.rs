//! What reading needs: memory shared with a host, and waiting for it.
//!
//! Shared memory changes under its reader, so it is seen as atomics, which memory that is mapped
//! for reading only lets one load; bytes are lent out only for a range that the producer has
//! finished and will not touch before the reader says so.

use std::{
    fmt,
    ops::Range,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use crate::{Descriptor, Result};

/// How mapped memory may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// A 32-bit word of shared memory, to be loaded.
#[derive(Debug)]
#[repr(transparent)]
pub struct Word(AtomicU32);

impl Word {
    /// Its value now, and with it all that its writer wrote before.
    #[inline]
    pub fn acquire(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }
}

/// A 64-bit word of shared memory, to be loaded.
#[derive(Debug)]
#[repr(transparent)]
pub struct LongWord(AtomicU64);

impl LongWord {
    /// Its value now, and with it all that its writer wrote before.
    #[inline]
    pub fn acquire(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Memory that a host and this process both see; unmapped when dropped.
pub trait Memory: Send + Sync + fmt::Debug {
    /// All of it, as 32-bit words.
    fn words(&self) -> &[Word];

    /// All of it, as 64-bit words.
    fn long_words(&self) -> &[LongWord];

    /// All of it, as 64-bit words that can be stored to; `None` unless it was mapped with
    /// [`Access::ReadWrite`].
    fn writable(&self) -> Option<&[AtomicU64]>;

    /// The bytes of `range`, which the producer has published (by a position that the caller
    /// loaded with acquire ordering) and will not reuse before the caller's next position store.
    ///
    /// A caller that breaks this may see torn data, never anything outside the mapping.
    ///
    /// # Panics
    /// `range` is not inside the mapping.
    fn committed(&self, range: Range<usize>) -> &[u8];

    /// Its length in bytes.
    fn len(&self) -> usize {
        self.words().len() * 4
    }

    /// There is none of it.
    fn is_empty(&self) -> bool {
        self.words().is_empty()
    }
}

/// One CPU's end of a perf event array: an open perf event and its mapped ring.
///
/// The memory's first page is `perf_event_mmap_page`; the ring follows.
#[derive(Debug)]
pub struct PerfOutput {
    /// The event: what goes into the map, and what to wait for.
    pub event: Descriptor,
    /// The control page and the ring.
    pub memory: Box<dyn Memory>,
}

/// Waits for descriptors of one host.
pub trait Poller: Send + Sync + fmt::Debug {
    /// Adds a readable thing under `token`.
    ///
    /// # Errors
    /// The descriptor can't be waited for.
    fn add(&mut self, descriptor: &Descriptor, token: u64) -> Result<()>;

    /// Adds a thing under `token` that is waited for until it can be written to: a user ring
    /// buffer that has room. It is reported once whenever some of it was read, be there enough
    /// room or not.
    ///
    /// # Errors
    /// The descriptor can't be waited for.
    fn add_writable(&mut self, descriptor: &Descriptor, token: u64) -> Result<()>;

    /// Waits until something is ready, `timeout` has passed (`None`: for ever), or a signal
    /// came, and puts the tokens of what is ready into `ready`, which it clears first.
    ///
    /// # Errors
    /// Waiting failed; an interruption by a signal is no error and leaves `ready` empty.
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<u64>) -> Result<()>;

    /// The poller's own descriptor for use in another event loop, where the host has one:
    /// readable when something added is ready.
    fn raw(&self) -> Option<i32>;

    /// The same, borrowed.
    #[cfg(unix)]
    fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>>;
}
