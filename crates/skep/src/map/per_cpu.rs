//! Per-CPU maps: an entry has a value for each CPU that there can be.
//!
//! The kernel copies the values of all possible CPUs one after the other, each rounded up to 8
//! bytes; a gap in the CPUs' numbers takes no place.

use std::{fmt, marker::PhantomData};

use skep_abi::MapUpdateFlags;
use skep_host::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Map, Update, entries::Walk, typed::read};
use crate::{Error, Result};

/// A per-CPU map seen through plain types.
#[derive(Debug, Clone, Copy)]
pub struct PerCpuMap<'a, K, V> {
    map: &'a Map,
    types: PhantomData<fn() -> (K, V)>,
}

impl Map {
    /// A typed view of a per-CPU map.
    ///
    /// # Errors
    /// The map is not per-CPU, or a size is another.
    pub fn per_cpu<K, V>(&self) -> Result<PerCpuMap<'_, K, V>>
    where
        K: IntoBytes + FromBytes + Immutable,
        V: IntoBytes + FromBytes + Immutable,
    {
        if !self.is_per_cpu() {
            return Err(Error::map(
                self,
                "it has one value for all CPUs: use `typed`",
            ));
        }
        self.check("key", size_of::<K>(), self.key_size())?;
        self.check("value", size_of::<V>(), self.value_size())?;
        Ok(PerCpuMap {
            map: self,
            types: PhantomData,
        })
    }

    /// Each CPU's value of an entry as [`lookup`](Self::lookup) gives it.
    pub fn split_per_cpu<'v>(&self, entry: &'v [u8]) -> impl Iterator<Item = &'v [u8]> + use<'v> {
        let size = self.value_size();
        entry
            .chunks_exact(self.stride().max(1))
            .map(move |value| &value[..size])
    }

    /// Bytes from one CPU's value to the next.
    fn stride(&self) -> usize {
        if self.is_per_cpu() {
            self.value_size().next_multiple_of(8)
        } else {
            self.value_size()
        }
    }
}

impl<'a, K, V> PerCpuMap<'a, K, V>
where
    K: IntoBytes + FromBytes + Immutable,
    V: IntoBytes + FromBytes + Immutable,
{
    /// The values of `key`, one a possible CPU in the order of their numbers; `None` when it is
    /// not there.
    ///
    /// # Errors
    /// The host refused.
    pub fn get(&self, key: &K) -> Result<Option<Vec<V>>> {
        let Some(entry) = self.map.lookup(key.as_bytes())? else {
            return Ok(None);
        };
        let values = self.map.split_per_cpu(&entry);
        values
            .map(|value| read(self.map, value))
            .collect::<Result<_>>()
            .map(Some)
    }

    /// The value that `key` has on the possible CPU `cpu`; `None` when it is not there. One value
    /// is copied since 7.0 (`BPF_F_CPU`), all before.
    ///
    /// # Errors
    /// There can't be such a CPU, or the host refused.
    #[doc(alias = "BPF_F_CPU")]
    pub fn get_on(&self, key: &K, cpu: u32) -> Result<Option<V>> {
        self.check_cpu(cpu)?;
        let mut value = V::new_zeroed();
        let found = self.map.host.map_lookup_elem(
            &self.map.fd,
            key.as_bytes(),
            value.as_mut_bytes(),
            on_cpu(cpu),
        );
        match found {
            Err(error) if error.errno() == Some(Errno::EINVAL) => {
                let Some(entry) = self.map.lookup(key.as_bytes())? else {
                    return Ok(None);
                };
                let mut values = self.map.split_per_cpu(&entry);
                let value = values.nth(cpu as usize).unwrap_or_default();
                read(self.map, value).map(Some)
            }
            found => Ok(found?.then_some(value)),
        }
    }

    /// Sets the values of `key`, one a possible CPU.
    ///
    /// # Errors
    /// There are too few or too many values, or the map is full.
    pub fn set(&self, key: &K, values: &[V], update: Update) -> Result<()> {
        let (stride, size) = (self.map.stride(), self.map.value_size());
        let mut entry = vec![0; stride * values.len()];
        for (slot, value) in entry.chunks_exact_mut(stride.max(1)).zip(values) {
            slot[..size].copy_from_slice(value.as_bytes());
        }
        self.map.update(key.as_bytes(), &entry, update)
    }

    /// Sets the value of `key` on all CPUs to the same. One value is copied since 7.0
    /// (`BPF_F_ALL_CPUS`), one a CPU before.
    ///
    /// # Errors
    /// The map is full, or `update` forbids it.
    #[doc(alias = "BPF_F_ALL_CPUS")]
    pub fn set_all(&self, key: &K, value: &V, update: Update) -> Result<()> {
        let answer = self.map.host.map_update_elem(
            &self.map.fd,
            key.as_bytes(),
            value.as_bytes(),
            update.flags() | MapUpdateFlags::ALL_CPUS.bits(),
        );
        match answer {
            Err(error) if error.errno() == Some(Errno::EINVAL) => {
                let mut slot = value.as_bytes().to_vec();
                slot.resize(self.map.stride(), 0);
                let entry = slot.repeat(self.map.values_per_entry());
                self.map.update(key.as_bytes(), &entry, update)
            }
            answer => Ok(answer?),
        }
    }

    /// Sets the value that `key` has on the possible CPU `cpu`, and leaves those of the others.
    /// Since 7.0.
    ///
    /// # Errors
    /// The kernel is older (no other way leaves what programs write on the other CPUs alone),
    /// there can't be such a CPU, or the map is full.
    #[doc(alias = "BPF_F_CPU")]
    pub fn set_on(&self, key: &K, cpu: u32, value: &V, update: Update) -> Result<()> {
        self.check_cpu(cpu)?;
        let flags = update.flags() | on_cpu(cpu);
        let answer =
            self.map
                .host
                .map_update_elem(&self.map.fd, key.as_bytes(), value.as_bytes(), flags);
        match answer {
            Err(error) if error.errno() == Some(Errno::EINVAL) && self.is_too_old() => {
                Err(Error::map(
                    self.map,
                    "only Linux 7.0 and newer can set one CPU's value: use `set` or `set_all`",
                ))
            }
            answer => Ok(answer?),
        }
    }

    /// Deletes `key`; `false` when it was not there.
    ///
    /// # Errors
    /// The map's type has no deletes.
    pub fn remove(&self, key: &K) -> Result<bool> {
        self.map.delete(key.as_bytes())
    }

    /// All entries, each with a `Vec` of its values: see [`Map::walk`].
    pub fn iter(&self) -> impl Iterator<Item = Result<(K, Vec<V>)>> + use<'a, K, V> {
        let mut walk = self.walk();
        std::iter::from_fn(move || {
            let entry = walk.next().transpose()?;
            Some(entry.map(|(key, values)| (key, values.collect())))
        })
    }

    /// All entries, with nothing allocated for one: see [`Map::walk`].
    pub fn walk(&self) -> PerCpuWalk<'a, K, V> {
        PerCpuWalk {
            map: self.map,
            walk: self.map.walk(),
            types: PhantomData,
        }
    }

    /// Takes all entries out: see [`Map::drain`].
    pub fn drain(&self) -> PerCpuWalk<'a, K, V> {
        PerCpuWalk {
            map: self.map,
            walk: self.map.drain(),
            types: PhantomData,
        }
    }

    fn is_too_old(&self) -> bool {
        let since = MapUpdateFlags::CPU.since();
        since.is_some_and(|since| self.map.host.info().version < since)
    }

    fn check_cpu(&self, cpu: u32) -> Result<()> {
        let cpus = self.map.values_per_entry();
        if (cpu as usize) < cpus {
            return Ok(());
        }
        Err(Error::map(
            self.map,
            &format!("it has values for {cpus} CPUs, and none for number {cpu}"),
        ))
    }
}

/// The flags that make a command one of a single CPU's value.
fn on_cpu(cpu: u32) -> u64 {
    u64::from(cpu) << 32 | MapUpdateFlags::CPU.bits()
}

/// A walk over a per-CPU map's entries: see [`Map::walk`].
pub struct PerCpuWalk<'a, K, V> {
    map: &'a Map,
    walk: Walk<'a>,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: FromBytes, V: FromBytes> PerCpuWalk<'_, K, V> {
    /// The next entry's key, and its values, one a possible CPU; `None` at the end.
    ///
    /// # Errors
    /// The host refused; the walk is over then.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator can't lend from itself"
    )]
    pub fn next(&mut self) -> Result<Option<(K, impl ExactSizeIterator<Item = V>)>> {
        let Some((key, entry)) = self.walk.next()? else {
            return Ok(None);
        };
        let size = self.map.value_size();
        let values = entry.chunks_exact(self.map.stride().max(1));
        // The sizes were compared when the view was made.
        let values = values.map(move |value| {
            V::read_from_bytes(&value[..size]).unwrap_or_else(|_| V::new_zeroed())
        });
        Ok(Some((read(self.map, key)?, values)))
    }
}

impl<K, V> fmt::Debug for PerCpuWalk<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PerCpuWalk").field(&self.walk).finish()
    }
}
