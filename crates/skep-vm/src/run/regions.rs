//! The memory that a run may touch, and which part of it was touched last.

use std::cell::Cell;

use crate::map::Range;

/// A region that belongs to the run itself, not to a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ours {
    pub(crate) start: u64,
    pub(crate) len: u64,
    pub(crate) writable: bool,
}

impl Ours {
    /// The frames of the program's functions.
    pub(crate) const fn stack(start: u64, len: u64) -> Self {
        Self {
            start,
            len,
            writable: true,
        }
    }
}

/// All of them: stack, context, packet, records that the program holds.
#[derive(Debug, Default)]
pub(crate) struct Regions(Vec<Ours>);

impl Regions {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn push(&mut self, region: Ours) {
        self.0.push(region);
    }

    /// Takes out the newest region that begins at `start`.
    pub(crate) fn remove(&mut self, start: u64) {
        if let Some(at) = self.0.iter().rposition(|region| region.start == start) {
            self.0.swap_remove(at);
        }
    }

    /// Puts `region` in the place of the newest that begins at `start`, or behind all.
    pub(crate) fn replace(&mut self, start: u64, region: Ours) {
        match self.0.iter_mut().rfind(|known| known.start == start) {
            Some(known) => *known = region,
            None => self.0.push(region),
        }
    }

    /// The region that has `address`; to `write`, the first that may be written.
    pub(crate) fn find(&self, address: u64, write: bool) -> Option<Range> {
        let region = self.0.iter().find(|region| {
            address.wrapping_sub(region.start) < region.len && (region.writable || !write)
        })?;
        Some(Range {
            start: region.start,
            len: region.len,
            writable: region.writable,
        })
    }
}

/// The regions of the last accesses: two that were read, two that were written.
///
/// Compiled code looks here first. A start and a length of 0 cover nothing.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Caches {
    pub(crate) read: [Cached; 2],
    pub(crate) write: [Cached; 2],
}

/// One region.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Cached {
    pub(crate) start: Cell<u64>,
    pub(crate) len: Cell<u64>,
}

impl Cached {
    #[inline]
    fn covers(&self, address: u64, size: u64) -> bool {
        let offset = address.wrapping_sub(self.start.get());
        let len = self.len.get();
        size <= len && offset <= len - size
    }
}

impl Caches {
    #[inline]
    pub(crate) fn covers(&self, address: u64, size: u64, write: bool) -> bool {
        let entries = if write { &self.write } else { &self.read };
        entries.iter().any(|entry| entry.covers(address, size))
    }

    pub(crate) fn remember(&self, range: Range, write: bool) {
        let entries = if write { &self.write } else { &self.read };
        entries[1].start.set(entries[0].start.get());
        entries[1].len.set(entries[0].len.get());
        entries[0].start.set(range.start);
        entries[0].len.set(range.len);
    }

    pub(crate) fn clear(&self) {
        for entry in self.read.iter().chain(&self.write) {
            entry.len.set(0);
        }
    }
}
