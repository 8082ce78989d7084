//! The types of a BTF as a graph: what each says of itself, what it refers to, and what refers to
//! it, in flat arrays.

use crate::strings::Strings;
use crate::walk::split_info;
use crate::words::{Reference, each_reference};
use crate::{Btf, Error, KindTag, Result, StringOffset, TypeId};
use std::collections::HashMap;

/// A node is a type id; node 0 is `void`. A base's types are nodes like any other.
#[derive(Debug)]
pub(super) struct Graph {
    /// The words of all types: names as offsets in `names`, ids as [`Graph::edges`].
    words: Vec<u32>,
    starts: Vec<u32>,
    /// The ids that types refer to, in the order of types and of their words.
    edges: Vec<u32>,
    edge_starts: Vec<u32>,
    /// The type that each edge begins at.
    sources: Vec<u32>,
    /// The edges that lead to each type.
    incoming: Vec<u32>,
    incoming_starts: Vec<u32>,
    /// Every name once.
    pub(super) names: Strings,
    /// Declarations and definitions of a name that has both.
    pub(super) families: Vec<Family>,
    /// The family of each type that belongs to one.
    family_of: HashMap<u32, u32>,
    first_id: TypeId,
}

/// The forward declarations of a name, and the definitions that may be meant.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) forwards: Vec<u32>,
    pub(super) definitions: Vec<u32>,
}

impl Graph {
    pub(super) fn new(btf: &Btf) -> Result<Self> {
        let count = btf.type_count().saturating_add(1);
        // Ids, classes and families share the numbers of 32 bits.
        if count >> 31 != 0 {
            return Err(Error::DoesNotFit {
                id: TypeId(count),
                what: "the number of types",
            });
        }
        let mut graph = Self {
            words: Vec::new(),
            starts: vec![0, 0],
            edges: Vec::new(),
            edge_starts: vec![0, 0],
            sources: Vec::new(),
            incoming: Vec::new(),
            incoming_starts: Vec::new(),
            names: Strings::new(),
            families: Vec::new(),
            family_of: HashMap::new(),
            first_id: btf.first_id(),
        };
        let mut names = HashMap::new();
        for id in (1..count).map(TypeId) {
            graph.read(btf, id, &mut names)?;
        }
        graph.turn_around(count);
        graph.find_families();
        Ok(graph)
    }

    fn read(&mut self, btf: &Btf, id: TypeId, known: &mut HashMap<u32, u32>) -> Result<()> {
        let start = self.words.len();
        btf.checked_words(btf.type_by_id(id)?, &mut self.words)?;
        let Self {
            names,
            edges,
            sources,
            ..
        } = self;
        let words = self.words.get_mut(start..).unwrap_or_default();
        each_reference(words, |_, what, word| {
            match what {
                Reference::Name if *word == 0 => {}
                Reference::Name => {
                    *word = *known.entry(*word).or_insert_with(|| {
                        let text = btf.string_bytes(StringOffset(*word));
                        names.intern(text.unwrap_or_default()).0
                    });
                }
                Reference::Type => {
                    edges.push(*word);
                    sources.push(id.0);
                    *word = 0;
                }
            }
            Ok(())
        })?;
        self.names.check_length(id)?;
        self.starts.push(self.words.len() as u32);
        self.edge_starts.push(self.edges.len() as u32);
        Ok(())
    }

    /// Sorts the edges by where they lead to.
    fn turn_around(&mut self, count: u32) {
        let mut starts = vec![0_u32; (count as usize).saturating_add(1)];
        for target in &self.edges {
            if let Some(count) = starts.get_mut(*target as usize) {
                *count = count.wrapping_add(1);
            }
        }
        // From counts to the end of each range; filling from the back makes it the start.
        let mut sum = 0_u32;
        for start in &mut starts {
            sum = sum.wrapping_add(*start);
            *start = sum;
        }
        self.incoming = vec![0; self.edges.len()];
        for (edge, target) in self.edges.iter().enumerate().rev() {
            if let Some(start) = starts.get_mut(*target as usize) {
                *start = start.wrapping_sub(1);
                if let Some(slot) = self.incoming.get_mut(*start as usize) {
                    *slot = edge as u32;
                }
            }
        }
        self.incoming_starts = starts;
    }

    fn find_families(&mut self) {
        let mut named: HashMap<(KindTag, u32), Family> = HashMap::new();
        for id in 1..self.count() {
            let [name, info, ..] = *self.label(id) else {
                continue;
            };
            let (number, elements, flag) = split_info(info);
            let (kind, forward) = match KindTag::from_number(number) {
                Some(KindTag::Forward) if flag => (KindTag::Union, true),
                Some(KindTag::Forward) => (KindTag::Struct, true),
                Some(kind @ (KindTag::Struct | KindTag::Union)) => (kind, false),
                // `enum name;` is an enumeration without values.
                Some(KindTag::Enum | KindTag::Enum64) => (KindTag::Enum, elements == 0),
                _ => continue,
            };
            // What the base declares only stays so: it can't be changed.
            if name == 0 || forward && id < self.first_id.0 {
                continue;
            }
            let family = named.entry((kind, name)).or_insert_with(|| Family {
                forwards: Vec::new(),
                definitions: Vec::new(),
            });
            match forward {
                true => family.forwards.push(id),
                false => family.definitions.push(id),
            }
        }
        let mut families: Vec<Family> = named
            .into_values()
            .filter(|family| !family.forwards.is_empty() && !family.definitions.is_empty())
            .collect();
        families.sort_unstable_by(|one, other| one.forwards.cmp(&other.forwards));
        for (index, family) in families.iter().enumerate() {
            for id in family.forwards.iter().chain(&family.definitions) {
                self.family_of.insert(*id, index as u32);
            }
        }
        self.families = families;
    }

    /// The number of nodes.
    pub(super) fn count(&self) -> u32 {
        (self.starts.len() as u32).saturating_sub(1)
    }

    /// What a type says of itself: its words without ids.
    pub(super) fn label(&self, id: u32) -> &[u32] {
        range(&self.words, &self.starts, id)
    }

    /// What it refers to, in order.
    pub(super) fn edges(&self, id: u32) -> &[u32] {
        range(&self.edges, &self.edge_starts, id)
    }

    /// What refers to it: the types, and which of their edges it is.
    pub(super) fn incoming(&self, id: u32) -> impl Iterator<Item = (u32, u32)> {
        range(&self.incoming, &self.incoming_starts, id)
            .iter()
            .filter_map(|edge| {
                let source = *self.sources.get(*edge as usize)?;
                let first = *self.edge_starts.get(source as usize)?;
                Some((source, edge.wrapping_sub(first)))
            })
    }

    /// The family that a type belongs to.
    pub(super) fn family(&self, id: u32) -> Option<u32> {
        self.family_of.get(&id).copied()
    }

    /// Whether a type is equal to no other, whatever it says.
    pub(super) fn is_unique(&self, id: u32) -> bool {
        let info = self.label(id).get(1).copied().unwrap_or(0);
        matches!(
            KindTag::from_number(split_info(info).0),
            Some(KindTag::Variable | KindTag::DataSection)
        )
    }

    /// All words of a type, names as offsets in [`Graph::names`].
    pub(super) fn words(&self, id: TypeId) -> Vec<u32> {
        let mut words = self.label(id.0).to_vec();
        let mut edges = self.edges(id.0).iter();
        let done = each_reference(&mut words, |_, what, word| {
            if what == Reference::Type {
                *word = edges.next().copied().unwrap_or(0);
            }
            Ok(())
        });
        debug_assert!(done.is_ok(), "the visitor never fails");
        words
    }
}

fn range<'a>(all: &'a [u32], starts: &[u32], index: u32) -> &'a [u32] {
    match starts.get(index as usize..) {
        Some([start, end, ..]) => all.get(*start as usize..*end as usize).unwrap_or_default(),
        _ => &[],
    }
}
