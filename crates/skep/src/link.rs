//! Links: what keeps a program attached, or a struct of them.

use std::{fmt, path::Path, sync::Arc};

use skep_host::{Attachment, Filter, Host, IterFd, LinkInfo};

use crate::{Error, Program, Result, StructOps, usdt::Lease};

/// Keeps a program attached, or a struct of programs. Dropping it detaches, unless it was pinned.
pub struct Link {
    held: Held,
    place: String,
    attachments: Vec<Attachment>,
    /// What programs on static probe points find their arguments by. It goes after the
    /// attachments, so that nothing fires that finds another's.
    lease: Option<Lease>,
}

/// What is attached.
enum Held {
    Program(Arc<Program>),
    StructOps(Arc<StructOps>),
}

impl Link {
    pub(crate) fn new(program: Arc<Program>, place: String, attachments: Vec<Attachment>) -> Self {
        Self {
            held: Held::Program(program),
            place,
            attachments,
            lease: None,
        }
    }

    /// The same, at static probe points of user space.
    pub(crate) fn at_points(self, place: String, lease: Option<Lease>) -> Self {
        Self {
            place,
            lease,
            ..self
        }
    }

    pub(crate) fn of_struct_ops(struct_ops: Arc<StructOps>, attachment: Attachment) -> Self {
        Self {
            place: "struct_ops".into(),
            held: Held::StructOps(struct_ops),
            attachments: vec![attachment],
            lease: None,
        }
    }

    /// The name of the program, or of the struct of programs.
    pub fn name(&self) -> &str {
        match &self.held {
            Held::Program(program) => program.name(),
            Held::StructOps(struct_ops) => struct_ops.name(),
        }
    }

    /// The program; `None` if it is a struct of several.
    pub fn program(&self) -> Option<&Arc<Program>> {
        match &self.held {
            Held::Program(program) => Some(program),
            Held::StructOps(_) => None,
        }
    }

    /// The struct of programs, if it is one.
    pub fn struct_ops(&self) -> Option<&Arc<StructOps>> {
        match &self.held {
            Held::Program(_) => None,
            Held::StructOps(struct_ops) => Some(struct_ops),
        }
    }

    fn host(&self) -> &Arc<dyn Host> {
        match &self.held {
            Held::Program(program) => program.host(),
            Held::StructOps(struct_ops) => struct_ops.map().host(),
        }
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
        if let Some(reason) = attachment.holder().and_then(|holder| holder.cannot_pin()) {
            return Err(self.fault(reason));
        }
        self.host().obj_pin(link.descriptor(), path.into())?;
        if let Some(lease) = &self.lease {
            lease.keep();
        }
        Ok(())
    }

    /// Puts another program of the same type in place, without a gap.
    ///
    /// # Errors
    /// The hook can't swap programs, or refuses this one; or the link holds a struct of programs.
    pub fn update(&mut self, program: &Arc<Program>) -> Result<()> {
        if let Held::StructOps(_) = self.held {
            return Err(self.fault("it holds a struct of programs: use `update_struct_ops`"));
        }
        if let Some(lease) = &self.lease {
            let specs = program.usdt().and_then(|usdt| usdt.specs.as_ref());
            if !specs.is_some_and(|specs| Arc::ptr_eq(specs, lease.specs())) {
                return Err(
                    self.fault("the other program finds its arguments by maps of another object")
                );
            }
        }
        let host = Arc::clone(self.host());
        for attachment in &mut self.attachments {
            if let Some(holder) = attachment.holder_mut() {
                holder.update(program.fd())?;
            } else if let Some(link) = attachment.link_fd() {
                host.link_update(link, program.fd().into(), None)?;
            }
        }
        self.held = Held::Program(Arc::clone(program));
        Ok(())
    }

    /// Puts another struct of the same kind in place, without a gap. Since Linux 6.4.
    ///
    /// # Errors
    /// The link holds a program, or a struct that was registered without a link, or the kernel
    /// can't swap structs of this kind.
    pub fn update_struct_ops(&mut self, new: &Arc<StructOps>) -> Result<()> {
        let link = self.attachments.first().and_then(Attachment::link_fd);
        let (Held::StructOps(_), Some(link)) = (&self.held, link) else {
            return Err(self.fault("it holds no struct of programs by a link (.struct_ops.link)"));
        };
        self.host().link_update(link, new.map().fd().into(), None)?;
        self.held = Held::StructOps(Arc::clone(new));
        Ok(())
    }

    /// What the host says of its parts that are links.
    ///
    /// # Errors
    /// The host refused to tell.
    pub fn info(&self) -> Result<Vec<LinkInfo>> {
        let host = self.host();
        let links = self.attachments.iter().filter_map(Attachment::link_fd);
        links.map(|link| Ok(host.link_info(link)?)).collect()
    }

    /// The filter of traffic control that it is: with the priority and handle that the kernel chose, if
    /// nobody did. `None` for all other hooks, tcx among them.
    pub fn filter(&self) -> Option<&Filter> {
        let holder = self.attachments.first().and_then(Attachment::holder);
        holder.and_then(|holder| holder.filter())
    }

    /// Events that the hook left out: of functions of the kernel, where it counts them (links since
    /// Linux 6.7; probes by tracefs always). `None` where nobody counts.
    ///
    /// # Errors
    /// The host refused to tell.
    pub fn missed(&self) -> Result<Option<u64>> {
        let held = |attachment: &Attachment| attachment.holder()?.missed();
        let mut sum = None;
        for attachment in &self.attachments {
            let missed = match (held(attachment), attachment.link_fd()) {
                (Some(missed), _) => Some(missed),
                (None, Some(link)) => self.host().link_info(link)?.missed(),
                (None, None) => None,
            };
            sum = match (sum, missed) {
                (Some(sum), Some(missed)) => Some(missed.saturating_add(sum)),
                (sum, missed) => missed.or(sum),
            };
        }
        Ok(sum)
    }

    /// Opens an iterator link for reading: each opening runs the program over everything anew.
    ///
    /// # Errors
    /// It is no iterator's link.
    pub fn iterate(&self) -> Result<Iteration> {
        let link = self.attachments.first().and_then(Attachment::link_fd);
        let link = link.ok_or_else(|| self.fault("it is no iterator"))?;
        let fd = self.host().iter_create(link)?;
        Ok(Iteration {
            host: Arc::clone(self.host()),
            fd,
        })
    }

    fn fault(&self, reason: &str) -> Error {
        let section = match &self.held {
            Held::Program(program) => program.section().to_string(),
            Held::StructOps(_) => self.place.clone(),
        };
        Error::Attach {
            program: self.name().to_owned(),
            section,
            reason: reason.to_owned(),
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("name", &self.name())
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// An iterator's output, to be read to its end.
#[derive(Debug)]
pub struct Iteration {
    host: Arc<dyn Host>,
    fd: IterFd,
}

impl std::io::Read for Iteration {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.host.read(self.fd.descriptor(), buffer);
        read.map_err(std::io::Error::other)
    }
}
