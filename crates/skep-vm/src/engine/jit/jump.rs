//! Jumps, and what takes their place.

use cranelift_codegen::ir::{
    InstBuilder as _, InstructionData, Opcode, Value,
    condcodes::{CondCode as _, IntCC},
    types::{I8, I64},
};
use cranelift_frontend::Switch;
use skep_host::Errno;
use skep_isa::{CompareOp, Insn, InsnIndex, Operand, Reg, Width};

use super::{function::Translator, shims};
use crate::program::PLACES;

impl Translator<'_> {
    pub(super) fn go(&mut self, at: InsnIndex, target: InsnIndex) -> Result<(), Errno> {
        let block = self.block(target.0).ok_or(Errno::EOPNOTSUPP)?;
        if self.checked && target <= at {
            self.spend(at.0 - target.0 + 1, at.0, target.0, block);
        } else {
            self.b.ins().jump(block, &[]);
        }
        Ok(())
    }

    pub(super) fn go_if(
        &mut self,
        condition: Value,
        at: InsnIndex,
        target: InsnIndex,
    ) -> Result<(), Errno> {
        let next = self.b.create_block();
        if self.checked && target <= at && self.is_covered(target.0) {
            // Paid on both ways, so that there is nothing but the branch on the way back.
            let block = self.block(target.0).ok_or(Errno::EOPNOTSUPP)?;
            let cost = i64::from(at.0 - target.0 + 1);
            let budget = self.b.use_var(self.budget);
            let paid = self.b.ins().iconst(I64, cost);
            let left = self.b.ins().isub(budget, paid);
            self.b.def_var(self.budget, left);
            self.b.ins().brif(condition, block, &[], next, &[]);
            self.begin(next);
            let budget = self.b.ins().iadd_imm(left, cost);
            self.b.def_var(self.budget, budget);
            return Ok(());
        }
        if self.checked && target <= at {
            // What is visited last is laid out first: the way back.
            let taken = self.b.create_block();
            let opposite = self.opposite(condition);
            self.b.ins().brif(opposite, next, &[], taken, &[]);
            self.begin(taken);
            self.go(at, target)?;
        } else {
            let taken = self.block(target.0).ok_or(Errno::EOPNOTSUPP)?;
            self.b.ins().brif(condition, taken, &[], next, &[]);
        }
        self.begin(next);
        Ok(())
    }

    /// Holds when `condition` does not.
    fn opposite(&mut self, condition: Value) -> Value {
        let inst = self.b.func.dfg.value_def(condition).inst();
        match inst.map(|inst| self.b.func.dfg.insts[inst]) {
            Some(InstructionData::IntCompare {
                opcode: Opcode::Icmp,
                cond,
                args: [a, b],
            }) => self.b.ins().icmp(cond.complement(), a, b),
            _ => self.b.ins().icmp_imm(IntCC::Equal, condition, 0),
        }
    }

    /// A jump over a single move, or over a move and a jump to the same place: the move is done
    /// without a branch. Answers how many more instructions it was, and whether control passes on.
    pub(super) fn choice(
        &mut self,
        at: InsnIndex,
        insn: &Insn,
        after: &[(InsnIndex, Insn)],
    ) -> Option<(usize, bool)> {
        let Insn::JumpIf {
            width,
            op,
            dst: left,
            src: right,
            ..
        } = *insn
        else {
            return None;
        };
        let target = insn.target(at)?;
        let [(second_at, second), third, ..] = after else {
            return None;
        };
        let Insn::Mov {
            width: move_width,
            dst,
            src,
        } = *second
        else {
            return None;
        };
        let (third_at, third) = third;
        let over = target == *third_at;
        let also_jumps = matches!(third, Insn::Jump { .. } | Insn::JumpLong { .. })
            && third.target(*third_at) == Some(target);
        let inner = |at: &InsnIndex| self.block(at.0).is_none();
        if !(over || also_jumps && inner(third_at)) || !inner(second_at) {
            return None;
        }
        let target_block = self.block(target.0)?;
        let condition = self.condition(width, op, left, right);
        let before = self.get(dst);
        self.mov(move_width, dst, src);
        let moved = self.get(dst);
        let value = self.select(condition, before, moved);
        self.set(dst, value);
        if over {
            return Some((1, true));
        }
        if self.checked && target <= at {
            // Each jump costs its own distance, and may be where the budget ends.
            let cost = i64::from(third_at.0 - target.0 + 1);
            let less = i64::from(third_at.0 - at.0);
            let budget = self.b.use_var(self.budget);
            let cost = self.b.ins().iconst(I64, cost);
            let left = self.b.ins().isub(budget, cost);
            let taken = match self.b.func.dfg.value_type(condition) {
                I8 => self.b.ins().uextend(I64, condition),
                _ => {
                    let taken = self.b.ins().icmp_imm(IntCC::NotEqual, condition, 0);
                    self.b.ins().uextend(I64, taken)
                }
            };
            let less = match less {
                2 => self.b.ins().ishl_imm(taken, 1),
                _ => self.b.ins().imul_imm(taken, less),
            };
            let left = self.b.ins().iadd(left, less);
            let places = [at.0, third_at.0];
            self.pay(left, (third_at.0, target.0), target_block, |this| {
                let [first, second] =
                    places.map(|place| this.b.ins().iconst(I64, i64::from(place)));
                this.b.ins().select(condition, first, second)
            });
            return Some((2, false));
        }
        self.b.ins().jump(target_block, &[]);
        Some((2, false))
    }

    /// One of two values, by a condition.
    fn select(&mut self, condition: Value, yes: Value, no: Value) -> Value {
        let ty = self.b.func.dfg.value_type(condition);
        match (self.constant(yes), self.constant(no)) {
            (Some(1), Some(0)) if ty == I8 => self.b.ins().uextend(I64, condition),
            (Some(0), Some(1)) if ty == I8 => {
                let opposite = self.opposite(condition);
                self.b.ins().uextend(I64, opposite)
            }
            _ => self.b.ins().select(condition, yes, no),
        }
    }

    /// The constant that a value is.
    pub(super) fn constant(&self, value: Value) -> Option<i64> {
        let inst = self.b.func.dfg.value_def(value).inst()?;
        match self.b.func.dfg.insts[inst] {
            InstructionData::UnaryImm {
                opcode: Opcode::Iconst,
                imm,
            } => Some(imm.bits()),
            _ => None,
        }
    }

    pub(super) fn go_indirect(&mut self, at: InsnIndex, register: Reg) -> Result<(), Errno> {
        let place = self.get(register);
        let slot = self
            .b
            .ins()
            .iadd_imm(place, PLACES.wrapping_neg().cast_signed());
        let targets: Vec<_> = self.indirect_targets().collect();
        let mut switch = Switch::new();
        let mut ways = Vec::new();
        for target in targets {
            let way = self.b.create_block();
            switch.set_entry(u128::from(target.0), way);
            ways.push((way, target));
        }
        let nowhere = self.cold_block();
        switch.emit(&mut self.b, slot, nowhere);
        for (way, target) in ways {
            self.b.switch_to_block(way);
            self.go(at, target)?;
        }
        self.b.switch_to_block(nowhere);
        let at = self.b.ins().iconst(I64, i64::from(at.0));
        self.shim(shims::fail_jump as *const () as usize, &[place, at], 0);
        let fault = self.fault();
        self.b.ins().jump(fault, &[]);
        Ok(())
    }

    pub(super) fn condition(
        &mut self,
        width: Width,
        op: CompareOp,
        dst: Reg,
        src: Operand,
    ) -> Value {
        let with_zero = matches!(op, CompareOp::Eq | CompareOp::Ne) && src == Operand::Imm(0);
        let remainder = with_zero.then(|| self.remainder(width, dst)).flatten();
        let (a, b) = match width {
            _ if let Some(equal) = remainder => equal,
            Width::W64 => (self.get(dst), self.operand(src)),
            Width::W32 => (self.get32(dst), self.operand32(src)),
        };
        let code = match op {
            CompareOp::Eq => IntCC::Equal,
            CompareOp::Ne => IntCC::NotEqual,
            CompareOp::Gt => IntCC::UnsignedGreaterThan,
            CompareOp::Ge => IntCC::UnsignedGreaterThanOrEqual,
            CompareOp::Lt => IntCC::UnsignedLessThan,
            CompareOp::Le => IntCC::UnsignedLessThanOrEqual,
            CompareOp::SGt => IntCC::SignedGreaterThan,
            CompareOp::SGe => IntCC::SignedGreaterThanOrEqual,
            CompareOp::SLt => IntCC::SignedLessThan,
            CompareOp::SLe => IntCC::SignedLessThanOrEqual,
            CompareOp::Set => return self.b.ins().band(a, b),
        };
        self.b.ins().icmp(code, a, b)
    }
}
