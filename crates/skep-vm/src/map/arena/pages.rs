//! Which pages of an arena are given out, and which of them programs may touch.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use crate::memory::PAGE;

/// Pages of the largest arena.
const MOST: usize = 1 << 20;
/// Bytes that are taken for what is known of them.
pub(super) const BYTES: u64 = 2 * MOST as u64 / 8;
/// Pages that a region reaches to either side: those of one word.
const NEAR: u64 = 64;

/// A bit a page.
#[derive(Debug)]
struct Bits(Box<[AtomicU64]>);

impl Bits {
    fn new() -> Self {
        Self((0..MOST / 64).map(|_| AtomicU64::new(0)).collect())
    }

    fn place(&self, page: u64) -> Option<(&AtomicU64, u64)> {
        let word = self.0.get(usize::try_from(page / 64).ok()?)?;
        Some((word, 1 << (page % 64)))
    }

    fn has(&self, page: u64) -> bool {
        self.place(page)
            .is_some_and(|(word, bit)| word.load(Acquire) & bit != 0)
    }

    /// Sets it; answers whether it was set before.
    fn set(&self, page: u64) -> bool {
        self.place(page)
            .is_some_and(|(word, bit)| word.fetch_or(bit, Release) & bit != 0)
    }

    /// Clears it; answers whether it was set before.
    fn clear(&self, page: u64) -> bool {
        self.place(page)
            .is_some_and(|(word, bit)| word.fetch_and(!bit, Release) & bit != 0)
    }
}

/// See above.
#[derive(Debug)]
pub(super) struct Pages {
    /// Not to be given out.
    taken: Bits,
    /// To be touched by programs.
    shown: Bits,
    count: AtomicU64,
    /// The kernel's word on which pages of this process are there.
    map: Option<File>,
}

impl Pages {
    pub(super) fn new() -> Self {
        Self {
            taken: Bits::new(),
            shown: Bits::new(),
            count: AtomicU64::new(0),
            map: File::open("/proc/self/pagemap").ok(),
        }
    }

    pub(super) fn is_taken(&self, page: u64) -> bool {
        self.taken.has(page)
    }

    pub(super) fn take(&self, page: u64) {
        self.taken.set(page);
    }

    pub(super) fn give(&self, page: u64) {
        self.taken.clear(page);
    }

    pub(super) fn is_shown(&self, page: u64) -> bool {
        self.shown.has(page)
    }

    /// Lets programs touch it; answers whether they could not before.
    pub(super) fn show(&self, page: u64) -> bool {
        let new = !self.shown.set(page);
        if new {
            self.count.fetch_add(1, Relaxed);
        }
        new
    }

    pub(super) fn hide(&self, page: u64) {
        if self.shown.clear(page) {
            self.count.fetch_sub(1, Relaxed);
        }
    }

    /// How many programs may touch.
    pub(super) fn shown(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// The pages around this one that programs may touch, side by side: the first, and how many.
    pub(super) fn shown_around(&self, page: u64) -> (u64, u64) {
        let before = (1..=NEAR.min(page)).take_while(|step| self.is_shown(page - step));
        let first = page - before.count() as u64;
        let after = (1..=NEAR).take_while(|step| self.is_shown(page + step));
        (first, page - first + 1 + after.count() as u64)
    }

    /// The smallest gap among the first `most` pages that has room for `count`, the lowest of
    /// them. What `touched` says of is no gap.
    pub(super) fn find(&self, count: u64, most: u64, touched: impl Fn(u64) -> bool) -> Option<u64> {
        loop {
            let (start, _) = self.smallest_gap(count, most)?;
            // What users have written to is known only by asking, page by page.
            let stolen = (start..start + count).filter(|page| touched(*page)).count();
            if stolen == 0 {
                return Some(start);
            }
        }
    }

    fn smallest_gap(&self, count: u64, most: u64) -> Option<(u64, u64)> {
        let mut best = None;
        let mut start = 0;
        let mut close = |start: u64, end: u64| {
            let len = end - start;
            if len >= count && best.is_none_or(|(_, least)| len < least) {
                best = Some((start, len));
            }
        };
        let mut page = 0;
        while page < most {
            let word = self.taken.0.get((page / 64) as usize);
            let word = word.map_or(0, |word| word.load(Acquire));
            if word == 0 && page.is_multiple_of(64) {
                page += 64;
                continue;
            }
            if word & 1 << (page % 64) != 0 {
                close(start, page);
                start = page + 1;
            }
            page += 1;
        }
        close(start.min(most), most);
        best
    }

    /// Whether somebody wrote to the page at an address of this process. Where the system does
    /// not tell, everything counts as written.
    pub(super) fn was_written(&self, address: u64) -> bool {
        const PRESENT: u64 = 1 << 63;
        const SWAPPED: u64 = 1 << 62;
        /// Mapped here alone: the page of zeros, which is there after a load, is not.
        const EXCLUSIVE: u64 = 1 << 56;
        let Some(map) = &self.map else {
            return true;
        };
        let mut entry = [0; 8];
        let at = address / PAGE as u64 * 8;
        if map.read_exact_at(&mut entry, at).is_err() {
            return true;
        }
        let entry = u64::from_ne_bytes(entry);
        entry & SWAPPED != 0 || entry & (PRESENT | EXCLUSIVE) == PRESENT | EXCLUSIVE
    }
}
