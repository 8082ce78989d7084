//! The flow of values through a program, forwards: what each register may be before each
//! instruction. Conservative: what is not known is [`Value::World`], and is recorded; a recorded
//! value that was not needed does no harm.
//!
//! Functions are followed from their callers: arguments are what all callers pass, answers what
//! all exits give. It ends since values only go down to `World`, and what moves in a loop becomes
//! inexact and stands still.

mod live;
mod value;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use skep_abi::{Helper, ReturnKind};
use skep_isa::{AluOp, AtomicOp, CallTarget, Imm64, Insn, InsnIndex, Operand, Reg, Width};

pub(crate) use live::{Liveness, Registers, bit};
pub(crate) use value::{State, Value};

use crate::context::ContextKind;

/// What a kernel function that is known by its name answers.
pub(crate) type KfuncAnswers<'a> = &'a dyn Fn(u32) -> Value;

/// The instructions of a program with what is known before each.
pub(crate) struct Flow {
    pub(crate) insns: BTreeMap<InsnIndex, Insn>,
    pub(crate) states: BTreeMap<InsnIndex, State>,
    /// The first instruction of each function.
    pub(crate) functions: BTreeSet<InsnIndex>,
}

struct Follow<'a> {
    insns: &'a BTreeMap<InsnIndex, Insn>,
    functions: &'a BTreeSet<InsnIndex>,
    context: &'a ContextKind,
    kfuncs: KfuncAnswers<'a>,
    states: BTreeMap<InsnIndex, State>,
    work: VecDeque<InsnIndex>,
    answers: BTreeMap<InsnIndex, Value>,
    callers: BTreeMap<InsnIndex, BTreeSet<InsnIndex>>,
}

impl Flow {
    pub(crate) fn of(
        insns: BTreeMap<InsnIndex, Insn>,
        functions: BTreeSet<InsnIndex>,
        context: &ContextKind,
        kfuncs: KfuncAnswers<'_>,
    ) -> Self {
        let mut follow = Follow {
            insns: &insns,
            functions: &functions,
            context,
            kfuncs,
            states: BTreeMap::new(),
            work: VecDeque::new(),
            answers: BTreeMap::new(),
            callers: BTreeMap::new(),
        };
        let context = Value::Context {
            offset: 0,
            exact: true,
        };
        let [unset, ..] = [Value::Unset; 4];
        follow.reach(
            InsnIndex(0),
            &State::entered([context, unset, unset, unset, unset]),
        );
        while let Some(at) = follow.work.pop_front() {
            follow.step(at);
        }
        let states = follow.states;
        Self {
            insns,
            states,
            functions,
        }
    }

    /// The function that an instruction is in, by its first instruction.
    pub(crate) fn function_of(&self, at: InsnIndex) -> InsnIndex {
        let before = self.functions.range(..=at).next_back();
        before.copied().unwrap_or_default()
    }
}

impl Follow<'_> {
    fn reach(&mut self, at: InsnIndex, state: &State) {
        if !self.insns.contains_key(&at) {
            return;
        }
        let changed = match self.states.get_mut(&at) {
            Some(known) => known.join(state),
            None => {
                self.states.insert(at, state.clone());
                true
            }
        };
        if changed {
            self.work.push_back(at);
        }
    }

    fn step(&mut self, at: InsnIndex) {
        let (Some(insn), Some(state)) = (self.insns.get(&at).copied(), self.states.get(&at)) else {
            return;
        };
        let mut after = state.clone();
        match insn {
            Insn::Call(CallTarget::Subprogram { .. }) => {
                let Some(function) = insn.subprogram(at) else {
                    return;
                };
                self.callers.entry(function).or_default().insert(at);
                let [r1, r2, r3, r4, r5] =
                    [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5].map(|reg| state.at(reg).passed());
                self.reach(function, &State::entered([r1, r2, r3, r4, r5]));
                // Until the function is known to return, nothing comes after.
                let Some(answer) = self.answers.get(&function) else {
                    return;
                };
                after.called(*answer);
            }
            Insn::Exit => {
                let function = self.functions.range(..=at).next_back().copied();
                let function = function.unwrap_or_default();
                let answer = state.at(Reg::R0).passed();
                let joined = match self.answers.get(&function) {
                    Some(known) => known.join(answer),
                    None => answer,
                };
                if self.answers.insert(function, joined) != Some(joined) {
                    let callers = self.callers.get(&function).into_iter().flatten();
                    self.work.extend(callers.copied());
                }
                return;
            }
            Insn::LoadImm64 {
                value: Imm64::Subprogram { .. },
                ..
            } => {
                // A callback: what the kernel gives it is the program's own.
                if let Some(function) = insn.subprogram(at) {
                    let [own, ..] = [Value::Own; 5];
                    let arguments = [Value::World, own, own, own, own];
                    self.reach(function, &State::entered(arguments));
                }
                transfer(&insn, &mut after, self.context, self.kfuncs);
            }
            _ => transfer(&insn, &mut after, self.context, self.kfuncs),
        }
        if let Some(target) = insn.target(at) {
            self.reach(target, &after);
        }
        if let (true, Some(next)) = (insn.falls_through(), insn.next(at)) {
            self.reach(next, &after);
        }
    }
}

/// What an instruction makes of a state, calls of the program's own functions apart.
fn transfer(insn: &Insn, state: &mut State, context: &ContextKind, kfuncs: KfuncAnswers<'_>) {
    match *insn {
        Insn::Mov { width, dst, src } => {
            let value = match (width, src) {
                (Width::W64, Operand::Reg(reg)) => state.at(reg),
                (Width::W64, Operand::Imm(imm)) => Value::Number(imm.into()),
                (Width::W32, Operand::Imm(imm)) => Value::Number(imm.cast_unsigned().into()),
                (Width::W32, Operand::Reg(reg)) => match state.at(reg) {
                    Value::Number(number) => Value::Number(number & 0xffff_ffff),
                    _ => Value::World,
                },
            };
            state.set(dst, value);
        }
        Insn::Alu {
            width,
            op,
            dst,
            src,
        } => {
            let other = match src {
                Operand::Reg(reg) => state.at(reg),
                Operand::Imm(imm) => Value::Number(imm.into()),
            };
            let value = arithmetic(width, op, state.at(dst), other);
            state.set(dst, value);
        }
        Insn::AddrSpaceCast { dst, .. } => state.set(dst, Value::Own),
        Insn::MovSx { dst, .. } | Insn::Neg { dst, .. } | Insn::ByteSwap { dst, .. } => {
            state.set(dst, Value::World);
        }
        Insn::LoadImm64 { dst, value } => {
            let value = match value {
                Imm64::Value(number) => Value::Number(number.cast_signed()),
                Imm64::MapValue { .. } | Imm64::MapIndexValue { .. } => Value::Own,
                _ => Value::World,
            };
            state.set(dst, value);
        }
        Insn::Load {
            size,
            dst,
            base,
            offset,
        } => {
            let from = state.at(base);
            let value = match from.moved(Some(offset.into())) {
                Value::Context { offset, .. } if context.is_packet_pointer(offset) => Value::Own,
                _ => state.load(from, offset, size.bytes()),
            };
            state.set(dst, value);
        }
        Insn::LoadSigned { dst, .. }
        | Insn::LoadAcquire { dst, .. }
        | Insn::LoadStackArg { dst, .. } => state.set(dst, Value::World),
        Insn::Store {
            size,
            base,
            offset,
            value,
        } => {
            let value = match value {
                Operand::Reg(reg) => state.at(reg),
                Operand::Imm(imm) => Value::Number(imm.into()),
            };
            state.store(state.at(base), offset, size.bytes(), value);
        }
        Insn::StoreRelease {
            size,
            base,
            offset,
            src,
        } => state.store(state.at(base), offset, size.bytes(), state.at(src)),
        Insn::Atomic {
            width,
            op,
            base,
            offset,
            src,
        } => {
            state.store(state.at(base), offset, width.size().bytes(), Value::World);
            match op {
                AtomicOp::CmpXchg => state.set(Reg::R0, Value::World),
                op if op.fetches() => state.set(src, Value::World),
                _ => {}
            }
        }
        Insn::LoadPacketAbs { .. } | Insn::LoadPacketInd { .. } => state.called(Value::World),
        Insn::Call(CallTarget::Helper(id)) => {
            let own = Helper::by_id(id).is_some_and(|helper| {
                matches!(
                    helper.returns().kind,
                    ReturnKind::MapValue | ReturnKind::Mem
                )
            });
            state.called(if own { Value::Own } else { Value::World });
        }
        Insn::Call(CallTarget::Kfunc { btf_id, .. }) => state.called(kfuncs(btf_id)),
        Insn::Call(_) => state.called(Value::World),
        Insn::StoreStackArg { .. }
        | Insn::Jump { .. }
        | Insn::JumpLong { .. }
        | Insn::JumpIf { .. }
        | Insn::MayGoto { .. }
        | Insn::JumpIndirect { .. }
        | Insn::Exit => {}
    }
}

fn arithmetic(width: Width, op: AluOp, left: Value, right: Value) -> Value {
    let number = |value: Value| match value {
        Value::Number(number) => Some(number),
        _ => None,
    };
    if width == Width::W64 {
        match op {
            AluOp::Add if left.is_pointer() => return left.moved(number(right)),
            AluOp::Add if right.is_pointer() => return right.moved(number(left)),
            AluOp::Sub if left.is_pointer() && !right.is_pointer() => {
                return left.moved(number(right).and_then(i64::checked_neg));
            }
            _ => {}
        }
    }
    match (op, number(left), number(right)) {
        (AluOp::Add, Some(left), Some(right)) => {
            let sum = left.wrapping_add(right);
            Value::Number(match width {
                Width::W64 => sum,
                Width::W32 => sum & 0xffff_ffff,
            })
        }
        (AluOp::And | AluOp::Or, ..) if left == Value::Own => Value::Own,
        _ => Value::World,
    }
}
