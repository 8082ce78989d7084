//! Division: without traps, by constants without dividing, and where it pays by the divider for
//! floating-point numbers.

use cranelift_codegen::ir::{
    Block, InstBuilder as _, MemFlags, Type, Value,
    condcodes::IntCC,
    types::{F32, F64, I32, I64},
};
use skep_isa::{AluOp, InsnIndex, Operand, Reg};

use super::function::Translator;
use crate::engine::elide::Fact;

/// A division by floating-point numbers, before what is one too large is put right.
struct Floating {
    quotient: Value,
    /// 0 exactly if the remainder is.
    rest: Value,
    /// -1 where the quotient is one too large and the rest below 0, else 0.
    below: Value,
}

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
    /// others, go another way.
    fn unsigned(&mut self, at: InsnIndex, ty: Type, op: AluOp, a: Value, b: Value) -> Value {
        let (cold, next) = (self.cold_block(), self.b.create_block());
        let value = self.b.append_block_param(next, ty);
        let careful = self.branch_off_others(at, ty, op, (a, b), cold);
        let answer = self.short(at, ty, op, a, b);
        self.b.ins().jump(next, &[answer.into()]);
        if careful {
            self.begin(cold);
            let answer = self.any(ty, op, a, b);
            self.b.ins().jump(next, &[answer.into()]);
        }
        self.begin(next);
        value
    }

    /// A remainder by floating-point numbers, into its register. Most are only compared with 0:
    /// then what it is before its sign is put right does, and nothing computes the rest of it.
    pub(super) fn remainder(&mut self, at: InsnIndex, ty: Type, dst: Reg, (a, b): (Value, Value)) {
        let (cold, next) = (self.cold_block(), self.b.create_block());
        let careful = self.branch_off_others(at, ty, AluOp::Mod, (a, b), cold);
        let (x, y) = self.wide(ty, a, b);
        let Floating { rest, below, .. } = self.floating(at, x, y);
        let back = self.b.ins().band(below, y);
        let answer = self.b.ins().iadd(rest, back);
        self.set(dst, answer);
        self.b.def_var(self.rest, rest);
        self.b.ins().jump(next, &[]);
        if careful {
            self.begin(cold);
            let answer = self.any(ty, AluOp::Mod, a, b);
            let answer = match ty {
                I64 => answer,
                _ => self.b.ins().uextend(I64, answer),
            };
            self.set(dst, answer);
            self.b.def_var(self.rest, answer);
            self.b.ins().jump(next, &[]);
        }
        self.begin(next);
        self.rest_of = Some(dst);
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
        let floats = ty == I64 && self.by_doubles.contains(&at.0) && fact.has(Fact::SMALL_DIVIDEND);
        let wide = ty == I64;
        let mut careful = false;
        if wide && !fact.has(Fact::SHORT_DIVIDEND) {
            let high = self.b.ins().ushr_imm(a, 32);
            self.branch_off(high, cold);
            careful = true;
        }
        if floats && op == AluOp::Mod {
            // By 0 the quotient is infinite or not a number, of which the lower bits make a rest
            // that is the dividend, as it should be. What is negative as signed is not for it.
            let negative = self.b.ins().icmp_imm(IntCC::SignedLessThan, b, 0);
            self.branch_off(negative, cold);
            careful = true;
        } else if wide && !fact.has(Fact::SHORT_DIVISOR) {
            // Neither 0 nor too large.
            let below = self.b.ins().iadd_imm(b, -1);
            let last = i64::from(i32::MAX);
            let out = self
                .b
                .ins()
                .icmp_imm(IntCC::UnsignedGreaterThanOrEqual, below, last);
            self.branch_off(out, cold);
            careful = true;
        } else if !fact.has(Fact::NONZERO) {
            let zero = self.b.ins().icmp_imm(IntCC::Equal, b, 0);
            self.branch_off(zero, cold);
            careful = true;
        }
        careful
    }

    /// Goes to `cold` when the condition holds.
    fn branch_off(&mut self, condition: Value, cold: Block) {
        let next = self.b.create_block();
        self.b.ins().brif(condition, cold, &[], next, &[]);
        self.begin(next);
    }

    /// By anything, in the slow way.
    fn any(&mut self, ty: Type, op: AluOp, a: Value, b: Value) -> Value {
        let by_zero = self.by_zero(ty, op, a);
        if ty == I32 {
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

    /// Of numbers below 2³², the divisor not 0. What is left of one by floating-point numbers is
    /// for [`Self::remainder`].
    fn short(&mut self, at: InsnIndex, ty: Type, op: AluOp, a: Value, b: Value) -> Value {
        if self.by_doubles.contains(&at.0) {
            let (a, b) = self.wide(ty, a, b);
            let Floating {
                quotient, below, ..
            } = self.floating(at, a, b);
            let answer = self.b.ins().iadd(quotient, below);
            return match ty {
                I64 => answer,
                _ => self.b.ins().ireduce(I32, answer),
            };
        }
        if ty == I32 {
            return self.plain(op, a, b);
        }
        let (a, b) = (self.b.ins().ireduce(I32, a), self.b.ins().ireduce(I32, b));
        let answer = self.plain(op, a, b);
        self.b.ins().uextend(I64, answer)
    }

    /// Both operands as 64 bits.
    fn wide(&mut self, ty: Type, a: Value, b: Value) -> (Value, Value) {
        match ty {
            I64 => (a, b),
            _ => (self.b.ins().uextend(I64, a), self.b.ins().uextend(I64, b)),
        }
    }

    /// By floating-point numbers: the quotient, rounded to the nearest whole number, is exact or
    /// one too large, which the sign of the rest tells. Those of 32 bits are divided faster, and
    /// do for small dividends: of a divisor that they don't hold exactly the quotient is 0, or 1
    /// if rounded up.
    fn floating(&mut self, at: InsnIndex, a: Value, b: Value) -> Floating {
        let of = match self.facts.at(at).has(Fact::SMALL_DIVIDEND) {
            true => F32,
            false => F64,
        };
        let (x, y) = (
            self.b.ins().fcvt_from_sint(of, a),
            self.b.ins().fcvt_from_sint(of, b),
        );
        let quotient = self.b.ins().fdiv(x, y);
        // From 2⁵² on, or 2²³, they are whole numbers, whose low bits are those of the fraction.
        let quotient = if of == F32 {
            let whole = self.b.ins().f32const(8_388_608.0);
            let quotient = self.b.ins().fadd(quotient, whole);
            let quotient = self.b.ins().bitcast(I32, MemFlags::new(), quotient);
            self.b.ins().band_imm(quotient, (1 << 23) - 1)
        } else {
            let whole = self.b.ins().f64const(4_503_599_627_370_496.0);
            let quotient = self.b.ins().fadd(quotient, whole);
            let quotient = self.b.ins().bitcast(I64, MemFlags::new(), quotient);
            self.b.ins().ireduce(I32, quotient)
        };
        let quotient = self.b.ins().uextend(I64, quotient);
        let product = self.b.ins().imul(quotient, b);
        let rest = self.b.ins().isub(a, product);
        Floating {
            quotient,
            rest,
            below: self.b.ins().sshr_imm(rest, 63),
        }
    }
}
