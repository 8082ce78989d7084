//! Programs in light form: relocated for one kernel beforehand by `skep gen light`, and loaded by
//! little more than system calls. Nothing here reads ELF or BTF.
//!
//! `skep gen light opensnoop.bpf.o -o opensnoop.rs` writes a module with the maps, the programs and
//! the BTF as data, and types around them:
//!
//! ```ignore
//! mod opensnoop;
//!
//! let kernel = skep_light::Kernel::new()?;
//! let mut open = opensnoop::Opensnoop::new();
//! open.set_target_pid(812);
//! let loaded = open.load(&kernel)?;
//! let _attached = loaded.attach()?;
//! let mut events = loaded.maps.events.ring()?;
//! while events.wait(None)? {
//!     events.consume(|event| { println!("{event:?}"); ControlFlow::Continue(()) })?;
//! }
//! ```
//!
//! What was relocated by a kernel's types fits that build of the kernel and no other, which the load
//! finds out ([`MadeFor`]). Where programs must run on kernels that are not known yet, the crate
//! `skep` loads the object itself.
#![forbid(unsafe_code)]

mod error;
mod image;
mod load;
mod loaded;
mod made_for;
mod map;
mod open;
mod program;
mod ring;
mod target;

use std::{fmt, ops::Deref, path::Path, sync::Arc};

use skep_linux::LinuxHost;

pub use error::{Error, Result};
pub use image::{
    Contents, Image, Inner, KernelValue, MapImage, MapReference, ModuleReference, Pin, Place,
    ProgramImage, Records, Slot, SlotValue,
};
pub use loaded::Loaded;
pub use made_for::{MadeFor, Types};
pub use map::Map;
pub use open::Open;
pub use program::{Attached, Program};
pub use ring::RingBuffer;
pub use target::TargetFunction;

pub use skep_abi as abi;
pub use skep_host as boundary;
pub use skep_linux as linux;

/// The running kernel. Clones share it.
#[derive(Clone)]
pub struct Kernel(Arc<LinuxHost>);

impl Kernel {
    /// The kernel that this process runs on; in a user namespace, by the BPF token that is offered
    /// there.
    ///
    /// # Errors
    /// Its release is not a version that Skep can read.
    pub fn new() -> Result<Self> {
        Ok(Self(Arc::new(LinuxHost::new()?)))
    }

    /// The same by the token of the bpffs that is mounted at `bpffs`. Since 6.9.
    ///
    /// # Errors
    /// It gives no token.
    pub fn by_token(bpffs: &Path) -> Result<Self> {
        Ok(Self(Arc::new(LinuxHost::with_token(bpffs)?)))
    }
}

/// All commands of `bpf(2)`: with [`boundary::Host`] in scope.
impl Deref for Kernel {
    type Target = LinuxHost;

    fn deref(&self) -> &LinuxHost {
        &self.0
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
