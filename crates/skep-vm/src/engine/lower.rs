//! From instructions to the interpreter's operations.

use skep_isa::{
    AluOp, ArenaCast, AtomicOp, ByteOrder, CallTarget, CompareOp, Endian, Imm64, Insn, NarrowSize,
    Operand, SignExtension, Size, SwapWidth, Width,
};

use super::op::{Code, Op};
use crate::program::Code as ProgramCode;

const HOLE: Op = Op {
    code: Code::Hole,
    dst: 0,
    src: 0,
    offset: 0,
    target: 0,
    imm: 0,
};

/// The operations of a program, one a slot.
pub(super) fn lower(program: &ProgramCode) -> Vec<Op> {
    let mut ops = vec![HOLE; program.slots()];
    for (at, insn) in program.instructions() {
        if let Some(place) = ops.get_mut(at.as_usize()) {
            let target = insn.target(at).map_or(0, |target| target.0);
            // Accesses have no target: theirs says whether they are guarded.
            let target = target | u32::from(program.is_guarded(at));
            *place = Op {
                target,
                ..op(program, at, insn)
            };
        }
    }
    ops
}

fn op(program: &ProgramCode, at: skep_isa::InsnIndex, insn: &Insn) -> Op {
    let two = |code, dst: skep_isa::Reg, value: Operand| match value {
        Operand::Reg(src) => (code, dst.number(), src.number(), 0, 0),
        Operand::Imm(imm) => (code, dst.number(), 0, 0, i64::from(imm).cast_unsigned()),
    };
    let (code, dst, src, offset, imm) = match *insn {
        Insn::Alu {
            width,
            op,
            dst,
            src,
        } => two(alu(op, width, src), dst, src),
        Insn::Mov { width, dst, src } => two(
            pick(
                width,
                src,
                [Code::Mov64I, Code::Mov64R, Code::Mov32I, Code::Mov32R],
            ),
            dst,
            src,
        ),
        Insn::MovSx {
            extension,
            dst,
            src,
        } => {
            let code = match extension {
                SignExtension::S8To32 => Code::S8To32,
                SignExtension::S16To32 => Code::S16To32,
                SignExtension::S8To64 => Code::S8To64,
                SignExtension::S16To64 => Code::S16To64,
                SignExtension::S32To64 => Code::S32To64,
            };
            (code, dst.number(), src.number(), 0, 0)
        }
        Insn::Neg { width, dst } => {
            let code = match width {
                Width::W64 => Code::Neg64,
                Width::W32 => Code::Neg32,
            };
            (code, dst.number(), 0, 0, 0)
        }
        Insn::ByteSwap { order, width, dst } => (swap(order, width), dst.number(), 0, 0, 0),
        Insn::AddrSpaceCast { cast, dst, src } => {
            let to_user = u64::from(cast == ArenaCast::ToUser);
            (Code::Cast, dst.number(), src.number(), 0, to_user)
        }
        Insn::LoadImm64 { dst, value } => {
            let value = match value {
                Imm64::Value(value) => value,
                // Loading resolves all others.
                _ => 0,
            };
            (Code::Imm64, dst.number(), 0, 0, value)
        }
        Insn::Load {
            size,
            dst,
            base,
            offset,
        } => {
            let code = match size {
                Size::B => Code::Load8,
                Size::H => Code::Load16,
                Size::W => Code::Load32,
                Size::Dw => Code::Load64,
            };
            (code, dst.number(), base.number(), offset, 0)
        }
        Insn::LoadSigned {
            size,
            dst,
            base,
            offset,
        } => {
            let code = match size {
                NarrowSize::B => Code::LoadS8,
                NarrowSize::H => Code::LoadS16,
                NarrowSize::W => Code::LoadS32,
            };
            (code, dst.number(), base.number(), offset, 0)
        }
        Insn::Store {
            size,
            base,
            offset,
            value,
        } => {
            let codes = match size {
                Size::B => [Code::Store8I, Code::Store8R],
                Size::H => [Code::Store16I, Code::Store16R],
                Size::W => [Code::Store32I, Code::Store32R],
                Size::Dw => [Code::Store64I, Code::Store64R],
            };
            match value {
                Operand::Imm(imm) => (
                    codes[0],
                    base.number(),
                    0,
                    offset,
                    i64::from(imm).cast_unsigned(),
                ),
                Operand::Reg(src) => (codes[1], base.number(), src.number(), offset, 0),
            }
        }
        Insn::LoadStackArg { dst, arg } => {
            (Code::LoadArg, dst.number(), 0, 0, u64::from(arg.index()))
        }
        Insn::StoreStackArg { arg, value } => match value {
            // The constant and the place share the record: the place stands in the offset.
            Operand::Imm(imm) => (
                Code::StoreArgI,
                0,
                0,
                arg.index().cast_signed(),
                i64::from(imm).cast_unsigned(),
            ),
            Operand::Reg(src) => (
                Code::StoreArgR,
                0,
                src.number(),
                arg.index().cast_signed(),
                0,
            ),
        },
        Insn::Atomic {
            width,
            op,
            base,
            offset,
            src,
        } => (atomic(op, width), base.number(), src.number(), offset, 0),
        Insn::LoadAcquire {
            size,
            dst,
            base,
            offset,
        } => {
            let code = match size {
                Size::B => Code::Acquire8,
                Size::H => Code::Acquire16,
                Size::W => Code::Acquire32,
                Size::Dw => Code::Acquire64,
            };
            (code, dst.number(), base.number(), offset, 0)
        }
        Insn::StoreRelease {
            size,
            base,
            offset,
            src,
        } => {
            let code = match size {
                Size::B => Code::Release8,
                Size::H => Code::Release16,
                Size::W => Code::Release32,
                Size::Dw => Code::Release64,
            };
            (code, base.number(), src.number(), offset, 0)
        }
        Insn::LoadPacketAbs { size, offset } => (
            Code::PacketAbs,
            narrow(size),
            0,
            0,
            i64::from(offset).cast_unsigned(),
        ),
        Insn::LoadPacketInd {
            size,
            index,
            offset,
        } => (
            Code::PacketInd,
            narrow(size),
            index.number(),
            0,
            i64::from(offset).cast_unsigned(),
        ),
        Insn::Jump { .. } | Insn::JumpLong { .. } => (Code::Jump, 0, 0, 0, 0),
        Insn::JumpIf {
            width,
            op,
            dst,
            src,
            ..
        } => two(compare(op, width, src), dst, src),
        Insn::MayGoto { .. } => (Code::MayGoto, 0, 0, 0, 0),
        Insn::JumpIndirect { target } => (Code::JumpIndirect, target.number(), 0, 0, 0),
        Insn::Call(CallTarget::Subprogram { .. }) => {
            let function = insn
                .subprogram(at)
                .and_then(|start| program.function_at(start));
            (Code::CallFunction, 0, 0, 0, function.map_or(0, u64::from))
        }
        // The place in the program's table of calls.
        Insn::Call(_) => match program.call_index(at) {
            Some(index) => (Code::CallHelper, 0, 0, 0, index as u64),
            None => (Code::Hole, 0, 0, 0, 0),
        },
        Insn::Exit => (Code::Exit, 0, 0, 0, 0),
    };
    Op {
        code,
        dst,
        src,
        offset,
        target: 0,
        imm,
    }
}

/// The operation of this width and second operand, of those in the order 64 bits with a constant
/// and with a register, 32 bits with a constant and with a register.
fn pick(width: Width, operand: Operand, codes: [Code; 4]) -> Code {
    let register = usize::from(matches!(operand, Operand::Reg(_)));
    match width {
        Width::W64 => codes[register],
        Width::W32 => codes[2 + register],
    }
}

fn alu(op: AluOp, width: Width, src: Operand) -> Code {
    use Code::*;
    let codes = match op {
        AluOp::Add => [Add64I, Add64R, Add32I, Add32R],
        AluOp::Sub => [Sub64I, Sub64R, Sub32I, Sub32R],
        AluOp::Mul => [Mul64I, Mul64R, Mul32I, Mul32R],
        AluOp::Div => [Div64I, Div64R, Div32I, Div32R],
        AluOp::SDiv => [SDiv64I, SDiv64R, SDiv32I, SDiv32R],
        AluOp::Mod => [Mod64I, Mod64R, Mod32I, Mod32R],
        AluOp::SMod => [SMod64I, SMod64R, SMod32I, SMod32R],
        AluOp::Or => [Or64I, Or64R, Or32I, Or32R],
        AluOp::And => [And64I, And64R, And32I, And32R],
        AluOp::Xor => [Xor64I, Xor64R, Xor32I, Xor32R],
        AluOp::Lsh => [Lsh64I, Lsh64R, Lsh32I, Lsh32R],
        AluOp::Rsh => [Rsh64I, Rsh64R, Rsh32I, Rsh32R],
        AluOp::Arsh => [Arsh64I, Arsh64R, Arsh32I, Arsh32R],
    };
    pick(width, src, codes)
}

fn compare(op: CompareOp, width: Width, src: Operand) -> Code {
    use Code::*;
    let codes = match op {
        CompareOp::Eq => [Eq64I, Eq64R, Eq32I, Eq32R],
        CompareOp::Ne => [Ne64I, Ne64R, Ne32I, Ne32R],
        CompareOp::Gt => [Gt64I, Gt64R, Gt32I, Gt32R],
        CompareOp::Ge => [Ge64I, Ge64R, Ge32I, Ge32R],
        CompareOp::Lt => [Lt64I, Lt64R, Lt32I, Lt32R],
        CompareOp::Le => [Le64I, Le64R, Le32I, Le32R],
        CompareOp::SGt => [SGt64I, SGt64R, SGt32I, SGt32R],
        CompareOp::SGe => [SGe64I, SGe64R, SGe32I, SGe32R],
        CompareOp::SLt => [SLt64I, SLt64R, SLt32I, SLt32R],
        CompareOp::SLe => [SLe64I, SLe64R, SLe32I, SLe32R],
        CompareOp::Set => [Set64I, Set64R, Set32I, Set32R],
    };
    pick(width, src, codes)
}

fn atomic(op: AtomicOp, width: Width) -> Code {
    use Code::*;
    let codes = match op {
        AtomicOp::Add { fetch: false } => [AtomicAdd32, AtomicAdd64],
        AtomicOp::Or { fetch: false } => [AtomicOr32, AtomicOr64],
        AtomicOp::And { fetch: false } => [AtomicAnd32, AtomicAnd64],
        AtomicOp::Xor { fetch: false } => [AtomicXor32, AtomicXor64],
        AtomicOp::Add { fetch: true } => [FetchAdd32, FetchAdd64],
        AtomicOp::Or { fetch: true } => [FetchOr32, FetchOr64],
        AtomicOp::And { fetch: true } => [FetchAnd32, FetchAnd64],
        AtomicOp::Xor { fetch: true } => [FetchXor32, FetchXor64],
        AtomicOp::Xchg => [Xchg32, Xchg64],
        AtomicOp::CmpXchg => [CmpXchg32, CmpXchg64],
    };
    codes[usize::from(width == Width::W64)]
}

/// What a swap does on this machine: bytes in its own order need no more than to be cut.
fn swap(order: ByteOrder, width: SwapWidth) -> Code {
    let own = match order {
        ByteOrder::Little => Endian::NATIVE == Endian::Little,
        ByteOrder::Big => Endian::NATIVE == Endian::Big,
        ByteOrder::Swap => false,
    };
    match (own, width) {
        (true, SwapWidth::Bits16) => Code::Low16,
        (true, SwapWidth::Bits32) => Code::Low32,
        (true, SwapWidth::Bits64) => Code::Low64,
        (false, SwapWidth::Bits16) => Code::Swap16,
        (false, SwapWidth::Bits32) => Code::Swap32,
        (false, SwapWidth::Bits64) => Code::Swap64,
    }
}

/// Bytes of a legacy packet load, in the place of the destination register.
fn narrow(size: NarrowSize) -> u8 {
    match size {
        NarrowSize::B => 1,
        NarrowSize::H => 2,
        NarrowSize::W => 4,
    }
}
