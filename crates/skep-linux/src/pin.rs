//! Pins in a bpffs.

use std::{
    ffi::{CStr, CString},
    fs,
    os::fd::AsRawFd,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use skep_abi::{Command, ObjectFlags};
use skep_host::{Descriptor, Errno, Error, LinkFd, PinPath, Pinned, ProgramFd, Result};

use crate::{
    LinuxHost, attr,
    cause::Subject,
    files::Kind,
    sys::{self, bpf, bpf_open},
};

/// A path as a C string.
pub(crate) fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::Request {
        object: format!("path `{}`", path.display()),
        reason: "it has a zero byte in it".into(),
    })
}

/// The attribute for a path, which must outlive it.
fn object(name: &CStr, place: PinPath<'_>, flags: ObjectFlags) -> attr::Object {
    let mut flags = flags;
    if place.directory.is_some() {
        flags |= ObjectFlags::PATH_FD;
    }
    attr::Object {
        pathname: name.as_ptr() as u64,
        file_flags: flags.bits(),
        path_fd: place.directory.unwrap_or(0),
        ..Default::default()
    }
}

pub(crate) fn pin(host: &LinuxHost, descriptor: &Descriptor, place: PinPath<'_>) -> Result<()> {
    let name = c_path(place.path)?;
    let mut attr = object(&name, place, ObjectFlags::empty());
    attr.bpf_fd = descriptor.raw() as u32;
    // SAFETY: the path is a C string that lives through the call.
    match unsafe { bpf(Command::ObjPin, &mut attr) } {
        Ok(_) => Ok(()),
        Err(errno) => Err(failed(host, Command::ObjPin, place, errno)),
    }
}

pub(crate) fn open(host: &LinuxHost, place: PinPath<'_>, flags: ObjectFlags) -> Result<Pinned> {
    let name = c_path(place.path)?;
    let mut attr = object(&name, place, flags);
    // SAFETY: the path is a C string that lives through the call.
    let fd = match unsafe { bpf_open(Command::ObjGet, &mut attr) } {
        Ok(fd) => fd,
        Err(errno) => return Err(failed(host, Command::ObjGet, place, errno)),
    };
    // The kernel names the kind of an anonymous file in its link under /proc.
    let kind = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).map_err(|error| {
        Error::system(
            "tell apart",
            place.path.display().to_string(),
            sys::errno_of(&error),
        )
    })?;
    let kind = kind.to_string_lossy().into_owned();
    match kind.as_str() {
        "anon_inode:bpf-map" => Ok(Pinned::Map(crate::map::own(host, fd)?)),
        "anon_inode:bpf-prog" => Ok(Pinned::Program(ProgramFd::new(
            host.files().own(fd, Kind::Program),
        ))),
        // `bpf_link` or, for some kinds, a name of their own behind it.
        link if link.starts_with("anon_inode:bpf_link")
            || link.starts_with("anon_inode:bpf-link") =>
        {
            Ok(Pinned::Link(LinkFd::new(host.files().own(fd, Kind::Link))))
        }
        other => Err(Error::Unsupported {
            host: "skep",
            what: format!("pins of the kind `{other}`"),
        }),
    }
}

pub(crate) fn unpin(path: &Path) -> Result<()> {
    fs::remove_file(path)
        .map_err(|error| Error::system("remove", path.display().to_string(), sys::errno_of(&error)))
}

fn failed(host: &LinuxHost, command: Command, place: PinPath<'_>, errno: Errno) -> Error {
    let path = place.path;
    // A path that starts elsewhere can't be held against the mounts.
    let subject = match place.directory {
        Some(_) if path.is_relative() => Subject::None,
        _ => Subject::Pin(path),
    };
    host.failed(command, format!("`{}`", path.display()), errno, subject)
}
