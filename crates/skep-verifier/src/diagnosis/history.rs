//! Where a register's value came from, along the path: through moves, spills and calls back to
//! what made it, with the places that bounded it on the way.

use skep_isa::{AluOp, AtomicOp, CallTarget, Insn, Operand, Reg};

use super::trace::{Path, Step};
use crate::state::{Kind, Register, State};

/// What made a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The call at a step gave it.
    Call(usize),
    /// The load at a step read it.
    Load(usize),
    /// The instruction at a step has it in it.
    Constant(usize),
    /// It was there when the program, or a function that is verified apart, began; or a callback was
    /// called with it.
    Argument,
    /// The call at a step overwrote the register.
    Overwritten(usize),
    /// The call at a step made a pointer void that was there.
    Void(usize),
    /// The call at a step wrote it to memory.
    Written(usize),
    /// Nothing wrote it.
    Nothing,
    /// The path is longer than what is kept of it.
    Unknown,
}

/// What happened to a value on the way, at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hop {
    /// An instruction computed with it.
    Changed(usize),
    /// It was put on the stack.
    Spilled(usize),
    /// It was taken from the stack.
    Filled(usize),
    /// It was an argument of the call.
    Passed(usize),
    /// A function of the program returned it.
    Returned(usize),
    /// A comparison taught something of it.
    Compared(usize),
}

impl Hop {
    /// The step.
    pub(super) fn step(self) -> usize {
        match self {
            Self::Changed(step)
            | Self::Spilled(step)
            | Self::Filled(step)
            | Self::Passed(step)
            | Self::Returned(step)
            | Self::Compared(step) => step,
        }
    }
}

/// The way of a value, from its end back.
#[derive(Debug, Clone)]
pub(super) struct Trail {
    pub(super) origin: Origin,
    pub(super) hops: Vec<Hop>,
    /// Where the value was before each step that it passed: by step, latest first.
    places: Vec<(usize, Location)>,
}

/// Where a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Location {
    Register { depth: usize, reg: Reg },
    Slot { frame: usize, offset: i32 },
}

impl Trail {
    /// The step that made the value, if it was one.
    pub(super) fn made_at(&self) -> Option<usize> {
        match self.origin {
            Origin::Call(step)
            | Origin::Load(step)
            | Origin::Constant(step)
            | Origin::Overwritten(step)
            | Origin::Void(step)
            | Origin::Written(step) => Some(step),
            Origin::Argument | Origin::Nothing | Origin::Unknown => None,
        }
    }

    /// The register that the value was in before a step.
    pub(super) fn register_before(&self, step: usize) -> Option<Reg> {
        let places = self.places.iter();
        match places.take_while(|(at, _)| *at >= step).last()? {
            (_, Location::Register { reg, .. }) => Some(*reg),
            _ => None,
        }
    }

    /// What was known about the value before a step.
    pub(super) fn value_before<'p>(&self, path: &'p Path<'_>, step: usize) -> Option<&'p Register> {
        let places = self.places.iter();
        let (_, location) = places.take_while(|(at, _)| *at >= step).last()?;
        location.register(&path.steps.get(step)?.state)
    }
}

impl Location {
    fn register(self, state: &State) -> Option<&Register> {
        match self {
            Self::Register { depth, reg } => state
                .frames
                .get(depth)?
                .registers
                .get(usize::from(reg.number())),
            Self::Slot { frame, offset } => {
                let (slot, _) = crate::state::Stack::place(offset);
                let slot = state.frames.get(frame)?.stack.slot(slot)?;
                slot.has_spill().then_some(&slot.spilled)
            }
        }
    }
}

impl Path<'_> {
    /// The instruction of a step.
    pub(super) fn insn(&self, step: usize) -> Option<Insn> {
        let step = self.steps.get(step)?;
        self.verifier.code.insns.get(step.insn).copied().flatten()
    }

    /// The step of the refused instruction.
    pub(super) fn last(&self) -> usize {
        self.steps.len().saturating_sub(1)
    }

    /// A register of the running function before a step.
    pub(super) fn register(&self, step: usize, reg: Reg) -> Option<&Register> {
        let frame = self.steps.get(step)?.state.frames.last()?;
        frame.registers.get(usize::from(reg.number()))
    }

    /// Follows the value that a register has before a step back to what made it.
    pub(super) fn trail(&self, at: usize, reg: Reg) -> Trail {
        let mut trail = Trail {
            origin: Origin::Unknown,
            hops: Vec::new(),
            places: Vec::new(),
        };
        let Some(depth) = self
            .steps
            .get(at)
            .and_then(|step| step.state.frames.len().checked_sub(1))
        else {
            return trail;
        };
        let mut location = Location::Register { depth, reg };
        trail.places.push((at, location));
        for step in (0..at).rev() {
            let (Some(here), Some(next)) = (self.steps.get(step), self.steps.get(step + 1)) else {
                break;
            };
            match self.back(step, here, next, location) {
                Back::Same => {}
                Back::Hop(hop, before) => {
                    trail.hops.push(hop);
                    location = before;
                    trail.places.push((step, location));
                }
                Back::Moved(before) => {
                    location = before;
                    trail.places.push((step, location));
                }
                Back::End(origin) => {
                    trail.origin = origin;
                    return trail;
                }
            }
        }
        if self.insns.len() == self.steps.len() {
            let register = location.register(match self.steps.first() {
                Some(first) => &first.state,
                None => return trail,
            });
            trail.origin = match register {
                Some(register) if register.kind != Kind::Uninit => Origin::Argument,
                _ => Origin::Nothing,
            };
        }
        trail
    }

    /// What a step did to a value that is somewhere behind it.
    fn back(&self, step: usize, here: &Step, next: &Step, location: Location) -> Back {
        let (before, after) = (&here.state, &next.state);
        let (depth_before, depth_after) = (before.frames.len(), after.frames.len());
        let Some(insn) = self.insn(step) else {
            return Back::Same;
        };
        if let Location::Register { depth, reg } = location {
            let running = depth + 1;
            if depth_before > running && depth_after == running {
                // A function of the program returned.
                return match reg.number() {
                    0 => Back::Hop(
                        Hop::Returned(step),
                        Location::Register {
                            depth: depth_before - 1,
                            reg,
                        },
                    ),
                    1..=5 => Back::End(Origin::Overwritten(step)),
                    _ => Back::Same,
                };
            }
            if depth_before < running {
                // The call that began the function.
                let passed = matches!(insn, Insn::Call(CallTarget::Subprogram { .. }));
                return match reg.number() {
                    1..=5 if passed => Back::Hop(
                        Hop::Passed(step),
                        Location::Register {
                            depth: depth_before - 1,
                            reg,
                        },
                    ),
                    1..=5 => Back::End(Origin::Argument),
                    10 => Back::End(Origin::Argument),
                    _ => Back::End(Origin::Nothing),
                };
            }
            if depth_before == running
                && depth_after == running
                && let Some(back) = written(step, insn, reg, before, depth)
            {
                return back;
            }
        } else if let Location::Slot { frame, offset } = location
            && let Some(back) = stored(step, insn, frame, offset, before)
        {
            return back;
        }
        let (then, now) = (location.register(before), location.register(after));
        match (then, now) {
            (Some(then), Some(now)) if then.is_pointer() && !now.is_pointer() => match insn {
                Insn::Call(_) => Back::End(Origin::Void(step)),
                _ => Back::Hop(Hop::Compared(step), location),
            },
            (Some(then), Some(now)) => {
                let learnt = then.value != now.value
                    || then.range != now.range
                    || then.may_be_null() != now.may_be_null();
                match insn {
                    Insn::JumpIf { .. } if learnt => Back::Hop(Hop::Compared(step), location),
                    _ => Back::Same,
                }
            }
            (None, Some(_)) if matches!(insn, Insn::Call(_)) => Back::End(Origin::Written(step)),
            _ => Back::Same,
        }
    }

    /// Branches on the path that compared another copy of a value: what they taught did not reach
    /// the one that `trail` ends at. The steps, in order.
    pub(super) fn compared_copies(&self, trail: &Trail, end: usize) -> Vec<usize> {
        let Some(made) = trail.made_at() else {
            return Vec::new();
        };
        let reached: Vec<usize> = trail.hops.iter().map(|hop| hop.step()).collect();
        let mut steps = Vec::new();
        for step in made + 1..end {
            let Some(Insn::JumpIf { dst, .. }) = self.insn(step) else {
                continue;
            };
            if reached.contains(&step) {
                continue;
            }
            let other = self.trail(step, dst);
            if other.made_at() == Some(made)
                && matches!(other.origin, Origin::Load(_) | Origin::Call(_))
            {
                steps.push(step);
            }
        }
        steps
    }
}

/// One step back.
enum Back {
    /// It has nothing to do with the value.
    Same,
    /// It did something to it, and before, it was there.
    Hop(Hop, Location),
    /// It only copied it from there.
    Moved(Location),
    /// It made it.
    End(Origin),
}

/// What an instruction of the same function did to a register that it writes.
fn written(step: usize, insn: Insn, reg: Reg, before: &State, depth: usize) -> Option<Back> {
    let there = |reg| Location::Register { depth, reg };
    let back = match insn {
        Insn::Alu {
            op: AluOp::Add,
            dst,
            src: Operand::Reg(src),
            ..
        } if dst == reg
            && before.register(src).is_pointer()
            && !before.register(dst).is_pointer() =>
        {
            Back::Hop(Hop::Changed(step), there(src))
        }
        Insn::Alu { dst, .. } | Insn::Neg { dst, .. } | Insn::ByteSwap { dst, .. }
            if dst == reg =>
        {
            Back::Hop(Hop::Changed(step), there(dst))
        }
        Insn::Mov {
            dst,
            src: Operand::Reg(src),
            ..
        } if dst == reg => Back::Moved(there(src)),
        Insn::Mov { dst, .. } | Insn::LoadImm64 { dst, .. } if dst == reg => {
            Back::End(Origin::Constant(step))
        }
        Insn::MovSx { dst, src, .. } | Insn::AddrSpaceCast { dst, src, .. } if dst == reg => {
            Back::Hop(Hop::Changed(step), there(src))
        }
        Insn::Load {
            dst, base, offset, ..
        }
        | Insn::LoadSigned {
            dst, base, offset, ..
        } if dst == reg => match slot(before, base, offset) {
            Some((frame, offset)) => Back::Hop(Hop::Filled(step), Location::Slot { frame, offset }),
            None => Back::End(Origin::Load(step)),
        },
        Insn::LoadAcquire { dst, .. } | Insn::LoadStackArg { dst, .. } if dst == reg => {
            Back::End(Origin::Load(step))
        }
        Insn::Atomic { op, src, .. } => match op {
            AtomicOp::CmpXchg if reg == Reg::R0 => Back::End(Origin::Load(step)),
            AtomicOp::Xchg
            | AtomicOp::Add { fetch: true }
            | AtomicOp::Or { fetch: true }
            | AtomicOp::And { fetch: true }
            | AtomicOp::Xor { fetch: true }
                if src == reg =>
            {
                Back::End(Origin::Load(step))
            }
            _ => return None,
        },
        Insn::LoadPacketAbs { .. } | Insn::LoadPacketInd { .. } => match reg.number() {
            0 => Back::End(Origin::Load(step)),
            1..=5 => Back::End(Origin::Overwritten(step)),
            _ => return None,
        },
        Insn::Call(_) => match reg.number() {
            0 => Back::End(Origin::Call(step)),
            1..=5 => Back::End(Origin::Overwritten(step)),
            _ => return None,
        },
        _ => return None,
    };
    Some(back)
}

/// What a store did to a slot that it writes as a whole.
fn stored(step: usize, insn: Insn, frame: usize, offset: i32, before: &State) -> Option<Back> {
    let Insn::Store {
        base,
        offset: at,
        value,
        ..
    } = insn
    else {
        return None;
    };
    if slot(before, base, at) != Some((frame, offset)) {
        return None;
    }
    Some(match value {
        Operand::Reg(reg) => Back::Hop(
            Hop::Spilled(step),
            Location::Register {
                depth: before.frames.len().checked_sub(1)?,
                reg,
            },
        ),
        Operand::Imm(_) => Back::End(Origin::Constant(step)),
    })
}

/// The frame and the offset in it that a register with an offset points to, if it is the stack at
/// a place that is known.
fn slot(state: &State, base: Reg, offset: i16) -> Option<(usize, i32)> {
    let register = state.register(base);
    let Kind::Stack { frame } = register.kind else {
        return None;
    };
    let variable = i32::try_from(register.value.as_constant()?.cast_signed()).ok()?;
    let at = register
        .offset
        .checked_add(variable)?
        .checked_add(offset.into())?;
    (at < 0).then_some((frame.into(), at))
}
