//! What the commands take, as plain borrowed values; and what some of them give back.
//!
//! Byte slices that stand for keys, values and records have the sizes the map or the BTF
//! gives them; a host checks lengths before it asks the kernel.
//!
//! Every member of `union bpf_attr` has its place here or in a method of [`Host`](crate::Host),
//! but for those that a host fills in itself: sizes and counts (of the slices), log buffers (from
//! [`LogLevel`] and the kernel's answers), the flags that only say that another member is set
//! (`BPF_F_NUMA_NODE`, `BPF_F_TOKEN_FD`, `BPF_F_VTYPE_BTF_OBJ_FD`, `BPF_F_PATH_FD`), and those that
//! the kernel wants to be zero (`flags` of batches, iterators, tokens, bound and associated maps,
//! task queries; the kind of statistics).

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
