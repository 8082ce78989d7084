//! The pins that a load made: they go again if it fails.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{Descriptor, Errno, Host, Result};

/// The pins that a load made; removed when dropped, unless [`keep`](Self::keep) was called.
#[derive(Debug)]
pub struct NewPins<H: Host + ?Sized> {
    host: Arc<H>,
    paths: Vec<PathBuf>,
}

impl<H: Host + ?Sized> NewPins<H> {
    /// None so far.
    pub fn new(host: Arc<H>) -> Self {
        Self {
            host,
            paths: Vec::new(),
        }
    }

    /// Pins a new map. `Ok(false)`: someone else pinned something there meanwhile.
    ///
    /// # Errors
    /// The path is in no bpffs, or may not be written to.
    pub fn pin(&mut self, map: &Descriptor, path: &Path) -> Result<bool> {
        match self.host.obj_pin(map, path.into()) {
            Ok(()) => {
                self.paths.push(path.to_owned());
                Ok(true)
            }
            Err(error) if error.errno() == Some(Errno::EEXIST) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lets them stay.
    pub fn keep(&mut self) {
        self.paths.clear();
    }
}

impl<H: Host + ?Sized> Drop for NewPins<H> {
    fn drop(&mut self) {
        for path in &self.paths {
            // The load has failed already; a pin that someone removed first is gone as well.
            let _ = self.host.obj_unpin(path);
        }
    }
}
