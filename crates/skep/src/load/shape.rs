//! The shape of a map, and how one that is there differs from the one that an object asks for.

use skep_abi::{MapCreateFlags, MapType};
use skep_host::MapInfo;
use skep_object::ImageMap;

use super::Loader;
use crate::Result;

/// What two maps must have in common to stand in for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: MapCreateFlags,
    map_extra: u64,
}

impl Loader<'_> {
    /// The shape that the object asks for, on this host.
    pub(super) fn shape(&self, map: &ImageMap) -> Result<Shape> {
        Ok(Shape {
            map_type: map.map_type.raw(),
            key_size: map.key_size,
            value_size: map.value_size,
            max_entries: self.entries(map)?,
            flags: map.flags,
            map_extra: map.map_extra,
        })
    }
}

impl Shape {
    /// The shape of a map that is there.
    pub(super) fn of(info: &MapInfo) -> Self {
        let mut flags = MapCreateFlags::from_bits_retain(info.flags);
        // The kernel itself makes these read-only for programs.
        if matches!(info.map_type(), Some(MapType::Devmap | MapType::DevmapHash)) {
            flags.remove(MapCreateFlags::RDONLY_PROG);
        }
        Self {
            map_type: info.type_raw,
            key_size: info.key_size,
            value_size: info.value_size,
            max_entries: info.max_entries,
            flags,
            map_extra: info.map_extra,
        }
    }

    /// What `there` has otherwise, each in a few words.
    pub(super) fn differences(&self, there: &Self) -> Vec<String> {
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
            is.map_type != want.map_type,
            format!(
                "it is of type {}, not {}",
                kind(is.map_type),
                kind(want.map_type)
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
