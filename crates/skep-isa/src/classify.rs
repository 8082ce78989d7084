//! Questions that loaders and verifiers ask of an instruction: how long it is, where it can go,
//! what it refers to.

use crate::insn::{CallTarget, Imm64, Insn};
use crate::raw::InsnIndex;

impl Insn {
    /// How many 8-byte slots the instruction takes: 2 for `ld_imm64`, else 1.
    pub const fn slots(&self) -> u32 {
        match self {
            Self::LoadImm64 { .. } => 2,
            _ => 1,
        }
    }

    /// The position after this instruction at `at`; `None` if it does not fit.
    pub fn next(&self, at: InsnIndex) -> Option<InsnIndex> {
        at.0.checked_add(self.slots()).map(InsnIndex)
    }

    /// Whether this is a jump of any kind (calls and `exit` are not).
    pub const fn is_jump(&self) -> bool {
        matches!(self, Self::JumpIndirect { .. }) || self.jump_offset().is_some()
    }

    /// Where the jump at `at` goes when taken. `None` for other instructions, for `gotox` (whose
    /// targets stand in a map), and for a target that no index can express. The target may still
    /// lie beyond the program's end.
    pub fn target(&self, at: InsnIndex) -> Option<InsnIndex> {
        at.relative(self.jump_offset()?)
    }

    /// The jump's offset in slots, wherever it is encoded.
    pub const fn jump_offset(&self) -> Option<i32> {
        match *self {
            Self::Jump { offset } | Self::JumpIf { offset, .. } | Self::MayGoto { offset } => {
                Some(offset as i32)
            }
            Self::JumpLong { offset } => Some(offset),
            _ => None,
        }
    }

    /// Whether control can pass to the next instruction: not after `exit`, `goto`, `gotol` and
    /// `gotox`.
    pub const fn falls_through(&self) -> bool {
        !matches!(
            self,
            Self::Exit | Self::Jump { .. } | Self::JumpLong { .. } | Self::JumpIndirect { .. }
        )
    }

    /// Whether this calls a function of the same program.
    #[doc(alias = "bpf_pseudo_call")]
    pub const fn is_call_to_subprogram(&self) -> bool {
        matches!(self, Self::Call(CallTarget::Subprogram { .. }))
    }

    /// Whether this loads the address of a function of the same program.
    #[doc(alias = "bpf_pseudo_func")]
    pub const fn is_subprogram_address(&self) -> bool {
        matches!(
            self,
            Self::LoadImm64 {
                value: Imm64::Subprogram { .. },
                ..
            }
        )
    }

    /// Where the function begins that the instruction at `at` calls or takes the address of, if
    /// it is one of the same program.
    pub fn subprogram(&self, at: InsnIndex) -> Option<InsnIndex> {
        match *self {
            Self::Call(CallTarget::Subprogram { offset })
            | Self::LoadImm64 {
                value: Imm64::Subprogram { offset },
                ..
            } => at.relative(offset),
            _ => None,
        }
    }

    /// The same instruction with the jump, the call of a subprogram, or the subprogram's address
    /// aimed at `offset` slots from the next slot. `None` if the instruction has no such offset,
    /// or has only 16 bits for it.
    pub fn with_relative_offset(self, offset: i32) -> Option<Self> {
        let mut insn = self;
        match &mut insn {
            Self::Jump { offset: short }
            | Self::JumpIf { offset: short, .. }
            | Self::MayGoto { offset: short } => *short = offset.try_into().ok()?,
            Self::JumpLong { offset: long }
            | Self::Call(CallTarget::Subprogram { offset: long })
            | Self::LoadImm64 {
                value: Imm64::Subprogram { offset: long },
                ..
            } => *long = offset,
            _ => return None,
        }
        Some(insn)
    }
}
