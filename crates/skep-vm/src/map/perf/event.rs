//! An output event: records of a CPU, in the ring of `perf_event_open(2)`.
//!
//! The first page is a `perf_event_mmap_page` of which the positions count; the ring follows, once,
//! so that records may wrap. What does not fit is counted, and the next record that fits has the
//! count before it.

use std::{
    sync::{
        Mutex,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    time::{Duration, Instant},
};

use skep_host::Errno;

use crate::{
    machine::lock,
    map::signal::{Signal, Waitable},
    memory::{Block, PAGE, View},
};

/// `perf_event_mmap_page.data_head`, `data_tail`, `data_offset`, `data_size`.
const HEAD: usize = 0x400;
const TAIL: usize = 0x408;
const OFFSET: usize = 0x410;
const SIZE: usize = 0x418;
/// `PERF_RECORD_LOST` and its size.
const LOST: u32 = 2;
const LOST_SIZE: u64 = 24;
/// `PERF_RECORD_SAMPLE`.
const SAMPLE: u32 = 9;
/// `PERF_RECORD_MISC_KERNEL`
const MISC: u16 = 1;

/// One CPU's output event.
#[derive(Debug)]
pub(crate) struct PerfEvent {
    id: u64,
    cpu: u32,
    pages: Block,
    size: u64,
    /// Records after which the reader is woken; 0 for when the ring is half full.
    wakeup: u32,
    state: Mutex<State>,
    /// The reader was woken and has not asked yet.
    woken: AtomicBool,
    signal: Signal,
    opened: Instant,
}

#[derive(Debug, Default)]
struct State {
    head: u64,
    /// Records that did not fit since the last one that did.
    lost: u64,
    /// All that did not fit.
    all_lost: u64,
    /// Records since the reader was last woken.
    records: u32,
    /// Up to where the reader knows that there is much to read.
    marked: u64,
}

impl PerfEvent {
    /// An event with a ring of `pages` pages, a power of two.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new(cpu: u32, pages: usize, wakeup: u32) -> Result<Self, Errno> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let size = pages.checked_mul(PAGE).ok_or(Errno::ENOMEM)?;
        let block = Block::pages(size.checked_add(PAGE).ok_or(Errno::ENOMEM)?)?;
        block.all().set_u64(OFFSET, PAGE as u64);
        block.all().set_u64(SIZE, size as u64);
        Ok(Self {
            id: IDS.fetch_add(1, Relaxed),
            cpu,
            pages: block,
            size: size as u64,
            wakeup,
            state: Mutex::default(),
            woken: AtomicBool::new(false),
            signal: Signal::default(),
            opened: Instant::now(),
        })
    }

    /// The control page and the ring, as users map them.
    pub(crate) fn pages(&self) -> View<'_> {
        self.pages.all()
    }

    /// The CPU whose programs may write to it.
    pub(crate) fn cpu(&self) -> u32 {
        self.cpu
    }

    /// How long it has been open.
    pub(crate) fn enabled(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Records that did not fit, since it was opened.
    pub(crate) fn all_lost(&self) -> u64 {
        lock(&self.state).all_lost
    }

    /// Writes one record of these parts.
    ///
    /// # Errors
    /// `ENOSPC`: it does not fit, which is counted; `E2BIG`: no record is so long.
    #[doc(alias = "perf_event_output")]
    pub(crate) fn output(&self, parts: &[View<'_>]) -> Result<(), Errno> {
        let len = parts.iter().map(|part| part.len() as u64).sum::<u64>();
        // The length with its own four bytes is a multiple of eight.
        let padded = (len + 4).next_multiple_of(8);
        let size = u16::try_from(padded + 8).map_err(|_| Errno::E2BIG)?;
        let mut state = lock(&self.state);
        let lost = state.lost;
        let needed = u64::from(size) + if lost > 0 { LOST_SIZE } else { 0 };
        let tail = self.word(TAIL).map_or(0, |tail| tail.load(Acquire));
        let room = tail.wrapping_sub(state.head + 1) & (self.size - 1);
        if room < needed {
            state.lost += 1;
            state.all_lost += 1;
            return Err(Errno::ENOSPC);
        }
        let mut at = state.head;
        if lost > 0 {
            state.lost = 0;
            at = self.put_header(at, LOST, 0, LOST_SIZE as u16);
            at = self.put(at, View::of(&mut self.id.to_ne_bytes()));
            at = self.put(at, View::of(&mut lost.to_ne_bytes()));
        }
        at = self.put_header(at, SAMPLE, MISC, size);
        at = self.put(at, View::of(&mut (padded as u32 - 4).to_ne_bytes()));
        for part in parts {
            at = self.put(at, *part);
        }
        let padding = (padded - 4 - len) as usize;
        self.put(at, View::of(&mut [0; 8][..padding]));
        let head = state.head.wrapping_add(needed);
        state.head = head;
        if let Some(word) = self.word(HEAD) {
            word.store(head, Release);
        }
        let wake = self.marks(&mut state);
        drop(state);
        if wake {
            self.woken.store(true, Release);
            self.signal.wake();
        }
        Ok(())
    }

    /// Whether it is time to wake the reader.
    fn marks(&self, state: &mut State) -> bool {
        let mut wake = false;
        let half = self.size / 2;
        if state.head.wrapping_sub(state.marked) > half {
            state.marked += half;
            wake = true;
        }
        if self.wakeup > 0 {
            state.records += 1;
            if state.records >= self.wakeup {
                state.records -= self.wakeup;
                state.marked += 1;
                wake = true;
            }
        }
        wake
    }

    fn word(&self, offset: usize) -> Option<&AtomicU64> {
        self.pages.all().long_word(offset)
    }

    fn put_header(&self, at: u64, kind: u32, misc: u16, size: u16) -> u64 {
        let mut header = [0; 8];
        header[..4].copy_from_slice(&kind.to_ne_bytes());
        header[4..6].copy_from_slice(&misc.to_ne_bytes());
        header[6..].copy_from_slice(&size.to_ne_bytes());
        self.put(at, View::of(&mut header))
    }

    /// Copies bytes to a position of the ring, around its end; answers the position behind them.
    fn put(&self, at: u64, bytes: View<'_>) -> u64 {
        let start = (at & (self.size - 1)) as usize;
        let first = bytes.len().min(self.size as usize - start);
        let rest = bytes.len() - first;
        let all = self.pages.all();
        if let (Some(to), Some(from)) = (all.part(PAGE + start, first), bytes.part(0, first)) {
            to.copy_from(from);
        }
        if let (Some(to), Some(from)) = (all.part(PAGE, rest), bytes.part(first, rest)) {
            to.copy_from(from);
        }
        at.wrapping_add(bytes.len() as u64)
    }
}

impl Waitable for PerfEvent {
    fn signal(&self) -> &Signal {
        &self.signal
    }

    /// Once a wake-up, as `poll(2)` of a perf event.
    fn readable(&self) -> bool {
        self.woken.swap(false, AcqRel)
    }
}
