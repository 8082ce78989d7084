//! Arithmetic: what RFC 9669 says of each operation, in Cranelift's.

use cranelift_codegen::ir::{
    InstBuilder as _, Type, Value,
    types::{I8, I16, I32, I64},
};
use skep_isa::{
    AluOp, ArenaCast, ByteOrder, Endian, InsnIndex, Operand, Reg, SignExtension, SwapWidth, Width,
};

use super::function::Translator;

impl Translator<'_> {
    pub(super) fn alu(&mut self, at: InsnIndex, width: Width, op: AluOp, dst: Reg, src: Operand) {
        if let (AluOp::Add, Operand::Imm(imm)) = (op, src) {
            return self.add(width, dst, imm);
        }
        match width {
            Width::W64 => {
                let (a, b) = (self.get(dst), self.operand(src));
                let value = self.arithmetic(at, I64, op, (a, b), src);
                self.set(dst, value);
            }
            Width::W32 => {
                let (a, b) = (self.get32(dst), self.operand32(src));
                let value = self.arithmetic(at, I32, op, (a, b), src);
                self.set32(dst, value);
            }
        }
    }

    /// Adds a constant. Cranelift folds additions into the addresses and sums that use them, and
    /// keeps the old value for it. That is good for a copy, and bad for a counter, which then
    /// needs a second register and moves at the end of its loop: there a subtraction is used.
    fn add(&mut self, width: Width, dst: Reg, imm: i32) {
        let (copy, negative) = (self.is_copy(dst), imm.checked_neg());
        match (width, negative) {
            (Width::W64, Some(negative)) if !copy => {
                let value = self.get(dst);
                let negative = self.b.ins().iconst(I64, i64::from(negative));
                let value = self.b.ins().isub(value, negative);
                self.set(dst, value);
            }
            (Width::W64, _) => {
                let value = self.get(dst);
                let value = self.b.ins().iadd_imm(value, i64::from(imm));
                self.set(dst, value);
                if copy {
                    self.set_copy(dst);
                }
            }
            (Width::W32, Some(negative)) => {
                let value = self.get32(dst);
                let negative = i64::from(negative.cast_unsigned());
                let negative = self.b.ins().iconst(I32, negative);
                let value = self.b.ins().isub(value, negative);
                self.set32(dst, value);
            }
            (Width::W32, None) => {
                let value = self.get32(dst);
                let other = self.b.ins().iconst(I32, i64::from(imm.cast_unsigned()));
                let value = self.b.ins().iadd(value, other);
                self.set32(dst, value);
            }
        }
    }

    fn arithmetic(
        &mut self,
        at: InsnIndex,
        ty: Type,
        op: AluOp,
        (a, b): (Value, Value),
        src: Operand,
    ) -> Value {
        let ins = self.b.ins();
        match op {
            AluOp::Add => ins.iadd(a, b),
            AluOp::Sub => ins.isub(a, b),
            AluOp::Mul => self.multiply(a, b, src),
            AluOp::Or => ins.bor(a, b),
            AluOp::And => ins.band(a, b),
            AluOp::Xor => ins.bxor(a, b),
            // The amount is taken modulo the width, by both.
            AluOp::Lsh => ins.ishl(a, b),
            AluOp::Rsh => ins.ushr(a, b),
            AluOp::Arsh => ins.sshr(a, b),
            AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod => {
                self.divide(at, ty, op, (a, b), src)
            }
        }
    }

    /// A product; with a constant beside a power of two by a shift and a sum, which take two
    /// cycles at most where a multiplier takes three.
    fn multiply(&mut self, a: Value, b: Value, src: Operand) -> Value {
        let power = |value: Option<i32>| {
            let value = value.filter(|value| *value > 1)?.cast_unsigned();
            value.is_power_of_two().then(|| value.trailing_zeros())
        };
        let Operand::Imm(imm) = src else {
            return self.b.ins().imul(a, b);
        };
        if let Some(shift) = power(imm.checked_sub(1)) {
            let shifted = self.b.ins().ishl_imm(a, i64::from(shift));
            return self.b.ins().iadd(shifted, a);
        }
        if let Some(shift) = power(imm.checked_add(1)) {
            let shifted = self.b.ins().ishl_imm(a, i64::from(shift));
            return self.b.ins().isub(shifted, a);
        }
        self.b.ins().imul(a, b)
    }

    pub(super) fn mov(&mut self, width: Width, dst: Reg, src: Operand) {
        match width {
            Width::W64 => {
                let value = self.operand(src);
                self.set(dst, value);
                if matches!(src, Operand::Reg(src) if src != dst) {
                    self.set_copy(dst);
                }
            }
            Width::W32 => match src {
                Operand::Imm(imm) => {
                    let value = i64::from(imm.cast_unsigned());
                    let value = self.b.ins().iconst(I64, value);
                    self.set(dst, value);
                }
                Operand::Reg(src) => {
                    let value = self.get32(src);
                    self.set32(dst, value);
                }
            },
        }
    }

    pub(super) fn mov_signed(&mut self, extension: SignExtension, dst: Reg, src: Reg) {
        let value = self.get(src);
        let narrow = match extension.bits() {
            8 => I8,
            16 => I16,
            _ => I32,
        };
        let value = self.b.ins().ireduce(narrow, value);
        match extension.width() {
            Width::W64 => {
                let value = self.b.ins().sextend(I64, value);
                self.set(dst, value);
            }
            Width::W32 => {
                let value = self.b.ins().sextend(I32, value);
                self.set32(dst, value);
            }
        }
    }

    pub(super) fn neg(&mut self, width: Width, dst: Reg) {
        match width {
            Width::W64 => {
                let value = self.get(dst);
                let value = self.b.ins().ineg(value);
                self.set(dst, value);
            }
            Width::W32 => {
                let value = self.get32(dst);
                let value = self.b.ins().ineg(value);
                self.set32(dst, value);
            }
        }
    }

    pub(super) fn swap(&mut self, order: ByteOrder, width: SwapWidth, dst: Reg) {
        let swaps = match order {
            ByteOrder::Little => Endian::NATIVE != Endian::Little,
            ByteOrder::Big => Endian::NATIVE != Endian::Big,
            ByteOrder::Swap => true,
        };
        let value = self.get(dst);
        let ty = match width {
            SwapWidth::Bits16 => I16,
            SwapWidth::Bits32 => I32,
            SwapWidth::Bits64 => I64,
        };
        let mut value = match ty {
            I64 => value,
            _ => self.b.ins().ireduce(ty, value),
        };
        if swaps {
            value = self.b.ins().bswap(value);
        }
        if ty != I64 {
            value = self.b.ins().uextend(I64, value);
        }
        self.set(dst, value);
    }

    /// A pointer into the arena, or for users null.
    pub(super) fn cast(&mut self, cast: ArenaCast, dst: Reg, src: Reg) {
        let value = match self.code.arena() {
            None => self.b.ins().iconst(I64, 0),
            Some(arena) => {
                let low = self.get32(src);
                let wide = self.b.ins().uextend(I64, low);
                let arena = self.b.ins().iconst(I64, arena.cast_signed());
                let address = self.b.ins().bor(arena, wide);
                match cast {
                    ArenaCast::ToKernel => address,
                    ArenaCast::ToUser => {
                        let null = self.b.ins().iconst(I64, 0);
                        self.b.ins().select(low, address, null)
                    }
                }
            }
        };
        self.set(dst, value);
    }
}
