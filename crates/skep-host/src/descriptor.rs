//! Descriptors: what owns a program, map, link or BTF of a host.
//!
//! A [`Descriptor`] closes itself when dropped, whichever host it belongs to; the newtypes
//! keep a map from being passed where a program is meant.

use std::{any::Any, fmt, sync::Arc};

use crate::{Errno, Error, Result};

/// The side of a host that owns descriptor numbers.
pub trait DescriptorTable: Send + Sync + fmt::Debug {
    /// Gives the number back. Called once for each [`Descriptor`] made over this table, whose note
    /// is gone already.
    fn close(&self, raw: i32);

    /// A second number for the same thing, with a life of its own.
    fn duplicate(&self, raw: i32) -> std::result::Result<i32, Errno>;
}

/// An owned number in a host's descriptor table; closed when dropped.
///
/// On the kernel it is a file descriptor of this process. On another host the number means
/// something to that host alone.
pub struct Descriptor {
    raw: i32,
    table: Arc<dyn DescriptorTable>,
    note: Option<Arc<dyn Any + Send + Sync>>,
}

impl Descriptor {
    /// Takes ownership of `raw`, a number that `table` handed out and nobody else closes.
    pub fn new(raw: i32, table: Arc<dyn DescriptorTable>) -> Self {
        Self {
            raw,
            table,
            note: None,
        }
    }

    /// The same with something that its host wants to remember of it, such as what is behind it.
    #[must_use]
    pub fn with_note(mut self, note: Arc<dyn Any + Send + Sync>) -> Self {
        self.note = Some(note);
        self
    }

    /// What its host remembers of it, if that is a `T`.
    pub fn note<T: 'static>(&self) -> Option<&T> {
        self.note.as_ref()?.downcast_ref()
    }

    /// The number. It stays owned by `self`.
    pub fn raw(&self) -> i32 {
        self.raw
    }

    /// A second descriptor of the same thing.
    ///
    /// # Errors
    /// The host's table is full (`EMFILE`).
    pub fn try_clone(&self) -> Result<Self> {
        let raw = self.table.duplicate(self.raw).map_err(|errno| {
            Error::system("duplicate", format!("descriptor {}", self.raw), errno)
        })?;
        Ok(Self {
            raw,
            table: Arc::clone(&self.table),
            note: self.note.clone(),
        })
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // First, so that the table closes the last of what is behind it, and can wait for its end.
        self.note = None;
        self.table.close(self.raw);
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Descriptor({})", self.raw)
    }
}

macro_rules! typed_descriptors {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(Descriptor);

        impl $name {
            /// Says that `descriptor` is of this kind; the host that made it knows.
            pub fn new(descriptor: Descriptor) -> Self {
                Self(descriptor)
            }

            /// The number. It stays owned by `self`.
            pub fn raw(&self) -> i32 {
                self.0.raw()
            }

            /// The descriptor behind the kind.
            pub fn descriptor(&self) -> &Descriptor {
                &self.0
            }

            /// Gives up the kind and keeps the descriptor.
            pub fn into_descriptor(self) -> Descriptor {
                self.0
            }

            /// A second descriptor of the same thing.
            ///
            /// # Errors
            /// The host's table is full (`EMFILE`).
            pub fn try_clone(&self) -> Result<Self> {
                self.0.try_clone().map(Self)
            }
        }
    )*};
}

typed_descriptors! {
    /// Owns a map.
    MapFd;
    /// Owns a loaded program.
    ProgramFd;
    /// Owns a link: closing the last one detaches, unless the link is pinned.
    LinkFd;
    /// Owns BTF loaded into the host.
    BtfFd;
    /// Owns an open iterator; reading it runs its program.
    IterFd;
    /// Owns a cgroup directory that programs are attached to.
    CgroupFd;
    /// Keeps run-time statistics on while it is open (`BPF_ENABLE_STATS`).
    StatsFd;
    /// A token from a delegated bpffs (`BPF_TOKEN_CREATE`, 6.9).
    TokenFd;
}

/// What a pin holds: `BPF_OBJ_GET` says only that something is there, the host finds out what.
#[derive(Debug)]
#[non_exhaustive]
pub enum Pinned {
    /// A map.
    Map(MapFd),
    /// A program.
    Program(ProgramFd),
    /// A link.
    Link(LinkFd),
}
