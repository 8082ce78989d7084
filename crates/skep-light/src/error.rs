//! What can go wrong with programs in light form.

use std::path::PathBuf;

use crate::MadeFor;

/// The result of a load, or of what comes after.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] skep_host::Error),
    /// The programs were relocated for another kernel than this one.
    #[error(
        "the programs of `{name}` were relocated for Linux {}, and {differs}: make them again there \
         (`skep gen light`), or load the object with the crate `skep`, which relocates it for any \
         kernel", .made_for.release
    )]
    OtherKernel {
        /// The object's name.
        name: &'static str,
        /// What they were relocated for.
        made_for: &'static MadeFor,
        /// In what this kernel is another.
        differs: String,
    },
    /// What is pinned where a map is kept is no such map.
    #[error("{}: map `{map}` of `{object}` {reason}", .path.display())]
    Pin {
        /// The map's name.
        map: &'static str,
        /// The object's name.
        object: &'static str,
        /// Where.
        path: PathBuf,
        /// What is there instead, and what to do.
        reason: String,
    },
    /// A map can't be used that way.
    #[error("map `{map}`: {reason}")]
    Map {
        /// The map's name.
        map: &'static str,
        /// Why not.
        reason: String,
    },
    /// A program has no such function for another one.
    #[error("program `{program}`, as a place for another: {reason}")]
    Target {
        /// The program's name.
        program: String,
        /// Why not.
        reason: String,
    },
    /// A program can't be attached by what is known.
    #[error("program `{program}`: {reason}")]
    Attach {
        /// The program's name.
        program: &'static str,
        /// What is missing, and how to give it.
        reason: &'static str,
    },
}

impl Error {
    /// What the kernel refused for, with its remedy ([`skep_host::Cause::fix`]), where one is known.
    pub fn cause(&self) -> Option<&skep_host::Cause> {
        match self {
            Self::Kernel(error) => error.cause(),
            _ => None,
        }
    }

    /// The verifier's log, if it refused a program.
    pub fn log(&self) -> Option<&str> {
        match self {
            Self::Kernel(error) => error.log(),
            _ => None,
        }
    }
}
