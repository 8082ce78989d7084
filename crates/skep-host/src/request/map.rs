//! What the commands on maps take: shapes, batches.

use skep_abi::{MapCreateFlags, MapProperties, MapType};

use crate::{BtfFd, Cause, Errno, Host, MapFd, Result, TokenFd};

/// A map to create.
#[derive(Debug, Clone)]
#[doc(alias = "BPF_MAP_CREATE")]
pub struct MapCreate<'a> {
    /// Its type.
    pub map_type: MapType,
    /// Its name; hosts keep the first 15 bytes.
    pub name: &'a str,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries; bytes for ring buffers; pages for arenas.
    pub max_entries: u32,
    /// How it is made.
    pub flags: MapCreateFlags,
    /// What the type defines (bloom filter: hash functions; arena: address). Since 5.16.
    pub map_extra: u64,
    /// The template of the inner maps, for maps of maps.
    pub inner_map: Option<&'a MapFd>,
    /// The NUMA node to allocate on.
    pub numa_node: Option<u32>,
    /// The device that an offloaded map lives on, or 0.
    pub ifindex: u32,
    /// The types of key and value.
    pub btf: Option<MapBtf<'a>>,
    /// The right to create it, from a delegated bpffs. Since 6.9.
    pub token: Option<&'a TokenFd>,
    /// The SHA-256 of the instructions of the one program that may use it. Since 6.18.
    #[doc(alias = "excl_prog_hash")]
    pub exclusive: Option<&'a [u8; 32]>,
}

impl<'a> MapCreate<'a> {
    /// Why a host may refuse it with `E2BIG` or `ENOMEM`: how large it is.
    pub fn too_large(&self, errno: Errno) -> Option<Cause> {
        let entries = u64::from(self.max_entries);
        let size = match self.map_type {
            MapType::Ringbuf | MapType::UserRingbuf => format!("a ring of {entries} bytes"),
            MapType::Arena => format!("an arena of {entries} pages"),
            _ => format!(
                "{entries} entries with keys of {} and values of {} bytes",
                self.key_size, self.value_size
            ),
        };
        let limit = match errno {
            Errno::E2BIG => "that is more than a map of this type can be",
            Errno::ENOMEM => {
                "that is more memory than is free, or than this process' cgroup may have"
            }
            _ => return None,
        };
        Some(Cause::Other {
            what: format!("{size}: {limit}"),
            fix: format!(
                "make it smaller: its max_entries, or `--map-size {}=NUMBER` of `skep run`",
                self.name
            ),
        })
    }

    /// A map of the given shape, with no flags and no BTF.
    pub fn new(
        map_type: MapType,
        name: &'a str,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
    ) -> Self {
        Self {
            map_type,
            name,
            key_size,
            value_size,
            max_entries,
            flags: MapCreateFlags::empty(),
            map_extra: 0,
            inner_map: None,
            numa_node: None,
            ifindex: 0,
            btf: None,
            token: None,
            exclusive: None,
        }
    }

    /// Creates it; without types where its type takes none of those that it has, and works without.
    ///
    /// # Errors
    /// The host refuses it either way: what it said of the map as it is.
    pub fn create_typed_or_not<H: Host + ?Sized>(&self, host: &H) -> Result<MapFd> {
        host.map_create(self).or_else(|error| {
            // Some types of maps take keys of some types only.
            let properties = self.map_type.rules().properties;
            let typed = self
                .btf
                .as_ref()
                .is_some_and(|btf| btf.kernel_value_type == 0);
            let optional = typed && !properties.contains(MapProperties::NEEDS_BTF);
            if optional && error.errno() == Some(Errno::EINVAL) {
                let untyped = MapCreate {
                    btf: None,
                    ..self.clone()
                };
                if let Ok(fd) = host.map_create(&untyped) {
                    return Ok(fd);
                }
            }
            Err(error)
        })
    }
}

/// The types of a map's key and value, in BTF that the host has loaded.
#[derive(Debug, Clone, Copy)]
pub struct MapBtf<'a> {
    /// The BTF.
    pub btf: &'a BtfFd,
    /// Type id of the key, or 0.
    pub key_type: u32,
    /// Type id of the value, or 0.
    pub value_type: u32,
    /// For struct_ops: type id of the value in the kernel's BTF, else 0.
    #[doc(alias = "btf_vmlinux_value_type_id")]
    pub kernel_value_type: u32,
    /// The module BTF in which `kernel_value_type` counts; `None`: the kernel's own. Since 6.9.
    #[doc(alias = "value_type_btf_obj_fd")]
    #[doc(alias = "BPF_F_VTYPE_BTF_OBJ_FD")]
    pub kernel_btf: Option<&'a BtfFd>,
}

/// Arrays that a batch command fills or reads.
#[derive(Debug)]
pub struct MapBatch<'a> {
    /// Where to go on from; `None` starts at the beginning.
    pub position: Option<&'a [u8]>,
    /// Where the host writes the place to go on from.
    pub next_position: &'a mut [u8],
    /// `count` keys.
    pub keys: &'a mut [u8],
    /// `count` values.
    pub values: &'a mut [u8],
    /// How many fit.
    pub count: u32,
    /// Flags for each element (`BPF_ANY`, `BPF_F_LOCK`, …).
    pub element_flags: u64,
}

/// How far a batch came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOutcome {
    /// Elements done.
    pub count: u32,
    /// No more elements follow.
    pub end: bool,
}
