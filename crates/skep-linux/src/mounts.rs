//! Tracefs, securityfs and debugfs, wherever they are: mounted, or opened for this process alone.
//!
//! Where nothing is mounted, `fsmount(2)` makes a mount that is in no one's mount table and
//! goes with its descriptor: nothing is left behind.

use std::{
    ffi::CStr,
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use skep_host::{Cause, Errno, Error};

use crate::{LinuxHost, process, sys};

/// A kernel file system that has one well-known place or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSystem {
    /// Trace events.
    Tracefs,
    /// Lockdown and the list of security modules.
    Securityfs,
    /// What is for who debugs the kernel: where it lets no kprobe be.
    Debugfs,
}

impl FileSystem {
    fn kind(self) -> &'static CStr {
        match self {
            Self::Tracefs => c"tracefs",
            Self::Securityfs => c"securityfs",
            Self::Debugfs => c"debugfs",
        }
    }

    fn places(self) -> &'static [&'static str] {
        match self {
            Self::Tracefs => &["/sys/kernel/tracing", "/sys/kernel/debug/tracing"],
            Self::Securityfs => &["/sys/kernel/security"],
            Self::Debugfs => &["/sys/kernel/debug"],
        }
    }

    /// What is there when it is mounted.
    fn sign(self) -> &'static str {
        match self {
            Self::Tracefs => "events",
            Self::Securityfs => "lsm",
            Self::Debugfs => "kprobes",
        }
    }
}

/// A directory tree of the kernel.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    /// Keeps a mount alive that is mounted nowhere; `root` leads through it.
    _mount: Option<OwnedFd>,
}

impl Tree {
    /// Finds the file system where it is mounted, or opens it without mounting.
    pub(crate) fn open(system: FileSystem) -> Option<Self> {
        for place in system.places() {
            if Path::new(place).join(system.sign()).exists() {
                return Some(Self {
                    root: place.into(),
                    _mount: None,
                });
            }
        }
        let mount = sys::detached_mount(system.kind()).ok()?;
        let root = PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()));
        // Without /proc there is no way in.
        root.join(system.sign()).exists().then_some(Self {
            root,
            _mount: Some(mount),
        })
    }

    /// A path in the tree, valid while the tree lives.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A file's text.
    pub(crate) fn read(&self, relative: &str) -> io::Result<String> {
        fs::read_to_string(self.path(relative))
    }

    /// The names in a directory, sorted; directories only.
    pub(crate) fn directories(&self, relative: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path(relative))? {
            let entry = entry?;
            if entry.file_type()?.is_dir()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

/// The error of needing tracefs where it can't be had.
pub(crate) fn missing_tracefs(host: &LinuxHost) -> Error {
    let error = Error::system("open", "tracefs", Errno::ENOENT);
    error.because(Some(why_no_tracefs(host)))
}

/// Why tracefs can't be had.
pub(crate) fn why_no_tracefs(host: &LinuxHost) -> Cause {
    if host
        .kernel_config()
        .is_ok_and(|config| !config.is_set("CONFIG_TRACING") && !config.is_set("CONFIG_FTRACE"))
    {
        return Cause::KernelOption("CONFIG_FTRACE");
    }
    let mounted = FileSystem::Tracefs.places().iter().any(|place| {
        process::mounts()
            .iter()
            .any(|mount| mount.point == Path::new(place) && mount.kind == "tracefs")
    });
    if mounted {
        return Cause::Other {
            what: "tracefs is mounted, but this user may not look into it".into(),
            fix: "run as root, or `mount -o remount,mode=755 /sys/kernel/tracing`".into(),
        };
    }
    Cause::NotMounted("tracefs")
}
