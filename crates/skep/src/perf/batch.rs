//! Records lent from one CPU's perf ring, and how they lie in it.

use std::{
    fmt,
    marker::PhantomData,
    ops::ControlFlow,
    sync::atomic::{Ordering, fence},
};

use zerocopy::FromBytes;

use super::{Ring, TAIL};
use crate::Consumed;

/// `PERF_RECORD_LOST`: records that did not fit.
pub(super) const LOST: u32 = 2;
/// `PERF_RECORD_SAMPLE`: what `bpf_perf_event_output` wrote.
const SAMPLE: u32 = 9;
/// Bytes of a `perf_event_header`.
pub(super) const HEADER: usize = 8;

/// Records of one CPU. Dropping the batch gives their room back to the producer.
pub struct PerfBatch<'a, T> {
    pub(super) straight: &'a [u8],
    pub(super) wrapped: &'a [u8],
    /// The ring that gets its room back, and the tail that says so.
    pub(super) release: Option<(&'a Ring, u64)>,
    pub(super) lost: u64,
    pub(super) record: PhantomData<fn() -> T>,
}

impl<'a, T> PerfBatch<'a, T> {
    pub(super) fn empty() -> Self {
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

impl<T> PerfBatch<'_, T> {
    /// Hands the bytes of records to `each` until it breaks off, and answers whether it did. The
    /// batch gives back only the room of those, whatever happens in `each`.
    pub(crate) fn hand_out(
        &mut self,
        each: &mut impl FnMut(u32, &[u8]) -> ControlFlow<()>,
        consumed: &mut Consumed,
    ) -> bool {
        let Some((ring, all)) = self.release else {
            return false;
        };
        let mut position = ring.tail();
        for part in [self.straight, self.wrapped] {
            let mut rest = part;
            while let Some((kind, body, next)) = record(rest) {
                position = position.wrapping_add(next as u64);
                rest = &rest[next..];
                let Some(data) = sample(body).filter(|_| kind == SAMPLE) else {
                    continue;
                };
                self.release = Some((ring, position));
                consumed.records += 1;
                if each(ring.cpu, data).is_break() {
                    consumed.stopped = true;
                    return true;
                }
            }
        }
        self.release = Some((ring, all));
        false
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

/// The first record of `bytes`: its type, its body, and where the next one begins. `None` when
/// it is not whole.
pub(super) fn record(bytes: &[u8]) -> Option<(u32, &[u8], usize)> {
    let (kind, rest) = bytes.split_first_chunk::<4>()?;
    let size = usize::from(u16::from_ne_bytes([*rest.get(2)?, *rest.get(3)?]));
    let body = bytes.get(HEADER..size)?;
    Some((u32::from_ne_bytes(*kind), body, size))
}

/// `{ u64 id; u64 lost; }`
pub(super) fn lost_count(body: &[u8]) -> u64 {
    body.get(8..16)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_ne_bytes)
}

/// `{ u32 size; u8 data[size]; }`
fn sample(body: &[u8]) -> Option<&[u8]> {
    let (size, data) = body.split_first_chunk::<4>()?;
    data.get(..u32::from_ne_bytes(*size) as usize)
}
