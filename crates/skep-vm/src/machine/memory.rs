//! How much memory the maps of a machine may take, and what each takes of it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use skep_host::Errno;

use crate::map::{ARENA_BYTES, Kind, Shape};
use skep_abi::MapType;

/// The memory of a machine's maps.
#[derive(Debug)]
pub(crate) struct MapMemory {
    limit: u64,
    used: AtomicU64,
}

impl MapMemory {
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(0),
        })
    }

    /// Takes what a map may come to need; given back with the map. An arena takes more, page by
    /// page.
    ///
    /// # Errors
    /// `ENOMEM`: the machine's limit.
    pub(crate) fn charge(
        self: &Arc<Self>,
        shape: &Shape,
        kind: &dyn Kind,
    ) -> Result<Charge, Errno> {
        let charge = Charge::new(Some(Arc::clone(self)));
        charge.more(kind.memory_used().max(full(shape)))?;
        Ok(charge)
    }

    /// Whether a map of this shape can be made at all, before anything is allocated for it.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn has_room(&self, shape: &Shape) -> Result<(), Errno> {
        let all = self.used.load(Relaxed).saturating_add(full(shape));
        if self.limit < u64::MAX && all > self.limit {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }
}

/// Bytes of all entries, once they are there.
fn full(shape: &Shape) -> u64 {
    let entries = u64::from(shape.max_entries);
    match shape.map_type {
        MapType::Ringbuf | MapType::UserRingbuf => entries,
        // Its pages are paid for as they are given out.
        MapType::Arena => ARENA_BYTES,
        _ => {
            let values = match shape.map_type.is_per_cpu() {
                true => u64::from(shape.cpus),
                false => 1,
            };
            let values = (shape.value_stride() as u64).saturating_mul(values);
            entries.saturating_mul(values.saturating_add(u64::from(shape.key_size)))
        }
    }
}

/// What one map takes.
#[derive(Debug)]
pub(crate) struct Charge {
    /// `None` takes of nothing.
    memory: Option<Arc<MapMemory>>,
    bytes: AtomicU64,
}

impl Charge {
    /// Nothing yet.
    pub(crate) fn new(memory: Option<Arc<MapMemory>>) -> Self {
        Self {
            memory,
            bytes: AtomicU64::new(0),
        }
    }

    /// Takes some.
    ///
    /// # Errors
    /// `ENOMEM`: the machine's limit.
    pub(crate) fn more(&self, bytes: u64) -> Result<(), Errno> {
        if let Some(memory) = &self.memory {
            let more = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= memory.limit);
            let taken = memory.used.fetch_update(Relaxed, Relaxed, more);
            taken.map_err(|_| Errno::ENOMEM)?;
        }
        self.bytes.fetch_add(bytes, Relaxed);
        Ok(())
    }

    /// Takes what is taken already, even beyond the limit.
    pub(crate) fn anyhow(&self, bytes: u64) {
        if let Some(memory) = &self.memory {
            memory.used.fetch_add(bytes, Relaxed);
        }
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Gives some back.
    pub(crate) fn less(&self, bytes: u64) {
        if let Some(memory) = &self.memory {
            memory.used.fetch_sub(bytes, Relaxed);
        }
        self.bytes.fetch_sub(bytes, Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.less(self.bytes.load(Relaxed));
    }
}
