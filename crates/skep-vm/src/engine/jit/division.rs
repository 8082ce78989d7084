//! Division: without traps, and by constants without dividing.

use cranelift_codegen::ir::{
    Block, InstBuilder as _, Type, Value,
    condcodes::IntCC,
    types::{I32, I64},
};
use skep_isa::{AluOp, InsnIndex, Operand};

use super::function::Translator;
use crate::engine::elide::Fact;

impl Translator<'_> {
    /// `Div`, `Mod`, `SDiv` and `SMod`.
    pub(super) fn divide(
        &mut self,
        at: InsnIndex,
        ty: Type,
        op: AluOp,
        (a, b): (Value, Value),
        src: Operand,
    ) -> Value {
        let signed = matches!(op, AluOp::SDiv | AluOp::SMod);
        match src {
            Operand::Imm(0) => self.by_zero(ty, op, a),
            Operand::Imm(-1) if signed => self.by_minus_one(ty, op, a),
            Operand::Imm(_) if signed => self.plain(op, a, b),
            Operand::Imm(imm) => self.by_constant(ty, op, a, imm),
            Operand::Reg(_) if signed => self.signed(ty, op, a, b),
            Operand::Reg(_) => self.unsigned(at, ty, op, a, b),
        }
    }

    /// By what is neither 0 nor, where signed, -1.
    fn plain(&mut self, op: AluOp, a: Value, b: Value) -> Value {
        let ins = self.b.ins();
        match op {
            AluOp::SDiv => ins.sdiv(a, b),
            AluOp::Mod => ins.urem(a, b),
            AluOp::SMod => ins.srem(a, b),
            _ => ins.udiv(a, b),
        }
    }

    fn by_zero(&mut self, ty: Type, op: AluOp, a: Value) -> Value {
        match op {
            AluOp::Mod | AluOp::SMod => a,
            _ => self.b.ins().iconst(ty, 0),
        }
    }

    fn by_minus_one(&mut self, ty: Type, op: AluOp, a: Value) -> Value {
        match op {
            AluOp::SMod => self.b.ins().iconst(ty, 0),
            _ => self.b.ins().ineg(a),
        }
    }

    /// By a constant: the high half of a product with its reciprocal.
    fn by_constant(&mut self, ty: Type, op: AluOp, a: Value, imm: i32) -> Value {
        if ty == I32 {
            let divisor = u64::from(imm.cast_unsigned());
            let wide = self.b.ins().uextend(I64, a);
            let value = self.by_constant64(op, wide, divisor, true);
            return self.b.ins().ireduce(I32, value);
        }
        self.by_constant64(op, a, i64::from(imm).cast_unsigned(), false)
    }

    /// `short`: the dividend is below 2³², and so is the divisor.
    fn by_constant64(&mut self, op: AluOp, a: Value, divisor: u64, short: bool) -> Value {
        if divisor.is_power_of_two() {
            let log = i64::from(divisor.trailing_zeros());
            return match op {
                AluOp::Mod => {
                    let mask = self.b.ins().iconst(I64, (divisor - 1).cast_signed());
                    self.b.ins().band(a, mask)
                }
                _ => self.b.ins().ushr_imm(a, log),
            };
        }
        let quotient = if short {
            // Exact, since 64 bits of the reciprocal are as many as both numbers have together.
            let reciprocal = u64::MAX / divisor + 1;
            let reciprocal = self.b.ins().iconst(I64, reciprocal.cast_signed());
            self.b.ins().umulhi(a, reciprocal)
        } else {
            // Granlund and Montgomery, figure 4.1: 65 bits of it, the highest implied.
            let log = 64 - (divisor - 1).leading_zeros();
            let over = (1_u128 << log) - u128::from(divisor);
            let reciprocal = ((over << 64) / u128::from(divisor) + 1) as u64;
            let reciprocal = self.b.ins().iconst(I64, reciprocal.cast_signed());
            let high = self.b.ins().umulhi(a, reciprocal);
            let rest = self.b.ins().isub(a, high);
            let half = self.b.ins().ushr_imm(rest, 1);
            let sum = self.b.ins().iadd(high, half);
            self.b.ins().ushr_imm(sum, i64::from(log) - 1)
        };
        match op {
            AluOp::Mod => {
                let divisor = self.b.ins().iconst(I64, divisor.cast_signed());
                let product = self.b.ins().imul(quotient, divisor);
                self.b.ins().isub(a, product)
            }
            _ => quotient,
        }
    }

    /// What processors trap on goes another way.
    fn signed(&mut self, ty: Type, op: AluOp, a: Value, b: Value) -> Value {
        let above = self.b.ins().iadd_imm(b, 1);
        let special = self
            .b
            .ins()
            .icmp_imm(IntCC::UnsignedLessThanOrEqual, above, 1);
        let (cold, plain, next) = (
            self.cold_block(),
            self.b.create_block(),
            self.b.create_block(),
        );
        let value = self.b.append_block_param(next, ty);
        self.b.ins().brif(special, cold, &[], plain, &[]);
        self.begin(cold);
        let by_zero = self.by_zero(ty, op, a);
        let by_minus_one = self.by_minus_one(ty, op, a);
        let answer = self.b.ins().select(b, by_minus_one, by_zero);
        self.b.ins().jump(next, &[answer.into()]);
        self.begin(plain);
        let answer = self.plain(op, a, b);
        self.b.ins().jump(next, &[answer.into()]);
        self.begin(next);
        value
    }

    /// Numbers below 2³² are divided as such, which is faster on many processors; 0, and the
    /// others, go another way. By floating-point numbers there comes the product of quotient and
    /// divisor instead of a remainder.
    fn unsigned(&mut self, at: InsnIndex, ty: Type, op: AluOp, a: Value, b: Value) -> Value {
        let (cold, next) = (self.cold_block(), self.b.create_block());
        let value = self.b.append_block_param(next, ty);
        let product = op == AluOp::Mod && self.is_by_floats(at);
        let careful = self.branch_off_others(at, ty, op, (a, b), cold);
        let answer = self.short(at, ty, op, a, b);
        self.b.ins().jump(next, &[answer.into()]);
        if careful {
            self.begin(cold);
            let mut answer = self.any(at, ty, op, a, b);
            if product {
                answer = self.b.ins().isub(a, answer);
            }
            self.b.ins().jump(next, &[answer.into()]);
        }
        self.begin(next);
        if !product {
            return value;
        }
        let rest = self.b.ins().isub(a, value);
        self.remainders.insert(rest, (a, value));
        rest
    }

    /// Sends what [`Self::short`] is not for to `cold`; `false`: there is nothing such.
    fn branch_off_others(
        &mut self,
        at: InsnIndex,
        ty: Type,
        op: AluOp,
        (a, b): (Value, Value),
        cold: Block,
    ) -> bool {
        let fact = self.facts.at(at);
        let (floats, wide) = (self.is_by_floats(at), ty == I64);
        let mut others = Vec::new();
        if floats && !fact.has(Fact::POSITIVE_DIVIDEND) {
            others.push(self.exceeds(a, i32::MAX));
        } else if wide && !fact.has(Fact::SHORT_DIVIDEND) {
            others.push(self.b.ins().ushr_imm(a, 32));
        }
        if floats && op == AluOp::Mod {
            // By 0 the quotient is infinite or not a number: whatever that becomes, times 0 it
            // leaves the dividend, as it should.
            if !fact.has(Fact::POSITIVE_DIVISOR) {
                others.push(self.exceeds(b, i32::MAX));
            }
        } else if (floats && !fact.has(Fact::POSITIVE_DIVISOR))
            || (wide && !fact.has(Fact::SHORT_DIVISOR))
        {
            // Neither 0 nor too large.
            let below = self.b.ins().iadd_imm(b, -1);
            others.push(self.exceeds(below, i32::MAX - 1));
        } else if !fact.has(Fact::NONZERO) {
            others.push(self.b.ins().icmp_imm(IntCC::Equal, b, 0));
        }
        for other in &others {
            self.branch_off(*other, cold);
        }
        !others.is_empty()
    }

    /// Whether, as unsigned, it is larger than that.
    fn exceeds(&mut self, value: Value, most: i32) -> Value {
        let condition = IntCC::UnsignedGreaterThan;
        self.b.ins().icmp_imm(condition, value, i64::from(most))
    }

    /// Goes to `cold` when the condition holds.
    fn branch_off(&mut self, condition: Value, cold: Block) {
        let next = self.b.create_block();
        self.b.ins().brif(condition, cold, &[], next, &[]);
        self.begin(next);
    }

    /// By anything, in the slow way.
    fn any(&mut self, at: InsnIndex, ty: Type, op: AluOp, a: Value, b: Value) -> Value {
        let by_zero = self.by_zero(ty, op, a);
        if ty == I32 && !self.is_by_floats(at) {
            // What is short comes here only for 0.
            return by_zero;
        }
        let (plain, next) = (self.cold_block(), self.cold_block());
        let value = self.b.append_block_param(next, ty);
        self.b.ins().brif(b, plain, &[], next, &[by_zero.into()]);
        self.begin(plain);
        let answer = self.plain(op, a, b);
        self.b.ins().jump(next, &[answer.into()]);
        self.begin(next);
        value
    }

    /// Of what [`Self::branch_off_others`] lets pass.
    fn short(&mut self, at: InsnIndex, ty: Type, op: AluOp, a: Value, b: Value) -> Value {
        let (a, b) = match ty {
            I64 => (self.b.ins().ireduce(I32, a), self.b.ins().ireduce(I32, b)),
            _ => (a, b),
        };
        let answer = if self.is_by_floats(at) {
            self.floating(at, op, a, b)
        } else {
            self.plain(op, a, b)
        };
        match ty {
            I64 => self.b.ins().uextend(I64, answer),
            _ => answer,
        }
    }
}
