//! [`dedup`]: equal types become one. Types are a graph with cycles, so "equal" is the coarsest
//! relation in which equal types say the same and refer to equal types; it is found by splitting
//! (`partition.rs`) what looks the same (`graph.rs`) until nothing differs any more.

mod graph;
mod partition;
#[cfg(test)]
mod tests;

use crate::strings::Strings;
use crate::words::{Reference, each_reference};
use crate::{Btf, Builder, IdMap, Result, StringOffset};
use graph::Graph;

/// BTF without duplicates, made by [`dedup`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Deduped {
    /// The types that are left, in the order they stood in; split if it was split before.
    pub btf: Btf,
    /// Where each type of the old BTF is.
    pub ids: IdMap,
}

/// Makes equal types one, and strings that are equal.
///
/// Two types are equal when they are of the same kind, name, size and elements, and what they
/// refer to is equal, however far and in whatever cycles. A forward declaration of a structure,
/// union or enumeration becomes the definition of that name, if all definitions of that name are
/// equal (where several differ, which one was meant can't be known, and the declaration stays).
/// Variables and data sections are never equal: each has a place of its own.
///
/// Of split BTF, types that the base has become the base's; the base itself stays as it is.
///
/// The result is the same on every machine, deduplicating it again changes nothing, and it takes
/// time in proportion to the input's size (times the logarithm of it, at worst). The string section
/// is made anew: it holds what types name, nothing else. What `.BTF.ext` names is to be put back by
/// [`Builder::from_btf`] and [`Builder::string`].
///
/// # Errors
/// [`Error::UnwritableKind`](crate::Error::UnwritableKind) for kinds that this crate does not know,
/// [`Error::TypeReference`](crate::Error::TypeReference) and [`Error::Name`](crate::Error::Name)
/// for BTF that was parsed as trusted and is not sound;
/// [`Error::Collision`](crate::Error::Collision) for types made on purpose to be mistaken.
pub fn dedup(btf: &Btf) -> Result<Deduped> {
    let graph = Graph::new(btf)?;
    let same_as = partition::representatives(&graph)?;
    let first = btf.first_id();

    let mut new_ids = Vec::with_capacity(btf.types().len());
    let mut next = first.0;
    for found in btf.types() {
        let is_kept = same_as.get(found.id().0 as usize) == Some(&found.id().0);
        new_ids.push(if is_kept { next } else { 0 });
        next = next.saturating_add(u32::from(is_kept));
    }
    let new_id = |old: u32| -> u32 {
        let same = same_as.get(old as usize).copied().unwrap_or(0);
        match same.checked_sub(first.0) {
            None => same,
            Some(index) => new_ids.get(index as usize).copied().unwrap_or(0),
        }
    };

    let mut builder = match btf.base() {
        Some(base) => Builder::split(base),
        None => Builder::new(),
    };
    builder.set_endianness(btf.endianness());
    let base_names = BaseNames::new(btf, &graph.names);
    for (found, new) in btf.types().zip(&new_ids) {
        if *new == 0 {
            continue;
        }
        let mut words = graph.words(found.id());
        each_reference(&mut words, |_, what, word| {
            *word = match what {
                Reference::Type => new_id(*word),
                Reference::Name => match base_names.find(*word) {
                    Some(known) => known,
                    None => {
                        let text = graph.names.string(StringOffset(*word));
                        builder.strings.intern(text).0
                    }
                },
            };
            Ok(())
        })?;
        builder.types.push(words);
    }
    let ids = (first.0..=btf.type_count()).map(new_id).collect();
    let bytes = builder.build()?;
    let mut deduped = match btf.base() {
        Some(base) => Btf::parse_split(bytes, base.clone())?,
        None => Btf::parse(bytes)?,
    };
    deduped.set_pointer_size(btf.pointer_size());
    Ok(Deduped {
        btf: deduped,
        ids: IdMap::new(first, ids),
    })
}

/// Which names the strings of the base have already, and where.
struct BaseNames {
    /// Pairs of an offset in the graph's names and one in the base's strings, sorted.
    known: Vec<(u32, u32)>,
}

impl BaseNames {
    fn new(btf: &Btf, names: &Strings) -> Self {
        let mut known = Vec::new();
        let mut below = btf.base();
        while let Some(base) = below {
            let mut offset = base.string_base();
            for text in base.strings().split_inclusive(|byte| *byte == 0) {
                let name = text.strip_suffix(&[0]).unwrap_or(text);
                if let Some(found) = names.find(name) {
                    known.push((found.0, offset));
                }
                offset = offset.wrapping_add(text.len() as u32);
            }
            below = base.base();
        }
        known.sort_unstable();
        Self { known }
    }

    fn find(&self, name: u32) -> Option<u32> {
        let at = self.known.partition_point(|(one, _)| *one < name);
        let (found, offset) = self.known.get(at)?;
        (*found == name).then_some(*offset)
    }
}
