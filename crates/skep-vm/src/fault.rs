//! What stops a program: the instruction, the address, and what it did there.

use std::fmt;

use skep_host::Errno;
use skep_isa::InsnIndex;

/// Why a program did not run to its end.
///
/// `at` is the instruction, counted in slots from the start of its program; for a helper's fault,
/// the call; for what a program still holds at its end ([`FaultKind::Held`]), the call that it took
/// it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The program's name.
    pub program: String,
    /// The instruction.
    pub at: InsnIndex,
    /// The helper or kernel function that it calls, where the instruction is a call; or what it is,
    /// where no program may come to it.
    pub call: Option<&'static str>,
    /// What happened there.
    pub kind: FaultKind,
}

impl Fault {
    /// One of the machine itself, before a program's first instruction.
    pub(crate) fn before(program: &str, what: String) -> Self {
        Self {
            program: program.to_owned(),
            at: InsnIndex(0),
            call: None,
            kind: FaultKind::Internal(what),
        }
    }

    /// A program that could not begin, since it got no CPU.
    pub(crate) fn without_cpu(program: &str, errno: Errno) -> Self {
        match errno {
            Errno::ELOOP => Self {
                kind: FaultKind::CallDepth,
                ..Self::before(program, String::new())
            },
            errno => Self::before(program, format!("no CPU: {errno}")),
        }
    }
}

/// What a program did, or ran out of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// An access to memory that the program has no right to.
    Memory {
        /// Where.
        address: u64,
        /// How many bytes.
        size: u64,
        /// A store, not a load.
        write: bool,
    },
    /// A helper or kfunc was given what it can't take.
    Argument {
        /// Its name.
        function: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// All instructions that the run may take are spent.
    Budget {
        /// How many that were.
        limit: u64,
    },
    /// The run took longer than it may.
    Time,
    /// Somebody asked the run to stop: [`Vm::interrupt`](crate::Vm::interrupt).
    Interrupted,
    /// Calls are nested too deeply, or their frames need more stack than there is; or programs run
    /// inside one another, by helpers of the embedder, more than 8 on one thread.
    CallDepth,
    /// A `gotox` or a callback to what is no place in the program.
    Jump {
        /// The place.
        target: u64,
    },
    /// An instruction writes R10, the frame pointer, which is read only.
    FramePointer,
    /// A helper of the embedder failed.
    Helper {
        /// Its name.
        function: String,
        /// What it said.
        reason: String,
    },
    /// The program ended while it held what it must give back: a lock, a reference, a record.
    Held {
        /// What.
        what: &'static str,
    },
    /// A fault of the virtual machine itself: please report it.
    Internal(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "program `{}`, instruction {}", self.program, self.at)?;
        if let Some(call) = self.call {
            write!(f, " ({call})")?;
        }
        write!(f, ": {}", self.kind)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory {
                address,
                size,
                write,
            } => {
                let what = if *write { "store to" } else { "load from" };
                write!(
                    f,
                    "{what} {address:#x} ({size} bytes), which is not the program's"
                )
            }
            Self::Argument { function, reason } => write!(f, "{function}: {reason}"),
            Self::Budget { limit } => write!(f, "its {limit} instructions are spent"),
            Self::Time => f.write_str("its time is spent"),
            Self::Interrupted => f.write_str("it was asked to stop"),
            Self::CallDepth => f.write_str("calls are nested too deeply"),
            Self::Jump { target } => write!(f, "{target:#x} is no place to jump to"),
            Self::FramePointer => f.write_str("R10, the frame pointer, can't be written"),
            Self::Helper { function, reason } => write!(f, "{function}: {reason}"),
            Self::Held { what } => write!(f, "{what} that this took is not given back"),
            Self::Internal(what) => write!(f, "a fault of the virtual machine: {what}"),
        }
    }
}

impl std::error::Error for Fault {}
