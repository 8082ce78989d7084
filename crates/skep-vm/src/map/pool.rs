//! Which elements of a slab are free: lists of several shards, so that threads seldom meet.
//!
//! The lists hold exactly the elements that may still be inserted, so an insertion fails when and
//! only when all are empty. Elements are handed out in order of their numbers the first time: no
//! memory is touched before it is used. An update of a key that is there needs an element more
//! for a moment; those are the spare ones, one a shard.

use std::{
    cell::Cell,
    sync::atomic::{
        AtomicU32,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

use skep_host::Errno;

use super::{
    slab::Slab,
    spin::{Held, pause},
};

/// Elements that a shard takes from the untouched ones at once.
const BATCH: u32 = 16;

thread_local! {
    static SHARD: Cell<u32> = const { Cell::new(u32::MAX) };
}

/// The next thread's shard.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// The number that spreads threads over shards.
#[inline]
pub(super) fn thread_number() -> u32 {
    let mine = SHARD.get();
    if mine != u32::MAX {
        return mine;
    }
    let mine = NEXT.fetch_add(1, Relaxed) & 0xffff;
    SHARD.set(mine);
    mine
}

/// See above.
#[derive(Debug)]
pub(super) struct Pool {
    shards: Box<[Shard]>,
    spares: Spares,
    /// The first element that was never handed out.
    untouched: AtomicU32,
    /// How many may be handed out.
    limit: u32,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    lock: AtomicU32,
    /// The first free element's number + 1, or 0.
    head: AtomicU32,
}

/// Elements beyond those that a map may have: an update of a key that is there takes one, and
/// gives another back.
#[derive(Debug)]
pub(super) struct Spares(Box<[SpareSlot]>);

/// A spare element's number + 1, or 0 while it is in use.
#[derive(Debug, Default)]
#[repr(align(128))]
struct SpareSlot(AtomicU32);

impl Pool {
    /// Of `entries` elements; the slab has [`Spares::count`] more.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn new(slab: &Slab, entries: u32, cpus: u32) -> Result<Self, Errno> {
        let spares = Spares::new(slab, cpus)?;
        Ok(Self {
            shards: (0..spares.len()).map(|_| Shard::default()).collect(),
            untouched: AtomicU32::new(spares.len()),
            limit: spares.len().checked_add(entries).ok_or(Errno::E2BIG)?,
            spares,
        })
    }

    fn mine(&self) -> usize {
        thread_number() as usize % self.shards.len()
    }

    /// The word of a free element that has the next one's number + 1.
    fn link(slab: &Slab, index: u32) -> Option<&AtomicU32> {
        slab.element(index)?.all.word(4)
    }

    fn pop_from(slab: &Slab, shard: &Shard) -> Option<u32> {
        // Somebody who holds the lock may be about to push what can be had nowhere else.
        let free = shard.lock.load(Acquire) & 1 == 0;
        if free && shard.head.load(Relaxed) == 0 {
            return None;
        }
        let _held = Held::new(&shard.lock);
        Self::pop_held(slab, shard)
    }

    fn pop_held(slab: &Slab, shard: &Shard) -> Option<u32> {
        let index = shard.head.load(Relaxed).checked_sub(1)?;
        let next = Self::link(slab, index)?.load(Relaxed);
        shard.head.store(next, Relaxed);
        Some(index)
    }

    fn push_held(slab: &Slab, shard: &Shard, index: u32) {
        if let Some(link) = Self::link(slab, index) {
            link.store(shard.head.load(Relaxed), Relaxed);
            shard.head.store(index + 1, Relaxed);
        }
    }

    /// Takes an element for an insertion.
    ///
    /// # Errors
    /// `E2BIG`: all are in use. `ENOMEM`.
    pub(super) fn take(&self, slab: &Slab) -> Result<u32, Errno> {
        let mine = self.mine();
        let own = &self.shards[mine];
        if let Some(index) = Self::pop_from(slab, own) {
            return Ok(index);
        }
        if self.untouched.load(Acquire) < self.limit
            && let Some(index) = self.begin(slab, own)?
        {
            return Ok(index);
        }
        for shard in self.from(mine) {
            if let Some(index) = Self::pop_from(slab, shard) {
                return Ok(index);
            }
        }
        Err(Errno::E2BIG)
    }

    /// All shards, beginning with one.
    fn from(&self, first: usize) -> impl Iterator<Item = &Shard> {
        let (before, behind) = self.shards.split_at(first);
        behind.iter().chain(before)
    }

    /// Takes the first of a batch of untouched elements, and keeps the others for later.
    #[cold]
    fn begin(&self, slab: &Slab, own: &Shard) -> Result<Option<u32>, Errno> {
        let _held = Held::new(&own.lock);
        let batch = self.untouched.fetch_update(AcqRel, Acquire, |next| {
            (next < self.limit).then(|| next.saturating_add(BATCH).min(self.limit))
        });
        let Ok(first) = batch else {
            return Ok(None);
        };
        let end = first.saturating_add(BATCH).min(self.limit);
        for index in (first + 1..end).rev() {
            // Where memory is short, they are lost to the map, as its memory is.
            if slab.ensure(index).is_ok() {
                Self::push_held(slab, own, index);
            }
        }
        slab.ensure(first)?;
        Ok(Some(first))
    }

    /// Gives an element back.
    pub(super) fn give(&self, slab: &Slab, index: u32) {
        let shard = &self.shards[self.mine()];
        let _held = Held::new(&shard.lock);
        Self::push_held(slab, shard, index);
    }

    /// Takes a spare element, for an update that gives another one back soon.
    pub(super) fn take_spare(&self) -> (u32, Spare<'_>) {
        self.spares.take()
    }
}

impl Spares {
    /// How many elements a slab needs beyond those of the map.
    pub(super) fn count(cpus: u32) -> u32 {
        cpus.clamp(1, 64)
    }

    /// The first elements of a slab, so that one that grows need not have its last piece for them.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn new(slab: &Slab, cpus: u32) -> Result<Self, Errno> {
        let spare = |index| {
            slab.ensure(index)?;
            Ok(SpareSlot(AtomicU32::new(index + 1)))
        };
        let all: Result<_, Errno> = (0..Self::count(cpus)).map(spare).collect();
        Ok(Self(all?))
    }

    pub(super) fn len(&self) -> u32 {
        self.0.len() as u32
    }

    /// Takes one, or waits: whoever has one gives one back without waiting for anybody.
    pub(super) fn take(&self) -> (u32, Spare<'_>) {
        let mine = thread_number() as usize % self.0.len();
        let (before, behind) = self.0.split_at(mine);
        let mut round = 0;
        loop {
            for SpareSlot(slot) in behind.iter().chain(before) {
                if slot.load(Relaxed) != 0
                    && let Some(index) = slot.swap(0, Acquire).checked_sub(1)
                {
                    return (index, Spare(slot));
                }
            }
            pause(round);
            round = round.saturating_add(1);
        }
    }
}

/// The place of a spare element that is in use.
pub(super) struct Spare<'a>(&'a AtomicU32);

impl Spare<'_> {
    /// Makes another element the spare one.
    pub(super) fn give(self, index: u32) {
        self.0.store(index + 1, Release);
    }
}
