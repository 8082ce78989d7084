//! The cache: one folder of files that can be made again, found by a fingerprint of what they were
//! made from. It is only trusted where no other user could have written.

use std::{
    ffi::OsStr,
    fs,
    hash::{Hash, Hasher},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{Error, Result};

/// Where headers, `vmlinux.h`, precompiled headers and objects are kept. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
    /// Set where there was no folder to be had: removed with the last clone.
    private: Option<Arc<Private>>,
}

/// A temporary folder.
#[derive(Debug)]
struct Private {
    _folder: tempfile::TempDir,
    /// Why there is no other, unless this is what was asked for.
    why: Option<Error>,
    told: AtomicBool,
}

impl Cache {
    /// `$XDG_CACHE_HOME/skep`, or `~/.cache/skep`. Where neither can be written, or other users
    /// could have (as when `sudo` keeps `$HOME`), a private temporary folder, which is removed
    /// at the end; [`Cache::why_temporary`] says which it was.
    ///
    /// # Errors
    /// [`Error::Write`] if not even a temporary folder can be made.
    pub fn open() -> Result<Self> {
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
        let absolute = |path: PathBuf| path.is_absolute().then_some(path);
        let base = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .and_then(absolute)
            .or_else(|| home().and_then(absolute));
        match base.ok_or(Error::NoCache) {
            Ok(base) => Self::at(base.join("skep")).or_else(|why| Self::private(Some(why))),
            Err(why) => Self::private(Some(why)),
        }
    }

    /// A cache in this folder, which is made if need be.
    ///
    /// # Errors
    /// [`Error::Write`] if it can't be written, or if other users can write there too.
    pub fn at(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        usable(&root).map_err(Error::write(&root))?;
        Ok(Self {
            root,
            private: None,
        })
    }

    /// An empty cache for this value's life.
    ///
    /// # Errors
    /// [`Error::Write`] if it can't be made.
    pub fn temporary() -> Result<Self> {
        Self::private(None)
    }

    fn private(why: Option<Error>) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("skep-")
            .tempdir()
            .map_err(Error::write(std::env::temp_dir()))?;
        Ok(Self {
            root: folder.path().to_owned(),
            private: Some(Arc::new(Private {
                _folder: folder,
                why,
                told: AtomicBool::new(false),
            })),
        })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether what is put here will be gone with this value.
    pub fn is_temporary(&self) -> bool {
        self.private.is_some()
    }

    /// Why [`Cache::open`] gave a temporary folder: where it looked for another, and what was wrong
    /// with that.
    pub fn why_temporary(&self) -> Option<&Error> {
        self.private.as_ref()?.why.as_ref()
    }

    /// The same once, to whoever asks first.
    pub(crate) fn tell_why_temporary(&self) -> Option<&Error> {
        let private = self.private.as_ref()?;
        let why = private.why.as_ref()?;
        (!private.told.swap(true, Ordering::Relaxed)).then_some(why)
    }

    /// A folder in the cache, made if need be.
    pub(crate) fn folder(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        let path = self.root.join(name);
        create_private(&path).map_err(Error::write(&path))?;
        Ok(path)
    }
}

/// Makes the folder and finds whether it is ours alone: a file made there has our user for its
/// owner, and so must the folder.
fn usable(root: &Path) -> io::Result<()> {
    create_private(root)?;
    let folder = fs::metadata(root)?;
    let probe = tempfile::tempfile_in(root)?.metadata()?;
    if folder.uid() != probe.uid() || folder.mode() & 0o022 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "other users can write there",
        ));
    }
    Ok(())
}

fn create_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Puts `bytes` at `path`, unless they are there already. Readers see the old file or the new one.
pub(crate) fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    match fs::read(path) {
        Ok(there) if there == bytes => Ok(()),
        _ => write(path, bytes).map_err(Error::write(path)),
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    create_private(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

/// 128 bits that stand for everything that was fed, in its order.
///
/// Two runs of the standard library's hash, with different beginnings. Its results may change with
/// the Rust version, which makes old entries unreachable and never wrong. Strangers can't choose
/// entries: the cache is ours alone.
pub(crate) struct Fingerprint(std::hash::DefaultHasher, std::hash::DefaultHasher);

impl Fingerprint {
    /// For one kind of entry; the crate's version is part of it.
    pub(crate) fn new(kind: &str) -> Self {
        let mut this = Self(Default::default(), Default::default());
        this.1.write_u8(1);
        this.add(kind);
        this.add(env!("CARGO_PKG_VERSION"));
        this
    }

    pub(crate) fn add(&mut self, value: impl Hash) {
        value.hash(&mut self.0);
        value.hash(&mut self.1);
    }

    /// Adds the identity of a file that is replaced rather than changed, such as a program.
    pub(crate) fn add_file_identity(&mut self, path: &Path) -> io::Result<()> {
        let metadata = fs::metadata(path)?;
        self.add(path);
        self.add((metadata.dev(), metadata.ino(), metadata.len()));
        self.add((metadata.mtime(), metadata.mtime_nsec()));
        Ok(())
    }

    pub(crate) fn finish(&self) -> String {
        format!("{:016x}{:016x}", self.0.finish(), self.1.finish())
    }
}

/// The fingerprint of a file's contents.
pub(crate) fn contents(path: &Path) -> io::Result<String> {
    let mut fingerprint = Fingerprint::new("contents");
    fingerprint.add(fs::read(path)?);
    Ok(fingerprint.finish())
}

/// Removes files of `folder` with this extension that were not written for `days`.
pub(crate) fn forget_old(folder: &Path, extension: &str, days: u64) {
    let limit = std::time::Duration::from_secs(days * 24 * 60 * 60);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let old = || {
            entry
                .metadata()
                .ok()?
                .modified()
                .ok()?
                .elapsed()
                .ok()
                .map(|age| age > limit)
        };
        if entry.path().extension() == Some(OsStr::new(extension)) && old() == Some(true) {
            // Another process may have been faster; what can't be removed only takes room.
            let _ = fs::remove_file(entry.path());
        }
    }
}
