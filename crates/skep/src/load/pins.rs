//! Pins: where maps are kept by name, and whether what is there is theirs.

use std::path::{Path, PathBuf};

use skep_host::{MapFd, MapPin, MapShape};
use skep_object::{ImageMap, Pinning};

use super::Loader;
use crate::{Error, Result};

impl Loader<'_> {
    /// Where a map is pinned, if it is.
    pub(super) fn pin_path(&self, map: &ImageMap) -> Option<PathBuf> {
        match (&map.pin_path, map.pinning) {
            (Some(path), _) => Some(path.into()),
            (None, Pinning::ByName) => Some(self.options.pin_folder.join(&map.name)),
            _ => None,
        }
    }

    /// The map pinned at `path`, if there is one: it must be of the same shape.
    pub(super) fn pinned(&self, map: &ImageMap, path: &Path) -> Result<Option<MapFd>> {
        match self.shape(map)?.pinned(self.host.as_ref(), path)? {
            MapPin::Free => Ok(None),
            MapPin::Fits(fd) => Ok(Some(fd)),
            MapPin::Misfit(reason) => {
                let of = self.spec.file().map(|file| format!(" of {file}"));
                Err(Error::Pin {
                    path: path.into(),
                    reason: format!("map `{}`{} {reason}", map.name, of.unwrap_or_default()),
                })
            }
        }
    }

    /// The shape that the object asks for, on this host.
    pub(super) fn shape(&self, map: &ImageMap) -> Result<MapShape> {
        Ok(MapShape {
            type_raw: map.map_type.raw(),
            key_size: map.key_size,
            value_size: map.value_size,
            max_entries: self.entries(map)?,
            flags: map.flags,
            map_extra: map.map_extra,
        })
    }
}
