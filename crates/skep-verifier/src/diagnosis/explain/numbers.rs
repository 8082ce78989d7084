//! Numbers at fault: an index, a size, what is added to a pointer; and what bounds them, or failed
//! to.

use skep_isa::{AluOp, Insn, Operand, Reg};

use super::Story;
use crate::diagnosis::{
    history::{Hop, Origin, Trail},
    words,
};

impl Story<'_, '_, '_> {
    /// Where a number that is not known was added to a pointer, and the register it was in.
    pub(super) fn added(&self, trail: &Trail) -> Option<(usize, Reg)> {
        trail.hops.iter().find_map(|hop| {
            let Hop::Changed(step) = *hop else {
                return None;
            };
            self.operand(step).map(|reg| (step, reg))
        })
    }

    /// The register with an unknown number in an addition or subtraction at a step.
    pub(super) fn operand(&self, step: usize) -> Option<Reg> {
        let Some(Insn::Alu {
            op: AluOp::Add | AluOp::Sub,
            dst,
            src: Operand::Reg(src),
            ..
        }) = self.path.insn(step)
        else {
            return None;
        };
        [src, dst].into_iter().find(|&reg| {
            let register = self.path.register(step, reg);
            register.is_some_and(|one| one.is_scalar() && one.as_constant().is_none())
        })
    }

    /// A number that is not bounded as it must be: an index, a size, what is added to a pointer.
    pub(super) fn number(&mut self) {
        let last = self.path.last();
        let Some((reg, register)) = self.register() else {
            return;
        };
        let (step, scalar) = if register.is_scalar() {
            (last, reg)
        } else if let Some(reg) = self.operand(last) {
            (last, reg)
        } else if register.value.as_constant().is_none() {
            match self.added(&self.path.trail(last, reg)) {
                Some(added) => added,
                None => return,
            }
        } else {
            // The size of the memory that a pointer argument is for stands behind it.
            match (self.path.insn(last), following(reg)) {
                (Some(Insn::Call(_)), Some(size))
                    if self
                        .path
                        .register(last, size)
                        .is_some_and(|one| one.is_scalar() && one.as_constant().is_none()) =>
                {
                    (last, size)
                }
                _ => return self.source_of_register(),
            }
        };
        let Some(value) = self.path.register(step, scalar).map(|one| one.value) else {
            return;
        };
        let trail = self.path.trail(step, scalar);
        let name = self.variable(&trail);
        let origin = self.origin(&trail);
        let it = match (&name, &origin) {
            (Some(name), _) => format!("`{name}`"),
            (None, Some(origin)) => format!("what is made of `{origin}`"),
            (None, None) => "the number".into(),
        };
        let can = words::range(&value);
        let at_most = match (value.as_constant(), words::is_unbounded(&value)) {
            (Some(_), _) => format!("{it} is {can} here"),
            (None, true) if value.umax != u64::MAX => {
                format!("{it} is only known to be at most {} here", value.umax)
            }
            (None, _) => format!("{it} can be {can} here"),
        };
        if step == last || self.is_here(step) {
            self.diagnosis.label = at_most;
            self.diagnosis.focus.clone_from(&origin);
        } else {
            self.label(step, format!("{at_most}, and is added to the pointer"));
        }
        self.bounds(&trail, step, name.as_deref());
        match trail.origin {
            Origin::Call(made) => {
                let called = self.path.called(made);
                let called = words::quoted(called.as_deref(), "the call");
                let given = self.given(made, Reg::R0);
                self.label(made, format!("{called} gives {given}"));
            }
            Origin::Load(made) => {
                let dst = match self.path.insn(made) {
                    Some(Insn::Load { dst, .. } | Insn::LoadSigned { dst, .. }) => dst,
                    _ => Reg::R0,
                };
                let what = words::quoted(origin.as_deref(), "the number");
                let given = self.given(made, dst);
                let compared = trail.hops.iter().any(|hop| matches!(hop, Hop::Compared(_)));
                let unbounded = if compared {
                    ""
                } else {
                    ", and nothing bounds it since"
                };
                self.label(made, format!("{what} is read here: {given}{unbounded}"));
            }
            _ => {}
        }
    }

    /// The value that a register has behind a step, in words.
    pub(super) fn given(&self, step: usize, reg: Reg) -> String {
        match self.path.register(step + 1, reg) {
            Some(register) if register.is_scalar() => words::range(&register.value),
            _ => "a number".into(),
        }
    }

    /// Where a number's bound was learnt, lost, or put on a copy only.
    pub(super) fn bounds(&mut self, trail: &Trail, end: usize, name: Option<&str>) {
        let it = words::quoted(name, "it");
        let limit = |value: &crate::Scalar| value.umax < u64::from(u32::MAX);
        // From the origin on.
        let mut bounded = None;
        for hop in trail.hops.iter().rev() {
            let step = hop.step();
            let before = trail.value_before(self.path, step).map(|one| one.value);
            let after = self.behind(trail, step, end);
            let (Some(before), Some(after)) = (before, after) else {
                continue;
            };
            match hop {
                Hop::Compared(_) if after != before => {
                    bounded = Some(step);
                    let range = words::range(&after);
                    self.label(step, format!("after this comparison, {it} can be {range}"));
                }
                Hop::Changed(_) if limit(&before) && !limit(&after) => {
                    let most = before.umax;
                    self.label(
                        step,
                        format!("the bound is lost here: before, it was at most {most}"),
                    );
                }
                Hop::Changed(_) if limit(&before) && after.smin < 0 && before.smin >= 0 => {
                    self.label(step, "computed here, it can become negative");
                }
                _ => {}
            }
        }
        if bounded.is_none() {
            for step in self.path.compared_copies(trail, end) {
                self.label(
                    step,
                    "this compares a copy: the bound does not reach the value that is used",
                );
            }
        }
    }

    /// What is known about a trail's value behind a step of it.
    pub(super) fn behind(&self, trail: &Trail, step: usize, end: usize) -> Option<crate::Scalar> {
        let next = (step + 1).min(end);
        trail.value_before(self.path, next).map(|one| one.value)
    }
}

/// The argument register behind another.
fn following(reg: Reg) -> Option<Reg> {
    [Reg::R1, Reg::R2, Reg::R3, Reg::R4]
        .iter()
        .position(|one| *one == reg)
        .and_then(|at| [Reg::R2, Reg::R3, Reg::R4, Reg::R5].get(at).copied())
}
