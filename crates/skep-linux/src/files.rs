//! The kernel host's descriptor table: file descriptors of this process, what is behind each,
//! and what a map's buffers must measure, so that the kernel never writes past one.

use std::{
    fmt,
    os::fd::{FromRawFd, IntoRawFd, OwnedFd},
    sync::{Arc, PoisonError, RwLock},
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

/// File descriptors of this process.
#[derive(Default)]
pub(crate) struct Files {
    /// By descriptor number. An entry lives as long as the descriptor that this table owns.
    kinds: RwLock<Vec<Kind>>,
}

impl Files {
    /// Takes ownership of an open file.
    pub(crate) fn own(self: &Arc<Self>, fd: OwnedFd, kind: Kind) -> Descriptor {
        let raw = fd.into_raw_fd();
        self.remember(raw, kind);
        Descriptor::new(raw, Arc::clone(self) as Arc<dyn DescriptorTable>)
    }

    /// What this table opened `raw` as.
    pub(crate) fn kind(&self, raw: i32) -> Kind {
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        usize::try_from(raw)
            .ok()
            .and_then(|index| kinds.get(index).copied())
            .unwrap_or_default()
    }

    fn remember(&self, raw: i32, kind: Kind) {
        let Ok(index) = usize::try_from(raw) else {
            return;
        };
        let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        if index >= kinds.len() {
            if kind == Kind::Other {
                return;
            }
            kinds.resize(index + 1, Kind::Other);
        }
        kinds[index] = kind;
    }
}

impl DescriptorTable for Files {
    fn close(&self, raw: i32) {
        // Before the number is free for another thread's file.
        self.remember(raw, Kind::Other);
        // SAFETY: `raw` came from `own`, which took it out of an `OwnedFd`, or from `duplicate`;
        // a `Descriptor` gives it back once.
        drop(unsafe { OwnedFd::from_raw_fd(raw) });
    }

    fn duplicate(&self, raw: i32) -> Result<i32, Errno> {
        let copy = sys::duplicate(raw)?.into_raw_fd();
        self.remember(copy, self.kind(raw));
        Ok(copy)
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Files")
    }
}
