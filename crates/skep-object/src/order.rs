//! Sorting and sets without a copy of the standard library's stable sort for each type: that is
//! about 5 KB of code a copy, and `collect` into a B-tree makes one, too.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

/// Sorts by `key`; what has equal keys keeps its order.
///
/// What compilers write is mostly sorted, so that is looked at first.
pub(crate) fn by_key<T, K: Into<u128>>(items: &mut [T], key: impl Fn(&T) -> K) {
    let key = |item: &T| key(item).into();
    if items.is_sorted_by_key(key) {
        return;
    }
    let keys = items.iter().map(key);
    let mut order: Vec<(u128, usize)> = keys.zip(0..).collect();
    order.sort_unstable();
    // Where item `order[at].1` belongs at `at`, each circle of moves is gone round once.
    for start in 0..items.len() {
        let mut at = start;
        while let Some((_, from)) = order.get_mut(at) {
            let from = mem::replace(from, at);
            if from == at || from == start {
                break;
            }
            items.swap(at, from);
            at = from;
        }
    }
}

/// A set of the items.
pub(crate) fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut set = BTreeSet::new();
    set.extend(items);
    set
}

/// A map of the items; the last one with a key stays.
pub(crate) fn map<K: Ord, V>(items: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    map.extend(items);
    map
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_the_stable_sort(keys in prop::collection::vec(0_u32..20, 0..60)) {
            let mut items: Vec<(u32, usize)> = keys.into_iter().zip(0..).collect();
            let mut expected = items.clone();
            expected.sort_by_key(|(key, _)| *key);
            super::by_key(&mut items, |(key, _)| *key);
            prop_assert_eq!(items, expected);
        }
    }
}
