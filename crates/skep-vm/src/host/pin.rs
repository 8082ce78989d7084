//! The machine's tree of pins. Directories are there as soon as something is asked of them; a pin
//! keeps its thing until it is removed, or the machine ends.

use std::{
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use skep_abi::{Command, ObjectFlags};
use skep_host::{Cause, Descriptor, Errno, Error, PinPath, Pinned, ProgramFd, Result};

use super::{info, link, map};
use crate::{
    Vm,
    machine::{Object, lock},
};

type Raw<T> = std::result::Result<T, Errno>;

/// A path from the root, without `.` and `..`.
fn whole(place: PinPath<'_>) -> Raw<PathBuf> {
    if place.directory.is_some() {
        // The open directories of this process are not in the machine's tree.
        return Err(Errno::EBADF);
    }
    clean(place.path)
}

fn clean(path: &Path) -> Raw<PathBuf> {
    let mut whole = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => whole.push(name),
            Component::ParentDir => {
                whole.pop();
            }
            _ => {}
        }
    }
    match whole.file_name() {
        Some(_) => Ok(whole),
        None => Err(Errno::EISDIR),
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
    let path = whole(place)?;
    let name = path.file_name().unwrap_or_default();
    if name.as_encoded_bytes().contains(&b'.') {
        return Err(Errno::EPERM);
    }
    if name.len() > 255 {
        return Err(Errno::ENAMETOOLONG);
    }
    let mut pins = lock(&vm.0.registry.pins);
    if path
        .ancestors()
        .skip(1)
        .any(|above| pins.contains_key(above))
    {
        return Err(Errno::ENOTDIR);
    }
    let is_directory = pins
        .range(path.clone()..)
        .next()
        .is_some_and(|(next, _)| next.starts_with(&path));
    if is_directory {
        return Err(Errno::EEXIST);
    }
    pins.insert(path, object.clone());
    Ok(())
}

pub(super) fn get(vm: &Vm, place: PinPath<'_>, flags: ObjectFlags) -> Result<Pinned> {
    got(vm, place, flags).map_err(|errno| failed(Command::ObjGet, place.path, errno))
}

fn got(vm: &Vm, place: PinPath<'_>, flags: ObjectFlags) -> Raw<Pinned> {
    let rights = info::rights(flags)?;
    let path = whole(place)?;
    let object = {
        let pins = lock(&vm.0.registry.pins);
        if path
            .ancestors()
            .skip(1)
            .any(|above| pins.contains_key(above))
        {
            return Err(Errno::ENOTDIR);
        }
        pins.get(&path).cloned().ok_or(Errno::ENOENT)?
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
    let removed = clean(path).and_then(|path| {
        // Dropped after the lock: a link's end may take others.
        let removed = lock(&vm.0.registry.pins).remove(&path);
        removed.ok_or(Errno::ENOENT)
    });
    let refuse = |errno| Error::system("unpin", path.display().to_string(), errno);
    removed.map(drop).map_err(refuse)
}
