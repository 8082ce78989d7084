//! A bpffs of a test's own, for pins, and a look into tracefs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

use crate::{Outcome, Stop};

/// A file system in a temporary folder; unmounted and removed on drop.
#[derive(Debug)]
struct Mounted {
    folder: TempDir,
}

impl Mounted {
    fn new(kind: &str) -> Outcome<Self> {
        let folder = tempfile::Builder::new().prefix(&prefix()).tempdir()?;
        match mount(kind, folder.path(), kind, MountFlags::empty(), None) {
            Ok(()) => Ok(Self { folder }),
            Err(error) => Err(Stop::lacks(format!("a file system `{kind}` ({error})"))),
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A failure shows as a mount left behind.
        let _ = unmount(self.folder.path(), UnmountFlags::DETACH);
    }
}

/// A bpffs of the test's own, in a temporary folder; unmounted and removed on drop.
#[derive(Debug)]
pub struct Bpffs(Mounted);

impl Bpffs {
    /// Mounts one.
    ///
    /// # Errors
    /// Skips where none can be mounted.
    pub fn mount() -> Outcome<Self> {
        Ok(Self(Mounted::new("bpf")?))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.folder.path()
    }
}

/// The kernel's tracefs, in a temporary folder; unmounted and removed on drop.
#[derive(Debug)]
pub struct Tracefs(Mounted);

impl Tracefs {
    /// Mounts it once more.
    ///
    /// # Errors
    /// Skips where it can't be mounted.
    pub fn mount() -> Outcome<Self> {
        Ok(Self(Mounted::new("tracefs")?))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.folder.path()
    }
}

/// What the names of this process' folders begin with.
fn prefix() -> String {
    format!("skep-bpffs-{}-", std::process::id())
}

/// Mounts that [`Bpffs`] and [`Tracefs`] made and that are still there.
pub(crate) fn own_mounts() -> Vec<String> {
    let prefix = prefix();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|path| path.contains(&prefix))
        .map(str::to_owned)
        .collect()
}

/// Where a file system of this type is mounted.
pub fn mount_point(kind: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let point = fields.next()?;
        (fields.next()? == kind).then(|| PathBuf::from(point))
    })
}
