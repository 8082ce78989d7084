//! Pins: where maps are kept by name, and those that a load made, which go again if it fails.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use skep_abi::ObjectFlags;
use skep_host::{Errno, Host as Boundary, MapFd, Pinned};
use skep_object::{ImageMap, Pinning};

use super::{Loader, shape::Shape};
use crate::{Error, Map, Result};

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
        let fault = |reason: String| Error::Pin {
            path: path.into(),
            reason,
        };
        let name = match self.spec.file() {
            Some(file) => format!("map `{}` of {file}", map.name),
            None => format!("map `{}`", map.name),
        };
        let fd = match self.host.obj_get(path.into(), ObjectFlags::empty()) {
            Ok(Pinned::Map(fd)) => fd,
            Ok(_) => {
                return Err(fault(format!(
                    "{name} should be pinned there, and it is no map"
                )));
            }
            Err(error) if error.errno() == Some(Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let found = Shape::of(&self.host.map_info(&fd)?);
        let differences = self.shape(map)?.differences(&found);
        if differences.is_empty() {
            return Ok(Some(fd));
        }
        Err(fault(format!(
            "{name} is pinned there with another shape: {}; remove the pin, or pin it elsewhere",
            differences.join(", ")
        )))
    }

    /// Pins a new map. `Ok(false)`: someone else pinned one there meanwhile.
    pub(super) fn pin(&mut self, map: &Map, path: PathBuf) -> Result<bool> {
        match map.pin(&path) {
            Ok(()) => {
                self.pins.paths.push(path);
                Ok(true)
            }
            Err(Error::Host(error)) if error.errno() == Some(Errno::EEXIST) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The pins that a load made; removed when dropped, unless [`keep`](Self::keep) was called.
#[derive(Debug)]
pub(super) struct NewPins {
    host: Arc<dyn Boundary>,
    paths: Vec<PathBuf>,
}

impl NewPins {
    pub(super) fn new(host: &Arc<dyn Boundary>) -> Self {
        Self {
            host: Arc::clone(host),
            paths: Vec::new(),
        }
    }

    /// Lets them stay.
    pub(super) fn keep(&mut self) {
        self.paths.clear();
    }
}

impl Drop for NewPins {
    fn drop(&mut self) {
        for path in &self.paths {
            // The load has failed already; a pin that someone removed first is gone as well.
            let _ = self.host.obj_unpin(path);
        }
    }
}
