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

    /// Puts `region` in the place of the newest that begins at `start`, or behind all; whether
    /// that changed anything.
    pub(crate) fn replace(&mut self, start: u64, region: Ours) -> bool {
        match self.0.iter_mut().rfind(|known| known.start == start) {
            Some(known) if *known == region => return false,
            Some(known) => *known = region,
            None => self.0.push(region),
        }
        true
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
/// Compiled code looks at the first of each.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Caches {
    pub(crate) read: [Cached; 2],
    pub(crate) write: [Cached; 2],
    /// Where the value begins that a lookup gave last.
    value: Cell<u64>,
}

/// One region; where all is 0, none.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Cached {
    pub(crate) start: Cell<u64>,
    /// At how many places an access of 1, 2, 4 and 8 bytes may begin.
    pub(crate) places: [Cell<u64>; 4],
}

impl Cached {
    #[inline]
    fn covers(&self, address: u64, size: u64) -> bool {
        let offset = address.wrapping_sub(self.start.get());
        if size.is_power_of_two()
            && let Some(places) = self.places.get(size.trailing_zeros() as usize)
        {
            return offset < places.get();
        }
        let len = self.places[0].get();
        size <= len && offset <= len - size
    }

    #[inline]
    fn set(&self, start: u64, len: u64) {
        self.start.set(start);
        for (log, places) in self.places.iter().enumerate() {
            places.set((len + 1).saturating_sub(1 << log));
        }
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
        entries[1].set(entries[0].start.get(), entries[0].places[0].get());
        entries[0].set(range.start, range.len);
    }

    /// The program was given a value of a map, and is likely to use it next. It takes the place
    /// of the one before, so that many lookups don't drive out everything else.
    #[inline]
    pub(crate) fn given(&self, start: u64, len: u64) {
        let before = self.value.replace(start);
        for entries in [&self.read, &self.write] {
            if entries[0].start.get() != before {
                entries[1].set(entries[0].start.get(), entries[0].places[0].get());
            }
            entries[0].set(start, len);
        }
    }

    /// Makes compiled code find the region of `address` first.
    pub(crate) fn prefer(&self, address: u64, write: bool) {
        let entries = if write { &self.write } else { &self.read };
        if entries[1].covers(address, 1) {
            let (start, len) = (entries[1].start.get(), entries[1].places[0].get());
            entries[1].set(entries[0].start.get(), entries[0].places[0].get());
            entries[0].set(start, len);
        }
    }

    pub(crate) fn clear(&self) {
        for entry in self.read.iter().chain(&self.write) {
            entry.set(0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_is_covered_where_it_fits() {
        let cached = Cached::default();
        for (start, len) in [(0, 0), (100, 0), (100, 1), (100, 7), (104, 8), (96, 40)] {
            cached.set(start, len);
            for address in 90..150 {
                for size in 1..50 {
                    let fits = address >= start && address + size <= start + len;
                    let covers = cached.covers(address, size);
                    assert_eq!(covers, fits, "{size} at {address} of {len} at {start}");
                }
                assert!(!cached.covers(address, u64::MAX));
                assert!(!cached.covers(u64::MAX - address, 1 << 63));
            }
        }
    }
}
