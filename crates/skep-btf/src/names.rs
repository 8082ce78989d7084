//! Search by name: a compact hash table over essential names, built once, that serves exact search
//! and the search for CO-RE candidates alike. Who searches for a few names only looks at all of
//! them instead, which is cheaper than to build it.

use crate::btf::nul_position;
use crate::header::u32_at;
use crate::starts::EachStart;
use crate::{Btf, StringOffset, TypeId};
use std::iter::FusedIterator;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The name without its flavor: `task_struct___v5_14` is `task_struct` for CO-RE.
///
/// A flavor is what follows the last three underscores that stand between other characters.
pub fn essential_name(name: &str) -> &str {
    name.get(..essential_len(name.as_bytes())).unwrap_or(name)
}

fn essential_len(name: &[u8]) -> usize {
    let separator = |window: &[u8]| matches!(window, [before, b'_', b'_', b'_', after] if *before != b'_' && *after != b'_');
    // Three underscores in a row cover one of the positions 2, 5, 8, …: a cheap way to say no.
    if !name.iter().skip(2).step_by(3).any(|byte| *byte == b'_') {
        return name.len();
    }
    match name.windows(5).rposition(separator) {
        Some(before) => before.wrapping_add(1),
        None => name.len(),
    }
}

/// How a BTF's own names are searched: by a look at each, at first, then by an index.
#[derive(Debug, Default)]
pub(crate) struct NameSearch {
    index: OnceLock<NameIndex>,
    scans: AtomicU32,
}

impl NameSearch {
    /// So many looks at all names cost about as much as the index, on a kernel's BTF.
    const SCANS: u32 = 4;

    pub(crate) fn candidates<'a>(&'a self, btf: &'a Btf, essential: &'a str) -> Candidates<'a> {
        if let Some(index) = self.index.get() {
            return index.candidates(btf, essential);
        }
        // The count decides nothing but the cost.
        if self.scans.fetch_add(1, Ordering::Relaxed) < Self::SCANS {
            return Candidates::scan(btf, essential);
        }
        let index = self.index.get_or_init(|| NameIndex::build(btf));
        index.candidates(btf, essential)
    }
}

/// Two arrays: where each bucket begins, and type ids in the order of buckets and then of ids.
/// Anonymous types are left out. About 9 bytes a named type.
#[derive(Debug)]
struct NameIndex {
    /// One more than there are buckets (a power of two).
    starts: Box<[u32]>,
    ids: Box<[u32]>,
}

impl NameIndex {
    fn build(btf: &Btf) -> Self {
        let first_id = btf.first_id().0;
        let buckets = btf.own_starts().len().next_power_of_two();
        let mask = (buckets as u32).wrapping_sub(1);

        let mut starts = vec![0_u32; buckets.wrapping_add(1)];
        let mut named = 0_usize;
        let by_type = bucket_of_each(btf, mask);
        for bucket in &by_type {
            if let Some(count) = starts.get_mut(*bucket as usize) {
                *count = count.wrapping_add(1);
                named = named.wrapping_add(1);
            }
        }
        // From counts to the end of each bucket; filling from the back makes it the start.
        let mut sum = 0_u32;
        for start in &mut starts {
            sum = sum.wrapping_add(*start);
            *start = sum;
        }
        let mut ids = vec![0_u32; named];
        for (index, bucket) in by_type.iter().enumerate().rev() {
            if let Some(start) = starts.get_mut(*bucket as usize) {
                *start = start.wrapping_sub(1);
                if let Some(slot) = ids.get_mut(*start as usize) {
                    *slot = first_id.wrapping_add(index as u32);
                }
            }
        }
        Self {
            starts: starts.into(),
            ids: ids.into(),
        }
    }

    fn candidates<'a>(&'a self, btf: &'a Btf, essential: &'a str) -> Candidates<'a> {
        let mask = (self.starts.len() as u32).wrapping_sub(2);
        let bucket = (hash(essential.as_bytes()) & mask) as usize;
        let ids = match self.starts.get(bucket..) {
            Some([start, end, ..]) => self.ids.get(*start as usize..*end as usize),
            _ => None,
        };
        let ids = ids.unwrap_or_default();
        Candidates::new(btf, essential, Ids::Bucket(ids))
    }
}

/// Stands for the bucket of a type without a name.
const ANONYMOUS: u32 = u32::MAX;

/// The bucket of each own type. Strings are read in the order that types name them, which is
/// roughly the order that they stand in.
fn bucket_of_each(btf: &Btf, mask: u32) -> Vec<u32> {
    let (data, endianness) = (btf.bytes(), btf.endianness());
    let (strings, string_base) = (btf.strings(), btf.string_base());
    let bucket = |offset: u32| {
        let name = u32_at(endianness, data, offset as usize).unwrap_or(0);
        let hash = match name.checked_sub(string_base) {
            _ if name == 0 => return ANONYMOUS,
            Some(own) => strings.get(own as usize..).map(hash_terminated),
            None => btf.string_bytes(StringOffset(name)).map(hash_of_name),
        };
        hash.map_or(ANONYMOUS, |hash| hash & mask)
    };
    btf.own_starts().map(bucket).collect()
}

#[inline(always)]
fn mix(state: u64, word: u64) -> u64 {
    (state.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[inline(always)]
fn finish(state: u64) -> u32 {
    (state >> 32) as u32 ^ state as u32
}

/// A hash of an essential name. Not keyed: a hostile BTF can make a search linear in the number of
/// its own types, which is what it was without an index.
fn hash(essential: &[u8]) -> u32 {
    let (words, tail) = essential.as_chunks::<8>();
    let state = words
        .iter()
        .fold(0, |state, word| mix(state, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(tail) {
        *to = *from;
    }
    finish(mix(state, u64::from_le_bytes(last)))
}

/// [`hash`] of a name without its flavor.
fn hash_of_name(name: &[u8]) -> u32 {
    hash(name.get(..essential_len(name)).unwrap_or(name))
}

/// [`hash_of_name`] of the string that these bytes begin with, looking for its end and for flavors on the
/// way, eight bytes at a time.
fn hash_terminated(bytes: &[u8]) -> u32 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    const UNDERSCORES: u64 = u64::from_le_bytes([b'_'; 8]);
    // High bits mark bytes that are zero; above a true one there may be false ones.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let careful = || hash_of_name(bytes.get(..nul_position(bytes)).unwrap_or(bytes));

    let mut state = 0;
    let mut previous = 0;
    for word in bytes.as_chunks::<8>().0 {
        let mut word = u64::from_le_bytes(*word);
        let end = zeros(word);
        if end != 0 {
            // All bytes below the first zero one.
            word &= (end & end.wrapping_neg()).wrapping_sub(1) >> 7;
        }
        let marks = zeros(word ^ UNDERSCORES);
        let before = marks << 8 | previous >> 56;
        if marks & before & (marks << 16 | previous >> 48) != 0 {
            return careful();
        }
        previous = marks;
        state = mix(state, word);
        if end != 0 {
            return finish(state);
        }
    }
    careful()
}

/// Where to look for types of one name in one BTF.
#[derive(Debug, Clone)]
struct Source<'a> {
    btf: &'a Btf,
    ids: Ids<'a>,
}

#[derive(Debug, Clone)]
enum Ids<'a> {
    /// Those in a bucket of the index.
    Bucket(&'a [u32]),
    /// All of the BTF's own: the index of the next, and where it and all after it start.
    All { next: u32, starts: EachStart<'a> },
}

impl<'a> Source<'a> {
    /// The next id whose name may be the one looked for; in a bucket, any.
    fn next(&mut self, start: &NameStart) -> Option<TypeId> {
        match &mut self.ids {
            Ids::Bucket(ids) => {
                let (id, rest) = ids.split_first()?;
                *ids = rest;
                Some(TypeId(*id))
            }
            Ids::All { next, starts } => {
                let (data, endianness) = (self.btf.bytes(), self.btf.endianness());
                let (strings, base) = (self.btf.strings(), self.btf.string_base());
                let may_be = |offset: u32| {
                    let name = u32_at(endianness, data, offset as usize).unwrap_or(0);
                    match name.checked_sub(base) {
                        _ if name == 0 => false,
                        Some(own) => start.may_begin(strings, own as usize),
                        None => true,
                    }
                };
                let passed = starts.position(may_be)?;
                let index = next.wrapping_add(passed as u32);
                *next = index.wrapping_add(1);
                Some(TypeId(self.btf.first_id().0.wrapping_add(index)))
            }
        }
    }

    /// The type's name, if it is one of this BTF's own.
    fn name(&self, id: TypeId) -> &'a [u8] {
        let btf = self.btf;
        let offset = btf.own_offset(id);
        let name = offset.map(|offset| StringOffset(btf.word(offset)));
        name.and_then(|name| btf.string_bytes(name))
            .unwrap_or_default()
    }
}

/// The first eight bytes of a name, to pass over other names without a call.
#[derive(Debug, Clone)]
struct NameStart {
    bytes: u64,
    mask: u64,
}

impl NameStart {
    fn of(name: &[u8]) -> Self {
        let (mut bytes, mut mask) = ([0; 8], [0; 8]);
        for ((byte, mask), from) in bytes.iter_mut().zip(&mut mask).zip(name) {
            (*byte, *mask) = (*from, 0xff);
        }
        Self {
            bytes: u64::from_le_bytes(bytes),
            mask: u64::from_le_bytes(mask),
        }
    }

    #[inline(always)]
    fn may_begin(&self, strings: &[u8], at: usize) -> bool {
        match strings.get(at..).and_then(|tail| tail.first_chunk()) {
            Some(first) => u64::from_le_bytes(*first) & self.mask == self.bytes,
            // Among the last bytes: to be looked at closely.
            None => true,
        }
    }
}

/// Types of one essential name, by id; made by [`Btf::candidates`].
#[derive(Debug, Clone)]
pub struct Candidates<'a> {
    essential: &'a str,
    start: NameStart,
    now: Source<'a>,
    /// Those of BTF split from the first, last one first. Empty (and not allocated) for BTF
    /// without a base.
    later: Vec<Source<'a>>,
}

impl<'a> Candidates<'a> {
    fn new(btf: &'a Btf, essential: &'a str, ids: Ids<'a>) -> Self {
        Self {
            essential,
            start: NameStart::of(essential.as_bytes()),
            now: Source { btf, ids },
            later: Vec::new(),
        }
    }

    /// By a look at all names; at none for anonymous types, which are never found.
    fn scan(btf: &'a Btf, essential: &'a str) -> Self {
        let ids = match btf.own_starts() {
            _ if essential.is_empty() => Ids::Bucket(&[]),
            starts => Ids::All { next: 0, starts },
        };
        Self::new(btf, essential, ids)
    }

    pub(crate) fn then(mut self, next: Self) -> Self {
        self.later.insert(0, next.now);
        self
    }
}

impl Iterator for Candidates<'_> {
    type Item = TypeId;

    fn next(&mut self) -> Option<TypeId> {
        loop {
            while let Some(id) = self.now.next(&self.start) {
                let name = self.now.name(id);
                if name.get(..essential_len(name)) == Some(self.essential.as_bytes()) {
                    return Some(id);
                }
            }
            self.now = self.later.pop()?;
        }
    }
}

impl FusedIterator for Candidates<'_> {}

/// Types of one exact name, by id; made by [`Btf::find_by_name`].
#[derive(Debug, Clone)]
pub struct Named<'a> {
    candidates: Candidates<'a>,
    btf: &'a Btf,
    name: &'a str,
}

impl<'a> Named<'a> {
    pub(crate) fn new(candidates: Candidates<'a>, btf: &'a Btf, name: &'a str) -> Self {
        Self {
            candidates,
            btf,
            name,
        }
    }
}

impl Iterator for Named<'_> {
    type Item = TypeId;

    fn next(&mut self) -> Option<TypeId> {
        let (btf, name) = (self.btf, self.name);
        self.candidates
            .find(|id| btf.type_by_id(*id).is_ok_and(|found| found.name() == name))
    }
}

impl FusedIterator for Named<'_> {}
