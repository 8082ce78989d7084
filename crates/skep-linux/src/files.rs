//! The kernel host's descriptor table: file descriptors of this process. Each carries what is
//! behind it and what a map's buffers must measure, so that the kernel never writes past one.

use std::{
    fmt,
    os::fd::{FromRawFd, IntoRawFd, OwnedFd},
    sync::Arc,
};

use skep_host::{Descriptor, DescriptorTable, Errno};

use crate::sys;

/// What a map's keys and values measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapShape {
    /// Bytes of a key; 0 for queues, stacks, bloom filters and such.
    pub(crate) key: usize,
    /// Bytes of a value.
    pub(crate) value: usize,
    /// Bytes of the buffer that a lookup fills: all CPUs' values for per-CPU maps.
    pub(crate) buffer: usize,
}

/// What is behind a descriptor, where it matters for what the kernel writes on asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Not one of the below, or not opened by this host.
    #[default]
    Other,
    /// A map.
    Map(MapShape),
    /// A program.
    Program,
    /// A link.
    Link,
    /// BTF.
    Btf,
}

/// What was behind a descriptor when this host opened it.
pub(crate) fn kind(descriptor: &Descriptor) -> Kind {
    descriptor.note().copied().unwrap_or_default()
}

/// Makes sure of what was behind a descriptor: the kernel tells of whatever it finds there, and not
/// what kind of thing that was.
///
/// # Errors
/// `EINVAL`: something else; `EBADF`: this host did not open it.
pub(crate) fn expect(descriptor: &Descriptor, is: impl Fn(Kind) -> bool) -> Result<(), Errno> {
    match descriptor.note() {
        Some(kind) if is(*kind) => Ok(()),
        Some(_) => Err(Errno::EINVAL),
        None => Err(Errno::EBADF),
    }
}

/// File descriptors of this process.
#[derive(Default)]
pub(crate) struct Files;

impl Files {
    /// Takes ownership of an open file.
    pub(crate) fn own(self: &Arc<Self>, fd: OwnedFd, kind: Kind) -> Descriptor {
        let table = Arc::clone(self) as Arc<dyn DescriptorTable>;
        Descriptor::new(fd.into_raw_fd(), table).with_note(Arc::new(kind))
    }
}

impl DescriptorTable for Files {
    fn close(&self, raw: i32) {
        // SAFETY: `raw` came from `own`, which took it out of an `OwnedFd`, or from `duplicate`;
        // a `Descriptor` gives it back once.
        drop(unsafe { OwnedFd::from_raw_fd(raw) });
    }

    fn duplicate(&self, raw: i32) -> Result<i32, Errno> {
        Ok(sys::duplicate(raw)?.into_raw_fd())
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Files")
    }
}
