//! A program of a light form, and attaching it.

use std::path::Path;

use skep_abi::ProgramType;
use skep_host::{
    AttachPoint, Attachment, Host as _, IterTarget, ProbeSource, ProgramFd, TestRun, TestRunOutcome,
};

use crate::{Error, Kernel, Place, ProgramImage, Result};

/// A program that the kernel holds.
#[derive(Debug)]
pub struct Program {
    kernel: Kernel,
    fd: ProgramFd,
    image: &'static ProgramImage,
}

impl Program {
    pub(crate) fn new(kernel: &Kernel, fd: ProgramFd, image: &'static ProgramImage) -> Self {
        Self {
            kernel: kernel.clone(),
            fd,
            image,
        }
    }

    pub(crate) fn image(&self) -> &'static ProgramImage {
        self.image
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.image.name
    }

    /// Its type.
    pub fn program_type(&self) -> ProgramType {
        self.image.program_type
    }

    /// What its section's name says of the place to attach it to.
    pub fn place(&self) -> Place {
        self.image.place
    }

    /// Its descriptor, for the commands of [`skep_host::Host`].
    pub fn fd(&self) -> &ProgramFd {
        &self.fd
    }

    /// A second handle of the same program.
    ///
    /// # Errors
    /// There are too many open files.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            kernel: self.kernel.clone(),
            fd: self.fd.try_clone()?,
            image: self.image,
        })
    }

    /// Attaches it to the place that its section's name says.
    ///
    /// # Errors
    /// The name does not say all of it, or the kernel refused.
    pub fn attach(&self) -> Result<Attached> {
        let point = match self.image.place {
            Place::Tracepoint(category, name) => AttachPoint::Tracepoint {
                category: category.into(),
                name: name.into(),
                cookie: None,
            },
            Place::RawTracepoint(name) => AttachPoint::RawTracepoint {
                name: name.into(),
                cookie: None,
            },
            Place::Tracing(attach_type, section) => AttachPoint::Tracing {
                attach_type,
                target: section.into(),
                cookie: None,
            },
            Place::Replace(function) => AttachPoint::Replace {
                function: function.into(),
                elsewhere: None,
                cookie: None,
            },
            Place::Kprobe(function, offset, at_return) => AttachPoint::Kprobe {
                at_return,
                function: function.into(),
                offset,
                source: ProbeSource::Auto,
                cookie: None,
            },
            Place::Iterator => AttachPoint::Iterator(IterTarget::All),
            Place::Open(how) => {
                return Err(Error::Attach {
                    program: self.image.name,
                    reason: how,
                });
            }
            Place::Never => {
                return Err(Error::Attach {
                    program: self.image.name,
                    reason: "it is not attached by itself",
                });
            }
        };
        self.attach_to(&point)
    }

    /// Attaches it to a place that is described in full.
    ///
    /// # Errors
    /// The place is not there, or the kernel refused.
    pub fn attach_to(&self, point: &AttachPoint<'_>) -> Result<Attached> {
        let kind = self.image.program_type;
        let made = self.kernel.attach(self.image.name, &self.fd, kind, point)?;
        Ok(Attached::new(made))
    }

    /// Runs it on given input (`BPF_PROG_TEST_RUN`).
    ///
    /// # Errors
    /// Its type can't be run by hand, or the input does not fit it.
    pub fn test_run(&self, run: &mut TestRun<'_>) -> Result<TestRunOutcome> {
        Ok(self.kernel.prog_test_run(&self.fd, run)?)
    }

    /// Keeps it at `path` in a bpffs.
    ///
    /// # Errors
    /// The path is taken, or not in a bpffs.
    pub fn pin(&self, path: &Path) -> Result<()> {
        Ok(self.kernel.obj_pin(self.fd.descriptor(), path.into())?)
    }
}

/// Keeps a program, or a struct of functions, attached; dropping it detaches.
#[derive(Debug)]
pub struct Attached(Attachment);

impl Attached {
    pub(crate) fn new(attachment: Attachment) -> Self {
        Self(attachment)
    }

    /// The attachment, with its link where there is one.
    pub fn attachment(&self) -> &Attachment {
        &self.0
    }

    /// Detaches now and says how that went; dropping does the same in silence.
    ///
    /// # Errors
    /// The kernel refused to detach.
    pub fn detach(self) -> Result<()> {
        Ok(self.0.detach()?)
    }
}
