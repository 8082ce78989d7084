//! [`IdMap`]: where the types of one BTF went in another.

use crate::TypeId;

/// What became of the types of a BTF that was appended to another, deduplicated or minimised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap {
    /// The first id that the map is about: a base's types, and `void`, keep theirs.
    first: u32,
    /// The new id of each; 0 for a type that was left out.
    new: Vec<u32>,
}

impl IdMap {
    pub(crate) fn new(first: TypeId, new: Vec<u32>) -> Self {
        let first = first.0;
        Self { first, new }
    }

    /// The new id of a type; `None` for one that was left out or did not exist.
    ///
    /// `void` stays `void`, and the types of a base keep their ids.
    pub fn get(&self, old: TypeId) -> Option<TypeId> {
        match old.0.checked_sub(self.first) {
            None => Some(old),
            Some(index) => {
                let new = self.new.get(index as usize)?;
                (*new != 0).then_some(TypeId(*new))
            }
        }
    }

    /// The pairs of old and new ids, by old id, without `void` and a base's types.
    pub fn iter(&self) -> impl Iterator<Item = (TypeId, TypeId)> {
        let pairs = (self.first..).zip(&self.new);
        pairs.filter_map(|(old, new)| (*new != 0).then_some((TypeId(old), TypeId(*new))))
    }
}
