//! Which registers an instruction reads and overwrites by itself.

use crate::insn::{CallTarget, Insn};
use crate::operand::{AtomicOp, Operand};
use crate::reg::Reg;

/// The registers that an instruction reads and those that it overwrites, as bits: R0 is the lowest.
///
/// ```
/// use skep_isa::{Insn, Operand, Reg, Size};
///
/// let load = Insn::Load { size: Size::W, dst: Reg::R1, base: Reg::R6, offset: 4 };
/// let uses = load.uses();
/// assert_eq!((uses.reads, uses.writes), (1 << 6, 1 << 1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uses {
    /// What it reads.
    pub reads: u16,
    /// What it overwrites.
    pub writes: u16,
}

const fn bit(reg: Reg) -> u16 {
    1 << reg.number()
}

const fn operand(operand: Operand) -> u16 {
    match operand {
        Operand::Reg(reg) => bit(reg),
        Operand::Imm(_) => 0,
    }
}

impl Insn {
    /// The registers that the instruction itself reads and overwrites. What a call takes and leaves is
    /// its callee's matter: of calls only a register is named that holds the address. A legacy packet
    /// load reads R6 and gives R0; that it leaves R1 to R5 open, as calls do, is not said here either.
    pub const fn uses(&self) -> Uses {
        let (reads, writes) = match *self {
            Self::Alu { dst, src, .. } => (bit(dst) | operand(src), bit(dst)),
            Self::Mov { dst, src, .. } => (operand(src), bit(dst)),
            Self::MovSx { dst, src, .. } | Self::AddrSpaceCast { dst, src, .. } => {
                (bit(src), bit(dst))
            }
            Self::Neg { dst, .. } | Self::ByteSwap { dst, .. } => (bit(dst), bit(dst)),
            Self::LoadImm64 { dst, .. } | Self::LoadStackArg { dst, .. } => (0, bit(dst)),
            Self::Load { dst, base, .. }
            | Self::LoadSigned { dst, base, .. }
            | Self::LoadAcquire { dst, base, .. } => (bit(base), bit(dst)),
            Self::Store { base, value, .. } => (bit(base) | operand(value), 0),
            Self::StoreStackArg { value, .. } => (operand(value), 0),
            Self::StoreRelease { base, src, .. } => (bit(base) | bit(src), 0),
            Self::Atomic { op, base, src, .. } => match op {
                AtomicOp::CmpXchg => (bit(base) | bit(src) | bit(Reg::R0), bit(Reg::R0)),
                _ if op.fetches() => (bit(base) | bit(src), bit(src)),
                _ => (bit(base) | bit(src), 0),
            },
            Self::LoadPacketAbs { .. } => (bit(Reg::R6), bit(Reg::R0)),
            Self::LoadPacketInd { index, .. } => (bit(Reg::R6) | bit(index), bit(Reg::R0)),
            Self::JumpIf { dst, src, .. } => (bit(dst) | operand(src), 0),
            Self::JumpIndirect { target } => (bit(target), 0),
            Self::Call(CallTarget::Register(target)) => (bit(target), 0),
            Self::Exit => (bit(Reg::R0), 0),
            Self::Call(_) | Self::Jump { .. } | Self::JumpLong { .. } | Self::MayGoto { .. } => {
                (0, 0)
            }
        };
        Uses { reads, writes }
    }
}
