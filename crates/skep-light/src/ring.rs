//! Reading a ring buffer's records as bytes.

use std::{
    ops::ControlFlow,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use skep_abi::{MapCreateFlags, MapType};
use skep_host::{
    Host as _, Poller,
    ring::{Damaged, HEADER_SIZE, Header, RingReader, Span},
};

use crate::{Error, Map, Result};

/// The reading end of a `BPF_MAP_TYPE_RINGBUF` map (5.8).
#[derive(Debug)]
pub struct RingBuffer {
    map: Map,
    reader: RingReader,
    poller: Option<Box<dyn Poller>>,
    ready: Vec<u64>,
}

impl RingBuffer {
    pub(crate) fn open(map: &Map) -> Result<Self> {
        let fault = |reason: &str| map.fault(reason);
        if map.map_type() != MapType::Ringbuf {
            return Err(fault("it is no ring buffer"));
        }
        let info = map.kernel().map_info(map.fd())?;
        let flags = MapCreateFlags::from_bits_retain(info.flags);
        if flags.contains(MapCreateFlags::RB_OVERWRITE) {
            return Err(fault(
                "its oldest records are overwritten (BPF_F_RB_OVERWRITE), which can't be read while \
                 programs write",
            ));
        }
        Ok(Self {
            reader: RingReader::open(&**map.kernel(), map.fd(), info.max_entries)?,
            map: map.try_clone()?,
            poller: None,
            ready: Vec::new(),
        })
    }

    /// Hands the records that are there now to `each`, until it breaks off; answers how many it was
    /// given, which are consumed. Never waits.
    ///
    /// # Errors
    /// The ring's headers contradict its positions: something else wrote into it.
    pub fn consume(&mut self, mut each: impl FnMut(&[u8]) -> ControlFlow<()>) -> Result<usize> {
        // A fast producer could keep us here for ever.
        let until = self.reader.end();
        let mut count = 0;
        loop {
            let (start, span) = self.committed()?;
            let mut bytes = self.reader.bytes(start, &span);
            let all = bytes.len();
            let mut stopped = false;
            while let Some((record, rest)) = first(bytes) {
                bytes = rest;
                if let Some(record) = record {
                    count += 1;
                    stopped = each(record).is_break();
                    if stopped {
                        break;
                    }
                }
            }
            let next = start.wrapping_add((all - bytes.len()) as u64);
            if next != start
                && let Some(position) = self.reader.consumer().first()
            {
                position.store(next, Ordering::Release);
            }
            let ahead = until.wrapping_sub(next);
            if stopped || span.bytes == 0 || ahead == 0 || ahead > u64::MAX / 2 {
                return Ok(count);
            }
        }
    }

    /// Waits until there are records, at most for `timeout` (`None`: for ever); `false` when the
    /// time is up. Signals don't end it.
    ///
    /// # Errors
    /// Waiting failed, or the ring is damaged.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<bool> {
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let (_, span) = self.committed()?;
            if span.bytes > 0 {
                return Ok(true);
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(false);
            }
            let poller = match &mut self.poller {
                Some(poller) => poller,
                None => {
                    let mut poller = self.map.kernel().poller()?;
                    poller.add(self.map.fd().descriptor(), 0)?;
                    self.poller.insert(poller)
                }
            };
            poller.wait(left, &mut self.ready)?;
        }
    }

    /// The map that is read.
    pub fn map(&self) -> &Map {
        &self.map
    }

    fn committed(&mut self) -> Result<(u64, Span)> {
        let found = self.reader.committed(0);
        found.map_err(|Damaged { position }| Error::Map {
            map: self.map.name(),
            reason: format!("a record's length is impossible at position {position:#x}"),
        })
    }
}

/// The first record, unless it was given up, and what is behind it.
fn first(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let header = Header(u32::from_ne_bytes(*bytes.first_chunk()?));
    let (record, rest) = bytes.split_at_checked(header.stride())?;
    let record = record.get(HEADER_SIZE..HEADER_SIZE + header.length())?;
    Some(((!header.is_discarded()).then_some(record), rest))
}
