//! Maps from keys to values: plain, with the least recently used making room, and per CPU.

use super::definition::{Number, definition};
use super::{MapOptions, Options, UpdateFlags, Value, delete, lookup, lookup_on, update};
use crate::error::{Error, Result};
use crate::plain::Plain;

macro_rules! hash {
    ($($(#[$doc:meta])* $name:ident = $id:literal;)*) => { $(
        definition! {
            $(#[$doc])*
            $name = $id, [K: Plain, V: Plain, const MAX_ENTRIES: usize,], [K, V, MAX_ENTRIES,], Options,
            { key: *const K, value: *const V, max_entries: Number<MAX_ENTRIES> }
        }

        impl<K: Plain, V: Plain, const MAX_ENTRIES: usize, O: MapOptions> $name<K, V, MAX_ENTRIES, O> {
            /// The value of a key, if there is one. Of a per-CPU map: this CPU's.
            #[doc(alias = "bpf_map_lookup_elem")]
            #[inline(always)]
            #[must_use]
            pub fn get(&self, key: &K) -> Option<Value<'_, V>> {
                lookup(self, key)
            }

            /// Writes the value of a key. `E2BIG` where the map is full.
            #[doc(alias = "bpf_map_update_elem")]
            #[inline(always)]
            pub fn insert(&self, key: &K, value: &V) -> Result {
                update(self, key, value, UpdateFlags::ANY)
            }

            /// Writes the value of a key that must or must not be there: `ENOENT`, `EEXIST`.
            #[inline(always)]
            pub fn insert_with(&self, key: &K, value: &V, flags: UpdateFlags) -> Result {
                update(self, key, value, flags)
            }

            /// The value of a key, which is put there first if need be. `E2BIG` where the map is
            /// full; `ENOENT` where another program removed the key at this very moment.
            #[inline(always)]
            pub fn get_or_insert(&self, key: &K, value: &V) -> Result<Value<'_, V>> {
                if let Some(found) = self.get(key) {
                    return Ok(found);
                }
                // Where another CPU was faster, its value is the one.
                let added = update(self, key, value, UpdateFlags::NO_EXIST);
                self.get(key).ok_or(added.err().unwrap_or(Error::ENOENT))
            }

            /// Removes a key. `ENOENT` where it is not there.
            #[doc(alias = "bpf_map_delete_elem")]
            #[inline(always)]
            pub fn remove(&self, key: &K) -> Result {
                delete(self, key)
            }
        }
    )* };
}

hash! {
    /// Keys and values. Linux 3.19.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static LENGTHS: HashMap<u32, u64, 1024> = HashMap::new();
    ///
    /// #[xdp]
    /// fn count(_: &XdpContext) -> XdpAction {
    ///     if let Ok(length) = LENGTHS.get_or_insert(&6, &0) {
    ///         length.add(64);
    ///     }
    ///     let _ = LENGTHS.remove(&17);
    ///     XdpAction::PASS
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_HASH")]
    HashMap = 1;

    /// Keys and values; when full, the least recently used makes room. Linux 4.10.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static LATEST: LruHashMap<u32, u64, 1024> = LruHashMap::new();
    ///
    /// #[xdp]
    /// fn remember(_: &XdpContext) -> XdpAction {
    ///     match LATEST.insert_with(&6, &1, UpdateFlags::NO_EXIST) {
    ///         Err(Error::EEXIST) => XdpAction::DROP,
    ///         _ => XdpAction::PASS,
    ///     }
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_LRU_HASH")]
    LruHashMap = 9;

    /// Keys with a value for each CPU. Linux 4.6.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static COUNTS: PerCpuHashMap<u32, u64, 1024> = PerCpuHashMap::new();
    ///
    /// #[xdp]
    /// fn count(_: &XdpContext) -> XdpAction {
    ///     match COUNTS.get(&6) {
    ///         Some(count) => count.update(|count| count + 1),
    ///         None => COUNTS.insert(&6, &1).unwrap_or_default(),
    ///     }
    ///     XdpAction::PASS
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_PERCPU_HASH")]
    PerCpuHashMap = 5;

    /// Keys with a value for each CPU; when full, the least recently used makes room. Linux 4.10.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static COUNTS: LruPerCpuHashMap<u32, u64, 1024> = LruPerCpuHashMap::new();
    ///
    /// #[xdp]
    /// fn count(_: &XdpContext) -> XdpAction {
    ///     if let Ok(count) = COUNTS.get_or_insert(&6, &0) {
    ///         count.update(|count| count + 1);
    ///     }
    ///     XdpAction::PASS
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_LRU_PERCPU_HASH")]
    LruPerCpuHashMap = 10;
}

macro_rules! of_other_cpus {
    ($($name:ident)*) => { $(
        impl<K: Plain, V: Plain, const MAX_ENTRIES: usize, O: MapOptions> $name<K, V, MAX_ENTRIES, O> {
            /// Another CPU's value of a key, if there are such a key and CPU. Linux 5.19.
            #[doc(alias = "bpf_map_lookup_percpu_elem")]
            #[inline(always)]
            #[must_use]
            pub fn get_for_cpu(&self, key: &K, cpu: u32) -> Option<Value<'_, V>> {
                lookup_on(self, key, cpu)
            }
        }
    )* };
}

of_other_cpus! { PerCpuHashMap LruPerCpuHashMap }
