//! The perf buffer's reading end: one ring a CPU, records lent as bytes or copied as values,
//! and the kernel's own count of what was lost.
//!
//! The layout (`linux/perf_event.h`): a control page (`perf_event_mmap_page`), then a ring of
//! records, each a `perf_event_header` and its body. A record may wrap at the ring's end.

use std::{
    fmt,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
    time::{Duration, Instant},
};

use skep_abi::MapType;
use skep_host::{Descriptor, PerfOutput, Poller};
use zerocopy::FromBytes;

use crate::{Error, Map, Result};

/// `perf_event_mmap_page.data_head` and `data_tail`, as indices of 64-bit words.
const HEAD: usize = 0x400 / 8;
const TAIL: usize = 0x408 / 8;
/// `PERF_RECORD_LOST`: records that did not fit.
const LOST: u32 = 2;
/// `PERF_RECORD_SAMPLE`: what `bpf_perf_event_output` wrote.
const SAMPLE: u32 = 9;
/// Bytes of a `perf_event_header`.
const HEADER: usize = 8;

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
    cpus: Vec<Ring>,
    poller: Box<dyn Poller>,
    ready: Vec<u64>,
    /// Where in `cpus` the search for records goes on, so that no CPU starves.
    turn: usize,
    lost: u64,
    record: PhantomData<fn() -> T>,
}

struct Ring {
    cpu: u32,
    output: PerfOutput,
    /// Where the data begins, and how much there is.
    data: usize,
    size: u64,
    /// The one record of a batch that wraps, put together.
    wrapped: Vec<u8>,
}

impl<T> PerfBuffer<T> {
    /// Opens a ring on every running CPU and puts them into `map`.
    ///
    /// # Errors
    /// The map is of another type or has fewer entries than the machine has CPUs; a perf event
    /// can't be opened (`CAP_PERFMON`, `kernel.perf_event_paranoid`).
    pub fn new(map: Arc<Map>, options: PerfOptions) -> Result<Self> {
        map.expect_type(&[MapType::PerfEventArray])?;
        let host = map.host();
        let mut poller = host.poller()?;
        let mut cpus = Vec::new();
        for cpu in host.online_cpus()? {
            if cpu >= map.max_entries() {
                return Err(Error::map(
                    &map,
                    &format!(
                        "it has no entry for CPU {cpu}: raise its max_entries, or leave it out"
                    ),
                ));
            }
            let output = host.perf_output(cpu, options.pages, options.wakeup)?;
            poller.add(&output.event, cpus.len() as u64)?;
            host.map_update_elem(
                map.fd(),
                &cpu.to_ne_bytes(),
                &output.event.raw().to_ne_bytes(),
                0,
            )?;
            let data = host.page_size();
            let size = (options.pages * data) as u64;
            cpus.push(Ring {
                cpu,
                output,
                data,
                size,
                wrapped: Vec::new(),
            });
        }
        Ok(Self {
            map,
            cpus,
            poller,
            ready: Vec::new(),
            turn: 0,
            lost: 0,
            record: PhantomData,
        })
    }

    /// The records that one CPU has now; empty when none has any. Never waits.
    pub fn batch(&mut self) -> PerfBatch<'_, T> {
        let found = self.find();
        self.lend(found)
    }

    /// Waits for records, at most for `timeout` (`None`: for ever). `None` when the time is up
    /// or a signal came.
    ///
    /// # Errors
    /// Waiting failed.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<PerfBatch<'_, T>>> {
        let end = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let found = self.find();
            if found.is_some() {
                return Ok(Some(self.lend(found)));
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            self.poller.wait(left, &mut self.ready)?;
            if self.ready.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Records that did not fit, on all CPUs, as far as they were read.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// What to wait for in an event loop of one's own: one event a CPU.
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        self.cpus.iter().map(|ring| &ring.output.event)
    }

    /// The map that is read.
    pub fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// The next CPU that has records, with its tail and head.
    fn find(&mut self) -> Option<(usize, u64, u64)> {
        for step in 0..self.cpus.len() {
            let index = (self.turn + step) % self.cpus.len();
            let words = self.cpus[index].output.memory.long_words();
            let tail = words[TAIL].acquire();
            let head = words[HEAD].acquire();
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
        let lost_before = self.lost;
        let ring = &mut self.cpus[index];
        let start = (tail & (ring.size - 1)) as usize;
        let available = head.wrapping_sub(tail).min(ring.size) as usize;
        let size = ring.size as usize;
        let until_end = available.min(size - start);
        let memory = &ring.output.memory;
        // Find where whole records stop before the ring's end, and what was lost.
        let straight = memory.committed(ring.data + start..ring.data + start + until_end);
        let mut whole = 0;
        while let Some((kind, body, next)) = record(&straight[whole..]) {
            if kind == LOST {
                self.lost += lost_count(body);
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
            if let Some((LOST, body, _)) = record(&ring.wrapped) {
                self.lost += lost_count(body);
            }
        } else if whole < available {
            // Not a record: nothing after it can be read either.
            consumed = available;
        }
        let lost = self.lost - lost_before;
        let ring = &self.cpus[index];
        PerfBatch {
            straight: &straight_of(ring, start, until_end)[..whole],
            wrapped: &ring.wrapped,
            release: Some((ring, tail.wrapping_add(consumed as u64))),
            lost,
            record: PhantomData,
        }
    }
}

fn straight_of(ring: &Ring, start: usize, length: usize) -> &[u8] {
    ring.output
        .memory
        .committed(ring.data + start..ring.data + start + length)
}

/// The first record of `bytes`: its type, its body, and where the next one begins. `None` when
/// it is not whole.
fn record(bytes: &[u8]) -> Option<(u32, &[u8], usize)> {
    let (kind, rest) = bytes.split_first_chunk::<4>()?;
    let size = usize::from(u16::from_ne_bytes([*rest.get(2)?, *rest.get(3)?]));
    let body = bytes.get(HEADER..size)?;
    Some((u32::from_ne_bytes(*kind), body, size))
}

/// `{ u64 id; u64 lost; }`
fn lost_count(body: &[u8]) -> u64 {
    body.get(8..16)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_ne_bytes)
}

/// `{ u32 size; u8 data[size]; }`
fn sample(body: &[u8]) -> Option<&[u8]> {
    let (size, data) = body.split_first_chunk::<4>()?;
    data.get(..u32::from_ne_bytes(*size) as usize)
}

impl<T> fmt::Debug for PerfBuffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerfBuffer")
            .field("map", &self.map.name())
            .field("cpus", &self.cpus.len())
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}

/// Records of one CPU. Dropping the batch gives their room back to the producer.
pub struct PerfBatch<'a, T> {
    straight: &'a [u8],
    wrapped: &'a [u8],
    release: Option<(&'a Ring, u64)>,
    lost: u64,
    record: PhantomData<fn() -> T>,
}

impl<'a, T> PerfBatch<'a, T> {
    fn empty() -> Self {
        Self {
            straight: &[],
            wrapped: &[],
            release: None,
            lost: 0,
            record: PhantomData,
        }
    }

    /// The CPU that they come from.
    pub fn cpu(&self) -> Option<u32> {
        self.release.map(|(ring, _)| ring.cpu)
    }

    /// There is nothing, not even a loss.
    pub fn is_empty(&self) -> bool {
        self.release.is_none()
    }

    /// Records that did not fit between these.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Each record's bytes. The kernel pads a record to 8 bytes: the bytes may be a few more
    /// than the program wrote.
    pub fn bytes(&self) -> impl Iterator<Item = &'a [u8]> + use<'a, T> {
        let mut parts = [self.straight, self.wrapped].into_iter();
        let mut rest = parts.next().unwrap_or_default();
        std::iter::from_fn(move || {
            loop {
                match record(rest) {
                    Some((kind, body, next)) => {
                        rest = rest.get(next..)?;
                        if kind == SAMPLE {
                            return sample(body);
                        }
                    }
                    None => rest = parts.next()?,
                }
            }
        })
    }
}

impl<'a, T: FromBytes> PerfBatch<'a, T> {
    /// Each record as a value, without those too short for `T`.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        self.bytes()
            .filter_map(|bytes| T::read_from_prefix(bytes).ok().map(|(value, _)| value))
    }
}

impl<T> Drop for PerfBatch<'_, T> {
    fn drop(&mut self) {
        if let Some((ring, tail)) = self.release {
            // Reads of the records must be over before their room is given back.
            fence(Ordering::SeqCst);
            if let Some(position) = ring
                .output
                .memory
                .writable()
                .and_then(|words| words.get(TAIL))
            {
                position.store(tail, Ordering::Release);
            }
        }
    }
}

impl<T> fmt::Debug for PerfBatch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerfBatch")
            .field("cpu", &self.cpu())
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}
