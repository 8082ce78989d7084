//! Links that are pinned: opened again by a process that did not make them, to look at, swap,
//! detach or unpin what an earlier one left attached.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use skep_abi::ObjectFlags;
use skep_host::{Host as Boundary, LinkFd, LinkInfo, Pinned};

use crate::{Error, Link, Program, Result};

/// A link that is pinned in a bpffs. Dropping it changes nothing: the pin keeps the program attached.
///
/// The process that made it may have ended, or have been killed:
///
/// ```no_run
/// use std::path::Path;
///
/// use skep::{Host, Link};
///
/// let host = Host::kernel()?;
/// let link = Link::open_pinned(host.boundary().clone(), Path::new("/sys/fs/bpf/firewall"))?;
/// println!("program {} is still attached", link.info()?.program_id);
/// link.unpin()?;
/// # Ok::<(), skep::Error>(())
/// ```
pub struct PinnedLink {
    host: Arc<dyn Boundary>,
    fd: LinkFd,
    path: PathBuf,
}

impl Link {
    /// Opens the link pinned at `path`. Since Linux 5.7.
    ///
    /// # Errors
    /// Nothing is pinned there, or it is no link.
    #[doc(alias = "bpf_link__open")]
    pub fn open_pinned(host: Arc<dyn Boundary>, path: &Path) -> Result<PinnedLink> {
        match host.obj_get(path.into(), ObjectFlags::empty())? {
            Pinned::Link(fd) => Ok(PinnedLink {
                host,
                fd,
                path: path.into(),
            }),
            other => Err(Error::Pin {
                path: path.into(),
                reason: format!("it is {}, not a link", kind(&other)),
            }),
        }
    }
}

fn kind(pinned: &Pinned) -> &'static str {
    match pinned {
        Pinned::Map(_) => "a map",
        Pinned::Program(_) => "a program",
        _ => "something else",
    }
}

impl PinnedLink {
    /// Where it is pinned.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The link itself.
    pub fn fd(&self) -> &LinkFd {
        &self.fd
    }

    /// What the host says of it.
    ///
    /// # Errors
    /// The host refused to tell.
    pub fn info(&self) -> Result<LinkInfo> {
        Ok(self.host.link_info(&self.fd)?)
    }

    /// Puts another program of the same type in place, without a gap.
    ///
    /// # Errors
    /// The hook can't swap programs, or refuses this one.
    #[doc(alias = "BPF_LINK_UPDATE")]
    pub fn update(&self, program: &Program) -> Result<()> {
        let new = program.fd().into();
        Ok(self.host.link_update(&self.fd, new, None)?)
    }

    /// Takes the program off its hook at once, whoever holds the link and wherever it is pinned;
    /// the link and its pin stay, attached to nothing. Since Linux 5.9, for the links of cgroups,
    /// network devices and namespaces, sockets' maps and structs of functions.
    ///
    /// # Errors
    /// Links of this kind are detached only when nobody holds them: [`unpin`](Self::unpin) it.
    #[doc(alias = "BPF_LINK_DETACH")]
    pub fn detach(&self) -> Result<()> {
        Ok(self.host.link_detach(&self.fd)?)
    }

    /// Removes the pin. The program is detached, unless another pin or process holds the link.
    ///
    /// # Errors
    /// The pin is gone, or may not be removed.
    #[doc(alias = "bpf_link__unpin")]
    pub fn unpin(self) -> Result<()> {
        Ok(self.host.obj_unpin(&self.path)?)
    }
}

impl fmt::Debug for PinnedLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedLink")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
