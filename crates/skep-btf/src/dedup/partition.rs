//! Splitting classes of types until those that are in one class refer to the same classes at the
//! same places.
//!
//! A class that is split keeps its number for its largest part, so that a type is renumbered at
//! most once each time its class halves: what refers to it is looked at again at most log n times.
//! Signatures are sums over references, changed by the one reference that changed.
//!
//! Declarations and definitions of one name (a [`Family`](super::graph::Family)) are taken for the
//! same by what refers to them, as long as all definitions are in one class. When these part, the
//! family is dissolved, and what refers to it is split by what it really refers to.

use super::graph::Graph;
use crate::{Error, Result, TypeId};
use std::collections::HashMap;

/// The type that stands for each: itself, an equal one of a lower id, or for a forward declaration
/// the definition.
pub(super) fn representatives(graph: &Graph) -> Result<Vec<u32>> {
    let mut partition = Partition::new(graph);
    while partition.split() {}
    partition.check()?;
    Ok(partition.representatives())
}

struct Partition<'a> {
    graph: &'a Graph,
    class_of: Vec<u32>,
    /// All types by class; of each class, where it begins and ends.
    order: Vec<u32>,
    place: Vec<u32>,
    ranges: Vec<(u32, u32)>,
    signatures: Vec<u128>,
    /// Types whose signature changed since their class was last looked at.
    changed: Vec<u32>,
    is_changed: Vec<bool>,
    /// Whether each family is still one to those that refer to it.
    united: Vec<bool>,
}

/// Set in what stands for a family where a class could stand.
const FAMILY: u32 = 1 << 31;

impl<'a> Partition<'a> {
    /// Classes of what says the same.
    fn new(graph: &'a Graph) -> Self {
        let mut by_label: HashMap<&[u32], u32> = HashMap::new();
        let mut sizes: Vec<u32> = Vec::new();
        let mut class_of = Vec::with_capacity(graph.count() as usize);
        for id in 0..graph.count() {
            let fresh = sizes.len() as u32;
            let class = match graph.is_unique(id) {
                true => fresh,
                false => *by_label.entry(graph.label(id)).or_insert(fresh),
            };
            if class == fresh {
                sizes.push(0);
            }
            if let Some(size) = sizes.get_mut(class as usize) {
                *size = size.wrapping_add(1);
            }
            class_of.push(class);
        }
        let mut end = 0_u32;
        let mut ranges: Vec<(u32, u32)> = Vec::with_capacity(sizes.len());
        for size in sizes {
            ranges.push((end, end));
            end = end.wrapping_add(size);
        }
        let mut partition = Self {
            graph,
            order: vec![0; class_of.len()],
            place: vec![0; class_of.len()],
            ranges,
            signatures: vec![0; class_of.len()],
            changed: Vec::new(),
            is_changed: vec![false; class_of.len()],
            united: Vec::new(),
            class_of,
        };
        for id in 0..graph.count() {
            let class = partition.class(id) as usize;
            if let Some((_, end)) = partition.ranges.get_mut(class) {
                let at = *end;
                *end = end.wrapping_add(1);
                partition.put(id, at);
            }
        }
        let families = 0..graph.families.len() as u32;
        partition.united = families.map(|family| partition.is_united(family)).collect();
        for id in 0..graph.count() {
            for (position, target) in (0..).zip(graph.edges(id)) {
                let seen = partition.seen(*target);
                partition.change(id, |sum| sum.wrapping_add(mix(position, seen)));
            }
        }
        partition
    }

    fn class(&self, id: u32) -> u32 {
        self.class_of.get(id as usize).copied().unwrap_or(0)
    }

    fn signature(&self, id: u32) -> u128 {
        self.signatures.get(id as usize).copied().unwrap_or(0)
    }

    fn at(&self, place: u32) -> u32 {
        self.order.get(place as usize).copied().unwrap_or(0)
    }

    fn put(&mut self, id: u32, at: u32) {
        if let Some(slot) = self.order.get_mut(at as usize) {
            *slot = id;
        }
        if let Some(place) = self.place.get_mut(id as usize) {
            *place = at;
        }
    }

    /// The family that a type stands for to what refers to it.
    fn united_family(&self, id: u32) -> Option<u32> {
        let family = self.graph.family(id)?;
        (self.united.get(family as usize) == Some(&true)).then_some(family)
    }

    /// What a type is to those that refer to it.
    fn seen(&self, id: u32) -> u32 {
        match self.united_family(id) {
            Some(family) => FAMILY | family,
            None => self.class(id),
        }
    }

    fn is_united(&self, family: u32) -> bool {
        let Some(family) = self.graph.families.get(family as usize) else {
            return false;
        };
        let mut classes = family.definitions.iter().map(|id| self.class(*id));
        let first = classes.next();
        classes.all(|class| Some(class) == first)
    }

    /// Changes a signature, and notes that its class is to be looked at.
    fn change(&mut self, id: u32, change: impl FnOnce(u128) -> u128) {
        if let Some(signature) = self.signatures.get_mut(id as usize) {
            *signature = change(*signature);
        }
        if let Some(is_changed) = self.is_changed.get_mut(id as usize)
            && !*is_changed
        {
            *is_changed = true;
            self.changed.push(id);
        }
    }

    /// What refers to this type sees something else from now on.
    fn retell(&mut self, id: u32, old: u32, new: u32) {
        let graph = self.graph;
        for (source, position) in graph.incoming(id) {
            let difference = mix(position, new).wrapping_sub(mix(position, old));
            self.change(source, |sum| sum.wrapping_add(difference));
        }
    }

    /// Splits the classes in which signatures changed; `false` when there is none.
    fn split(&mut self) -> bool {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable_by_key(|id| (self.class(*id), self.signature(*id), *id));
        for id in &changed {
            if let Some(is_changed) = self.is_changed.get_mut(*id as usize) {
                *is_changed = false;
            }
        }
        let mut moved = Vec::new();
        let mut rest = changed.as_slice();
        while let Some(first) = rest.first() {
            let class = self.class(*first);
            let len = rest.partition_point(|id| self.class(*id) == class);
            let (in_class, next) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            self.split_class(class, in_class, &mut moved);
            rest = next;
        }
        self.tell(&moved);
        !changed.is_empty()
    }

    /// Splits a class by the signatures of those members that changed, which are given in their
    /// order. Whoever moves to a new class is noted with the old one.
    ///
    /// The others have one signature, and none of those given can have it: that would need the
    /// change of a reference from one class to the same one.
    fn split_class(&mut self, class: u32, changed: &[u32], moved: &mut Vec<(u32, u32)>) {
        let Some((start, end)) = self.ranges.get(class as usize).copied() else {
            return;
        };
        let mut parts = Vec::new();
        let mut at = start;
        for part in changed.chunk_by(|one, other| self.signature(*one) == self.signature(*other)) {
            parts.push((at, at.wrapping_add(part.len() as u32)));
            at = at.wrapping_add(part.len() as u32);
        }
        if at < end {
            parts.push((at, end));
        }
        for (at, id) in (start..).zip(changed) {
            let other = self.at(at);
            let from = self.place.get(*id as usize).copied().unwrap_or(at);
            self.put(other, from);
            self.put(*id, at);
        }
        let len = |(start, end): &(u32, u32)| end.wrapping_sub(*start);
        let Some(largest) = parts.iter().copied().max_by_key(len) else {
            return;
        };
        for part in parts.iter().filter(|part| **part != largest) {
            let new = self.ranges.len() as u32;
            self.ranges.push(*part);
            for at in part.0..part.1 {
                let id = self.at(at);
                moved.push((id, class));
                if let Some(class) = self.class_of.get_mut(id as usize) {
                    *class = new;
                }
            }
        }
        if let Some(range) = self.ranges.get_mut(class as usize) {
            *range = largest;
        }
    }

    /// Tells what refers to the moved types about it.
    fn tell(&mut self, moved: &[(u32, u32)]) {
        let mut families = Vec::new();
        for (id, old) in moved {
            match self.united_family(*id) {
                Some(family) => families.push(family),
                None => self.retell(*id, *old, self.class(*id)),
            }
        }
        families.sort_unstable();
        families.dedup();
        let graph = self.graph;
        for index in families {
            let (Some(family), false) = (graph.families.get(index as usize), self.is_united(index))
            else {
                continue;
            };
            if let Some(united) = self.united.get_mut(index as usize) {
                *united = false;
            }
            for id in family.forwards.iter().chain(&family.definitions) {
                self.retell(*id, FAMILY | index, self.class(*id));
            }
        }
    }

    /// Signatures are sums that someone may have made equal on purpose: what they refer to must
    /// be the same indeed.
    fn check(&self) -> Result<()> {
        for (start, end) in &self.ranges {
            let first_id = self.at(*start);
            let first = self.graph.edges(first_id);
            for id in (*start..*end).map(|at| self.at(at)) {
                let edges = self.graph.edges(id);
                let same = |(one, other): (&u32, &u32)| self.seen(*one) == self.seen(*other);
                if edges.len() != first.len() || !edges.iter().zip(first).all(same) {
                    return Err(Error::Collision {
                        first: TypeId(first_id),
                        second: TypeId(id),
                    });
                }
            }
        }
        Ok(())
    }

    fn representatives(&self) -> Vec<u32> {
        let mut lowest = vec![u32::MAX; self.ranges.len()];
        for id in 0..self.graph.count() {
            if let Some(lowest) = lowest.get_mut(self.class(id) as usize) {
                *lowest = id.min(*lowest);
            }
        }
        let representative = |id: u32| {
            let family = self.united_family(id);
            let family = family.and_then(|family| self.graph.families.get(family as usize));
            // All definitions of a united family are in one class.
            let meant = family.and_then(|family| family.definitions.first().copied());
            let class = self.class(meant.unwrap_or(id));
            lowest.get(class as usize).copied().unwrap_or(id)
        };
        (0..self.graph.count()).map(representative).collect()
    }
}

/// A reference's part of a signature: two mixings of 64 bits, as one of 128 bits would be slow.
fn mix(position: u32, seen: u32) -> u128 {
    let word = u64::from(position) << 32 | u64::from(seen);
    let half = |seed: u64| {
        let word = word.wrapping_add(seed);
        let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    };
    u128::from(half(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(half(0x3c6e_f372_fe94_f82a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Btf, Builder, IntEncoding};

    #[test]
    fn what_is_not_told_apart_is_noticed() {
        let mut types = Builder::new();
        for (name, size) in [("small", 1), ("large", 8)] {
            let int = types.int(name, size, IntEncoding::UNSIGNED);
            types.pointer(int);
        }
        let btf = Btf::parse(types.build().unwrap()).unwrap();
        let graph = Graph::new(&btf).unwrap();
        let mut partition = Partition::new(&graph);
        // Before the first round, the pointers are in one class: as if their signatures agreed.
        assert_eq!(
            partition.check().unwrap_err().to_string(),
            "types 2 and 4 were made to be taken for equal"
        );
        while partition.split() {}
        partition.check().unwrap();
    }
}
