//! Maps seen through plain types: keys and values are copied as they are.

use std::{fmt, marker::PhantomData};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Map, Update, entries::Walk};
use crate::{Error, Result};

/// A map seen through plain types.
///
/// ```no_run
/// use skep::{Host, Map, MapSpec, Update, abi::MapType};
///
/// let map = Map::create(&Host::auto()?, &MapSpec::new(MapType::Hash, "hits", 4, 8, 1024))?;
/// let hits = map.typed::<u32, u64>()?;
/// hits.set(&7, &1, Update::Any)?;
/// hits.set_many(&[8, 9], &[1, 1], Update::Any)?;
/// for entry in hits.iter() {
///     let (key, count) = entry?;
///     println!("{key}: {count}");
/// }
/// # Ok::<(), skep::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct TypedMap<'a, K, V> {
    map: &'a Map,
    types: PhantomData<fn() -> (K, V)>,
}

impl Map {
    /// A typed view, with plain types of the map's sizes.
    ///
    /// # Errors
    /// The map is per-CPU (see [`per_cpu`](Self::per_cpu)), has no keys (see
    /// [`queue`](Self::queue), [`bloom`](Self::bloom)), or a size is another.
    pub fn typed<K, V>(&self) -> Result<TypedMap<'_, K, V>>
    where
        K: IntoBytes + FromBytes + Immutable,
        V: IntoBytes + FromBytes + Immutable,
    {
        if self.is_per_cpu() {
            return Err(Error::map(
                self,
                "it has a value for each CPU: use `per_cpu`",
            ));
        }
        self.check("key", size_of::<K>(), self.key_size())?;
        self.check("value", size_of::<V>(), self.value_size())?;
        Ok(TypedMap {
            map: self,
            types: PhantomData,
        })
    }
}

impl<'a, K, V> TypedMap<'a, K, V>
where
    K: IntoBytes + FromBytes + Immutable,
    V: IntoBytes + FromBytes + Immutable,
{
    /// The value of `key`; `None` when it is not there.
    ///
    /// # Errors
    /// The host refused.
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        let mut value = V::new_zeroed();
        let found = self.map.lookup_into(key.as_bytes(), value.as_mut_bytes())?;
        Ok(found.then_some(value))
    }

    /// The same, copied while the value's `bpf_spin_lock` is held: no half-written value is
    /// seen. Since 5.1.
    ///
    /// # Errors
    /// The map's value has no lock (`EINVAL`), or the host refused.
    #[doc(alias = "BPF_F_LOCK")]
    pub fn get_locked(&self, key: &K) -> Result<Option<V>> {
        let mut value = V::new_zeroed();
        let found = self
            .map
            .lookup_locked(key.as_bytes(), value.as_mut_bytes())?;
        Ok(found.then_some(value))
    }

    /// Sets `key` to `value`.
    ///
    /// # Errors
    /// The map is full, or `update` forbids it.
    pub fn set(&self, key: &K, value: &V, update: Update) -> Result<()> {
        self.map.update(key.as_bytes(), value.as_bytes(), update)
    }

    /// The same, written while the value's `bpf_spin_lock` is held. Since 5.1.
    ///
    /// # Errors
    /// The map's value has no lock (`EINVAL`), the map is full, or `update` forbids it.
    #[doc(alias = "BPF_F_LOCK")]
    pub fn set_locked(&self, key: &K, value: &V, update: Update) -> Result<()> {
        self.map
            .update_locked(key.as_bytes(), value.as_bytes(), update)
    }

    /// Sets each of `keys` to the value at its place: see [`Map::update_batch`].
    ///
    /// # Errors
    /// There are more or fewer values than keys, or the host refused one.
    pub fn set_many(&self, keys: &[K], values: &[V], update: Update) -> Result<()> {
        self.map
            .update_batch(keys.as_bytes(), values.as_bytes(), update)
    }

    /// Deletes `key`; `false` when it was not there.
    ///
    /// # Errors
    /// The map's type has no deletes.
    pub fn remove(&self, key: &K) -> Result<bool> {
        self.map.delete(key.as_bytes())
    }

    /// Deletes `keys`; answers how many of them there were: see [`Map::delete_batch`].
    ///
    /// # Errors
    /// The map's type has no deletes.
    pub fn remove_many(&self, keys: &[K]) -> Result<usize> {
        self.map.delete_batch(keys.as_bytes())
    }

    /// Takes `key` out; `None` when it was not there. Since 5.14, hash maps.
    ///
    /// # Errors
    /// The map's type or the kernel has no such command.
    pub fn take(&self, key: &K) -> Result<Option<V>> {
        let mut value = V::new_zeroed();
        let found = self.map.take_into(key.as_bytes(), value.as_mut_bytes())?;
        Ok(found.then_some(value))
    }

    /// All entries: see [`Map::walk`]. Nothing is allocated for an entry.
    pub fn iter(&self) -> TypedIter<'a, K, V> {
        TypedIter {
            map: self.map,
            walk: self.map.walk(),
            types: PhantomData,
        }
    }

    /// Takes all entries out: see [`Map::drain`].
    pub fn drain(&self) -> TypedIter<'a, K, V> {
        TypedIter {
            map: self.map,
            walk: self.map.drain(),
            types: PhantomData,
        }
    }
}

/// Iterates over the entries of a [`TypedMap`].
pub struct TypedIter<'a, K, V> {
    map: &'a Map,
    walk: Walk<'a>,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: FromBytes, V: FromBytes> Iterator for TypedIter<'_, K, V> {
    type Item = Result<(K, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.walk.next().transpose()?;
        Some(entry.and_then(|(key, value)| Ok((read(self.map, key)?, read(self.map, value)?))))
    }
}

impl<K, V> fmt::Debug for TypedIter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedIter").field(&self.walk).finish()
    }
}

/// A plain value from bytes that a map gave.
pub(super) fn read<T: FromBytes>(map: &Map, bytes: &[u8]) -> Result<T> {
    T::read_from_bytes(bytes)
        .map_err(|_| Error::map(map, "an entry has another size than its type"))
}
