//! A map that a host holds: raw operations by bytes, and typed views over them.

use std::{
    fmt,
    marker::PhantomData,
    path::Path,
    sync::{Arc, Mutex},
};

use skep_abi::{MapType, ObjectFlags};
use skep_btf::{Btf, TypeId};
use skep_host::{Host, MapFd, MapInfo, Memory};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{Error, Result};

/// What an update does when the key is there, or is not (`BPF_ANY`, …).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Update {
    /// Sets it either way.
    #[default]
    #[doc(alias = "BPF_ANY")]
    Any,
    /// Only a new key; `EEXIST` otherwise.
    #[doc(alias = "BPF_NOEXIST")]
    New,
    /// Only a key that is there; `ENOENT` otherwise.
    #[doc(alias = "BPF_EXIST")]
    Existing,
}

impl Update {
    fn flags(self) -> u64 {
        match self {
            Self::Any => 0,
            Self::New => 1,
            Self::Existing => 2,
        }
    }
}

/// The BTF types of a map's key and value, for printing and checks.
#[derive(Clone)]
pub struct MapTypes {
    /// The BTF that the ids are in.
    pub btf: Arc<Btf>,
    /// The key's type; void where the map has none.
    pub key: TypeId,
    /// The value's type, or a ring's record type; void where it is not known.
    pub value: TypeId,
}

impl fmt::Debug for MapTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapTypes")
            .field("key", &self.key)
            .field("value", &self.value)
            .finish()
    }
}

/// A map that a host holds. It lives on while any `Arc` of it, program or pin does.
pub struct Map {
    host: Arc<dyn Host>,
    fd: MapFd,
    info: MapInfo,
    types: Option<MapTypes>,
    cpus: usize,
    /// The memory of an arena, once it is mapped.
    arena: Mutex<Option<Arc<dyn Memory>>>,
}

impl Map {
    /// Takes a map by its descriptor, asking the host what it is.
    ///
    /// # Errors
    /// The host refused to tell.
    pub fn from_fd(host: Arc<dyn Host>, fd: MapFd) -> Result<Self> {
        let info = host.map_info(&fd)?;
        let name = info.name.clone();
        Self::new(host, fd, MapInfo { name, ..info }, None)
    }

    /// Opens the map pinned at `path`.
    ///
    /// # Errors
    /// Nothing is pinned there, or it is no map.
    pub fn open_pinned(host: Arc<dyn Host>, path: &Path) -> Result<Self> {
        match host.obj_get(path.into(), ObjectFlags::empty())? {
            skep_host::Pinned::Map(fd) => Self::from_fd(host, fd),
            _ => Err(Error::Pin {
                path: path.into(),
                reason: "it is not a map".into(),
            }),
        }
    }

    pub(crate) fn new(
        host: Arc<dyn Host>,
        fd: MapFd,
        info: MapInfo,
        types: Option<MapTypes>,
    ) -> Result<Self> {
        let cpus = if is_per_cpu(&info) {
            host.possible_cpus()?
        } else {
            1
        };
        Ok(Self {
            host,
            fd,
            info,
            types,
            cpus,
            arena: Mutex::default(),
        })
    }

    /// Its full name, as the source spells it.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// Its type, when this version of Skep knows it.
    pub fn map_type(&self) -> Option<MapType> {
        self.info.map_type()
    }

    /// Bytes of a key.
    pub fn key_size(&self) -> usize {
        self.info.key_size as usize
    }

    /// Bytes of a value; for per-CPU maps, of one CPU's.
    pub fn value_size(&self) -> usize {
        self.info.value_size as usize
    }

    /// Most entries; bytes for a ring buffer.
    pub fn max_entries(&self) -> u32 {
        self.info.max_entries
    }

    /// Values an entry has: one, or one a possible CPU.
    pub fn values_per_entry(&self) -> usize {
        self.cpus
    }

    /// Bytes of an entry's value as the host copies it: per-CPU values are rounded up to 8.
    pub fn entry_size(&self) -> usize {
        if is_per_cpu(&self.info) {
            self.value_size().next_multiple_of(8) * self.cpus
        } else {
            self.value_size()
        }
    }

    /// The BTF types of key and value, where they are known.
    pub fn types(&self) -> Option<&MapTypes> {
        self.types.as_ref()
    }

    /// Its descriptor.
    pub fn fd(&self) -> &MapFd {
        &self.fd
    }

    /// The host that holds it.
    pub fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }

    /// What the host says of it now.
    ///
    /// # Errors
    /// The host refused to tell.
    pub fn info(&self) -> Result<MapInfo> {
        Ok(self.host.map_info(&self.fd)?)
    }

    /// What the host said of it when it was opened.
    pub(crate) fn known_info(&self) -> &MapInfo {
        &self.info
    }

    pub(crate) fn arena_memory(&self) -> &Mutex<Option<Arc<dyn Memory>>> {
        &self.arena
    }

    /// Copies an entry's value out; `None` when the key is not there. Per-CPU maps give
    /// [`entry_size`](Self::entry_size) bytes.
    ///
    /// # Errors
    /// The key has the wrong length, or the host refused.
    pub fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.entry_size()];
        Ok(self.lookup_into(key, &mut value)?.then_some(value))
    }

    /// Copies an entry's value into `value`; `false` when the key is not there.
    ///
    /// # Errors
    /// A length is wrong, or the host refused.
    pub fn lookup_into(&self, key: &[u8], value: &mut [u8]) -> Result<bool> {
        self.check("key", key.len(), self.key_size())?;
        self.check("value", value.len(), self.entry_size())?;
        Ok(self.host.map_lookup_elem(&self.fd, key, value, 0)?)
    }

    /// Sets an entry. Maps of maps and programs take a descriptor's number as value.
    ///
    /// # Errors
    /// A length is wrong, the map is full (`E2BIG`), or `update` forbids it.
    pub fn update(&self, key: &[u8], value: &[u8], update: Update) -> Result<()> {
        self.check("key", key.len(), self.key_size())?;
        self.check("value", value.len(), self.entry_size())?;
        Ok(self
            .host
            .map_update_elem(&self.fd, key, value, update.flags())?)
    }

    /// Deletes an entry; `false` when it was not there.
    ///
    /// # Errors
    /// The key has the wrong length, or the map's type has no deletes.
    pub fn delete(&self, key: &[u8]) -> Result<bool> {
        self.check("key", key.len(), self.key_size())?;
        Ok(self.host.map_delete_elem(&self.fd, key)?)
    }

    /// Takes the next value off a queue or stack; `None` when it is empty.
    ///
    /// # Errors
    /// The map is of another type.
    pub fn pop(&self) -> Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.entry_size()];
        let found = self
            .host
            .map_lookup_and_delete_elem(&self.fd, &[], &mut value, 0)?;
        Ok(found.then_some(value))
    }

    /// All entries, as (key, value) bytes. An entry that is deleted meanwhile is left out; one
    /// that is added meanwhile may be. Ends after twice `max_entries` keys, however fast a
    /// program refills the map.
    pub fn entries(&self) -> Entries<'_> {
        let budget = u64::from(self.max_entries()).saturating_mul(2).max(1);
        Entries {
            map: self,
            key: None,
            budget,
            keys_only: false,
        }
    }

    /// All keys: see [`entries`](Self::entries).
    pub fn keys(&self) -> impl Iterator<Item = Result<Vec<u8>>> {
        let entries = Entries {
            keys_only: true,
            ..self.entries()
        };
        entries.map(|entry| entry.map(|(key, _)| key))
    }

    /// Keeps the map at `path` in a bpffs.
    ///
    /// # Errors
    /// The path is taken, or not in a bpffs.
    pub fn pin(&self, path: &Path) -> Result<()> {
        Ok(self.host.obj_pin(self.fd.descriptor(), path.into())?)
    }

    /// A typed view, with plain types of the map's sizes.
    ///
    /// # Errors
    /// The map is per-CPU (see [`per_cpu`](Self::per_cpu)), or a size is another.
    pub fn typed<K, V>(&self) -> Result<TypedMap<'_, K, V>>
    where
        K: IntoBytes + FromBytes + Immutable,
        V: IntoBytes + FromBytes + Immutable,
    {
        if is_per_cpu(&self.info) {
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

    /// A typed view of a per-CPU map.
    ///
    /// # Errors
    /// The map is not per-CPU, or a size is another.
    pub fn per_cpu<K, V>(&self) -> Result<PerCpuMap<'_, K, V>>
    where
        K: IntoBytes + FromBytes + Immutable,
        V: IntoBytes + FromBytes + Immutable,
    {
        if !is_per_cpu(&self.info) {
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
    pub fn split_per_cpu<'v>(&self, entry: &'v [u8]) -> impl Iterator<Item = &'v [u8]> {
        let size = self.value_size();
        let stride = if is_per_cpu(&self.info) {
            size.next_multiple_of(8)
        } else {
            size
        };
        entry
            .chunks_exact(stride.max(1))
            .map(move |value| &value[..size])
    }

    pub(crate) fn expect_type(&self, wanted: &[MapType]) -> Result<()> {
        if self
            .map_type()
            .is_some_and(|map_type| wanted.contains(&map_type))
        {
            return Ok(());
        }
        let is = self
            .map_type()
            .map_or_else(|| "of an unknown type".into(), |t| t.to_string());
        Err(Error::map(
            self,
            &format!("it is a map of type {is}, not {}", wanted[0]),
        ))
    }

    fn check(&self, what: &str, given: usize, wanted: usize) -> Result<()> {
        if given == wanted {
            return Ok(());
        }
        Err(Error::map(
            self,
            &format!("the {what} is {given} bytes, and the map's is {wanted}"),
        ))
    }
}

fn is_per_cpu(info: &MapInfo) -> bool {
    matches!(
        info.map_type(),
        Some(
            MapType::PercpuHash
                | MapType::PercpuArray
                | MapType::LruPercpuHash
                | MapType::PercpuCgroupStorage
        )
    )
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// Iterates over a map's entries.
#[derive(Debug)]
pub struct Entries<'a> {
    map: &'a Map,
    key: Option<Vec<u8>>,
    budget: u64,
    keys_only: bool,
}

impl Iterator for Entries<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.budget = self.budget.checked_sub(1)?;
            let mut next = vec![0; self.map.key_size()];
            match self
                .map
                .host
                .map_get_next_key(&self.map.fd, self.key.as_deref(), &mut next)
            {
                Ok(true) => {}
                Ok(false) => {
                    self.budget = 0;
                    return None;
                }
                Err(error) => {
                    self.budget = 0;
                    return Some(Err(error.into()));
                }
            }
            self.key = Some(next.clone());
            if self.keys_only {
                return Some(Ok((next, Vec::new())));
            }
            match self.map.lookup(&next) {
                Ok(Some(value)) => return Some(Ok((next, value))),
                Ok(None) => {}
                Err(error) => {
                    self.budget = 0;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// A map seen through plain types.
#[derive(Debug, Clone, Copy)]
pub struct TypedMap<'a, K, V> {
    map: &'a Map,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> TypedMap<'_, K, V>
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

    /// Sets `key` to `value`.
    ///
    /// # Errors
    /// The map is full, or `update` forbids it.
    pub fn set(&self, key: &K, value: &V, update: Update) -> Result<()> {
        self.map.update(key.as_bytes(), value.as_bytes(), update)
    }

    /// Deletes `key`; `false` when it was not there.
    ///
    /// # Errors
    /// The map's type has no deletes.
    pub fn remove(&self, key: &K) -> Result<bool> {
        self.map.delete(key.as_bytes())
    }

    /// All entries: see [`Map::entries`].
    pub fn iter(&self) -> impl Iterator<Item = Result<(K, V)>> {
        self.map.entries().map(|entry| {
            let (key, value) = entry?;
            Ok((read(self.map, &key)?, read(self.map, &value)?))
        })
    }
}

/// A per-CPU map seen through plain types.
#[derive(Debug, Clone, Copy)]
pub struct PerCpuMap<'a, K, V> {
    map: &'a Map,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> PerCpuMap<'_, K, V>
where
    K: IntoBytes + FromBytes + Immutable,
    V: IntoBytes + FromBytes + Immutable,
{
    /// The values of `key`, one a possible CPU; `None` when it is not there.
    ///
    /// # Errors
    /// The host refused.
    pub fn get(&self, key: &K) -> Result<Option<Vec<V>>> {
        let Some(entry) = self.map.lookup(key.as_bytes())? else {
            return Ok(None);
        };
        self.map
            .split_per_cpu(&entry)
            .map(|value| read(self.map, value))
            .collect::<Result<_>>()
            .map(Some)
    }

    /// Sets the values of `key`, one a possible CPU.
    ///
    /// # Errors
    /// There are too few or too many values, or the map is full.
    pub fn set(&self, key: &K, values: &[V], update: Update) -> Result<()> {
        let stride = self.map.value_size().next_multiple_of(8);
        let mut entry = vec![0; stride * values.len()];
        for (slot, value) in entry.chunks_exact_mut(stride).zip(values) {
            slot[..self.map.value_size()].copy_from_slice(value.as_bytes());
        }
        self.map.update(key.as_bytes(), &entry, update)
    }

    /// All entries: see [`Map::entries`].
    pub fn iter(&self) -> impl Iterator<Item = Result<(K, Vec<V>)>> {
        self.map.entries().map(|entry| {
            let (key, value) = entry?;
            let values = self
                .map
                .split_per_cpu(&value)
                .map(|v| read(self.map, v))
                .collect::<Result<_>>()?;
            Ok((read(self.map, &key)?, values))
        })
    }
}

fn read<T: FromBytes>(map: &Map, bytes: &[u8]) -> Result<T> {
    T::read_from_bytes(bytes)
        .map_err(|_| Error::map(map, "an entry has another size than its type"))
}
