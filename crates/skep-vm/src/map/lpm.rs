//! `BPF_MAP_TYPE_LPM_TRIE`: the longest prefix that a key begins with.
//!
//! A node is a prefix with a value, or an intermediate one where two prefixes part. Readers walk
//! without the lock and look at its version afterwards, as in hash tables.

use std::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

use skep_host::Errno;

use super::{
    EXIST, Kind, NOEXIST, Range, Shape,
    slab::{Element, Slab, Values},
    spin::Held,
};
use crate::memory::View;

/// Bytes of a header: both children's numbers + 1, whether the node is intermediate, and the
/// next free node's number + 1.
const HEADER: usize = 16;
/// Bytes of the prefix's length, before its bytes.
const LENGTH: usize = 4;
/// Walks that others disturb, before a reader asks for the lock.
const WALKS: u32 = 16;

/// A trie.
#[derive(Debug)]
pub(crate) struct Trie {
    shape: Shape,
    slab: Slab,
    lock: AtomicU32,
    /// The root's number + 1, or 0.
    root: AtomicU32,
    /// Of the fields below, only who holds the lock writes any.
    entries: AtomicU32,
    free: AtomicU32,
    untouched: AtomicU32,
    /// Bits of the longest prefix.
    longest: u32,
}

/// A prefix: its length in bits, and its bytes.
#[derive(Debug, Clone, Copy)]
struct Prefix<'a> {
    bits: u32,
    data: View<'a>,
}

impl Prefix<'_> {
    /// Bit `number`, counted from the first byte's highest; 0 behind the end.
    fn bit(self, number: u32) -> usize {
        let byte = self.data.u8_at((number / 8) as usize).unwrap_or(0);
        usize::from(byte >> (7 - number % 8) & 1)
    }

    /// How many bits both have in common.
    fn common(self, other: Prefix<'_>) -> u32 {
        let most = self.bits.min(other.bits);
        let mut same = 0;
        while same < most {
            let at = (same / 8) as usize;
            let word = |view: View<'_>| view.u32_at(at).map(u32::from_be);
            let (differ, width) = match (word(self.data), word(other.data)) {
                (Some(a), Some(b)) => (a ^ b, 32),
                _ => {
                    let byte = |view: View<'_>| u32::from(view.u8_at(at).unwrap_or(0)) << 24;
                    (byte(self.data) ^ byte(other.data), 8)
                }
            };
            same += differ.leading_zeros().min(width);
            if differ != 0 {
                break;
            }
        }
        same.min(most)
    }
}

impl Trie {
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new(shape: Shape) -> Result<Self, Errno> {
        // At most one intermediate node for each entry, and one on its way.
        let nodes = shape.max_entries.saturating_mul(2).saturating_add(2);
        let slab = Slab::new(&shape, HEADER, nodes, Values::Inside, false)?;
        let longest = shape.key_size.saturating_sub(LENGTH as u32) * 8;
        Ok(Self {
            slab,
            lock: AtomicU32::new(0),
            root: AtomicU32::new(0),
            entries: AtomicU32::new(0),
            free: AtomicU32::new(0),
            untouched: AtomicU32::new(0),
            longest,
            shape,
        })
    }

    fn prefix<'a>(&self, key: View<'a>) -> Option<Prefix<'a>> {
        let bits = key.u32_at(0)?;
        let data = key.part(LENGTH, key.len().checked_sub(LENGTH)?)?;
        (bits <= self.longest).then_some(Prefix { bits, data })
    }

    fn prefix_of<'a>(&self, node: Element<'a>) -> Option<Prefix<'a>> {
        self.prefix(self.slab.key(node)?)
    }

    fn node(&self, word: &AtomicU32) -> Option<Element<'_>> {
        self.slab.element(word.load(Acquire).checked_sub(1)?)
    }

    // ── reading ─────────────────────────────────────────────────────────────────────────────

    /// The node of the longest prefix of a key.
    fn walk(&self, key: Prefix<'_>) -> Option<Element<'_>> {
        let mut found = None;
        let mut at = self.node(&self.root);
        // A walk that others lead astray may be longer than any, but it ends.
        for _ in 0..=self.longest {
            let Some(node) = at else {
                break;
            };
            let prefix = self.prefix_of(node)?;
            let common = prefix.common(key);
            if common < prefix.bits {
                break;
            }
            if !is_intermediate(node) {
                found = Some(node);
            }
            if common == self.longest {
                break;
            }
            at = self.node(child(node, key.bit(prefix.bits))?);
        }
        found
    }

    /// Reads the node of a key by `read`, at a time when nobody changes the trie.
    fn read<'a, T>(&'a self, key: Prefix<'_>, mut read: impl FnMut(Element<'a>) -> T) -> Option<T> {
        for _ in 0..WALKS {
            let version = self.lock.load(Acquire);
            let answer = self.walk(key).map(&mut read);
            fence(Acquire);
            if version & 1 == 0 && self.lock.load(Relaxed) == version {
                return answer;
            }
        }
        let _held = Held::new(&self.lock);
        self.walk(key).map(read)
    }

    /// The first node behind `root` in the order of keys: the leftmost leaf.
    fn leftmost<'a>(&'a self, root: Element<'a>) -> Option<Element<'a>> {
        let mut at = root;
        while let Some(below) = self.node(child(at, 0)?).or(self.node(child(at, 1)?)) {
            at = below;
        }
        Some(at)
    }

    /// The node whose key comes after `key`: children before their parents, left before right.
    fn after(&self, key: Option<Prefix<'_>>) -> Option<Element<'_>> {
        let root = self.node(&self.root)?;
        let Some((mut path, mut at)) = key.and_then(|key| self.path(key)) else {
            return self.leftmost(root);
        };
        while let Some(parent) = path.pop() {
            let left = self.node(child(parent, 0)?);
            if left.is_some_and(|left| left.index == at.index)
                && let Some(right) = self.node(child(parent, 1)?)
            {
                return self.leftmost(right);
            }
            if !is_intermediate(parent) {
                return Some(parent);
            }
            at = parent;
        }
        None
    }

    /// The node of exactly this prefix that has a value, and those above it.
    fn path(&self, key: Prefix<'_>) -> Option<(Vec<Element<'_>>, Element<'_>)> {
        let mut above = Vec::new();
        let mut at = self.node(&self.root)?;
        loop {
            let prefix = self.prefix_of(at)?;
            if prefix.common(key) < prefix.bits {
                return None;
            }
            if prefix.bits == key.bits {
                return (!is_intermediate(at)).then_some((above, at));
            }
            above.push(at);
            at = self.node(child(at, key.bit(prefix.bits))?)?;
        }
    }

    // ── writing ─────────────────────────────────────────────────────────────────────────────

    /// A node that is in no trie; the lock is held.
    fn take(&self) -> Result<Element<'_>, Errno> {
        if let Some(node) = self.node(&self.free) {
            let next = node.all.u32_at(12).unwrap_or(0);
            self.free.store(next, Relaxed);
            return Ok(node);
        }
        let index = self.untouched.load(Relaxed);
        self.slab.ensure(index).map_err(|_| Errno::ENOMEM)?;
        self.untouched.store(index + 1, Relaxed);
        self.slab.element(index).ok_or(Errno::ENOMEM)
    }

    /// Gives back a node that is in the trie no more; the lock is held.
    fn give(&self, node: Element<'_>) {
        node.all.set_u32(12, self.free.load(Relaxed));
        self.free.store(node.index + 1, Relaxed);
    }

    /// Fills a node.
    fn fill(
        &self,
        node: Element<'_>,
        children: [u32; 2],
        bits: u32,
        data: View<'_>,
        between: bool,
    ) {
        node.all.set_u32(0, children[0]);
        node.all.set_u32(4, children[1]);
        node.all.set_u32(8, u32::from(between));
        if let Some(key) = self.slab.key(node) {
            key.set_u32(0, bits);
            if let Some(place) = key.part(LENGTH, data.len()) {
                place.copy_from(data);
            }
        }
    }

    fn set(&self, key: View<'_>, value: View<'_>, flags: u64) -> Result<(), Errno> {
        if flags > EXIST {
            return Err(Errno::EINVAL);
        }
        let key = self.prefix(key).ok_or(Errno::EINVAL)?;
        let _held = Held::new(&self.lock);
        let mut slot = &self.root;
        let mut common = 0;
        let mut found = None;
        while let Some(node) = self.node(slot) {
            let prefix = self.prefix_of(node).ok_or(Errno::EINVAL)?;
            common = prefix.common(key);
            found = Some((node, prefix));
            if common != prefix.bits || prefix.bits == key.bits {
                break;
            }
            found = None;
            slot = child(node, key.bit(prefix.bits)).ok_or(Errno::EINVAL)?;
        }
        let children = match found {
            // The place of an intermediate node, or of the same prefix.
            Some((node, prefix)) if prefix.bits == common => {
                match is_intermediate(node) {
                    false if flags & NOEXIST != 0 => return Err(Errno::EEXIST),
                    false => {}
                    true => self.may_add(flags)?,
                }
                let new = self.take()?;
                let word = |number| child(node, number).map_or(0, |word| word.load(Relaxed));
                self.fill(new, [word(0), word(1)], key.bits, key.data, false);
                self.write(new, value);
                slot.store(new.index + 1, Release);
                if !is_intermediate(node) {
                    self.entries.fetch_sub(1, Relaxed);
                }
                self.give(node);
                self.entries.fetch_add(1, Relaxed);
                return Ok(());
            }
            // Above a node.
            Some((node, prefix)) => {
                self.may_add(flags)?;
                let mut children = [0; 2];
                children[prefix.bit(common)] = node.index + 1;
                if common < key.bits {
                    return self.part_ways(slot, key, value, children, common);
                }
                children
            }
            None => {
                self.may_add(flags)?;
                [0; 2]
            }
        };
        let new = self.take()?;
        self.fill(new, children, key.bits, key.data, false);
        self.write(new, value);
        slot.store(new.index + 1, Release);
        self.entries.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Puts an intermediate node where a new prefix and the node that is there part.
    fn part_ways(
        &self,
        slot: &AtomicU32,
        key: Prefix<'_>,
        value: View<'_>,
        mut children: [u32; 2],
        common: u32,
    ) -> Result<(), Errno> {
        let new = self.take()?;
        self.fill(new, [0; 2], key.bits, key.data, false);
        self.write(new, value);
        let between = match self.take() {
            Ok(between) => between,
            Err(errno) => {
                self.give(new);
                return Err(errno);
            }
        };
        children[key.bit(common)] = new.index + 1;
        self.fill(between, children, common, key.data, true);
        slot.store(between.index + 1, Release);
        self.entries.fetch_add(1, Relaxed);
        Ok(())
    }

    fn write(&self, node: Element<'_>, value: View<'_>) {
        if let Some(place) = self.slab.value(node, 0) {
            place.copy_from(value);
        }
    }

    fn may_add(&self, flags: u64) -> Result<(), Errno> {
        if flags & EXIST != 0 {
            return Err(Errno::ENOENT);
        }
        if self.entries.load(Relaxed) >= self.shape.max_entries {
            return Err(Errno::ENOSPC);
        }
        Ok(())
    }

    fn remove(&self, key: View<'_>) -> Result<(), Errno> {
        let key = self.prefix(key).ok_or(Errno::EINVAL)?;
        let _held = Held::new(&self.lock);
        let (path, node) = self.path(key).ok_or(Errno::ENOENT)?;
        self.entries.fetch_sub(1, Relaxed);
        let word = |number| child(node, number).map_or(0, |word| word.load(Relaxed));
        let (left, right) = (word(0), word(1));
        if left != 0 && right != 0 {
            // Its children still need it.
            node.all.set_u32(8, 1);
            return Ok(());
        }
        let parent = path.last().copied();
        let slot = self.slot_of(parent, node).ok_or(Errno::ENOENT)?;
        match parent {
            Some(parent) if is_intermediate(parent) && left == 0 && right == 0 => {
                // Nothing parts there any more: the sibling takes the parent's place.
                let grandparent = path
                    .len()
                    .checked_sub(2)
                    .and_then(|at| path.get(at).copied());
                let above = self.slot_of(grandparent, parent).ok_or(Errno::ENOENT)?;
                let child = |number| child(parent, number).map_or(0, |word| word.load(Relaxed));
                let sibling = if child(0) == node.index + 1 {
                    child(1)
                } else {
                    child(0)
                };
                above.store(sibling, Release);
                self.give(parent);
            }
            _ => slot.store(left | right, Release),
        }
        self.give(node);
        Ok(())
    }

    /// The word that leads from a parent, or the root, to a node.
    fn slot_of<'a>(
        &'a self,
        parent: Option<Element<'a>>,
        node: Element<'_>,
    ) -> Option<&'a AtomicU32> {
        let Some(parent) = parent else {
            return Some(&self.root);
        };
        let left = child(parent, 0)?;
        match left.load(Relaxed) == node.index + 1 {
            true => Some(left),
            false => child(parent, 1),
        }
    }
}

fn child(node: Element<'_>, number: usize) -> Option<&AtomicU32> {
    node.all.word(number * 4)
}

fn is_intermediate(node: Element<'_>) -> bool {
    node.all.u32_at(8) != Some(0)
}

impl Kind for Trie {
    fn lookup(&self, _cpu: u32, key: View<'_>) -> Option<View<'_>> {
        let node = self.read(self.prefix(key)?, |node| node)?;
        self.slab.value(node, 0)
    }

    fn update(&self, _cpu: u32, key: View<'_>, value: View<'_>, flags: u64) -> Result<(), Errno> {
        self.set(key, value, flags)
    }

    fn delete(&self, key: View<'_>) -> Result<(), Errno> {
        self.remove(key)
    }

    fn region(&self, address: u64) -> Option<Range> {
        self.slab.region(address)
    }

    fn user_lookup(&self, key: &[u8], value: &mut [u8], _flags: u64) -> Result<(), Errno> {
        super::with_view(key, |key| {
            let key = self.prefix(key).ok_or(Errno::ENOENT)?;
            let copy = |node| self.slab.value(node, 0).map(|place| place.read(value));
            self.read(key, copy).flatten().ok_or(Errno::ENOENT)?;
            Ok(())
        })
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        super::with_view(key, |key| {
            super::with_view(value, |value| self.set(key, value, flags))
        })
    }

    fn user_delete(&self, key: &[u8]) -> Result<(), Errno> {
        super::with_view(key, |key| self.remove(key))
    }

    fn user_next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        super::with_view(key.unwrap_or_default(), |key| {
            let _held = Held::new(&self.lock);
            let node = self.after(self.prefix(key)).ok_or(Errno::ENOENT)?;
            self.slab.key(node).ok_or(Errno::ENOENT)?.read(next);
            Ok(())
        })
    }

    fn user_value_size(&self) -> usize {
        self.shape.value_size as usize
    }

    fn memory_used(&self) -> u64 {
        self.slab.memory_used()
    }
}
