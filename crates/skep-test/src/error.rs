//! Why tests can't be run at all.

use std::{io, path::PathBuf};

use crate::FileError;

/// Why a suite can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The test file can't be read.
    #[error("can't read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The test file says what can't be.
    #[error(transparent)]
    File(#[from] FileError),
    /// The program that the tests are about does not compile.
    #[error("can't build {}", path.display())]
    Build {
        /// The source.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The object that the tests are about is malformed.
    #[error("can't open {}", path.display())]
    Object {
        /// The object.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The host does not load the object.
    #[error("not loaded: {0}")]
    Refused(String),
    /// The test asks for what its host can't do.
    #[error("can't run here: {0}")]
    Unsupported(String),
}
