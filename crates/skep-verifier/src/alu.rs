//! Arithmetic: moves, numbers, and pointers with numbers added.

use skep_isa::Insn;

use crate::{
    Rule,
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// Does an instruction that only works on registers (`ld_imm64` too).
    pub(crate) fn alu(&mut self, insn: Insn) -> Result {
        Err(self.reject(
            Rule::InvalidInstruction,
            format!("not yet followed: {insn:?}"),
        ))
    }
}
