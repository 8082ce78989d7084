//! What is watched: all processes of the machine until Ctrl-C, or as long as a command runs.

use std::{
    error::Error,
    ffi::OsString,
    process::{Child, Command},
};

use skep::{Host, vm::Traced};

/// What makes events happen.
pub enum Watched {
    /// Whatever happens on this machine.
    Machine,
    /// The same, while a command runs: first not started yet.
    Waiting(Command),
    Running(Child),
    /// A command that the virtual machine traces: it and what it starts, and nothing else.
    Traced(Traced),
}

impl Watched {
    /// Holds a command, if there is one, until the programs are attached.
    pub fn new(host: &Host, words: Vec<OsString>) -> Result<Self, Box<dyn Error>> {
        let command = words.split_first().map(|(program, arguments)| {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        });
        match (host.as_vm(), command) {
            (None, None) => Ok(Self::Machine),
            (None, Some(command)) => Ok(Self::Waiting(command)),
            (Some(vm), Some(command)) => Ok(Self::Traced(vm.command(command)?)),
            (Some(_), None) => Err(match host.why_not_kernel() {
                Some(why) => format!(
                    "the kernel can't be used here ({why}): name a command to watch, as in \
                     `cargo run -- ls /etc`, or run it as root"
                ),
                None => "name a command to watch".into(),
            }
            .into()),
        }
    }

    /// Lets the command go.
    pub fn begin(&mut self) -> Result<(), Box<dyn Error>> {
        match self {
            Self::Waiting(command) => *self = Self::Running(command.spawn()?),
            Self::Traced(traced) => traced.resume()?,
            Self::Machine | Self::Running(_) => {}
        }
        Ok(())
    }

    /// Whether nothing happens any more.
    pub fn has_ended(&mut self) -> Result<bool, Box<dyn Error>> {
        Ok(match self {
            Self::Machine | Self::Waiting(_) => false,
            Self::Running(child) => child.try_wait()?.is_some(),
            Self::Traced(traced) => traced.tasks() == 0,
        })
    }
}
