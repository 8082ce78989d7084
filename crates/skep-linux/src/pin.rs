//! Pins in a bpffs.

use std::{ffi::CString, fs, os::fd::AsRawFd, os::unix::ffi::OsStrExt, path::Path};

use skep_abi::Command;
use skep_host::{Descriptor, Errno, Error, LinkFd, Pinned, ProgramFd, Result};

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

pub(crate) fn pin(host: &LinuxHost, descriptor: &Descriptor, path: &Path) -> Result<()> {
    let name = c_path(path)?;
    let mut attr = attr::Object {
        pathname: name.as_ptr() as u64,
        bpf_fd: descriptor.raw() as u32,
        ..Default::default()
    };
    // SAFETY: the path is a C string that lives through the call.
    match unsafe { bpf(Command::ObjPin, &mut attr) } {
        Ok(_) => Ok(()),
        Err(errno) => Err(failed(host, Command::ObjPin, path, errno)),
    }
}

pub(crate) fn open(host: &LinuxHost, path: &Path, flags: u32) -> Result<Pinned> {
    let name = c_path(path)?;
    let mut attr = attr::Object {
        pathname: name.as_ptr() as u64,
        file_flags: flags,
        ..Default::default()
    };
    // SAFETY: the path is a C string that lives through the call.
    let fd = match unsafe { bpf_open(Command::ObjGet, &mut attr) } {
        Ok(fd) => fd,
        Err(errno) => return Err(failed(host, Command::ObjGet, path, errno)),
    };
    // The kernel names the kind of an anonymous file in its link under /proc.
    let kind = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).map_err(|error| {
        Error::system(
            "tell apart",
            path.display().to_string(),
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

fn failed(host: &LinuxHost, command: Command, path: &Path, errno: Errno) -> Error {
    host.failed(
        command,
        format!("`{}`", path.display()),
        errno,
        Subject::Pin(path),
    )
}
