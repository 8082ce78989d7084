//! How much memory the maps of a machine may take, and what each takes of it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use skep_host::Errno;

use crate::map::{Kind, Shape};
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

    /// Takes what a map may come to need; given back with the map.
    ///
    /// # Errors
    /// `ENOMEM`: the machine's limit.
    pub(crate) fn charge(
        self: &Arc<Self>,
        shape: &Shape,
        kind: &dyn Kind,
    ) -> Result<Charge, Errno> {
        let bytes = kind.memory_used().max(full(shape));
        let more = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        let taken = self.used.fetch_update(Relaxed, Relaxed, more);
        taken.map_err(|_| Errno::ENOMEM)?;
        Ok(Charge {
            memory: Arc::clone(self),
            bytes,
        })
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

/// Bytes of all entries, once they are there; 0 where entries are no measure.
fn full(shape: &Shape) -> u64 {
    match shape.map_type {
        // Bytes or pages, which are there from the beginning or are asked for one by one.
        MapType::Ringbuf | MapType::UserRingbuf | MapType::Arena => 0,
        _ => u64::from(shape.max_entries)
            .saturating_mul(u64::from(shape.key_size) + shape.value_stride() as u64),
    }
}

/// What one map takes.
#[derive(Debug)]
pub(crate) struct Charge {
    memory: Arc<MapMemory>,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Relaxed);
    }
}
