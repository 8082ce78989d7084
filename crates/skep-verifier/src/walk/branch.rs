//! Conditional jumps: which sides are possible, and what each side knows.

use skep_isa::{CompareOp, Operand, Reg, Width};

use super::Next;
use crate::verifier::{Result, Verifier};

impl Verifier<'_> {
    pub(super) fn jump_if(
        &mut self,
        width: Width,
        op: CompareOp,
        dst: Reg,
        src: Operand,
        offset: i16,
    ) -> Result<Next> {
        let _ = (width, op, dst, src);
        self.push(self.target_of(offset.into()))?;
        Ok(Next::Fall)
    }

    pub(super) fn may_goto(&mut self, offset: i16) -> Result<Next> {
        self.push(self.target_of(offset.into()))?;
        Ok(Next::Fall)
    }

    pub(super) fn jump_indirect(&mut self, target: Reg) -> Result<Next> {
        let _ = target;
        Ok(Next::End)
    }
}
