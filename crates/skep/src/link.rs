//! Links: what keeps a program attached.

use std::{fmt, path::Path, sync::Arc};

use skep_host::{Attachment, IterFd, LinkInfo};

use crate::{Error, Program, Result};

/// Keeps a program attached. Dropping it detaches, unless it was pinned.
pub struct Link {
    program: Arc<Program>,
    place: String,
    attachments: Vec<Attachment>,
}

impl Link {
    pub(crate) fn new(program: Arc<Program>, place: String, attachments: Vec<Attachment>) -> Self {
        Self {
            program,
            place,
            attachments,
        }
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// The hook, in the spelling of section names.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The host's parts of it: one for most hooks, one a CPU for perf events.
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// Detaches now and says how that went; dropping does the same in silence.
    ///
    /// # Errors
    /// The host refused to detach a part; the others are detached.
    pub fn detach(self) -> Result<()> {
        let mut outcome = Ok(());
        for attachment in self.attachments {
            if let Err(error) = attachment.detach() {
                outcome = Err(error.into());
            }
        }
        outcome
    }

    /// Keeps the attachment at `path` in a bpffs, beyond this process.
    ///
    /// # Errors
    /// The hook has no link that could be pinned, or the path is taken or not in a bpffs.
    pub fn pin(&self, path: &Path) -> Result<()> {
        let [attachment] = self.attachments.as_slice() else {
            return Err(self.fault("it has several parts, which can't be pinned under one name"));
        };
        let link = attachment.link_fd().ok_or_else(|| {
            self.fault("this kernel attaches it without a link, so it can't be pinned")
        })?;
        Ok(self.program.host().obj_pin(link.descriptor(), path.into())?)
    }

    /// Puts another program of the same type in place, without a gap.
    ///
    /// # Errors
    /// The hook can't swap programs, or refuses this one.
    pub fn update(&mut self, program: &Arc<Program>) -> Result<()> {
        for attachment in &mut self.attachments {
            if let Some(holder) = attachment.holder_mut() {
                holder.update(program.fd())?;
            } else if let Some(link) = attachment.link_fd() {
                let host = self.program.host();
                host.link_update(link, program.fd().into(), None)?;
            }
        }
        self.program = Arc::clone(program);
        Ok(())
    }

    /// What the host says of its parts that are links.
    ///
    /// # Errors
    /// The host refused to tell.
    pub fn info(&self) -> Result<Vec<LinkInfo>> {
        let host = self.program.host();
        let links = self.attachments.iter().filter_map(Attachment::link_fd);
        links.map(|link| Ok(host.link_info(link)?)).collect()
    }

    /// Opens an iterator link for reading: each opening runs the program over everything anew.
    ///
    /// # Errors
    /// It is no iterator's link.
    pub fn iterate(&self) -> Result<Iteration> {
        let link = self.attachments.first().and_then(Attachment::link_fd);
        let link = link.ok_or_else(|| self.fault("it is no iterator"))?;
        let fd = self.program.host().iter_create(link)?;
        Ok(Iteration {
            program: Arc::clone(&self.program),
            fd,
        })
    }

    fn fault(&self, reason: &str) -> Error {
        Error::Attach {
            program: self.program.name().to_owned(),
            section: self.program.section().to_string(),
            reason: reason.to_owned(),
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("program", &self.program.name())
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// An iterator's output, to be read to its end.
#[derive(Debug)]
pub struct Iteration {
    program: Arc<Program>,
    fd: IterFd,
}

impl std::io::Read for Iteration {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.program.host().read(self.fd.descriptor(), buffer);
        read.map_err(std::io::Error::other)
    }
}
