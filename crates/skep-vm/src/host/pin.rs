//! The machine's tree of pins. Directories are there as soon as something is asked of them; a pin
//! keeps its thing until it is removed, or the machine ends.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    ops::Bound,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use skep_abi::{Command, ObjectFlags};
use skep_host::{Cause, Descriptor, Errno, Error, PinPath, Pinned, ProgramFd, Result};

use super::{info, link, map};
use crate::{
    Vm,
    machine::{Object, lock},
};

type Pins = BTreeMap<PathBuf, Object>;
type Raw<T> = std::result::Result<T, Errno>;

/// Where a path leads, by the names that the kernel would look up.
struct Place {
    /// From the root, without `.` and `..`.
    path: PathBuf,
    /// It ends with the name of something, not with `.`, `..` or the root.
    named: bool,
    /// What is there must be a directory: a `/` ends it.
    directory: bool,
}

impl Place {
    /// # Errors
    /// `ENOENT`: it is empty or relative, and where this process is has no pins; `ENOTDIR`: it goes
    /// through a pin; `ENAMETOOLONG`.
    fn new(pins: &Pins, path: &Path) -> Raw<Self> {
        /// Most bytes of a name.
        const NAME: usize = 255;
        let bytes = path.as_os_str().as_bytes();
        let mut place = Self {
            path: PathBuf::from("/"),
            named: false,
            directory: bytes.ends_with(b"/"),
        };
        let names = bytes.strip_prefix(b"/").ok_or(Errno::ENOENT)?;
        for name in names.split(|byte| *byte == b'/') {
            if name.is_empty() {
                continue;
            }
            if pins.contains_key(&place.path) {
                return Err(Errno::ENOTDIR);
            }
            place.named = !matches!(name, b"." | b"..");
            match name {
                b"." => {}
                b".." => {
                    place.path.pop();
                }
                name if name.len() > NAME => return Err(Errno::ENAMETOOLONG),
                name => place.path.push(OsStr::from_bytes(name)),
            }
        }
        Ok(place)
    }

    /// Whether something is pinned below it.
    fn is_directory(&self, pins: &Pins) -> bool {
        let mut behind =
            pins.range::<Path, _>((Bound::Excluded(self.path.as_path()), Bound::Unbounded));
        let next = behind.next();
        self.path.parent().is_none() || next.is_some_and(|(next, _)| next.starts_with(&self.path))
    }

    fn has_dot(&self) -> bool {
        let name = self.path.file_name().unwrap_or_default();
        self.named && name.as_encoded_bytes().contains(&b'.')
    }
}

/// The path, if it is not to be looked for from an open directory: those of this process are not
/// in the machine's tree.
fn path(place: PinPath<'_>) -> Raw<&Path> {
    match place.directory {
        Some(_) => Err(Errno::EBADF),
        None => Ok(place.path),
    }
}

fn failed(command: Command, path: &Path, errno: Errno) -> Error {
    let cause = match errno {
        Errno::EEXIST => Some(Cause::InUse("something is pinned there".into())),
        Errno::EPERM => Some(Cause::Other {
            what: "a pin's name has no dot in it".into(),
            fix: "choose another name".into(),
        }),
        Errno::EBADF => Some(Cause::Other {
            what: "open directories of this process are not in the vm's tree".into(),
            fix: "give the path from the root".into(),
        }),
        _ => None,
    };
    Error::command(command, path.display().to_string(), errno).because(cause)
}

pub(super) fn pin(vm: &Vm, descriptor: &Descriptor, place: PinPath<'_>) -> Result<()> {
    pinned(vm, descriptor, place).map_err(|errno| failed(Command::ObjPin, place.path, errno))
}

fn pinned(vm: &Vm, descriptor: &Descriptor, place: PinPath<'_>) -> Raw<()> {
    let object = vm.0.registry.files.object(descriptor)?;
    if !matches!(
        object,
        Object::Map(..) | Object::Program(_) | Object::Link(_)
    ) {
        return Err(Errno::EINVAL);
    }
    let path = path(place)?;
    let mut pins = lock(&vm.0.registry.pins);
    if path.is_relative() && !path.as_os_str().is_empty() {
        // This process's directory is no bpffs.
        return Err(Errno::EPERM);
    }
    let place = Place::new(&pins, path)?;
    let taken = !place.named || pins.contains_key(&place.path) || place.is_directory(&pins);
    if taken {
        return Err(Errno::EEXIST);
    }
    if place.has_dot() {
        return Err(Errno::EPERM);
    }
    if place.directory {
        return Err(Errno::ENOENT);
    }
    pins.insert(place.path, object.clone());
    Ok(())
}

/// What is at a place is a pin, or nothing.
///
/// # Errors
/// `directory`: it is one; `ENOTDIR`: it should be one; `EPERM`: no pin can have this name.
fn found(pins: &Pins, place: &Place, directory: Errno) -> Raw<()> {
    if place.is_directory(pins) {
        return Err(directory);
    }
    if place.directory && pins.contains_key(&place.path) {
        return Err(Errno::ENOTDIR);
    }
    match place.has_dot() {
        true => Err(Errno::EPERM),
        false => Ok(()),
    }
}

pub(super) fn get(vm: &Vm, place: PinPath<'_>, flags: ObjectFlags) -> Result<Pinned> {
    got(vm, place, flags).map_err(|errno| failed(Command::ObjGet, place.path, errno))
}

fn got(vm: &Vm, place: PinPath<'_>, flags: ObjectFlags) -> Raw<Pinned> {
    // It speaks of relative paths.
    let flags = flags - ObjectFlags::PATH_FD;
    let rights = info::rights(flags)?;
    let path = path(place)?;
    let object = {
        let pins = lock(&vm.0.registry.pins);
        let place = Place::new(&pins, path)?;
        found(&pins, &place, Errno::EACCES)?;
        pins.get(&place.path).cloned().ok_or(Errno::ENOENT)?
    };
    match object {
        Object::Map(map, _) => map::open(vm, Arc::clone(&map), rights).map(Pinned::Map),
        Object::Link(_) if !flags.is_empty() => Err(Errno::EINVAL),
        Object::Link(link) => link::open(vm, link).map(Pinned::Link),
        object => {
            vm.0.registry
                .files
                .open(object)
                .map(ProgramFd::new)
                .map(Pinned::Program)
        }
    }
}

pub(super) fn unpin(vm: &Vm, path: &Path) -> Result<()> {
    let removed = {
        let mut pins = lock(&vm.0.registry.pins);
        Place::new(&pins, path).and_then(|place| {
            found(&pins, &place, Errno::EISDIR)?;
            pins.remove(&place.path).ok_or(Errno::ENOENT)
        })
    };
    // What was pinned is dropped after the lock: a link's end may take others.
    let refuse = |errno| Error::system("unpin", path.display().to_string(), errno);
    removed.map(drop).map_err(refuse)
}
