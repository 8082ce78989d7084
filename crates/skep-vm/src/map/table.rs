//! A hash table of the elements of a slab: lists behind buckets.
//!
//! Readers take no lock. An element that leaves a list may be used again for another key at
//! once, so that a reader who stands on it may stray into another list, or read a key that is
//! just being written. It finds only what has its key, and before it says that there is no such
//! key it looks whether its bucket's version is still what it was: each change of a list is a
//! version of its own, and elements are used again only after it.
//!
//! A CPU that writes a value in place takes no lock either, so that CPUs who write to the same
//! keys do not meet: it sits down on its own seat, where those see it who take elements out.

use std::{
    ops::ControlFlow,
    sync::atomic::{
        AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
        fence,
    },
};

use skep_abi::MapCreateFlags;
use skep_host::Errno;

use super::{
    Shape,
    bias::Bias,
    slab::{Element, Slab},
    spin::{Held, pause},
};
use crate::memory::{Block, View};

/// Walks of a list that others change, before a reader asks for the lock.
const WALKS: u32 = 16;

/// Bytes of a header: the next element's number + 1, and the key's hash.
pub(super) const HEADER: usize = 8;

/// A key and its hash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) hash: u32,
    first: u64,
    bytes: View<'a>,
}

impl<'a> Key<'a> {
    /// Its bytes.
    pub(super) fn bytes(&self) -> View<'a> {
        self.bytes
    }
}

/// See above.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) slab: Slab,
    /// Of each bucket: the first element's number + 1, then the lock.
    buckets: Block,
    mask: u32,
    seed: u64,
    /// Of each CPU, where values are written in place.
    seats: Box<[Seat]>,
    /// Who writes in place need not wait for a seat to be seen: whoever first wants to know
    /// makes all processors show theirs.
    biased: Bias,
}

/// The bucket + 1 in which a CPU writes a value in place, or 0. A seat is on a line of its own,
/// so that CPUs who write to the same elements don't wait for each other's caches.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Seat(AtomicU32);

/// A bucket that is held: its list changes only by this.
pub(super) struct Bucket<'a> {
    table: &'a Table,
    bucket: u32,
    head: &'a AtomicU32,
    _held: Held<'a>,
}

impl Table {
    /// A table of a slab; `in_place`: with values that CPUs write in place.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn new(shape: &Shape, slab: Slab, in_place: bool) -> Result<Self, Errno> {
        let buckets = shape
            .max_entries
            .checked_next_power_of_two()
            .ok_or(Errno::E2BIG)?;
        let seed = match shape.flags.contains(MapCreateFlags::ZERO_SEED) {
            true => 0,
            false => random(),
        };
        Ok(Self {
            slab,
            buckets: Block::aligned(buckets as usize * 8, 64)?,
            mask: buckets - 1,
            seed,
            seats: (0..if in_place { shape.cpus } else { 0 })
                .map(|_| Seat::default())
                .collect(),
            biased: Bias::new(in_place),
        })
    }

    /// A key of the map's size, hashed.
    #[inline]
    pub(super) fn key<'a>(&self, bytes: View<'a>) -> Key<'a> {
        let first = word(bytes, 0);
        let hash = hash_from(first, bytes, self.seed);
        Key {
            hash: (hash >> 32) as u32 ^ hash as u32,
            first,
            bytes,
        }
    }

    /// How many buckets there are.
    pub(super) fn buckets(&self) -> u32 {
        self.mask + 1
    }

    /// A bucket's head and lock.
    #[inline]
    fn words(&self, bucket: u32) -> Option<(&AtomicU32, &AtomicU32)> {
        let at = self.buckets.view(bucket as usize * 8, 8)?;
        Some((at.word(0)?, at.word(4)?))
    }

    /// The element with a key.
    #[inline]
    pub(super) fn find(&self, key: Key<'_>) -> Option<Element<'_>> {
        let (head, lock) = self.words(key.hash & self.mask)?;
        let version = lock.load(Acquire);
        let found = self.walk(head, key);
        if found.is_some() {
            return found;
        }
        fence(Acquire);
        match lock.load(Relaxed) == version {
            true => None,
            false => self.find_again(key),
        }
    }

    /// The same, when others changed the bucket meanwhile.
    #[cold]
    fn find_again(&self, key: Key<'_>) -> Option<Element<'_>> {
        let (head, lock) = self.words(key.hash & self.mask)?;
        for _ in 0..WALKS {
            let version = lock.load(Acquire);
            let found = self.walk(head, key);
            fence(Acquire);
            if found.is_some() || lock.load(Relaxed) == version {
                return found;
            }
        }
        self.hold(key.hash)?.find(key)
    }

    /// Reads the element with a key by `read`, once more if others changed its bucket meanwhile.
    pub(super) fn read<'a, T>(
        &'a self,
        key: Key<'_>,
        mut read: impl FnMut(Element<'a>) -> T,
    ) -> Option<T> {
        let (head, lock) = self.words(key.hash & self.mask)?;
        for _ in 0..WALKS {
            let version = lock.load(Acquire);
            let answer = self.walk(head, key).map(&mut read);
            fence(Acquire);
            if lock.load(Relaxed) == version && version & 1 == 0 {
                return answer;
            }
        }
        let held = self.hold(key.hash)?;
        held.find(key).map(read)
    }

    #[inline(always)]
    fn walk(&self, head: &AtomicU32, key: Key<'_>) -> Option<Element<'_>> {
        let mut at = head.load(Acquire);
        while let Some(index) = at.checked_sub(1) {
            let element = self.slab.element(index)?;
            if self.is(element, key) {
                return Some(element);
            }
            at = next(element)?.load(Acquire);
        }
        None
    }

    #[inline(always)]
    fn is(&self, element: Element<'_>, key: Key<'_>) -> bool {
        if hash_of(element).is_none_or(|hash| hash.load(Relaxed) != key.hash) {
            return false;
        }
        let Some(stored) = self.slab.padded_key(element) else {
            return false;
        };
        if stored.u64_at(0) != Some(key.first) {
            return false;
        }
        let len = key.bytes.len();
        len <= 8
            || (8..len)
                .step_by(8)
                .all(|at| stored.u64_at(at) == Some(word(key.bytes, at)))
    }

    /// Takes the lock of a hash's bucket. Others may still write values in place there.
    #[inline]
    pub(super) fn hold(&self, hash: u32) -> Option<Bucket<'_>> {
        let bucket = hash & self.mask;
        let (head, lock) = self.words(bucket)?;
        Some(Bucket {
            table: self,
            bucket,
            head,
            _held: Held::new(lock),
        })
    }

    /// Lets a CPU write a value of a key, beside other CPUs that do the same, and keeps everybody
    /// else who is [`Bucket::alone`] out of the bucket. `false`: the key is not there, or the
    /// bucket is held.
    ///
    /// To be called on the thread that has the CPU: a CPU has one seat.
    #[inline]
    pub(super) fn write_in_place(
        &self,
        cpu: u32,
        key: Key<'_>,
        write: impl FnOnce(Element<'_>),
    ) -> bool {
        let bucket = key.hash & self.mask;
        let (Some(seat), Some((head, lock))) = (self.seats.get(cpu as usize), self.words(bucket))
        else {
            return false;
        };
        let version = lock.load(Acquire);
        let Some(element) = self.walk(head, key) else {
            return false;
        };
        seat.0.store(bucket + 1, Relaxed);
        self.biased.show();
        // If nobody had the bucket meanwhile, the element is still the key's.
        let unchanged = version & 1 == 0 && lock.load(Acquire) == version;
        if unchanged {
            write(element);
        }
        seat.0.store(0, Release);
        unchanged
    }

    /// Writes a key and its hash into an element that is in no list.
    #[inline]
    pub(super) fn set_key(&self, element: Element<'_>, key: Key<'_>) {
        // Who reads what is written from here on also sees the version since which it was free.
        fence(Release);
        if let (Some(hash), Some(place)) = (hash_of(element), self.slab.padded_key(element)) {
            hash.store(key.hash, Relaxed);
            place.set_u64(0, key.first);
            for at in (8..key.bytes.len()).step_by(8) {
                place.set_u64(at, word(key.bytes, at));
            }
        }
    }

    /// The first element of the first bucket from `bucket` on that has one.
    pub(super) fn first_from(&self, bucket: u32) -> Option<Element<'_>> {
        (bucket..=self.mask).find_map(|bucket| {
            let (head, _) = self.words(bucket)?;
            self.slab.element(head.load(Acquire).checked_sub(1)?)
        })
    }

    /// The element behind one in its bucket's list, or the first of the buckets behind.
    pub(super) fn after<'a>(&'a self, element: Element<'a>, hash: u32) -> Option<Element<'a>> {
        match next(element)?.load(Acquire).checked_sub(1) {
            Some(index) => self.slab.element(index),
            None => self.first_from((hash & self.mask).checked_add(1)?),
        }
    }

    /// Shows the elements of a bucket. The next one is looked up before one is shown, so that
    /// this one may be deleted; a list that others change is shown as far as it can be followed.
    pub(super) fn each_in<B>(
        &self,
        bucket: u32,
        mut visit: impl FnMut(Element<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let Some((head, _)) = self.words(bucket) else {
            return ControlFlow::Continue(());
        };
        let mut at = head.load(Acquire);
        while let Some(element) = at.checked_sub(1).and_then(|index| self.slab.element(index)) {
            at = next(element).map_or(0, |next| next.load(Acquire));
            // Of another bucket, or of none: the list was left on the way.
            if hash_of(element).is_none_or(|hash| hash.load(Relaxed) & self.mask != bucket) {
                break;
            }
            visit(element)?;
        }
        ControlFlow::Continue(())
    }

    /// Bytes of buckets and elements.
    pub(super) fn memory_used(&self) -> u64 {
        self.buckets.len() as u64 + self.slab.memory_used()
    }
}

impl<'a> Bucket<'a> {
    /// Waits for those who write in place: from then on elements of this bucket and their values
    /// are this holder's alone.
    #[inline]
    pub(super) fn alone(&self) {
        if self.table.seats.is_empty() {
            return;
        }
        // With what `write_in_place` does: either that CPU sees the lock, or we its seat.
        self.table.biased.see();
        for seat in &self.table.seats {
            let mut round = 0;
            while seat.0.load(Acquire) == self.bucket + 1 {
                pause(round);
                round = round.saturating_add(1);
            }
        }
    }

    /// The element with a key.
    #[inline]
    pub(super) fn find(&self, key: Key<'_>) -> Option<Element<'a>> {
        self.table.walk(self.head, key)
    }

    /// Whether an element is in this bucket's list.
    pub(super) fn has(&self, index: u32) -> bool {
        self.before(index).is_some()
    }

    /// The elements of the list.
    pub(super) fn elements(&self) -> impl Iterator<Item = Element<'a>> + use<'a> {
        let slab = &self.table.slab;
        let mut at = self.head.load(Relaxed);
        std::iter::from_fn(move || {
            let element = slab.element(at.checked_sub(1)?)?;
            at = next(element)?.load(Relaxed);
            Some(element)
        })
    }

    /// The word that leads to an element.
    fn before(&self, index: u32) -> Option<&'a AtomicU32> {
        let mut word = self.head;
        loop {
            let at = word.load(Relaxed).checked_sub(1)?;
            if at == index {
                return Some(word);
            }
            word = next(self.table.slab.element(at)?)?;
        }
    }

    /// Puts an element in front, for readers to see with all that was written to it.
    #[inline]
    pub(super) fn link(&self, element: Element<'_>) {
        if let Some(next) = next(element) {
            next.store(self.head.load(Relaxed), Relaxed);
            self.head.store(element.index + 1, Release);
        }
    }

    /// Takes an element out of the list. It still leads to what is behind it.
    #[inline]
    pub(super) fn unlink(&self, element: Element<'_>) {
        if let (Some(before), Some(next)) = (self.before(element.index), next(element)) {
            before.store(next.load(Relaxed), Release);
        }
    }
}

#[inline]
fn next(element: Element<'_>) -> Option<&AtomicU32> {
    element.all.word(0)
}

#[inline]
pub(super) fn hash_of(element: Element<'_>) -> Option<&AtomicU32> {
    element.all.word(4)
}

// The fractional parts of pi, as good as any odd numbers without a pattern.
const ONE: u64 = 0x243f_6a88_85a3_08d3;
const TWO: u64 = 0x1319_8a2e_0370_7344;
const THREE: u64 = 0xa409_3822_299f_31d1;

/// Both halves of a product, one over the other.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a).wrapping_mul(u128::from(b));
    product as u64 ^ (product >> 64) as u64
}

/// A hash of bytes.
#[inline]
pub(super) fn hash(bytes: View<'_>, seed: u64) -> u64 {
    hash_from(word(bytes, 0), bytes, seed)
}

/// The same, if the first 8 bytes are known.
#[inline(always)]
fn hash_from(first: u64, bytes: View<'_>, seed: u64) -> u64 {
    let len = bytes.len();
    let mut hash = fold(first ^ seed ^ ONE, len as u64 ^ TWO);
    let mut done = 8;
    while done < len {
        hash = fold(hash ^ word(bytes, done), THREE);
        done += 8;
    }
    fold(hash, ONE)
}

/// The 8 bytes of a key at `at`; behind its end there are zeroes.
#[inline(always)]
fn word(bytes: View<'_>, at: usize) -> u64 {
    match bytes.len().saturating_sub(at) {
        8.. => bytes.u64_at(at).unwrap_or(0),
        4 => bytes.u32_at(at).map_or(0, |low| {
            u64::from_ne_bytes({
                let mut whole = [0; 8];
                whole[..4].copy_from_slice(&low.to_ne_bytes());
                whole
            })
        }),
        rest => odd_word(bytes, at, rest),
    }
}

#[cold]
fn odd_word(bytes: View<'_>, at: usize, len: usize) -> u64 {
    let mut last = [0; 8];
    if let Some(part) = bytes.part(at, len) {
        part.read(&mut last);
    }
    u64::from_ne_bytes(last)
}

/// A number that nobody can guess.
pub(super) fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0_u8)
}
