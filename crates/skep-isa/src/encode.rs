//! From the typed instruction to its slots. Can't fail: the types hold nothing unencodable.

use std::ops::Deref;

use crate::insn::{CallTarget, Imm64, Insn};
use crate::opcode::*;
use crate::operand::{ByteOrder, Operand};
use crate::raw::RawInsn;
use crate::reg::Reg;

/// An encoded instruction: one slot, or two for `ld_imm64`. Dereferences to the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Encoded(Slots);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Slots {
    One([RawInsn; 1]),
    Two([RawInsn; 2]),
}

impl Encoded {
    /// The slots, in order.
    pub const fn as_slice(&self) -> &[RawInsn] {
        match &self.0 {
            Slots::One(slots) => slots,
            Slots::Two(slots) => slots,
        }
    }
}

impl Deref for Encoded {
    type Target = [RawInsn];

    fn deref(&self) -> &[RawInsn] {
        self.as_slice()
    }
}

impl Insn {
    /// The instruction's slots.
    ///
    /// ```
    /// use skep_isa::{Endian, Insn};
    /// assert_eq!(Insn::Exit.encode()[0].to_bytes(Endian::Little), [0x95, 0, 0, 0, 0, 0, 0, 0]);
    /// ```
    pub const fn encode(&self) -> Encoded {
        if let Self::LoadImm64 { dst, value } = *self {
            return encode_imm64(dst, value);
        }
        Encoded(Slots::One([self.encode_slot()]))
    }

    const fn encode_slot(&self) -> RawInsn {
        match *self {
            Self::Alu {
                width,
                op,
                dst,
                src,
            } => {
                let opcode = width.alu_class() | op.bits_in_opcode();
                with_operand(opcode, dst, src).at(op.offset())
            }
            Self::Mov { width, dst, src } => with_operand(width.alu_class() | BPF_MOV, dst, src),
            Self::MovSx {
                extension,
                dst,
                src,
            } => {
                let opcode = extension.width().alu_class() | BPF_MOV | BPF_X;
                slot(opcode, dst, src).at(extension.bits() as i16)
            }
            Self::Neg { width, dst } => slot(width.alu_class() | BPF_NEG, dst, Reg::R0),
            Self::ByteSwap { order, width, dst } => {
                let opcode = match order {
                    ByteOrder::Little => BPF_ALU | BPF_END | BPF_TO_LE,
                    ByteOrder::Big => BPF_ALU | BPF_END | BPF_TO_BE,
                    ByteOrder::Swap => BPF_ALU64 | BPF_END | BPF_TO_LE,
                };
                slot(opcode, dst, Reg::R0).imm(width.bits() as i32)
            }
            Self::AddrSpaceCast { cast, dst, src } => slot(BPF_ALU64 | BPF_MOV | BPF_X, dst, src)
                .at(BPF_ADDR_SPACE_CAST)
                .imm(cast.imm()),
            // Two slots: `encode` took care of it. Its first half is what it has in one.
            Self::LoadImm64 { dst, .. } => slot(BPF_LD | BPF_IMM | BPF_DW, dst, Reg::R0),
            Self::Load {
                size,
                dst,
                base,
                offset,
            } => slot(BPF_LDX | BPF_MEM | size.bits_in_opcode(), dst, base).at(offset),
            Self::LoadSigned {
                size,
                dst,
                base,
                offset,
            } => slot(
                BPF_LDX | BPF_MEMSX | size.size().bits_in_opcode(),
                dst,
                base,
            )
            .at(offset),
            Self::Store {
                size,
                base,
                offset,
                value,
            } => store(BPF_MEM | size.bits_in_opcode(), base.number(), value).at(offset),
            Self::LoadStackArg { dst, arg } => RawInsn {
                src: BPF_REG_PARAMS,
                ..slot(BPF_LDX | BPF_MEM | BPF_DW, dst, Reg::R0).at(arg.load_offset())
            },
            Self::StoreStackArg { arg, value } => {
                store(BPF_MEM | BPF_DW, BPF_REG_PARAMS, value).at(arg.store_offset())
            }
            Self::Atomic {
                width,
                op,
                base,
                offset,
                src,
            } => {
                let opcode = BPF_STX | BPF_ATOMIC | width.size().bits_in_opcode();
                slot(opcode, base, src).at(offset).imm(op.imm())
            }
            Self::LoadAcquire {
                size,
                dst,
                base,
                offset,
            } => slot(BPF_STX | BPF_ATOMIC | size.bits_in_opcode(), dst, base)
                .at(offset)
                .imm(BPF_LOAD_ACQ),
            Self::StoreRelease {
                size,
                base,
                offset,
                src,
            } => slot(BPF_STX | BPF_ATOMIC | size.bits_in_opcode(), base, src)
                .at(offset)
                .imm(BPF_STORE_REL),
            Self::LoadPacketAbs { size, offset } => {
                let opcode = BPF_LD | BPF_ABS | size.size().bits_in_opcode();
                slot(opcode, Reg::R0, Reg::R0).imm(offset)
            }
            Self::LoadPacketInd {
                size,
                index,
                offset,
            } => {
                let opcode = BPF_LD | BPF_IND | size.size().bits_in_opcode();
                slot(opcode, Reg::R0, index).imm(offset)
            }
            Self::Jump { offset } => slot(BPF_JMP | BPF_JA, Reg::R0, Reg::R0).at(offset),
            Self::JumpLong { offset } => slot(BPF_JMP32 | BPF_JA, Reg::R0, Reg::R0).imm(offset),
            Self::JumpIf {
                width,
                op,
                dst,
                src,
                offset,
            } => with_operand(width.jump_class() | op.bits_in_opcode(), dst, src).at(offset),
            Self::MayGoto { offset } => slot(BPF_JMP | BPF_JCOND, Reg::R0, Reg::R0).at(offset),
            Self::JumpIndirect { target } => slot(BPF_JMP | BPF_JA | BPF_X, target, Reg::R0),
            Self::Call(target) => encode_call(target),
            Self::Exit => slot(BPF_JMP | BPF_EXIT, Reg::R0, Reg::R0),
        }
    }
}

const fn encode_call(target: CallTarget) -> RawInsn {
    let call = slot(BPF_JMP | BPF_CALL, Reg::R0, Reg::R0);
    match target {
        CallTarget::Helper(id) => call.imm(id.cast_signed()),
        CallTarget::Subprogram { offset } => RawInsn {
            src: BPF_PSEUDO_CALL,
            ..call.imm(offset)
        },
        CallTarget::Kfunc { btf_id, fd_index } => RawInsn {
            src: BPF_PSEUDO_KFUNC_CALL,
            ..call.at(fd_index).imm(btf_id.cast_signed())
        },
        CallTarget::Register(reg) => slot(BPF_JMP | BPF_CALL | BPF_X, reg, Reg::R0),
    }
}

const fn encode_imm64(dst: Reg, value: Imm64) -> Encoded {
    let (src, low, high) = match value {
        Imm64::Value(value) => (0, value as i32, (value >> 32) as i32),
        Imm64::MapFd { fd } => (BPF_PSEUDO_MAP_FD, fd, 0),
        Imm64::MapValue { fd, offset } => (BPF_PSEUDO_MAP_VALUE, fd, offset.cast_signed()),
        Imm64::BtfId { id, btf_fd } => (BPF_PSEUDO_BTF_ID, id.cast_signed(), btf_fd),
        Imm64::Subprogram { offset } => (BPF_PSEUDO_FUNC, offset, 0),
        Imm64::MapIndex { index } => (BPF_PSEUDO_MAP_IDX, index, 0),
        Imm64::MapIndexValue { index, offset } => {
            (BPF_PSEUDO_MAP_IDX_VALUE, index, offset.cast_signed())
        }
    };
    let first = RawInsn {
        src,
        ..slot(BPF_LD | BPF_IMM | BPF_DW, dst, Reg::R0).imm(low)
    };
    let second = slot(0, Reg::R0, Reg::R0).imm(high);
    Encoded(Slots::Two([first, second]))
}

const fn slot(opcode: u8, dst: Reg, src: Reg) -> RawInsn {
    RawInsn {
        opcode,
        dst: dst.number(),
        src: src.number(),
        offset: 0,
        imm: 0,
    }
}

const fn with_operand(opcode: u8, dst: Reg, operand: Operand) -> RawInsn {
    match operand {
        Operand::Reg(src) => slot(opcode | BPF_X, dst, src),
        Operand::Imm(imm) => slot(opcode | BPF_K, dst, Reg::R0).imm(imm),
    }
}

const fn store(mode_and_size: u8, base: u8, value: Operand) -> RawInsn {
    let store = match value {
        Operand::Reg(src) => slot(BPF_STX | mode_and_size, Reg::R0, src),
        Operand::Imm(imm) => slot(BPF_ST | mode_and_size, Reg::R0, Reg::R0).imm(imm),
    };
    RawInsn { dst: base, ..store }
}

impl RawInsn {
    const fn at(self, offset: i16) -> Self {
        Self { offset, ..self }
    }

    const fn imm(self, imm: i32) -> Self {
        Self { imm, ..self }
    }
}
