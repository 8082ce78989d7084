//! A trie of prefixes: the longest that fits a key is found.

use super::definition::{Number, definition};
use super::{BPF_F_NO_PREALLOC, MapOptions, Options, UpdateFlags, Value, delete, lookup, update};
use crate::error::Result;
use crate::plain::Plain;

/// A prefix, as keys of an [`LpmTrie`] are: how many bits of the data count, from the first byte's
/// highest bit on. Numbers are in network order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Prefix<K> {
    bits: u32,
    data: K,
}

// SAFETY: `new` refuses types between which and the number there would be padding.
unsafe impl<K: Plain> Plain for Prefix<K> {}

impl<K: Plain> Prefix<K> {
    /// The first bits of some data.
    #[inline(always)]
    #[must_use]
    pub const fn new(bits: u32, data: K) -> Self {
        const {
            assert!(
                size_of::<Self>() == 4 + size_of::<K>(),
                "a prefix's data is aligned to 4 bytes at most: take an array of bytes"
            );
        }
        Self { bits, data }
    }

    /// All bits of some data: what is looked for.
    #[inline(always)]
    #[must_use]
    pub const fn whole(data: K) -> Self {
        Self::new(8 * size_of::<K>() as u32, data)
    }
}

definition! {
    /// Values by prefix; a lookup finds the longest. Linux 4.11.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static ROUTES: LpmTrie<[u8; 4], u32, 1024> = LpmTrie::new();
    ///
    /// #[xdp]
    /// fn route(_: &XdpContext) -> XdpAction {
    ///     match ROUTES.get(&Prefix::whole([127, 0, 0, 1])) {
    ///         Some(blocked) if blocked.load() != 0 => XdpAction::DROP,
    ///         _ => XdpAction::PASS,
    ///     }
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_LPM_TRIE")]
    LpmTrie = 11, [K: Plain, V: Plain, const MAX_ENTRIES: usize,], [K, V, MAX_ENTRIES,],
    Options<BPF_F_NO_PREALLOC>,
    { key: *const Prefix<K>, value: *const V, max_entries: Number<MAX_ENTRIES> }
}

impl<K: Plain, V: Plain, const MAX_ENTRIES: usize, O: MapOptions> LpmTrie<K, V, MAX_ENTRIES, O> {
    /// The value of the longest prefix that fits.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, key: &Prefix<K>) -> Option<Value<'_, V>> {
        lookup(self, key)
    }

    /// Writes the value of a prefix. `ENOSPC` where the trie is full.
    #[inline(always)]
    pub fn insert(&self, key: &Prefix<K>, value: &V) -> Result {
        update(self, key, value, UpdateFlags::ANY)
    }

    /// Removes just this prefix. `ENOENT` where it is not there.
    #[inline(always)]
    pub fn remove(&self, key: &Prefix<K>) -> Result {
        delete(self, key)
    }
}
