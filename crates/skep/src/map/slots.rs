//! Maps whose values are things: maps, programs, sockets, cgroups, perf events. A descriptor goes
//! in, an id comes out.

use std::{marker::PhantomData, sync::Arc};

use skep_abi::MapType;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Map, Update, typed::read};
use crate::{Error, Program, Result};

/// Types that hold maps.
const OF_MAPS: &[MapType] = &[MapType::ArrayOfMaps, MapType::HashOfMaps];
/// Types that hold open files which are no BPF objects.
const OF_FILES: &[MapType] = &[
    MapType::Sockmap,
    MapType::Sockhash,
    MapType::ReuseportSockarray,
    MapType::Xskmap,
    MapType::CgroupArray,
    MapType::PerfEventArray,
];

/// A map of things, by keys of type `K`.
///
/// Devices and CPUs are not put in by descriptor: use [`Map::typed`] with
/// [`DevmapValue`](crate::DevmapValue) or [`CpumapValue`](crate::CpumapValue) for those.
#[derive(Debug, Clone, Copy)]
pub struct Slots<'a, K> {
    map: &'a Map,
    types: PhantomData<fn() -> K>,
}

impl Map {
    /// A view of a map of maps, programs, sockets, cgroups or perf events.
    ///
    /// # Errors
    /// The map is of another type (see [`typed`](Self::typed)), or its keys of another size.
    pub fn slots<K>(&self) -> Result<Slots<'_, K>>
    where
        K: IntoBytes + FromBytes + Immutable,
    {
        let holds = |kinds: &[MapType]| self.map_type().is_some_and(|kind| kinds.contains(&kind));
        if !holds(OF_MAPS) && !holds(OF_FILES) && !holds(&[MapType::ProgArray]) {
            return Err(Error::map(
                self,
                &format!(
                    "a map of type {} holds plain values: use `typed`",
                    self.type_name()
                ),
            ));
        }
        self.check("key", size_of::<K>(), self.key_size())?;
        Ok(Slots {
            map: self,
            types: PhantomData,
        })
    }
}

impl<K> Slots<'_, K>
where
    K: IntoBytes + FromBytes + Immutable,
{
    /// Puts a map into a map of maps. The outer map keeps it alive.
    ///
    /// # Errors
    /// This is no map of maps, `inner` is not like the one that it was made with, or `update`
    /// forbids it.
    #[doc(alias = "BPF_MAP_TYPE_ARRAY_OF_MAPS")]
    #[doc(alias = "BPF_MAP_TYPE_HASH_OF_MAPS")]
    pub fn set_map(&self, key: &K, inner: &Map, update: Update) -> Result<()> {
        self.map.expect_type(OF_MAPS)?;
        self.set_raw(key, inner.fd().raw(), update)
    }

    /// Puts a program into an array for tail calls.
    ///
    /// # Errors
    /// This is no program array, or the program's type or attach type is not that of the
    /// programs which it already holds or which call out of it.
    #[doc(alias = "BPF_MAP_TYPE_PROG_ARRAY")]
    pub fn set_program(&self, key: &K, program: &Program) -> Result<()> {
        self.map.expect_type(&[MapType::ProgArray])?;
        self.set_raw(key, program.fd().raw(), Update::Any)
    }

    /// Puts a socket (sockmap, sockhash, reuseport array, XSK map), a cgroup's directory (cgroup
    /// array) or a perf event in. The map keeps it until the file is closed, or for good.
    ///
    /// # Errors
    /// This map holds no such things, the file is not one that it holds, or `update` forbids it.
    #[doc(alias = "BPF_MAP_TYPE_SOCKMAP")]
    #[doc(alias = "BPF_MAP_TYPE_SOCKHASH")]
    #[doc(alias = "BPF_MAP_TYPE_REUSEPORT_SOCKARRAY")]
    #[doc(alias = "BPF_MAP_TYPE_XSKMAP")]
    #[doc(alias = "BPF_MAP_TYPE_CGROUP_ARRAY")]
    #[doc(alias = "BPF_MAP_TYPE_PERF_EVENT_ARRAY")]
    #[cfg(unix)]
    pub fn set_file(&self, key: &K, file: impl std::os::fd::AsFd, update: Update) -> Result<()> {
        use std::os::fd::AsRawFd as _;
        self.map.expect_type(OF_FILES)?;
        self.set_raw(key, file.as_fd().as_raw_fd(), update)
    }

    fn set_raw(&self, key: &K, raw: i32, update: Update) -> Result<()> {
        // Maps of sockets may have values of 8 bytes, which then read as the sockets' cookies.
        let mut value = i64::from(raw).to_ne_bytes();
        if self.map.value_size() == 4 {
            value[..4].copy_from_slice(&raw.to_ne_bytes());
        }
        let value = value.get(..self.map.value_size()).unwrap_or(&value);
        self.map.update(key.as_bytes(), value, update)
    }

    /// The id of the map or program at `key` (the cookie of a socket, where values are 8 bytes);
    /// `None` when there is none.
    ///
    /// # Errors
    /// The map's type can't be read from user space (XSK maps, cgroup arrays, perf event
    /// arrays).
    pub fn id(&self, key: &K) -> Result<Option<u64>> {
        let Some(value) = self.map.lookup(key.as_bytes())? else {
            return Ok(None);
        };
        let id = match value.len() {
            4 => u64::from(read::<u32>(self.map, &value)?),
            _ => read(self.map, &value)?,
        };
        Ok(Some(id))
    }

    /// Opens the map at `key`; `None` when there is none.
    ///
    /// # Errors
    /// This is no map of maps, or `CAP_SYS_ADMIN` is missing.
    pub fn inner(&self, key: &K) -> Result<Option<Map>> {
        self.map.expect_type(OF_MAPS)?;
        let Some(id) = self.id(key)?.and_then(|id| u32::try_from(id).ok()) else {
            return Ok(None);
        };
        Map::open_id(Arc::clone(&self.map.host), id)
    }

    /// Empties a slot; `false` when it was empty.
    ///
    /// # Errors
    /// The map's type has no deletes (array of maps before 4.12).
    pub fn remove(&self, key: &K) -> Result<bool> {
        self.map.delete(key.as_bytes())
    }
}
