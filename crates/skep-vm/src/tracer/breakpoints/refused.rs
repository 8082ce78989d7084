//! Why there is no breakpoint where a program wants one, and how often something was missed.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use skep_host::Errno;
use thiserror::Error;

use super::{super::Refused, places::Place, relocate::Refusal};

/// Why there is no breakpoint at an address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Reason {
    /// The instruction can't be executed elsewhere, or there is none.
    #[error("{0}")]
    Instruction(Refusal),
    /// It is inside of an instruction, which a breakpoint would break.
    #[error("it is in the middle of the instruction at offset {0:#x}: name where one begins")]
    Middle(u64),
    /// Code that is not of a file, or that others see too.
    #[error("it is not in code that is mapped privately from a file")]
    NotCode,
    /// A 32-bit process.
    #[error("the process is not a 64-bit one of x86")]
    Bits,
    /// A seccomp filter might kill the process for what the tracer makes it do.
    #[error(
        "the process has a seccomp filter of its own, which may not allow it to map the memory \
         that this instruction needs: attach before the process begins"
    )]
    Sandboxed,
    /// A thread has to stop first where it can be made to map memory.
    #[error("no thread has stopped yet where it can map memory")]
    Later,
    /// More calls that have not returned than are kept.
    #[error("too many calls have not returned yet")]
    TooDeep,
    /// The file is not there.
    #[error("there is no such file")]
    NoFile,
    /// What the system answered.
    #[error("the process can't be changed: {0}")]
    System(Errno),
}

/// What became of hits and places.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// One reason a place.
    refused: BTreeMap<(Arc<PathBuf>, u64), Reason>,
    /// Places whose returns were not all seen.
    returns: BTreeMap<(Arc<PathBuf>, u64), Reason>,
    told: usize,
}

/// Most places that reasons are kept of.
const MOST: usize = 1024;

impl Report {
    pub(super) fn refuse(&mut self, place: &Place, reason: Reason) {
        if matches!(reason, Reason::Later) {
            return;
        }
        self.refuse_at(Arc::clone(&place.file.path), place.offset, reason);
    }

    pub(super) fn refuse_at(&mut self, path: Arc<PathBuf>, offset: u64, reason: Reason) {
        if self.refused.len() < MOST {
            self.refused.entry((path, offset)).or_insert(reason);
        }
    }

    /// A call at this place has a return that is not seen.
    pub(super) fn miss_return(&mut self, place: &Place, reason: Reason) {
        if self.returns.len() < MOST {
            let key = (Arc::clone(&place.file.path), place.offset);
            self.returns.entry(key).or_insert(reason);
        }
    }

    /// All of them, if there are more than when it was last asked.
    pub(super) fn news(&mut self) -> Option<Vec<Refused>> {
        let count = self.refused.len() + self.returns.len();
        let before = std::mem::replace(&mut self.told, count);
        (before < count).then(|| {
            let places = self.refused.iter().map(|known| (known, "not probed"));
            let returns = self.returns.iter();
            let returns = returns.map(|known| (known, "some returns are not seen"));
            let each = places.chain(returns);
            each.map(|(((binary, offset), reason), what)| Refused {
                binary: Arc::clone(binary),
                offset: *offset,
                reason: format!("{what}: {reason}"),
            })
            .collect()
        })
    }
}
