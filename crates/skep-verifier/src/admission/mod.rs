//! Whether the kernel lets such a program in at all, before it looks at its paths: type, attach
//! type, flags, licence, the loader's capabilities, and what the program attaches to.

mod extension;
mod function_info;
mod loader;
mod prototype;
mod sleeping;
mod target;

use crate::verifier::{Result, Verifier};

pub(crate) use target::Attached;

impl Verifier<'_> {
    /// Checks what the kernel checks of a program before its paths, and finds what it attaches to.
    pub(crate) fn admit(&mut self) -> Result {
        self.check_program_type()?;
        self.check_flags()?;
        self.check_capabilities()?;
        self.check_attach_type()?;
        self.check_function_info()?;
        self.check_sleepable()?;
        self.find_attach_target()
    }
}
