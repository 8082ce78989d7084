//! A program that a host holds: what it is, running it by hand.

use std::{fmt, path::Path, sync::Arc};

use skep_abi::ProgramType;
use skep_host::{Host as Boundary, LoadedProgram, ProgramFd, ProgramInfo, TestRun, TestRunOutcome};
use skep_object::{ImageProgram, SectionName, XdpRunConfig};

use crate::{Result, usdt::Specs};

/// A program that a host holds. It lives on while a link, a pin or an `Arc` of it does.
pub struct Program {
    host: Arc<dyn Boundary>,
    fd: ProgramFd,
    name: String,
    section: SectionName,
    target: Option<String>,
    log: String,
    usdt: Option<Usdt>,
    run_config: Option<XdpRunConfig>,
}

/// What attaching a program to static probe points of user space takes.
#[derive(Debug)]
pub(crate) struct Usdt {
    /// It is loaded to be attached to many places by one link.
    pub(crate) multi: bool,
    /// The maps that tell it where arguments are; `None` if it asks for none.
    pub(crate) specs: Option<Arc<Specs>>,
}

impl Program {
    pub(crate) fn new(
        host: Arc<dyn Boundary>,
        loaded: LoadedProgram,
        program: &ImageProgram,
        usdt: Option<Usdt>,
        run_config: Option<XdpRunConfig>,
    ) -> Self {
        Self {
            host,
            fd: loaded.fd,
            name: program.name.clone(),
            section: program.section.clone(),
            target: program.attach_target.clone(),
            log: loaded.log,
            usdt,
            run_config,
        }
    }

    /// What its object says of how it runs beside other XDP programs.
    pub(crate) fn run_config(&self) -> Option<&XdpRunConfig> {
        self.run_config.as_ref()
    }

    /// Its full name, as the source spells it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its section's name: its type and what it attaches to.
    pub fn section(&self) -> &SectionName {
        &self.section
    }

    /// What it attaches to, where its section or an option says it.
    pub fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// Its type.
    pub fn program_type(&self) -> ProgramType {
        self.section.program_type()
    }

    /// Its descriptor.
    pub fn fd(&self) -> &ProgramFd {
        &self.fd
    }

    /// The host that holds it.
    pub fn host(&self) -> &Arc<dyn Boundary> {
        &self.host
    }

    pub(crate) fn usdt(&self) -> Option<&Usdt> {
        self.usdt.as_ref()
    }

    /// What the verifier wrote, if it was asked to.
    pub fn log(&self) -> &str {
        &self.log
    }

    /// What the host says of it now.
    ///
    /// # Errors
    /// The host refused to tell.
    pub fn info(&self) -> Result<ProgramInfo> {
        Ok(self.host.prog_info(&self.fd)?)
    }

    /// Runs it on given input (`BPF_PROG_TEST_RUN`).
    ///
    /// # Errors
    /// Its type can't be run by hand, or the input does not fit it.
    pub fn test_run(&self, run: &mut TestRun<'_>) -> Result<TestRunOutcome> {
        Ok(self.host.prog_test_run(&self.fd, run)?)
    }

    /// Keeps the program at `path` in a bpffs.
    ///
    /// # Errors
    /// The path is taken, or not in a bpffs.
    pub fn pin(&self, path: &Path) -> Result<()> {
        Ok(self.host.obj_pin(self.fd.descriptor(), path.into())?)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("name", &self.name)
            .field("section", &self.section)
            .finish_non_exhaustive()
    }
}
