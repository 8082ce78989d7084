//! Ways to a map: making one without an object, and opening one by pin, id or descriptor.

use std::{path::Path, sync::Arc};

use skep_abi::{MapCreateFlags, MapType, ObjectFlags};
use skep_host::{Host as Boundary, MapCreate, MapFd, MapInfo};

use super::Map;
use crate::{Error, Host, Result};

/// The shape of a map to make without an object.
#[derive(Debug, Clone)]
pub struct MapSpec<'a> {
    name: &'a str,
    inner: Option<&'a Map>,
    request: MapCreate<'a>,
}

impl<'a> MapSpec<'a> {
    /// A map of the given type, with keys and values of so many bytes.
    pub fn new(
        map_type: MapType,
        name: &'a str,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
    ) -> Self {
        Self {
            name,
            inner: None,
            request: MapCreate::new(map_type, name, key_size, value_size, max_entries),
        }
    }

    /// How it is made. LPM tries and local storages must not be preallocated
    /// ([`NO_PREALLOC`](MapCreateFlags::NO_PREALLOC)).
    #[must_use]
    pub fn flags(mut self, flags: MapCreateFlags) -> Self {
        self.request.flags = flags;
        self
    }

    /// What the type defines: a bloom filter's hash functions, an arena's address. Since 5.16.
    #[must_use]
    pub fn extra(mut self, extra: u64) -> Self {
        self.request.map_extra = extra;
        self
    }

    /// The NUMA node to allocate it on.
    #[must_use]
    pub fn numa_node(mut self, node: u32) -> Self {
        self.request.numa_node = Some(node);
        self
    }

    /// For maps of maps: one that is like those that will be put in.
    #[must_use]
    pub fn inner(mut self, inner: &'a Map) -> Self {
        self.inner = Some(inner);
        self
    }
}

impl Map {
    /// Makes a map.
    ///
    /// # Errors
    /// The host refused: the shape is not one of its type's, or a privilege is missing.
    ///
    /// ```no_run
    /// use skep::{Host, Map, MapSpec, abi::MapType};
    ///
    /// let counts = MapSpec::new(MapType::Array, "counts", 4, 8, 16);
    /// let map = Map::create(&Host::auto()?, &counts)?;
    /// # Ok::<(), skep::Error>(())
    /// ```
    #[doc(alias = "BPF_MAP_CREATE")]
    pub fn create(host: &Host, spec: &MapSpec<'_>) -> Result<Self> {
        let request = MapCreate {
            inner_map: spec.inner.map(Self::fd),
            ..spec.request.clone()
        };
        let host = Arc::clone(host.boundary());
        let fd = host.map_create(&request)?;
        // The host keeps only the first 15 bytes of the name.
        let info = MapInfo {
            name: spec.name.to_owned(),
            ..host.map_info(&fd)?
        };
        Self::new(host, fd, info, None)
    }

    /// Takes a map by its descriptor, asking the host what it is.
    ///
    /// # Errors
    /// The host refused to tell.
    pub fn from_fd(host: Arc<dyn Boundary>, fd: MapFd) -> Result<Self> {
        let info = host.map_info(&fd)?;
        Self::new(host, fd, info, None)
    }

    /// Opens a map by its id; `None` when there is none of it.
    ///
    /// # Errors
    /// `CAP_SYS_ADMIN` is missing.
    #[doc(alias = "BPF_MAP_GET_FD_BY_ID")]
    pub fn open_id(host: Arc<dyn Boundary>, id: u32) -> Result<Option<Self>> {
        let fd = host.map_by_id(id, ObjectFlags::empty())?;
        fd.map(|fd| Self::from_fd(host, fd)).transpose()
    }

    /// Opens the map pinned at `path`.
    ///
    /// # Errors
    /// Nothing is pinned there, or it is no map.
    #[doc(alias = "BPF_OBJ_GET")]
    pub fn open_pinned(host: Arc<dyn Boundary>, path: &Path) -> Result<Self> {
        match host.obj_get(path.into(), ObjectFlags::empty())? {
            skep_host::Pinned::Map(fd) => Self::from_fd(host, fd),
            _ => Err(Error::Pin {
                path: path.into(),
                reason: "it is not a map".into(),
            }),
        }
    }
}
