//! Arithmetic, locals, and what R6 points to.

use skep_abi::ProgramType;
use skep_isa::opcode::*;

use super::{Generator, LOCALS, Sixth};
use crate::vm::code::reg::*;

/// Operations that take any second operand.
const OPERATIONS: [u8; 12] = [
    BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND, BPF_LSH, BPF_RSH, BPF_MOD, BPF_XOR,
    BPF_MOV, BPF_ARSH,
];

/// Sizes of accesses, and their bytes.
pub(super) const SIZES: [(u8, i16); 4] = [(BPF_B, 1), (BPF_H, 2), (BPF_W, 4), (BPF_DW, 8)];

/// Read-modify-writes.
const ATOMICS: [i32; 10] = [
    BPF_ADD as i32,
    BPF_OR as i32,
    BPF_AND as i32,
    BPF_XOR as i32,
    BPF_ADD as i32 | BPF_FETCH,
    BPF_OR as i32 | BPF_FETCH,
    BPF_AND as i32 | BPF_FETCH,
    BPF_XOR as i32 | BPF_FETCH,
    BPF_XCHG,
    BPF_CMPXCHG,
];

impl Generator<'_, '_, '_> {
    pub(super) fn arithmetic(&mut self) {
        let class = self.choices.of(&[BPF_ALU, BPF_ALU64]);
        match self.choices.below(12) {
            0 => {
                let (dst, value) = (self.target(), self.choices.value());
                self.code.set64(dst, value);
            }
            1 => {
                let dst = self.result();
                self.code.raw(class | BPF_NEG, dst, 0, 0, 0);
            }
            2 => {
                let dst = self.result();
                let bits = self.choices.of(&[16, 32, 64]);
                let op = self.choices.of(&[
                    BPF_ALU | BPF_END | BPF_TO_LE,
                    BPF_ALU | BPF_END | BPF_TO_BE,
                    BPF_ALU64 | BPF_END | BPF_TO_LE,
                ]);
                self.code.raw(op, dst, 0, 0, bits);
            }
            3 => {
                let src = self.number();
                let dst = self.target();
                let most = if class == BPF_ALU { 2 } else { 3 };
                let bits = [8, 16, 32][self.choices.below(most)];
                self.code.raw(class | BPF_MOV | BPF_X, dst, src, bits, 0);
            }
            4..=7 => {
                let (src, dst) = (self.number(), self.result());
                let op = self.choices.of(&OPERATIONS);
                let signed = matches!(op, BPF_DIV | BPF_MOD) && self.choices.one_in(2);
                self.code
                    .raw(class | op | BPF_X, dst, src, signed.into(), 0);
            }
            _ => {
                let dst = self.result();
                let op = self.choices.of(&OPERATIONS);
                let bits = if class == BPF_ALU { 31 } else { 63 };
                let imm = match op {
                    BPF_LSH | BPF_RSH | BPF_ARSH => self.choices.imm() & bits,
                    BPF_DIV | BPF_MOD => match self.choices.imm() {
                        0 => 1,
                        other => other,
                    },
                    _ => self.choices.imm(),
                };
                let signed = matches!(op, BPF_DIV | BPF_MOD) && self.choices.one_in(2);
                self.code
                    .raw(class | op | BPF_K, dst, 0, signed.into(), imm);
            }
        }
    }

    /// A load, store or atomic at `base + first..first + len`, aligned.
    pub(super) fn access(&mut self, base: u8, first: i16, len: i16, atomics: bool) {
        let (size, bytes) = self.choices.of(&SIZES);
        let place = self.choices.below((len / bytes).max(1) as usize) as i16 * bytes;
        let offset = first + place;
        match self.choices.below(if atomics { 7 } else { 5 }) {
            0 | 1 => {
                let dst = self.target_but(base);
                if bytes < 8 && self.choices.one_in(3) {
                    self.code
                        .raw(BPF_LDX | BPF_MEMSX | size, dst, base, offset, 0);
                } else if atomics && self.choices.one_in(8) {
                    let op = BPF_STX | BPF_ATOMIC | size;
                    self.code.raw(op, dst, base, offset, BPF_LOAD_ACQ);
                } else {
                    self.code.load(size, dst, base, offset);
                }
            }
            2 => {
                let imm = self.choices.imm();
                self.code.store_imm(size, base, offset, imm);
            }
            3 | 4 => {
                let src = self.number_but(base);
                if atomics && self.choices.one_in(8) {
                    let op = BPF_STX | BPF_ATOMIC | size;
                    self.code.raw(op, base, src, offset, BPF_STORE_REL);
                } else {
                    self.code.store(size, base, offset, src);
                }
            }
            _ => {
                let (size, bytes) = self.choices.of(&[(BPF_W, 4), (BPF_DW, 8)]);
                let offset = first + place / bytes * bytes;
                let op = self.choices.of(&ATOMICS);
                if op == BPF_CMPXCHG {
                    if base == R0 {
                        return;
                    }
                    let expected = self.number_but(base);
                    self.code.copy(R0, expected);
                    self.ready |= 1;
                }
                let src = self.changeable_but(base);
                self.code
                    .raw(BPF_STX | BPF_ATOMIC | size, base, src, offset, op);
            }
        }
    }

    fn target_but(&mut self, base: u8) -> u8 {
        let register = self.choices.of(&[R7, R8, R9, R3, R4, R5]);
        if register == base || self.locked & (1 << register) != 0 {
            return R7;
        }
        if register < R6 {
            self.ready |= 1 << register;
        }
        register
    }

    pub(super) fn number_but(&mut self, base: u8) -> u8 {
        match self.number() {
            register if register == base => R8,
            register => register,
        }
    }

    fn changeable_but(&mut self, base: u8) -> u8 {
        match self.result() {
            register if register == base => R7,
            register => register,
        }
    }

    /// A local.
    pub(super) fn local(&mut self) {
        if self.choices.one_in(4) {
            // By another register than R10.
            let offset = self.choices.of(&[LOCALS, LOCALS + 8, LOCALS + 32]);
            self.spoil(&[R2]);
            self.code.frame(R2, offset);
            return self.access(R2, LOCALS - offset, 64, true);
        }
        self.access(FP, LOCALS, 64, true);
    }

    /// A local at a place that the program computes.
    pub(super) fn local_by_number(&mut self) {
        let index = self.number();
        let (size, bytes) = self.choices.of(&SIZES);
        self.code.copy(R2, index);
        self.code.alu(BPF_AND, R2, i32::from(64 - bytes));
        self.code.alu_by(BPF_ADD, R2, FP);
        let (dst, src) = (self.target_but(R2), self.number_but(R2));
        self.spoil(&[R2]);
        match src == dst || self.choices.one_in(2) {
            true => self.code.load(size, dst, R2, LOCALS),
            false => {
                self.code.store(size, R2, LOCALS, src);
                self.code.copy(dst, src);
            }
        }
    }

    /// What R6 points to.
    pub(super) fn sixth(&mut self) {
        match (self.sixth, self.program_type) {
            (Sixth::Number, _) => self.arithmetic(),
            (Sixth::Locals, _) => self.access(R6, 0, 64, true),
            (Sixth::Context, ProgramType::Syscall) => self.access(R6, 0, 64, false),
            (Sixth::Context, ProgramType::RawTracepoint) => {
                let argument = self.choices.below(12) as i16;
                let dst = self.target_but(R6);
                self.code.load(BPF_DW, dst, R6, argument * 8);
            }
            (Sixth::Context, _) => self.packet_field(),
        }
    }
}
