//! What executes programs: an interpreter, and a compiler to machine code. Both keep the same
//! contract, so that a program can't tell them apart by anything but time.
//!
//! # The contract
//! - A function takes R1–R5 and its frame's end (R10), and gives R0 with a [`Status`].
//! - R0 and R6–R9 are 0 when a function begins, and R1–R5 after a call of one; a helper leaves
//!   R1–R5 as they were.
//! - In checked mode each access is inside one region of the run, or the program stops with
//!   [`FaultKind::Memory`](crate::FaultKind::Memory); in verified mode that is
//!   only looked at for what is guarded ([`Code::with_guarded`](crate::program::Code)): a load from
//!   elsewhere gives 0, a store is lost. Atomics must be aligned in both.
//! - In checked mode a jump backwards costs as many instructions as it goes back, itself included,
//!   and entering a function costs the function's length; when they are spent the program stops
//!   at the jump, or at the function's first instruction.
//! - Frames are [`FRAME`] bytes each, one below the other.

mod access;
mod arithmetic;
#[cfg(any(feature = "jit", test))]
mod elide;
mod interpreter;
#[cfg(feature = "jit")]
mod jit;
mod lower;
mod op;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::run::Run;

pub(crate) use interpreter::Interpreter;
#[cfg(feature = "jit")]
pub(crate) use jit::Compiled;

/// Memory at a fixed address that lives as long as the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) start: u64,
    pub(crate) len: u64,
    pub(crate) writable: bool,
}

/// Where the values of an array are, which machine code looks up by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ArrayValues {
    /// The address of the first.
    pub(crate) start: u64,
    /// How many there are, and bytes from one to the next.
    pub(crate) count: u32,
    pub(crate) stride: u64,
    /// Where each CPU has its own: how many CPUs, and bytes from the values of one to the next's.
    pub(crate) areas: Option<(u32, u64)>,
}

/// Bytes of a function's frame (`MAX_BPF_STACK`).
pub(crate) const FRAME: u64 = skep_abi::limits::STACK_BYTES as u64;

/// Which engine executes a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Reads one instruction after the other.
    Interpreter,
    /// Machine code, compiled when the program is loaded.
    Jit,
}

/// What is looked at while a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Every access, jump and call: for programs that nobody verified.
    Checked,
    /// Nothing: for programs that a verifier accepted.
    Verified,
}

/// How a function or helper ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Status {
    /// Its value counts.
    Done = 0,
    /// The run has a fault.
    Fault = 1,
    /// A tail call: the run has the next program.
    TailCall = 2,
    /// An exception is on its way to the program's first frame (`bpf_throw`).
    Thrown = 3,
}

/// What functions and helpers give: two registers of the C calling convention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Answer {
    pub(crate) value: u64,
    pub(crate) status: Status,
}

impl Answer {
    pub(crate) const fn done(value: u64) -> Self {
        Self {
            value,
            status: Status::Done,
        }
    }

    pub(crate) const fn stopped(status: Status) -> Self {
        Self { value: 0, status }
    }
}

/// A helper or kfunc as engines call it.
///
/// # Safety
/// Of a program that runs in verified mode, a verifier accepted the arguments.
pub(crate) type Shim = unsafe extern "C" fn(&Run<'_>, u64, u64, u64, u64, u64) -> Answer;

/// A program made ready by one of the engines.
pub(crate) trait Executable: Send + Sync + fmt::Debug {
    /// Calls a function of the program, whose frame ends at `frame`.
    ///
    /// # Safety
    /// The run is of this program and its mode; for verified mode, a verifier accepted the
    /// program; `frame` is the end of a frame of the run's stack.
    unsafe fn call(&self, run: &Run<'_>, function: u32, arguments: [u64; 5], frame: u64) -> Answer;

    /// The machine code, where there is some.
    fn machine_code(&self) -> &[u8] {
        &[]
    }
}
