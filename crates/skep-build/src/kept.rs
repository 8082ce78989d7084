//! Objects kept from earlier runs. An entry is a manifest, found by what was asked for, that lists
//! the files the object was made from with their contents' fingerprints; while all of them are as
//! they were, the object is what the compiler would make again.

use std::{
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    Cache, Error, Result,
    cache::{Fingerprint, contents, forget_old, write_if_changed},
};

const DAYS: u64 = 30;

/// Objects by key.
pub(crate) struct Kept {
    cache: Cache,
    folder: PathBuf,
    key: String,
}

/// An object from an earlier run.
pub(crate) struct Found {
    pub(crate) object: PathBuf,
    pub(crate) warnings: String,
    pub(crate) dependencies: Vec<PathBuf>,
}

impl Kept {
    pub(crate) fn new(cache: &Cache, key: &Fingerprint) -> Result<Self> {
        let folder = cache.folder("objects")?;
        Ok(Self {
            cache: cache.clone(),
            folder,
            key: key.finish(),
        })
    }

    /// The object, if nothing it was made from has changed. Anything odd is no object.
    pub(crate) fn find(&self) -> Option<Found> {
        let manifest = fs::read(self.manifest()).ok()?;
        let mut lines = manifest.split(|&byte| byte == b'\n');
        let object = self.folder.join(std::str::from_utf8(lines.next()?).ok()?);
        let mut dependencies = Vec::new();
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            let space = line.iter().position(|&byte| byte == b' ')?;
            let (fingerprint, path) = (line.get(..space)?, line.get(space + 1..)?);
            let path = PathBuf::from(std::ffi::OsString::from_vec(path.to_owned()));
            if self.fingerprint(&path)?.as_bytes() != fingerprint {
                return None;
            }
            dependencies.push(path);
        }
        let warnings: Vec<_> = lines.map(String::from_utf8_lossy).collect();
        object.exists().then(|| Found {
            object,
            warnings: warnings.join("\n"),
            dependencies,
        })
    }

    /// Where the compiler is to put a new object: a name that no one else uses.
    pub(crate) fn place(&self) -> Result<tempfile::TempPath> {
        let file = tempfile::Builder::new()
            .suffix(".tmp")
            .tempfile_in(&self.folder);
        Ok(file.map_err(Error::write(&self.folder))?.into_temp_path())
    }

    /// Keeps an object that was made at [`Kept::place`], under a name of its contents' own. The
    /// compiler was started at `started`: a file changed since may not be the one it read. Without
    /// `dependencies` it will not be found again, as it depends on more than files.
    pub(crate) fn keep(
        &self,
        made: tempfile::TempPath,
        started: SystemTime,
        dependencies: Option<&[PathBuf]>,
        warnings: &str,
    ) -> Result<PathBuf> {
        let name = format!("{}.o", contents(&made).map_err(Error::write(&*made))?);
        let object = self.folder.join(&name);
        made.persist(&object)
            .map_err(|error| Error::write(&object)(error.error))?;

        let Some(dependencies) = dependencies else {
            return Ok(object);
        };
        let mut manifest = name.into_bytes();
        manifest.push(b'\n');
        for path in dependencies {
            // A file that changed or vanished meanwhile, or whose name breaks the format: no entry.
            let Some(fingerprint) = self.fingerprint(path) else {
                return Ok(object);
            };
            let changed = || Some(fs::metadata(path).ok()?.modified().ok()? > started);
            if path.as_os_str().as_bytes().contains(&b'\n') || changed() != Some(false) {
                return Ok(object);
            }
            manifest.extend(fingerprint.bytes());
            manifest.push(b' ');
            manifest.extend(path.as_os_str().as_bytes());
            manifest.push(b'\n');
        }
        manifest.push(b'\n');
        manifest.extend(warnings.bytes());
        write_if_changed(&self.manifest(), &manifest)?;
        forget_old(&self.folder, "o", DAYS);
        forget_old(&self.folder, "manifest", DAYS);
        forget_old(&self.folder, "tmp", 1);
        Ok(object)
    }

    /// Files of the cache have their contents' fingerprint in their folder's name: they are
    /// what they were if they are there at all.
    fn fingerprint(&self, path: &Path) -> Option<String> {
        if path.starts_with(self.cache.root()) {
            return path.exists().then(|| "cache".to_owned());
        }
        contents(path).ok()
    }

    fn manifest(&self) -> PathBuf {
        self.folder.join(format!("{}.manifest", self.key))
    }
}
