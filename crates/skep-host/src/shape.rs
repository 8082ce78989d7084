//! The shape of a map, how one that is there differs from the one that is wanted, and whether the one
//! that is pinned somewhere is of it.

use std::path::Path;

use skep_abi::{MapCreateFlags, MapType, ObjectFlags};

use crate::{Errno, Host, MapFd, MapInfo, Pinned, Result};

/// What two maps must have in common to stand in for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapShape {
    /// The number of its type.
    pub type_raw: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: MapCreateFlags,
    /// What the type defines.
    pub map_extra: u64,
}

/// What can be said of a pin.
#[derive(Debug)]
pub enum MapPin {
    /// Nothing is pinned there.
    Free,
    /// A map of the shape that is wanted.
    Fits(MapFd),
    /// Something else, in words that stand behind the map's name.
    Misfit(String),
}

impl MapShape {
    /// The shape of a map that is there.
    pub fn of(info: &MapInfo) -> Self {
        let mut flags = MapCreateFlags::from_bits_retain(info.flags);
        // The kernel itself makes these read-only for programs.
        if matches!(info.map_type(), Some(MapType::Devmap | MapType::DevmapHash)) {
            flags.remove(MapCreateFlags::RDONLY_PROG);
        }
        Self {
            type_raw: info.type_raw,
            key_size: info.key_size,
            value_size: info.value_size,
            max_entries: info.max_entries,
            flags,
            map_extra: info.map_extra,
        }
    }

    /// What is pinned at `path`.
    ///
    /// # Errors
    /// This process may not open it.
    pub fn pinned<H: Host + ?Sized>(&self, host: &H, path: &Path) -> Result<MapPin> {
        let fd = match host.obj_get(path.into(), ObjectFlags::empty()) {
            Ok(Pinned::Map(fd)) => fd,
            Ok(_) => {
                return Ok(MapPin::Misfit(
                    "should be pinned there, and it is no map".into(),
                ));
            }
            Err(error) if error.errno() == Some(Errno::ENOENT) => return Ok(MapPin::Free),
            Err(error) => return Err(error),
        };
        let differences = self.differences(&Self::of(&host.map_info(&fd)?));
        if differences.is_empty() {
            return Ok(MapPin::Fits(fd));
        }
        Ok(MapPin::Misfit(format!(
            "is pinned there with another shape: {}; remove the pin, or pin it elsewhere",
            differences.join(", ")
        )))
    }

    /// What `there` has otherwise, each in a few words.
    pub fn differences(&self, there: &Self) -> Vec<String> {
        let kind = |raw: u32| {
            MapType::from_raw(raw).map_or_else(|| format!("type {raw}"), |kind| kind.to_string())
        };
        let mut found = Vec::new();
        let mut differ = |is: bool, text: String| {
            if is {
                found.push(text);
            }
        };
        let (is, want) = (there, self);
        differ(
            is.type_raw != want.type_raw,
            format!(
                "it is of type {}, not {}",
                kind(is.type_raw),
                kind(want.type_raw)
            ),
        );
        for (what, is, want) in [
            ("bytes a key", is.key_size, want.key_size),
            ("bytes a value", is.value_size, want.value_size),
            ("entries", is.max_entries, want.max_entries),
        ] {
            differ(is != want, format!("it has {is} {what}, not {want}"));
        }
        differ(
            is.flags != want.flags,
            format!(
                "its flags are {:#x}, not {:#x}",
                is.flags.bits(),
                want.flags.bits()
            ),
        );
        differ(
            is.map_extra != want.map_extra,
            format!(
                "its map_extra is {:#x}, not {:#x}",
                is.map_extra, want.map_extra
            ),
        );
        found
    }
}
