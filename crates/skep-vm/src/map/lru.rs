//! Which elements of an LRU map to use again: those that nobody looked up since the last round.
//!
//! A hand goes round over the elements. What was used since it last came by is passed over once;
//! what was not is taken out of its bucket and used again. With `BPF_F_NO_COMMON_LRU` each CPU
//! has elements and a hand of its own.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use skep_abi::MapCreateFlags;
use skep_host::Errno;

use super::{
    Shape,
    pool::{Spare, Spares, thread_number},
    slab::{Element, Slab},
    spin::{Held, pause},
    table::{self, Table},
};

/// Bytes of a header: a table's, then whether it was used lately, then whose element it is.
pub(super) const HEADER: usize = table::HEADER + 8;

/// Rounds of a hand before a map is said to be out of memory.
const ROUNDS: u32 = 1000;

/// See above.
#[derive(Debug)]
pub(super) struct Lru {
    parts: Box<[Part]>,
    spares: Spares,
    /// The first element that was never handed out.
    untouched: AtomicU32,
}

/// Elements that are used again for one another.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part {
    lock: AtomicU32,
    /// The first free element's number + 1, or 0.
    free: AtomicU32,
    /// How many elements it has.
    touched: AtomicU32,
    /// How many it may have.
    len: u32,
    /// The element that the hand comes to next.
    hand: AtomicU32,
}

fn used(element: Element<'_>) -> Option<&AtomicU32> {
    element.all.word(table::HEADER)
}

fn owner(element: Element<'_>) -> Option<&AtomicU32> {
    element.all.word(table::HEADER + 4)
}

impl Lru {
    /// Of the shape's entries; the slab has [`Spares::count`] more.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn new(shape: &Shape, slab: &Slab) -> Result<Self, Errno> {
        let count = match shape.flags.contains(MapCreateFlags::NO_COMMON_LRU) {
            true => shape.cpus.clamp(1, shape.max_entries.max(1)),
            false => 1,
        };
        let part = |number| Part {
            len: shape.max_entries / count + u32::from(number < shape.max_entries % count),
            ..Part::default()
        };
        let spares = Spares::new(slab, shape.cpus)?;
        Ok(Self {
            parts: (0..count).map(part).collect(),
            untouched: AtomicU32::new(spares.len()),
            spares,
        })
    }

    /// Marks an element as used.
    #[inline]
    pub(super) fn used(&self, element: Element<'_>) {
        if let Some(used) = used(element)
            && used.load(Relaxed) == 0
        {
            used.store(1, Relaxed);
        }
    }

    /// `new` takes the place of `old`, which was used just now.
    pub(super) fn replaced(&self, old: Element<'_>, new: Element<'_>) {
        if let (Some(from), Some(to), Some(used)) = (owner(old), owner(new), used(new)) {
            to.store(from.load(Relaxed), Relaxed);
            used.store(1, Relaxed);
        }
    }

    /// Takes an element for an insertion, and says whether it was another key's until now. No
    /// bucket may be held.
    ///
    /// # Errors
    /// `ENOMEM`: all are being written by others.
    pub(super) fn take(&self, table: &Table) -> Result<(u32, bool), Errno> {
        let mine = (thread_number() as usize % self.parts.len()) as u32;
        let part = &self.parts[mine as usize];
        let _held = Held::new(&part.lock);
        if let Some(index) = part.free.load(Relaxed).checked_sub(1) {
            let element = table.slab.element(index).ok_or(Errno::ENOMEM)?;
            let link = table::hash_of(element).ok_or(Errno::ENOMEM)?;
            part.free.store(link.load(Relaxed), Relaxed);
            return Ok((index, false));
        }
        let touched = part.touched.load(Relaxed);
        if touched < part.len {
            let index = self.untouched.fetch_add(1, Relaxed);
            part.touched.store(touched + 1, Relaxed);
            table.slab.ensure(index)?;
            let owner = table.slab.element(index).and_then(owner);
            owner.ok_or(Errno::ENOMEM)?.store(mine, Relaxed);
            return Ok((index, false));
        }
        for round in 0..ROUNDS {
            if let Some(index) = self.go_round(table, part, mine) {
                return Ok((index, true));
            }
            pause(round);
        }
        Err(Errno::ENOMEM)
    }

    /// Moves the hand to an element that was not used, and takes that out of its bucket.
    fn go_round(&self, table: &Table, part: &Part, mine: u32) -> Option<u32> {
        let end = self.untouched.load(Relaxed).min(table.slab.capacity());
        // Twice, since the first time may only take marks away.
        for _ in 0..u64::from(end) * 2 {
            let index = part.hand.load(Relaxed);
            part.hand.store((index + 1) % end, Relaxed);
            let element = table.slab.element(index)?;
            if owner(element)?.load(Relaxed) != mine {
                continue;
            }
            let used = used(element)?;
            if used.load(Relaxed) != 0 {
                used.store(0, Relaxed);
                continue;
            }
            let bucket = table.hold(table::hash_of(element)?.load(Relaxed))?;
            if bucket.has(index) {
                bucket.alone();
                bucket.unlink(element);
                return Some(index);
            }
        }
        None
    }

    /// Gives back an element that is in no bucket. No bucket may be held.
    pub(super) fn give(&self, slab: &Slab, index: u32) {
        let Some(element) = slab.element(index) else {
            return;
        };
        let owner = owner(element).map_or(0, |owner| owner.load(Relaxed));
        let (Some(part), Some(link)) = (self.parts.get(owner as usize), table::hash_of(element))
        else {
            return;
        };
        if let Some(used) = used(element) {
            used.store(0, Relaxed);
        }
        let _held = Held::new(&part.lock);
        link.store(part.free.load(Relaxed), Relaxed);
        part.free.store(index + 1, Relaxed);
    }

    /// Takes a spare element, for an update that gives another one back soon.
    pub(super) fn take_spare(&self) -> (u32, Spare<'_>) {
        self.spares.take()
    }
}
