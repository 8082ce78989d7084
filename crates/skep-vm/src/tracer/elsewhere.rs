//! What stands for the tracer on other processors than x86-64: nothing can be traced there.

use std::{
    convert::Infallible,
    process::{Command, ExitStatus},
};

use super::{Stdio, TraceCounts, TraceError};
use crate::Vm;

impl Vm {
    /// Traces a command, on x86-64.
    ///
    /// # Errors
    /// [`TraceError::Unsupported`]
    pub fn command(&self, _command: Command) -> Result<Traced, TraceError> {
        Err(TraceError::Unsupported)
    }

    /// Traces a process, on x86-64.
    ///
    /// # Errors
    /// [`TraceError::Unsupported`]
    pub fn follow(&self, _pid: u32) -> Result<Traced, TraceError> {
        Err(TraceError::Unsupported)
    }
}

/// A command or process that is traced; there are none here.
#[derive(Debug)]
pub struct Traced(Infallible);

#[expect(
    clippy::must_use_candidate,
    clippy::missing_errors_doc,
    reason = "never called"
)]
impl Traced {
    /// The number of the process.
    pub fn id(&self) -> u32 {
        match self.0 {}
    }

    /// Lets a held command go.
    pub fn resume(&mut self) -> Result<(), TraceError> {
        match self.0 {}
    }

    /// Takes the ends of the command's pipes.
    pub fn stdio(&mut self) -> Stdio {
        match self.0 {}
    }

    /// The exit status of the process.
    pub fn try_wait(&self) -> Option<ExitStatus> {
        match self.0 {}
    }

    /// Waits for the process to end.
    pub fn wait(&self) -> Result<ExitStatus, TraceError> {
        match self.0 {}
    }

    /// Waits until the process and all that it started have ended.
    pub fn wait_all(&self) {
        match self.0 {}
    }

    /// Has the end of the process told of.
    pub fn on_end(&self, _tell: impl FnOnce() + Send + 'static) {
        match self.0 {}
    }

    /// Has each process told of while it is about to end.
    pub fn on_exits(&self, _tell: impl Fn(u32) + Send + Sync + 'static) {
        match self.0 {}
    }

    /// Whether a command can't go on without this process.
    pub fn is_bound(&self) -> bool {
        match self.0 {}
    }

    /// How many tasks are traced now.
    pub fn tasks(&self) -> usize {
        match self.0 {}
    }

    /// What was seen and lost so far.
    pub fn counts(&self) -> TraceCounts {
        match self.0 {}
    }

    /// Sends a signal to the process.
    pub fn signal(&self, _signal: i32) -> Result<(), TraceError> {
        match self.0 {}
    }
}
