//! What the commands take, as plain borrowed values; and what some of them give back.
//!
//! Byte slices that stand for keys, values and records have the sizes the map or the BTF
//! gives them; a host checks lengths before it asks the kernel.

mod link;
mod map;
mod program;

use std::path::{Path, PathBuf};

pub use link::{
    LinkCreate, LinkOptions, LinkSource, LinkTarget, ProgramAttach, ProgramQuery, QueryAnswer,
};
pub use map::{BatchOutcome, MapBatch, MapBtf, MapCreate};
pub use program::{
    AttachTarget, LogLevel, ProgramBtf, ProgramLoad, ProgramStream, Signature, TestRun,
    TestRunOutcome,
};

use crate::TokenFd;

/// BTF to load.
#[derive(Debug, Clone, Copy)]
#[doc(alias = "BPF_BTF_LOAD")]
pub struct BtfLoad<'a> {
    /// Whose it is, for errors.
    pub object: &'a str,
    /// The bytes, in the host's byte order.
    pub bytes: &'a [u8],
    /// How much of the checker's log to keep.
    pub log_level: LogLevel,
    /// The right to load it, from a delegated bpffs. Since 6.9.
    pub token: Option<&'a TokenFd>,
}

/// A path in the host's tree of pins.
#[derive(Debug, Clone, Copy)]
pub struct PinPath<'a> {
    /// The path.
    pub path: &'a Path,
    /// An open directory that a relative path starts from; `None`: the working directory.
    /// Since 6.5.
    #[doc(alias = "BPF_F_PATH_FD")]
    pub directory: Option<i32>,
}

impl<'a> From<&'a Path> for PinPath<'a> {
    fn from(path: &'a Path) -> Self {
        Self {
            path,
            directory: None,
        }
    }
}

impl<'a> From<&'a PathBuf> for PinPath<'a> {
    fn from(path: &'a PathBuf) -> Self {
        path.as_path().into()
    }
}
