//! The compiler. Not written yet.

use std::sync::Arc;

use skep_host::Errno;

use super::{Answer, Executable, Mode};
use crate::{program::Code, run::Run};

/// A compiled program.
#[derive(Debug)]
pub(crate) struct Compiled;

impl Compiled {
    pub(crate) fn new(_code: Arc<Code>, _mode: Mode) -> Result<Self, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
}

impl Executable for Compiled {
    unsafe fn call(&self, _: &Run<'_>, _: u32, _: [u64; 5], _: u64) -> Answer {
        unreachable!("no program is compiled")
    }
}
