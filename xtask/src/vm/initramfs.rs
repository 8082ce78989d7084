//! The guest's files: a cpio archive in which this machine's programs, libraries and sources stand
//! at the same paths as here, so that what was built here runs there as it is.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use crate::Result;

/// Symbolic links on the way to a file that are followed.
const LINKS: usize = 16;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Folder,
    File { mode: u32, bytes: Vec<u8> },
    Link(PathBuf),
    Device { major: u32, minor: u32 },
}

/// A tree of files, by absolute paths.
#[derive(Debug, Clone, Default)]
pub(crate) struct Initramfs {
    entries: BTreeMap<PathBuf, Entry>,
}

impl Initramfs {
    /// With what every guest has.
    pub(crate) fn new() -> Result<Self> {
        let mut this = Self::default();
        for folder in [
            "/dev",
            "/proc",
            "/sys",
            "/tmp",
            "/run",
            "/root",
            "/etc/skep",
        ] {
            this.folder(Path::new(folder));
        }
        // The kernel gives it to the first process, before anything is mounted.
        let console = Entry::Device { major: 5, minor: 1 };
        this.entries.insert("/dev/console".into(), console);
        Ok(this)
    }

    /// A folder, and those above it.
    pub(crate) fn folder(&mut self, path: &Path) {
        for above in path.ancestors().filter(|above| above.parent().is_some()) {
            let entry = self.entries.entry(above.to_owned());
            entry.or_insert(Entry::Folder);
        }
    }

    /// A file with these bytes.
    pub(crate) fn file(&mut self, path: &Path, mode: u32, bytes: Vec<u8>) {
        if let Some(folder) = path.parent() {
            self.folder(folder);
        }
        let file = Entry::File { mode, bytes };
        self.entries.insert(path.to_owned(), file);
    }

    /// A file of this machine, at its own path, with the links on the way to it.
    pub(crate) fn copy(&mut self, path: &Path) -> Result<()> {
        self.copy_as(path, path)
    }

    /// Another file of this machine in place of `path`.
    pub(crate) fn copy_as(&mut self, path: &Path, from: &Path) -> Result<()> {
        let unread = |error| format!("{}: {error}", from.display());
        let mode = fs::metadata(from).map_err(unread)?.permissions().mode();
        let bytes = fs::read(from).map_err(unread)?;
        let place = self.resolve(path)?;
        self.file(&place, mode & 0o7777, bytes);
        Ok(())
    }

    /// All files below a folder of this machine, at their own paths.
    pub(crate) fn copy_folder(&mut self, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.copy_folder(&path)?;
            } else {
                self.copy(&path)?;
            }
        }
        Ok(())
    }

    /// A program of this machine and the libraries that it is linked with.
    pub(crate) fn program(&mut self, path: &Path) -> Result<()> {
        self.copy(path)?;
        self.libraries(path)
    }

    /// The libraries that a program is linked with.
    pub(crate) fn libraries(&mut self, program: &Path) -> Result<()> {
        let said = Command::new("ldd").arg(program).output()?;
        for line in String::from_utf8_lossy(&said.stdout).lines() {
            let library = line.split_whitespace().find(|word| word.starts_with('/'));
            if let Some(library) = library {
                self.copy(Path::new(library))?;
            }
        }
        Ok(())
    }

    /// Where a path leads on this machine, through links, which are copied.
    fn resolve(&mut self, path: &Path) -> Result<PathBuf> {
        let mut place = path.to_owned();
        for _ in 0..LINKS {
            let mut ancestors: Vec<&Path> = place.ancestors().collect();
            ancestors.reverse();
            let link = ancestors
                .iter()
                .find_map(|part| Some((part.to_path_buf(), fs::read_link(part).ok()?)));
            let Some((link, target)) = link else {
                return Ok(place);
            };
            let rest = place.strip_prefix(&link)?.to_owned();
            let above = link.parent().unwrap_or(Path::new("/")).to_owned();
            self.folder(&above);
            self.entries.insert(link, Entry::Link(target.clone()));
            place = normal(&above.join(target));
            if !rest.as_os_str().is_empty() {
                place.push(rest);
            }
        }
        Err(format!("{}: too many links", path.display()).into())
    }

    /// The archive, in the format that the kernel unpacks (newc).
    pub(crate) fn archive(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        let mut number = 0;
        for (path, entry) in &self.entries {
            number += 1;
            let (mode, data, device) = match entry {
                Entry::Folder => (0o040_755, &[][..], (0, 0)),
                Entry::File { mode, bytes } => (0o100_000 | mode, bytes.as_slice(), (0, 0)),
                Entry::Link(target) => (0o120_777, target.as_os_str().as_bytes(), (0, 0)),
                Entry::Device { major, minor } => (0o020_600, &[][..], (*major, *minor)),
            };
            let name = path.as_os_str().as_bytes();
            let name = name.strip_prefix(b"/").unwrap_or(name);
            member(&mut archive, number, mode, name, data, device);
        }
        member(&mut archive, 0, 0, b"TRAILER!!!", &[], (0, 0));
        archive
    }
}

fn member(
    archive: &mut Vec<u8>,
    number: u32,
    mode: u32,
    name: &[u8],
    data: &[u8],
    (major, minor): (u32, u32),
) {
    archive.extend(b"070701");
    let fields = [
        number,
        mode,
        0, // The owner: root.
        0,
        1, // Links.
        0, // Changed at no time in particular.
        u32::try_from(data.len()).unwrap_or(u32::MAX),
        0,
        0,
        major,
        minor,
        u32::try_from(name.len() + 1).unwrap_or(u32::MAX),
        0,
    ];
    for field in fields {
        archive.extend(format!("{field:08x}").bytes());
    }
    archive.extend(name);
    archive.push(0);
    pad(archive);
    archive.extend(data);
    pad(archive);
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

/// A path without `.` and `..`, of which no part is a link.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path {
        match part.as_bytes() {
            b"." => {}
            b".." => {
                normal.pop();
            }
            _ => normal.push(part),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_its_files_behind_their_folders() {
        let mut tree = Initramfs::default();
        tree.file(Path::new("/a/b/c"), 0o755, b"text!".to_vec());
        let archive = tree.archive();
        let text = String::from_utf8_lossy(&archive);
        let at = |part: &str| text.find(part).unwrap();
        // A name comes after the last digit of a number.
        assert!(at("0a\0") < at("0a/b\0") && at("0a/b\0") < at("0a/b/c\0"));
        assert!(at("a/b/c") < at("text!") && at("text!") < at("TRAILER!!!"));
        assert_eq!(archive.len() % 4, 0);
    }

    #[test]
    fn links_on_the_way_are_kept() {
        let folder = std::env::temp_dir().join(format!("xtask-links-{}", std::process::id()));
        fs::create_dir_all(folder.join("usr/lib")).unwrap();
        let folder = folder.canonicalize().unwrap();
        fs::write(folder.join("usr/lib/real"), "x").unwrap();
        std::os::unix::fs::symlink("usr/lib", folder.join("lib")).unwrap();
        std::os::unix::fs::symlink("../lib/real", folder.join("usr/lib/name")).unwrap();
        let mut tree = Initramfs::default();
        let copied = tree.copy(&folder.join("lib/name"));
        fs::remove_dir_all(&folder).unwrap();
        copied.unwrap();
        let at = |path: &str| tree.entries.get(&folder.join(path)).cloned();
        assert_eq!(at("lib"), Some(Entry::Link("usr/lib".into())));
        assert_eq!(at("usr/lib/name"), Some(Entry::Link("../lib/real".into())));
        assert!(matches!(at("usr/lib/real"), Some(Entry::File { .. })));
    }
}
