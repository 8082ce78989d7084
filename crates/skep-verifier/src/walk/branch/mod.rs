//! Conditional jumps: which sides are possible, and what each side knows.
//!
//! The outcome is certain (`outcome`), or the path forks and each side learns from it (`learn`):
//! numbers get bounds, nullable pointers turn into pointers or zero (`null`), packet pointers get a
//! range (`packet`).

mod null;
mod packet;
mod scalars;

use skep_isa::{CompareOp, Operand, Reg, Width};

use super::Next;
use crate::{
    Rule, Scalar,
    state::{Kind, Register, State},
    verifier::{Result, Verifier},
};

/// One comparison.
#[derive(Debug, Clone, Copy)]
struct Comparison {
    width: Width,
    op: CompareOp,
    dst: Reg,
    src: Operand,
}

impl Comparison {
    /// The right side where a state stands.
    fn right(&self, state: &State) -> Register {
        match self.src {
            Operand::Reg(reg) => state.register(reg).clone(),
            Operand::Imm(number) => Register::constant(i64::from(number).cast_unsigned()),
        }
    }

    fn src_reg(&self) -> Option<Reg> {
        match self.src {
            Operand::Reg(reg) => Some(reg),
            Operand::Imm(_) => None,
        }
    }

    /// Whether it asks if the left side is null.
    fn is_null_check(&self) -> bool {
        self.width == Width::W64
            && self.src == Operand::Imm(0)
            && matches!(self.op, CompareOp::Eq | CompareOp::Ne)
    }
}

/// Whether a comparison of something with itself holds; `None`: that depends on its value.
fn of_itself(op: CompareOp) -> Option<bool> {
    match op {
        CompareOp::Eq | CompareOp::Ge | CompareOp::Le | CompareOp::SGe | CompareOp::SLe => {
            Some(true)
        }
        CompareOp::Ne | CompareOp::Gt | CompareOp::Lt | CompareOp::SGt | CompareOp::SLt => {
            Some(false)
        }
        CompareOp::Set => None,
    }
}

impl Verifier<'_> {
    pub(super) fn jump_if(
        &mut self,
        width: Width,
        op: CompareOp,
        dst: Reg,
        src: Operand,
        offset: i16,
    ) -> Result<Next> {
        let comparison = Comparison {
            width,
            op,
            dst,
            src,
        };
        let target = self.target_of(offset.into());
        let left = self.read(dst)?;
        if let Operand::Reg(reg) = src {
            let right = self.read(reg)?;
            let packets = is_packet_or_end(left) && is_packet_or_end(right);
            if right.is_pointer() && !packets && !self.options.perfmon {
                return Err(self.compared_pointer(reg));
            }
        }
        if let Some(holds) = self.outcome(&comparison) {
            return self.certain(&comparison, holds, target);
        }
        // What each side learns about numbers comes first: a side that contradicts itself is no
        // side.
        let numbers = self.refine(&comparison);
        if let Some((taken, fallen)) = &numbers {
            if taken.is_impossible() {
                return self.certain(&comparison, false, target);
            }
            if fallen.is_impossible() {
                return self.certain(&comparison, true, target);
            }
        }
        self.note_linked(&comparison);
        let program = self.program;
        let mut other = self.state.clone();
        let mut matched = false;
        if let Some((taken, fallen)) = &numbers {
            scalars::learn(&mut other, &comparison, taken);
            scalars::learn(&mut self.state, &comparison, fallen);
        } else {
            for (state, holds) in [(&mut other, true), (&mut self.state, false)] {
                matched = null::learn(state, &comparison, holds, program)
                    || packet::learn(state, &comparison, holds);
            }
        }
        if !matched && self.state.register(dst).is_pointer() && !self.options.perfmon {
            return Err(self.compared_pointer(dst));
        }
        self.push_state(target, other)?;
        Ok(Next::Fall)
    }

    #[cold]
    fn compared_pointer(&self, reg: Reg) -> Box<crate::Rejection> {
        let message = format!(
            "{reg} holds a pointer, and a loader without CAP_PERFMON may only compare pointers with \
             null or with the end of their packet"
        );
        self.reject(Rule::PointerComparison, message).of(reg)
    }

    /// Whether the comparison holds, if that is certain here.
    fn outcome(&self, comparison: &Comparison) -> Option<bool> {
        let Comparison { width, op, dst, .. } = *comparison;
        let left = self.reg(dst);
        // Older kernels follow both sides.
        if comparison.src_reg() == Some(dst)
            && left.is_scalar()
            && self.since(7, 0)
            && let Some(holds) = of_itself(op)
        {
            return Some(holds);
        }
        let right = comparison.right(&self.state);
        if left.is_scalar() && right.is_scalar() {
            return Scalar::compare(op, width, &left.value, &right.value);
        }
        // The lower half of an address may be anything.
        if width == Width::W32 {
            return None;
        }
        if is_packet_or_end(left) && is_packet_or_end(&right) {
            return packet::outcome(op, left, &right);
        }
        let pointer = match (left.as_constant(), right.as_constant()) {
            (_, Some(0)) => left,
            (Some(0), _) => &right,
            _ => return None,
        };
        match op {
            CompareOp::Eq if null::is_never(pointer) => Some(false),
            CompareOp::Ne if null::is_never(pointer) => Some(true),
            _ => None,
        }
    }

    /// Goes on at the only side that is possible; its numbers decided that.
    fn certain(&mut self, comparison: &Comparison, holds: bool, target: usize) -> Result<Next> {
        if self.reg(comparison.dst).is_scalar() {
            self.mark_precise(comparison.dst)?;
        }
        if let Some(reg) = comparison.src_reg()
            && self.reg(reg).is_scalar()
        {
            self.mark_precise(reg)?;
        }
        let (next, other) = if holds {
            (Next::Goto(target), self.insn + 1)
        } else {
            (Next::Fall, target)
        };
        // A processor may still guess the other side, where no one has checked anything.
        if !self.options.perfmon {
            let mut state = self.state.clone();
            state.speculative = true;
            for reg in [Some(comparison.dst), comparison.src_reg()]
                .into_iter()
                .flatten()
            {
                if reg != Reg::FP {
                    *state.register_mut(reg) = Register::unknown();
                }
            }
            self.push_state(other, state)?;
        }
        Ok(next)
    }

    pub(super) fn may_goto(&mut self, offset: i16) -> Result<Next> {
        // The loop's budget may be spent at once, or last for another round.
        let mut round = self.state.clone();
        round.may_goto_depth = round.may_goto_depth.saturating_add(1);
        self.widen_from_previous(self.insn, &mut round);
        self.push_state(self.insn + 1, round)?;
        Ok(Next::Goto(self.target_of(offset.into())))
    }

    pub(super) fn jump_indirect(&mut self, target: Reg) -> Result<Next> {
        let register = self.read(target)?;
        let Kind::JumpTarget { map } = register.kind else {
            let message = format!("{target} does not hold an address out of a jump table");
            return Err(self.reject(Rule::JumpOutOfRange, message).of(target));
        };
        let (first, last) = (register.value.umin, register.value.umax);
        let targets = self.code.jump_targets(map);
        let targets = usize::try_from(first)
            .ok()
            .zip(usize::try_from(last).ok())
            .and_then(|(first, last)| targets.get(first..=last))
            .filter(|targets| !targets.is_empty());
        let Some(targets) = targets else {
            let message = format!("{target} may hold an address from outside of its jump table");
            return Err(self.reject(Rule::JumpOutOfRange, message).of(target));
        };
        let mut targets = targets.to_vec();
        targets.sort_unstable();
        targets.dedup();
        let last = targets.pop().expect("not empty");
        for target in targets {
            self.push(target)?;
        }
        Ok(Next::Goto(last))
    }
}

fn is_packet_or_end(register: &Register) -> bool {
    register.is_packet() || register.kind == Kind::PacketEnd
}
