//! Arithmetic of loaders without `CAP_PERFMON`: the kernel masks what is added to pointers, so that a
//! processor that runs ahead with wrong numbers stays inside the object. That it can, the
//! arithmetic must go one way, in bounds, and the same on all paths.
//!
//! What a processor may do with a pointer that was masked to stay where it is, is not followed: since
//! 6.16 the kernel puts a barrier before what is wrong there, and refuses nothing.

use skep_isa::{AluOp, Operand, Reg};

use crate::{
    Rule, Scalar,
    state::{Kind, Register},
    verifier::{Result, Verifier},
};

/// Bytes of a frame's stack (`MAX_BPF_STACK`).
const STACK: i64 = 512;

/// How the kernel masks an operation. It is one instruction, so all paths must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Masking {
    pointer: bool,
    negative: bool,
    constant: bool,
    pointer_is_dst: bool,
    limit: u32,
}

/// The masking of an operation before the pointer has moved, and whether it moves down.
pub(super) struct Masked {
    masking: Masking,
    down: bool,
}

impl Verifier<'_> {
    /// Whether the operation must be masked: constants in the instruction need not be.
    fn must_mask(&self, op: AluOp, src: Operand) -> bool {
        !self.options.perfmon
            && matches!(op, AluOp::Add | AluOp::Sub)
            && matches!(src, Operand::Reg(_))
    }

    /// An operation on numbers, where other paths may have a pointer.
    pub(super) fn mask_number(&mut self, op: AluOp, src: Operand) -> Result {
        if !self.must_mask(op, src) {
            return Ok(());
        }
        self.agree_on_masking(Masking {
            pointer: false,
            negative: false,
            constant: false,
            pointer_is_dst: false,
            limit: 0,
        })
    }

    /// An operation on a pointer, before it is done.
    pub(super) fn mask_pointer(
        &mut self,
        op: AluOp,
        src: Operand,
        pointer_is_dst: bool,
        pointer: &Register,
        number: &Scalar,
    ) -> Result<Option<Masked>> {
        // The program's own paths say how it is masked.
        if !self.must_mask(op, src) || self.state.speculative {
            return Ok(None);
        }
        let constant = number.bits.is_constant();
        let negative = number.smin < 0;
        if !constant && negative != (number.smax < 0) {
            return Err(self
                .reject(
                    Rule::PointerPlusUnknown,
                    "a number that may be negative or positive is added to a pointer, which needs \
                     CAP_PERFMON",
                )
                .help("bound the number to one side of zero first"));
        }
        let down = negative == (op == AluOp::Add);
        let limit = self.masking_limit(pointer, down)?;
        let masking = Masking {
            pointer: true,
            negative,
            constant,
            pointer_is_dst,
            limit,
        };
        Ok(Some(Masked { masking, down }))
    }

    /// The same after the pointer has moved: the limit is how far it went.
    pub(super) fn mask_moved_pointer(&mut self, masked: Masked, moved: &Register) -> Result {
        let limit = self.masking_limit(moved, masked.down)?;
        self.agree_on_masking(Masking {
            limit: masked.masking.limit.abs_diff(limit),
            ..masked.masking
        })
    }

    /// How far a pointer may be moved.
    fn masking_limit(&self, pointer: &Register, down: bool) -> Result<u32> {
        let offset = i64::from(pointer.offset);
        let (limit, most) = match pointer.kind {
            Kind::Stack { .. } => (
                pointer
                    .value
                    .bits
                    .value
                    .cast_signed()
                    .wrapping_add(offset)
                    .wrapping_neg(),
                STACK + i64::from(down),
            ),
            Kind::MapValue { map, inner, .. } => {
                let end = if down {
                    pointer.value.smin
                } else {
                    pointer.value.umax.cast_signed()
                };
                let size = self.program.map(map, inner).map_or(0, |map| map.value_size);
                (end.wrapping_add(offset), size.into())
            }
            _ => {
                let message = format!(
                    "a number in a register is added to a pointer ({}), which needs CAP_PERFMON",
                    pointer.kind.noun()
                );
                return Err(self.reject(Rule::PointerArithmetic, message));
            }
        };
        match u32::try_from(limit) {
            Ok(within) if limit < most => Ok(within),
            _ => Err(self.reject(
                Rule::PointerPlusUnknown,
                "a pointer would leave what it points into, which needs CAP_PERFMON",
            )),
        }
    }

    fn agree_on_masking(&mut self, masking: Masking) -> Result {
        let Some(facts) = self.facts.get_mut(self.insn) else {
            return Ok(());
        };
        if facts.masking.is_none_or(|before| before == masking) {
            facts.masking = Some(masking);
            return Ok(());
        }
        Err(self.reject(
            Rule::MixedPointers,
            "different paths add different kinds of pointers or numbers here, which needs \
             CAP_PERFMON",
        ))
    }

    /// Without `CAP_PERFMON`, pointers stay inside the stack or the value that they point into.
    pub(super) fn check_moved_pointer(&self, dst: Reg, pointer: &Register) -> Result {
        if self.options.perfmon {
            return Ok(());
        }
        let offset = i64::from(pointer.offset);
        match pointer.kind {
            Kind::Stack { .. } => {
                let Some(value) = pointer.value.as_constant() else {
                    return Err(self
                        .reject(
                            Rule::StackOutOfBounds,
                            "a stack pointer's offset is not known, which needs CAP_PERFMON",
                        )
                        .of(dst));
                };
                if (-STACK..0).contains(&value.cast_signed().wrapping_add(offset)) {
                    return Ok(());
                }
                Err(self
                    .reject(
                        Rule::StackOutOfBounds,
                        "a stack pointer would leave the frame, which needs CAP_PERFMON",
                    )
                    .of(dst))
            }
            Kind::MapValue { map, inner, .. } => {
                let size = self.program.map(map, inner).map_or(0, |map| map.value_size);
                let least = pointer.value.smin.checked_add(offset);
                let most = i64::try_from(pointer.value.umax)
                    .ok()
                    .and_then(|most| most.checked_add(offset));
                match (least, most) {
                    (Some(0..), Some(most)) if most < i64::from(size) => Ok(()),
                    _ => Err(self
                        .reject(
                            Rule::MapValueOutOfBounds,
                            format!(
                                "a pointer would leave the map's value of {size} bytes, which needs \
                                 CAP_PERFMON"
                            ),
                        )
                        .of(dst)),
                }
            }
            _ => Ok(()),
        }
    }
}
