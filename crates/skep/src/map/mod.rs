//! A map that a host holds: what it is, and its entries as bytes. Each file beside this one adds
//! a view or a way: opening, walking, batches, and the kinds of maps that are more than a table.

mod batch;
mod bloom;
mod entries;
mod keys;
mod memory;
mod open;
mod per_cpu;
mod queue;
mod slots;
mod stack;
#[cfg(unix)]
mod storage;
mod typed;

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex},
};

use skep_abi::{MapType, MapUpdateFlags};
use skep_btf::{Btf, TypeId};
use skep_host::{ArenaMemory, Host, MapFd, MapInfo};

use crate::{Error, Result};

pub use bloom::Bloom;
pub use entries::{Entries, Walk};
pub use keys::{CgroupStorageKey, CpumapValue, DevmapValue, LpmKey};
pub use memory::MapMemory;
pub use open::MapSpec;
pub use per_cpu::{PerCpuMap, PerCpuWalk};
pub use queue::Queue;
pub use slots::Slots;
#[cfg(unix)]
pub use storage::Storage;
pub use typed::{TypedIter, TypedMap};

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
            Self::New => MapUpdateFlags::NOEXIST.bits(),
            Self::Existing => MapUpdateFlags::EXIST.bits(),
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
    arena: Mutex<Option<ArenaMemory>>,
}

impl Map {
    pub(crate) fn new(
        host: Arc<dyn Host>,
        fd: MapFd,
        info: MapInfo,
        types: Option<MapTypes>,
    ) -> Result<Self> {
        let cpus = if info.map_type().is_some_and(MapType::is_per_cpu) {
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

    /// Whether each CPU has its own value.
    pub fn is_per_cpu(&self) -> bool {
        self.map_type().is_some_and(MapType::is_per_cpu)
    }

    /// Bytes of an entry's value as the host copies it: per-CPU values are rounded up to 8.
    pub fn entry_size(&self) -> usize {
        if self.is_per_cpu() {
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

    pub(crate) fn arena_memory(&self) -> &Mutex<Option<ArenaMemory>> {
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

    /// [`lookup_into`](Self::lookup_into), while the value's `bpf_spin_lock` is held: no
    /// half-written value is seen. Since 5.1.
    ///
    /// # Errors
    /// A length is wrong, the map's value has no lock (`EINVAL`), or the host refused.
    #[doc(alias = "BPF_F_LOCK")]
    pub fn lookup_locked(&self, key: &[u8], value: &mut [u8]) -> Result<bool> {
        self.check("key", key.len(), self.key_size())?;
        self.check("value", value.len(), self.entry_size())?;
        let flags = MapUpdateFlags::LOCK.bits();
        Ok(self.host.map_lookup_elem(&self.fd, key, value, flags)?)
    }

    /// [`update`](Self::update), while the value's `bpf_spin_lock` is held. Since 5.1.
    ///
    /// # Errors
    /// As `update`; and the map's value has no lock (`EINVAL`).
    #[doc(alias = "BPF_F_LOCK")]
    pub fn update_locked(&self, key: &[u8], value: &[u8], update: Update) -> Result<()> {
        self.check("key", key.len(), self.key_size())?;
        self.check("value", value.len(), self.entry_size())?;
        let flags = update.flags() | MapUpdateFlags::LOCK.bits();
        Ok(self.host.map_update_elem(&self.fd, key, value, flags)?)
    }

    /// Copies an entry's value into `value` and deletes it at once; `false` when the key is not
    /// there. Since 5.14, hash maps.
    ///
    /// # Errors
    /// A length is wrong, or the map's type or the kernel has no such command.
    #[doc(alias = "BPF_MAP_LOOKUP_AND_DELETE_ELEM")]
    pub fn take_into(&self, key: &[u8], value: &mut [u8]) -> Result<bool> {
        self.check("key", key.len(), self.key_size())?;
        self.check("value", value.len(), self.entry_size())?;
        Ok(self
            .host
            .map_lookup_and_delete_elem(&self.fd, key, value, 0)?)
    }

    /// Deletes an entry; `false` when it was not there.
    ///
    /// # Errors
    /// The key has the wrong length, or the map's type has no deletes.
    pub fn delete(&self, key: &[u8]) -> Result<bool> {
        self.check("key", key.len(), self.key_size())?;
        Ok(self.host.map_delete_elem(&self.fd, key)?)
    }

    /// Keeps the map at `path` in a bpffs.
    ///
    /// # Errors
    /// The path is taken, or not in a bpffs.
    pub fn pin(&self, path: &Path) -> Result<()> {
        Ok(self.host.obj_pin(self.fd.descriptor(), path.into())?)
    }

    /// Forbids writes from user space for good; programs still write. Since 5.2.
    ///
    /// # Errors
    /// The map's memory is mapped for writing (`EBUSY`), or its type can't be frozen.
    #[doc(alias = "BPF_MAP_FREEZE")]
    pub fn freeze(&self) -> Result<()> {
        Ok(self.host.map_freeze(&self.fd)?)
    }

    pub(crate) fn expect_type(&self, wanted: &[MapType]) -> Result<()> {
        if self
            .map_type()
            .is_some_and(|map_type| wanted.contains(&map_type))
        {
            return Ok(());
        }
        let names: Vec<String> = wanted.iter().map(MapType::to_string).collect();
        Err(Error::map(
            self,
            &format!(
                "it is a map of type {}, not {}",
                self.type_name(),
                names.join(" or ")
            ),
        ))
    }

    /// Its type in words, for errors.
    fn type_name(&self) -> String {
        self.map_type()
            .map_or_else(|| "of an unknown kind".into(), |kind| kind.to_string())
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

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}
