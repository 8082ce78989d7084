//! What is used where a host lacks the better way, and only where the object's author or its user
//! asked for it: another form of a program, types that came along. Each use is told.

mod archive;
mod forms;

use std::fmt;

pub use archive::BtfArchive;

pub(crate) use forms::{Attempt, Forms, choose};

/// What a load did in place of what it would rather have done. Prints as a line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fallback {
    /// A program in another form.
    Program {
        /// The form that would be better, and its section.
        wanted: (String, String),
        /// The form that is loaded, and its section.
        used: (String, String),
        /// What was in the way of each better form, the best first.
        because: Vec<String>,
    },
    /// Types of an archive.
    Types {
        /// Where they are from.
        from: String,
        /// Why the host's own can't be had.
        because: String,
    },
}

/// A form of a program that a host does not take. Prints as a line, with another below it for what to
/// do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedForm {
    /// The form's name.
    pub program: String,
    /// Its section.
    pub section: String,
    /// What is in the way.
    pub reason: String,
    /// What to do about it, where that is known.
    pub fix: Option<String>,
}

impl fmt::Display for RefusedForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({}): {}", self.program, self.section, self.reason)?;
        match &self.fix {
            Some(fix) => write!(f, "\n    fix: {fix}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program {
                wanted,
                used,
                because,
            } => write!(
                f,
                "`{}` ({}) in place of `{}` ({}): {}",
                used.0,
                used.1,
                wanted.0,
                wanted.1,
                because.join("; ")
            ),
            Self::Types { from, because } => {
                write!(f, "types of {from} in place of the kernel's: {because}")
            }
        }
    }
}
