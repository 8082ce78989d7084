//! Maps of maps. All inner maps have the shape of one type; user space puts them in, or the object
//! has them from the start.

use core::ffi::c_void;

use super::definition::{Number, definition};
use super::{Map, MapOptions, Options};
use crate::helper::raw;
use crate::plain::Plain;

definition! {
    /// Maps by index. Linux 4.12.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static TABLES: ArrayOfMaps<HashMap<u32, u64, 64>, 4> = ArrayOfMaps::new();
    ///
    /// #[xdp]
    /// fn count(_: &XdpContext) -> XdpAction {
    ///     if let Some(count) = TABLES.get(0).and_then(|table| table.get(&7)) {
    ///         count.add(1);
    ///     }
    ///     XdpAction::PASS
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_ARRAY_OF_MAPS")]
    ArrayOfMaps = 12, [M: Map, const MAX_ENTRIES: usize,], [M, MAX_ENTRIES,], Options,
    { key: *const u32, max_entries: Number<MAX_ENTRIES> } values [*const M; 0]
}

impl<M: Map, const MAX_ENTRIES: usize, O: MapOptions> ArrayOfMaps<M, MAX_ENTRIES, O> {
    /// The map at an index, if there is one.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, index: u32) -> Option<&M> {
        inner(self, &index)
    }
}

definition! {
    /// Maps by key. Linux 4.12.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static BY_DEVICE: HashOfMaps<u32, Array<u64, 1>, 16> = HashOfMaps::new();
    ///
    /// #[xdp]
    /// fn count(_: &XdpContext) -> XdpAction {
    ///     if let Some(count) = BY_DEVICE.get(&1).and_then(|counts| counts.get(0)) {
    ///         count.add(1);
    ///     }
    ///     XdpAction::PASS
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_HASH_OF_MAPS")]
    HashOfMaps = 13, [K: Plain, M: Map, const MAX_ENTRIES: usize,], [K, M, MAX_ENTRIES,], Options,
    { key: *const K, max_entries: Number<MAX_ENTRIES> } values [*const M; 0]
}

impl<K: Plain, M: Map, const MAX_ENTRIES: usize, O: MapOptions> HashOfMaps<K, M, MAX_ENTRIES, O> {
    /// The map of a key, if there is one.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&M> {
        inner(self, key)
    }
}

#[inline(always)]
fn inner<'a, K: Plain, M: Map>(map: &'a impl Map, key: &K) -> Option<&'a M> {
    super::address(key, |key| {
        // SAFETY: the map has such keys. What is found is the kernel's map, which stays until the
        // program ends; like a definition, it is an address that nobody reads at.
        unsafe {
            let found: *const c_void = raw::bpf_map_lookup_elem(map.as_raw(), key);
            found.cast::<M>().as_ref()
        }
    })
}
