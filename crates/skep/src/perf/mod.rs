//! The perf buffer's reading end: one ring a CPU, records lent as bytes or copied as values,
//! and the kernel's own count of what was lost.
//!
//! The layout (`linux/perf_event.h`): a control page (`perf_event_mmap_page`), then a ring of
//! records, each a `perf_event_header` and its body. A record may wrap at the ring's end.

use std::{
    collections::BTreeMap, fmt, marker::PhantomData, ops::ControlFlow, sync::Arc, time::Duration,
};

use skep_abi::MapType;
use skep_host::{Descriptor, Errno, Host, PerfOutput};

use crate::{
    Consumed, Error, Map, Result,
    waiting::{Deadline, Waiting},
};

mod batch;

pub use batch::PerfBatch;

use batch::{HEADER, LOST, lost_count, record};

/// `perf_event_mmap_page.data_head` and `data_tail`, as indices of 64-bit words.
const HEAD: usize = 0x400 / 8;
const TAIL: usize = 0x408 / 8;

/// Wake-ups without a record in a row after which rings are looked at.
pub(crate) const FOR_NOTHING: u32 = 2;

/// How a perf buffer is opened.
#[derive(Debug, Clone, Copy)]
pub struct PerfOptions {
    /// Pages a CPU; a power of two.
    pub pages: usize,
    /// Records after which the reader is woken.
    pub wakeup: u32,
}

impl Default for PerfOptions {
    /// 64 pages (256 KiB) a CPU, woken by every record.
    fn default() -> Self {
        Self {
            pages: 64,
            wakeup: 1,
        }
    }
}

/// Reads records of type `T` from a `BPF_MAP_TYPE_PERF_EVENT_ARRAY` map (4.3).
///
/// Samples lie at odd multiples of four in the ring, so a `T` is copied out; [`PerfBatch::bytes`]
/// lends them in place.
pub struct PerfBuffer<T = u8> {
    map: Arc<Map>,
    options: PerfOptions,
    cpus: Vec<Ring>,
    waiting: Waiting,
    /// CPUs that went offline before their ring was opened.
    skipped: Vec<u32>,
    /// What was lost in rings that are closed, by CPU.
    lost_before: BTreeMap<u32, u64>,
    /// Where in `cpus` the search for records goes on, so that no CPU starves.
    turn: usize,
    record: PhantomData<fn() -> T>,
}

struct Ring {
    cpu: u32,
    /// The CPU went offline: nothing is written any more.
    gone: bool,
    /// Records that did not fit, as far as they were read; and how far that is.
    lost: u64,
    counted: u64,
    /// Those that the host has counted, when it was asked.
    asked: u64,
    output: PerfOutput,
    /// Where the data begins, and how much there is.
    data: usize,
    size: u64,
    /// The one record of a batch that wraps, put together.
    wrapped: Vec<u8>,
}

impl<T> PerfBuffer<T> {
    /// Opens a ring on every running CPU and puts them into `map`. Those of another buffer on the
    /// same map are no longer written to then: to change a buffer's size, open another one, read
    /// what the first still has, and drop it.
    ///
    /// # Errors
    /// The map is of another type or has fewer entries than the machine has CPUs; a perf event
    /// can't be opened (`CAP_PERFMON`, `kernel.perf_event_paranoid`).
    pub fn new(map: Arc<Map>, options: PerfOptions) -> Result<Self> {
        map.expect_type(&[MapType::PerfEventArray])?;
        let mut buffer = Self {
            map,
            options,
            cpus: Vec::new(),
            waiting: Waiting::default(),
            skipped: Vec::new(),
            lost_before: BTreeMap::new(),
            turn: 0,
            record: PhantomData,
        };
        buffer.refresh()?;
        Ok(buffer)
    }

    /// Follows CPUs that went offline or came online since the buffer was opened: opens rings on
    /// those that have none, and closes those of CPUs that are not running, once they are read.
    /// Gives the CPUs that were added.
    ///
    /// The kernel ends the ring of a CPU that goes offline for good: what programs send there after
    /// it came back is refused to them (`EOPNOTSUPP`), and `ENOENT` on a CPU that was offline when
    /// the buffer was opened. One that went and came back between two calls has another ring after
    /// it, and counts as added. Only the programs know how many records were refused meanwhile, so
    /// call it about once a second where CPUs come and go.
    ///
    /// # Errors
    /// As those of [`new`](Self::new).
    pub fn refresh(&mut self) -> Result<Vec<u32>> {
        let online = self.map.host().online_cpus()?;
        self.skipped.clear();
        for ring in &mut self.cpus {
            ring.gone = ring.gone
                || !online.contains(&ring.cpu)
                || !self.map.host().perf_output_runs(&ring.output)?;
        }
        let (read, rest) = std::mem::take(&mut self.cpus)
            .into_iter()
            .partition::<Vec<_>, _>(|ring| ring.gone && ring.is_read());
        self.cpus = rest;
        // What was waited for may be gone, and what comes is to be waited for.
        self.waiting = Waiting::default();
        for mut ring in read {
            ring.count(self.map.host().as_ref())?;
            *self.lost_before.entry(ring.cpu).or_default() += ring.all_lost();
        }
        let mut added = Vec::new();
        for cpu in online {
            if self.cpus.iter().any(|ring| ring.cpu == cpu && !ring.gone) {
                continue;
            }
            match self.open(cpu)? {
                Some(ring) => {
                    self.cpus.push(ring);
                    added.push(cpu);
                }
                None => self.skipped.push(cpu),
            }
        }
        Ok(added)
    }

    /// Opens a ring on a CPU and puts it into the map; `None` if the CPU was online a moment ago.
    fn open(&self, cpu: u32) -> Result<Option<Ring>> {
        let (map, options) = (&self.map, self.options);
        if cpu >= map.max_entries() {
            return Err(Error::map(
                map,
                &format!("it has no entry for CPU {cpu}: raise its max_entries, or leave it out"),
            ));
        }
        let host = map.host();
        let output = match host.perf_output(cpu, options.pages, options.wakeup) {
            Err(error) if error.errno() == Some(Errno::ENODEV) => return Ok(None),
            output => output?,
        };
        host.map_update_elem(
            map.fd(),
            &cpu.to_ne_bytes(),
            &output.event.raw().to_ne_bytes(),
            0,
        )?;
        let data = host.page_size();
        let size = (options.pages * data) as u64;
        Ok(Some(Ring {
            cpu,
            gone: false,
            lost: 0,
            asked: 0,
            counted: output.memory.long_words()[TAIL].acquire(),
            output,
            data,
            size,
            wrapped: Vec::new(),
        }))
    }

    /// The records that one CPU has now; empty when none has any. Never waits.
    pub fn batch(&mut self) -> PerfBatch<'_, T> {
        let found = self.find();
        self.lend(found)
    }

    /// Waits for records, at most for `timeout` (`None`: for ever). `None` when the time is up.
    /// Signals don't end it. Where the kernel tells of rings that ended, it does a
    /// [`refresh`](Self::refresh) by itself.
    ///
    /// # Errors
    /// Waiting failed, or a ring can't be opened.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<PerfBatch<'_, T>>> {
        let deadline = Deadline::after(timeout);
        let mut for_nothing = 0;
        loop {
            let found = self.find();
            if found.is_some() {
                return Ok(Some(self.lend(found)));
            }
            // One wake-up for nothing may be that of a batch before. A ring that ended wakes its
            // reader again and again.
            if for_nothing >= FOR_NOTHING {
                self.refresh()?;
                for_nothing = 0;
            }
            let rings = self.cpus.iter().filter(|ring| !ring.gone);
            let things = rings.map(|ring| &ring.output.event);
            let host = self.map.host().as_ref();
            if !self.waiting.wait(host, things, deadline)? {
                return Ok(None);
            }
            for_nothing += 1;
        }
    }

    /// Hands the records that are there now to `each`, with the CPU that they come from, until it
    /// breaks off. Exactly those that it was given are consumed, the one at which it broke off
    /// with them, even if it panics. Never waits.
    pub fn consume(&mut self, mut each: impl FnMut(u32, &[u8]) -> ControlFlow<()>) -> Consumed {
        let mut consumed = Consumed::default();
        // A CPU has at most two batches, before and after its ring's end: what a fast program
        // adds meanwhile is left for the next call.
        for _ in 0..2 * self.cpus.len() {
            let mut batch = self.batch();
            if batch.is_empty() || batch.hand_out(&mut each, &mut consumed) {
                break;
            }
        }
        consumed
    }

    /// Records that did not fit, on all CPUs, with those that no record tells of yet: a ring says what
    /// it lost before the next record that fits, so at the end of a reading [`lost`](Self::lost) may
    /// know less. Since Linux 6.0; before, it is the same.
    ///
    /// # Errors
    /// The host can't be asked.
    pub fn count_lost(&mut self) -> Result<u64> {
        for ring in &mut self.cpus {
            ring.count(self.map.host().as_ref())?;
        }
        Ok(self.lost())
    }

    /// Records that did not fit, on all CPUs, as far as they were read.
    pub fn lost(&self) -> u64 {
        self.lost_per_cpu().map(|(_, lost)| lost).sum()
    }

    /// Records that did not fit, by CPU, as far as they were read.
    pub fn lost_per_cpu(&self) -> impl Iterator<Item = (u32, u64)> {
        let mut all = self.lost_before.clone();
        for ring in &self.cpus {
            *all.entry(ring.cpu).or_default() += ring.all_lost();
        }
        all.into_iter()
    }

    /// CPUs that were online and were not any more when their ring was to be opened: what
    /// programs send there is refused (`ENOENT`) until [`refresh`](Self::refresh) finds them back.
    pub fn skipped_cpus(&self) -> &[u32] {
        &self.skipped
    }

    /// What to wait for in an event loop of one's own: one event a CPU, other ones after a
    /// [`refresh`](Self::refresh).
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        self.cpus.iter().map(|ring| &ring.output.event)
    }

    /// Those of some CPUs, as they are now.
    pub(crate) fn descriptors_of(&self, cpus: &[u32]) -> impl Iterator<Item = &Descriptor> {
        let rings = self
            .cpus
            .iter()
            .filter(|ring| !ring.gone && cpus.contains(&ring.cpu));
        rings.map(|ring| &ring.output.event)
    }

    /// The map that is read.
    pub fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// Whether a batch would be more than nothing.
    #[cfg(feature = "tokio")]
    pub(crate) fn has_some(&mut self) -> bool {
        let turn = self.turn;
        let found = self.find().is_some();
        self.turn = turn;
        found
    }

    /// The next CPU that has records, with its tail and head.
    fn find(&mut self) -> Option<(usize, u64, u64)> {
        for step in 0..self.cpus.len() {
            let index = (self.turn + step) % self.cpus.len();
            let ring = &self.cpus[index];
            let tail = ring.tail();
            let head = ring.output.memory.long_words()[HEAD].acquire();
            if head != tail {
                self.turn = (index + 1) % self.cpus.len();
                return Some((index, tail, head));
            }
        }
        None
    }

    fn lend(&mut self, found: Option<(usize, u64, u64)>) -> PerfBatch<'_, T> {
        let Some((index, tail, head)) = found else {
            return PerfBatch::empty();
        };
        let ring = &mut self.cpus[index];
        let lost_before = ring.lost;
        // What was counted once, and then left unread by a reader that broke off.
        let counted = ring.counted.wrapping_sub(tail) as usize;
        let start = (tail & (ring.size - 1)) as usize;
        let available = head.wrapping_sub(tail).min(ring.size) as usize;
        let size = ring.size as usize;
        let until_end = available.min(size - start);
        let memory = &ring.output.memory;
        // Find where whole records stop before the ring's end, and what was lost.
        let straight = memory.committed(ring.data + start..ring.data + start + until_end);
        let mut whole = 0;
        while let Some((kind, body, next)) = record(&straight[whole..]) {
            if kind == LOST && whole >= counted {
                ring.lost += lost_count(body);
            }
            whole += next;
        }
        ring.wrapped.clear();
        let mut consumed = whole;
        if whole < available && until_end < available {
            // The next record wraps: its parts are joined, and the batch ends with it.
            let again = memory.committed(ring.data..ring.data + (available - until_end));
            ring.wrapped.extend_from_slice(&straight[whole..]);
            let missing_header = HEADER.saturating_sub(ring.wrapped.len());
            ring.wrapped
                .extend_from_slice(&again[..missing_header.min(again.len())]);
            let length = ring.wrapped.get(6..8).map_or(0, |size| {
                usize::from(u16::from_ne_bytes([size[0], size[1]]))
            });
            let have = straight.len() - whole;
            let rest = length.saturating_sub(have).min(again.len());
            ring.wrapped.truncate(have);
            ring.wrapped.extend_from_slice(&again[..rest]);
            consumed += ring.wrapped.len();
            if let Some((LOST, body, _)) = record(&ring.wrapped)
                && whole >= counted
            {
                ring.lost += lost_count(body);
            }
        } else if whole < available {
            // Not a record: nothing after it can be read either.
            consumed = available;
        }
        ring.counted = tail.wrapping_add(consumed.max(counted) as u64);
        let ring = &self.cpus[index];
        let lost = ring.lost - lost_before;
        PerfBatch {
            straight: &straight_of(ring, start, until_end)[..whole],
            wrapped: &ring.wrapped,
            release: Some((ring, tail.wrapping_add(consumed as u64))),
            lost,
            record: PhantomData,
        }
    }
}

impl Ring {
    /// Takes over what the host has counted itself.
    fn count(&mut self, host: &dyn Host) -> Result<()> {
        if let Some(all) = host.perf_output_lost(&self.output)? {
            self.asked = all;
        }
        Ok(())
    }

    /// Records that did not fit, as far as is known.
    fn all_lost(&self) -> u64 {
        self.lost.max(self.asked)
    }

    /// Whether all that it has was read.
    fn is_read(&self) -> bool {
        self.output.memory.long_words()[HEAD].acquire() == self.tail()
    }

    /// How far it is read.
    fn tail(&self) -> u64 {
        self.output.memory.long_words()[TAIL].acquire()
    }
}

fn straight_of(ring: &Ring, start: usize, length: usize) -> &[u8] {
    ring.output
        .memory
        .committed(ring.data + start..ring.data + start + length)
}

impl<T> fmt::Debug for PerfBuffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerfBuffer")
            .field("map", &self.map.name())
            .field("cpus", &self.cpus.len())
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}
