//! What can go wrong with a recording: a program that can't be recorded, by name and place, and a
//! file that is none.

use skep_isa::{DecodeError, InsnIndex};
use skep_object::RewriteError;

/// A result with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something can't be recorded or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Programs of this kind can't be recorded.
    #[error(
        "program `{program}` ({section}) can't be recorded: {reason}{}",
        LEAVE_OUT
    )]
    Program {
        /// The program.
        program: String,
        /// Its section.
        section: String,
        /// Why.
        reason: String,
    },
    /// It calls what can't be recorded.
    #[error(
        "program `{program}` can't be recorded: it calls {function} at {place}, and {reason}{}",
        LEAVE_OUT
    )]
    Call {
        /// The program.
        program: String,
        /// What it calls.
        function: String,
        /// The line of source, or the instruction.
        place: String,
        /// Why.
        reason: String,
    },
    /// A function's frame has no room for what a recording or a replay keeps there.
    #[error(
        "function `{function}` of program `{program}` uses {used} of 512 bytes of stack, and \
         {needed} more are needed; move a large variable to a map{}",
        LEAVE_OUT
    )]
    Stack {
        /// The program.
        program: String,
        /// The function.
        function: String,
        /// Bytes that it uses.
        used: u32,
        /// Bytes that are needed.
        needed: u32,
    },
    /// A program's instructions can't be changed.
    #[error("program `{program}`: {error}")]
    Rewrite {
        /// The program.
        program: String,
        /// Why.
        error: RewriteError,
    },
    /// A file is no recording, or is damaged.
    #[error("not a whole recording: {problem} at byte {at}")]
    File {
        /// Where.
        at: u64,
        /// What is wrong.
        problem: String,
    },
    /// A record that a program wrote is damaged: a part of it does not belong to the program.
    #[error("a record is damaged: {0}")]
    Record(String),
}

/// The remedy for what can't be recorded.
const LEAVE_OUT: &str = "; leave the program out with --only";

impl Error {
    pub(crate) fn decode(program: &str, error: DecodeError) -> Self {
        Self::Rewrite {
            program: program.to_owned(),
            error: error.into(),
        }
    }

    pub(crate) fn rewrite(program: &str, error: RewriteError) -> Self {
        Self::Rewrite {
            program: program.to_owned(),
            error,
        }
    }
}

/// Where an instruction comes from, for people.
pub(crate) fn place(program: &skep_object::ImageProgram, at: InsnIndex) -> String {
    match program.source_at(at) {
        Some(line) => format!("{}:{}", line.file, line.line),
        None => format!("instruction {at}"),
    }
}
