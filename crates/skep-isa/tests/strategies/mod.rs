//! proptest strategies for every instruction that there is.

use proptest::prelude::*;
use proptest::sample::select;
use skep_isa::{
    AluOp, ArenaCast, AtomicOp, ByteOrder, CallTarget, CompareOp, Imm64, Insn, NarrowSize, Operand,
    RawInsn, Reg, SignExtension, Size, StackArg, SwapWidth, Width,
};

fn reg() -> impl Strategy<Value = Reg> + Clone {
    select(&Reg::ALL[..])
}

fn width() -> impl Strategy<Value = Width> + Clone {
    select(&[Width::W32, Width::W64][..])
}

fn size() -> impl Strategy<Value = Size> + Clone {
    select(&Size::ALL[..])
}

fn narrow() -> impl Strategy<Value = NarrowSize> + Clone {
    select(&NarrowSize::ALL[..])
}

fn operand() -> impl Strategy<Value = Operand> + Clone {
    prop_oneof![
        reg().prop_map(Operand::Reg),
        any::<i32>().prop_map(Operand::Imm)
    ]
}

fn stack_arg() -> impl Strategy<Value = StackArg> + Clone {
    (0..=StackArg::MAX).prop_map(|index| StackArg::new(index).unwrap())
}

fn offset() -> impl Strategy<Value = i16> + Clone {
    any::<i16>()
}

fn imm64() -> impl Strategy<Value = Imm64> {
    prop_oneof![
        any::<u64>().prop_map(Imm64::Value),
        any::<i32>().prop_map(|fd| Imm64::MapFd { fd }),
        any::<(i32, u32)>().prop_map(|(fd, offset)| Imm64::MapValue { fd, offset }),
        any::<u32>().prop_map(|id| Imm64::BtfId { id, btf_fd: 0 }),
        any::<(u32, i32)>().prop_map(|(id, btf_fd)| Imm64::BtfId { id, btf_fd }),
        any::<i32>().prop_map(|offset| Imm64::Subprogram { offset }),
        any::<i32>().prop_map(|index| Imm64::MapIndex { index }),
        any::<(i32, u32)>().prop_map(|(index, offset)| Imm64::MapIndexValue { index, offset }),
    ]
}

fn call_target() -> impl Strategy<Value = CallTarget> {
    prop_oneof![
        any::<u32>().prop_map(CallTarget::Helper),
        any::<i32>().prop_map(|offset| CallTarget::Subprogram { offset }),
        any::<u32>().prop_map(|btf_id| CallTarget::Kfunc {
            btf_id,
            fd_index: 0
        }),
        any::<(u32, i16)>().prop_map(|(btf_id, fd_index)| CallTarget::Kfunc { btf_id, fd_index }),
        reg().prop_map(CallTarget::Register),
    ]
}

/// Any instruction; each kind is about as likely as each other.
pub(crate) fn insn() -> impl Strategy<Value = Insn> {
    let extension = select(
        &[
            SignExtension::S8To32,
            SignExtension::S16To32,
            SignExtension::S8To64,
            SignExtension::S16To64,
            SignExtension::S32To64,
        ][..],
    );
    let order = select(&[ByteOrder::Little, ByteOrder::Big, ByteOrder::Swap][..]);
    let bits = select(&[SwapWidth::Bits16, SwapWidth::Bits32, SwapWidth::Bits64][..]);
    let cast = select(&[ArenaCast::ToKernel, ArenaCast::ToUser][..]);
    let arithmetic = prop_oneof![
        (width(), select(&AluOp::ALL[..]), reg(), operand()).prop_map(|(width, op, dst, src)| {
            Insn::Alu {
                width,
                op,
                dst,
                src,
            }
        }),
        (width(), reg(), operand()).prop_map(|(width, dst, src)| Insn::Mov { width, dst, src }),
        (extension, reg(), reg()).prop_map(|(extension, dst, src)| Insn::MovSx {
            extension,
            dst,
            src
        }),
        (width(), reg()).prop_map(|(width, dst)| Insn::Neg { width, dst }),
        (order, bits, reg()).prop_map(|(order, width, dst)| Insn::ByteSwap { order, width, dst }),
        (cast, reg(), reg()).prop_map(|(cast, dst, src)| Insn::AddrSpaceCast { cast, dst, src }),
    ];
    let memory = prop_oneof![
        (size(), reg(), reg(), offset()).prop_map(|(size, dst, base, offset)| Insn::Load {
            size,
            dst,
            base,
            offset
        }),
        (narrow(), reg(), reg(), offset()).prop_map(|(size, dst, base, offset)| Insn::LoadSigned {
            size,
            dst,
            base,
            offset
        }),
        (size(), reg(), offset(), operand()).prop_map(|(size, base, offset, value)| Insn::Store {
            size,
            base,
            offset,
            value
        }),
        (reg(), stack_arg()).prop_map(|(dst, arg)| Insn::LoadStackArg { dst, arg }),
        (stack_arg(), operand()).prop_map(|(arg, value)| Insn::StoreStackArg { arg, value }),
        (width(), select(&AtomicOp::ALL[..]), reg(), offset(), reg()).prop_map(
            |(width, op, base, offset, src)| Insn::Atomic {
                width,
                op,
                base,
                offset,
                src
            }
        ),
        (size(), reg(), reg(), offset()).prop_map(|(size, dst, base, offset)| Insn::LoadAcquire {
            size,
            dst,
            base,
            offset
        }),
        (size(), reg(), offset(), reg()).prop_map(|(size, base, offset, src)| Insn::StoreRelease {
            size,
            base,
            offset,
            src
        }),
        (narrow(), any::<i32>()).prop_map(|(size, offset)| Insn::LoadPacketAbs { size, offset }),
        (narrow(), reg(), any::<i32>()).prop_map(|(size, index, offset)| Insn::LoadPacketInd {
            size,
            index,
            offset
        }),
    ];
    let control = prop_oneof![
        offset().prop_map(|offset| Insn::Jump { offset }),
        any::<i32>().prop_map(|offset| Insn::JumpLong { offset }),
        (
            width(),
            select(&CompareOp::ALL[..]),
            reg(),
            operand(),
            offset()
        )
            .prop_map(|(width, op, dst, src, offset)| Insn::JumpIf {
                width,
                op,
                dst,
                src,
                offset
            }),
        offset().prop_map(|offset| Insn::MayGoto { offset }),
        reg().prop_map(|target| Insn::JumpIndirect { target }),
        call_target().prop_map(Insn::Call),
        Just(Insn::Exit),
    ];
    prop_oneof![
        6 => arithmetic,
        10 => memory,
        7 => control,
        7 => (reg(), imm64()).prop_map(|(dst, value)| Insn::LoadImm64 { dst, value }),
    ]
}

/// Any slot, with zero and the numbers that mean something more often than chance has them.
pub(crate) fn raw() -> impl Strategy<Value = RawInsn> {
    let field = || prop_oneof![3 => Just(0u8), 1 => 0u8..16];
    let offset = prop_oneof![
        4 => Just(0),
        1 => select(&[1, 8, 16, 32, -8, -32768][..]),
        1 => any::<i16>()
    ];
    let imm = prop_oneof![
        4 => Just(0),
        2 => select(&[1, 16, 32, 64, 0x10000, 0x100, 0x110][..]),
        2 => select(&AtomicOp::ALL[..]).prop_map(AtomicOp::imm),
        1 => any::<i32>()
    ];
    (any::<u8>(), field(), field(), offset, imm).prop_map(|(opcode, dst, src, offset, imm)| {
        RawInsn {
            opcode,
            dst,
            src,
            offset,
            imm,
        }
    })
}
