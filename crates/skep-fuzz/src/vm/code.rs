//! A function while it is written: slots, jumps that land later, and places where loading puts a
//! map or a function.

use skep_isa::{RawInsn, opcode::*};

/// Registers by number.
pub(super) mod reg {
    pub(crate) const R0: u8 = 0;
    pub(crate) const R1: u8 = 1;
    pub(crate) const R2: u8 = 2;
    pub(crate) const R3: u8 = 3;
    pub(crate) const R4: u8 = 4;
    pub(crate) const R5: u8 = 5;
    pub(crate) const R6: u8 = 6;
    pub(crate) const R7: u8 = 7;
    pub(crate) const R8: u8 = 8;
    pub(crate) const R9: u8 = 9;
    pub(crate) const FP: u8 = 10;
}

/// A jump that has no target yet.
#[derive(Debug)]
#[must_use]
pub(super) struct Jump(usize);

/// Slots of one function.
#[derive(Debug, Default)]
pub(super) struct Code {
    pub(super) slots: Vec<RawInsn>,
    /// Slots that name a map, by its number in the case's table.
    pub(super) maps: Vec<(usize, usize)>,
    /// Slots that call a kernel function.
    pub(super) kfuncs: Vec<(usize, &'static str)>,
    /// Slots that name a function, by its number.
    pub(super) calls: Vec<(usize, usize)>,
}

impl Code {
    pub(super) fn raw(&mut self, opcode: u8, dst: u8, src: u8, offset: i16, imm: i32) {
        let mut slot = RawInsn::default();
        (slot.opcode, slot.dst, slot.src) = (opcode, dst, src);
        (slot.offset, slot.imm) = (offset, imm);
        self.slots.push(slot);
    }

    pub(super) fn here(&self) -> usize {
        self.slots.len()
    }

    /// `dst = imm`
    pub(super) fn set(&mut self, dst: u8, imm: i32) {
        self.raw(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm);
    }

    /// `dst = value ll`
    pub(super) fn set64(&mut self, dst: u8, value: u64) {
        self.raw(BPF_LD | BPF_IMM | BPF_DW, dst, 0, 0, value as i32);
        self.raw(0, 0, 0, 0, (value >> 32) as i32);
    }

    /// `dst = src`
    pub(super) fn copy(&mut self, dst: u8, src: u8) {
        self.raw(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0);
    }

    /// `dst op= imm`, 64 bits.
    pub(super) fn alu(&mut self, op: u8, dst: u8, imm: i32) {
        self.raw(BPF_ALU64 | op | BPF_K, dst, 0, 0, imm);
    }

    /// `dst op= src`, 64 bits.
    pub(super) fn alu_by(&mut self, op: u8, dst: u8, src: u8) {
        self.raw(BPF_ALU64 | op | BPF_X, dst, src, 0, 0);
    }

    /// `dst = r10 + offset`
    pub(super) fn frame(&mut self, dst: u8, offset: i16) {
        self.copy(dst, reg::FP);
        self.alu(BPF_ADD, dst, offset.into());
    }

    /// `dst = *(size *)(base + offset)`
    pub(super) fn load(&mut self, size: u8, dst: u8, base: u8, offset: i16) {
        self.raw(BPF_LDX | BPF_MEM | size, dst, base, offset, 0);
    }

    /// `*(size *)(base + offset) = src`
    pub(super) fn store(&mut self, size: u8, base: u8, offset: i16, src: u8) {
        self.raw(BPF_STX | BPF_MEM | size, base, src, offset, 0);
    }

    /// `*(size *)(base + offset) = imm`
    pub(super) fn store_imm(&mut self, size: u8, base: u8, offset: i16, imm: i32) {
        self.raw(BPF_ST | BPF_MEM | size, base, 0, offset, imm);
    }

    /// `dst = map`
    pub(super) fn map(&mut self, dst: u8, map: usize) {
        self.maps.push((self.here(), map));
        self.raw(
            BPF_LD | BPF_IMM | BPF_DW,
            dst,
            BPF_PSEUDO_MAP_FD,
            0,
            map as i32,
        );
        self.raw(0, 0, 0, 0, 0);
    }

    /// `dst` = the address of byte `offset` of the only value of a map.
    pub(super) fn map_value(&mut self, dst: u8, map: usize, offset: i32) {
        self.maps.push((self.here(), map));
        let source = BPF_PSEUDO_MAP_VALUE;
        self.raw(BPF_LD | BPF_IMM | BPF_DW, dst, source, 0, map as i32);
        self.raw(0, 0, 0, 0, offset);
    }

    /// `dst` = the address of a function.
    pub(super) fn function(&mut self, dst: u8, function: usize) {
        self.calls.push((self.here(), function));
        self.raw(BPF_LD | BPF_IMM | BPF_DW, dst, BPF_PSEUDO_FUNC, 0, 0);
        self.raw(0, 0, 0, 0, 0);
    }

    pub(super) fn call(&mut self, helper: u32) {
        self.raw(BPF_JMP | BPF_CALL, 0, 0, 0, helper as i32);
    }

    pub(super) fn kfunc(&mut self, name: &'static str) {
        self.kfuncs.push((self.here(), name));
        self.raw(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, 1);
    }

    pub(super) fn call_function(&mut self, function: usize) {
        self.calls.push((self.here(), function));
        self.raw(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, 0);
    }

    pub(super) fn exit(&mut self) {
        self.raw(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    }

    /// A jump forwards, to where [`Code::land`] says. `op` has the class and the kind of operand.
    pub(super) fn jump(&mut self, op: u8, dst: u8, src: u8, imm: i32) -> Jump {
        let jump = Jump(self.here());
        self.raw(op, dst, src, 0, imm);
        jump
    }

    /// The jump goes to what is written next.
    pub(super) fn land(&mut self, jump: Jump) {
        let distance = self.here() - jump.0 - 1;
        let slot = &mut self.slots[jump.0];
        if slot.opcode == BPF_JMP32 | BPF_JA {
            slot.imm = distance as i32;
        } else {
            slot.offset = i16::try_from(distance).unwrap_or(i16::MAX);
        }
    }

    /// A jump back to `target`.
    pub(super) fn back(&mut self, op: u8, dst: u8, src: u8, imm: i32, target: usize) {
        let distance = target as i64 - self.here() as i64 - 1;
        let offset = i16::try_from(distance).unwrap_or(i16::MIN);
        self.raw(op, dst, src, offset, imm);
    }
}
