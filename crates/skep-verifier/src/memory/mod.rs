//! Loads and stores, and what helpers do to memory: which memory a register points to, and whether
//! an access stays inside it.

use skep_isa::{Insn, Reg};

use crate::{
    Rule,
    state::Register,
    verifier::{Result, Verifier},
};

/// What an access does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    Read,
    Write,
}

/// What kind of memory an instruction accesses, as far as the kernel makes other code of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AccessKind {
    /// The context.
    Context,
    /// A socket structure.
    Socket,
    /// A kernel structure, with faults handled.
    Probed,
    /// An arena.
    Arena,
    /// Anything else: accessed as it is.
    Plain,
}

impl Verifier<'_> {
    /// Does an instruction that reads or writes memory.
    pub(crate) fn memory(&mut self, insn: Insn) -> Result {
        Err(self.reject(
            Rule::InvalidInstruction,
            format!("not yet followed: {insn:?}"),
        ))
    }

    /// Checks that `size` bytes (all values it may have) at the pointer in a register can be read or
    /// written by a function that is called; zero bytes only where `zero_allowed`. Stack that is
    /// read must be initialised (but for `uninit`), and what is written is unknown afterwards.
    pub(crate) fn check_region(
        &mut self,
        reg: Reg,
        size: &Register,
        access: Access,
        zero_allowed: bool,
        uninit: bool,
    ) -> Result {
        let _ = (reg, size, access, zero_allowed, uninit);
        Ok(())
    }
}
