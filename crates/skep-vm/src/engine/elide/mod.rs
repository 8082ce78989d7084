//! What can be shown of a function before it runs, so that machine code need not look: accesses
//! that are always inside the function's own frame or another range whose address is known,
//! divisors that are never 0, and arrays in which a call looks something up.
//!
//! A forward data-flow analysis over intervals, from block to block until nothing changes, with
//! widening at loop heads to the constants that the function compares with. It knows nothing of
//! what others write: a load gives any number, except of a slot of the frame that was stored to
//! whole and that nothing in between can have changed.

mod state;
mod value;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::observe;

use std::collections::{BTreeMap, BTreeSet};

use skep_isa::{
    AluOp, AtomicOp, ByteOrder, CallTarget, Endian, Imm64, Insn, InsnIndex, Operand, Reg, Size,
    Width,
};

pub(super) use self::value::opposite;
use self::{
    state::{State, access, load, lookup, suppose},
    value::Value,
};
use super::{ArrayValues, FRAME, Known};
use crate::program::Code;

/// Functions with more blocks than this are not looked at.
const MOST_BLOCKS: usize = 20_000;

/// Visits of a block before its bounds are widened, and before they are given up.
const PATIENCE: (u32, u32) = (3, 24);

/// Up to this, floating-point numbers of 32 bits hold whole numbers exactly.
const MOST_EXACT: u64 = (1 << 24) - 1;

const MOST_POSITIVE: u64 = i32::MAX.unsigned_abs() as u64;

/// What is known of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fact(u8);

impl Fact {
    /// The access is inside the frame or a known range.
    pub(super) const INSIDE: Self = Self(1);
    /// The address is a multiple of the access's size.
    pub(super) const ALIGNED: Self = Self(2);
    /// The divisor is never 0.
    pub(super) const NONZERO: Self = Self(4);
    /// The dividend is below 2³².
    pub(super) const SHORT_DIVIDEND: Self = Self(8);
    /// The divisor is below 2³².
    pub(super) const SHORT_DIVISOR: Self = Self(16);
    /// The dividend is at most [`MOST_EXACT`].
    pub(super) const SMALL_DIVIDEND: Self = Self(32);
    /// The dividend is below 2³¹.
    pub(super) const POSITIVE_DIVIDEND: Self = Self(64);
    /// The divisor is below 2³¹.
    pub(super) const POSITIVE_DIVISOR: Self = Self(128);

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn add(&mut self, other: Self, holds: bool) {
        if holds {
            self.0 |= other.0;
        }
    }
}

/// What is known of a function's instructions.
#[derive(Debug, Default)]
pub(super) struct Facts {
    start: u32,
    facts: Vec<Fact>,
    /// Lookups in arrays by keys of the frame.
    lookups: BTreeMap<InsnIndex, ArrayValues>,
}

impl Facts {
    pub(super) fn at(&self, at: InsnIndex) -> Fact {
        let place = at.0.wrapping_sub(self.start) as usize;
        self.facts.get(place).copied().unwrap_or_default()
    }

    /// The array in which this call looks up a key that is in the frame.
    pub(super) fn lookup(&self, at: InsnIndex) -> Option<ArrayValues> {
        self.lookups.get(&at).copied()
    }
}

/// Looks at a function.
pub(super) fn analyze(code: &Code, function: u32) -> Facts {
    let Some(mut analysis) = Analysis::new(code, function) else {
        return Facts::default();
    };
    if analysis.run().is_none() {
        return Facts::default();
    }
    analysis.facts()
}

struct Analysis<'a> {
    code: &'a Code,
    instructions: &'a [(InsnIndex, Insn)],
    start: u32,
    len: u32,
    /// Where blocks begin, sorted, as places in `instructions`.
    blocks: Vec<usize>,
    /// Which of them a jump backwards goes to.
    heads: BTreeSet<usize>,
    /// Where bounds stop when they grow.
    steps: Vec<i64>,
    /// On entry of each block; `None` where control has not come yet.
    states: Vec<Option<State>>,
    visits: Vec<u32>,
}

impl<'a> Analysis<'a> {
    fn new(code: &'a Code, function: u32) -> Option<Self> {
        let instructions = code.function_instructions(function);
        let start = code.function_start(function)?.0;
        let len = code.function_len(function);
        let place = |at: InsnIndex| instructions.binary_search_by_key(&at, |(at, _)| *at).ok();
        let mut blocks = BTreeSet::from([0]);
        let mut heads = BTreeSet::new();
        let mut steps = BTreeSet::from([-(FRAME as i64), -1, 0, 1, i64::from(u32::MAX)]);
        for (index, (at, insn)) in instructions.iter().enumerate() {
            let indirect = matches!(insn, Insn::JumpIndirect { .. });
            let all: &[InsnIndex] = if indirect { code.targets() } else { &[] };
            let targets = all.iter().copied().chain(insn.target(*at));
            for target in targets.filter_map(place) {
                blocks.insert(target);
                if target <= index {
                    heads.insert(target);
                }
            }
            if insn.is_jump() || matches!(insn, Insn::Exit) {
                blocks.insert(index + 1);
            }
            if let Insn::JumpIf {
                src: Operand::Imm(imm),
                ..
            }
            | Insn::Alu {
                src: Operand::Imm(imm),
                op: AluOp::Add | AluOp::Mod | AluOp::And,
                ..
            } = insn
                && steps.len() < 200
            {
                let imm = i64::from(*imm);
                steps.extend([imm - 1, imm, imm + 1]);
            }
        }
        blocks.remove(&instructions.len());
        if blocks.len() > MOST_BLOCKS {
            return None;
        }
        let blocks: Vec<_> = blocks.into_iter().collect();
        let heads = heads
            .iter()
            .filter_map(|place| blocks.binary_search(place).ok())
            .collect();
        Some(Self {
            code,
            instructions,
            start,
            len,
            heads,
            steps: steps.into_iter().collect(),
            states: vec![None; blocks.len()],
            visits: vec![0; blocks.len()],
            blocks,
        })
    }

    fn block_at(&self, at: InsnIndex) -> Option<usize> {
        let place = self.instructions.binary_search_by_key(&at, |(at, _)| *at);
        self.blocks.binary_search(&place.ok()?).ok()
    }

    /// The instructions of a block.
    fn body(&self, block: usize) -> &'a [(InsnIndex, Insn)] {
        let from = self.blocks.get(block).copied().unwrap_or_default();
        let to = self.blocks.get(block + 1).copied();
        let to = to.unwrap_or(self.instructions.len());
        self.instructions.get(from..to).unwrap_or_default()
    }

    /// Until nothing changes; `None` if it takes too long.
    fn run(&mut self) -> Option<()> {
        if let Some(first) = self.states.first_mut() {
            *first = Some(State::entry());
        }
        let mut work = BTreeSet::from([0]);
        let mut visits = 64 * self.blocks.len() + 1000;
        while let Some(block) = work.pop_first() {
            visits = visits.checked_sub(1)?;
            let Some(mut state) = self.states.get(block).cloned().flatten() else {
                continue;
            };
            let body = self.body(block);
            for (_, insn) in body {
                self.step(&mut state, insn);
            }
            for (target, state) in self.ends(block, &state) {
                if self.reach(target, state) {
                    work.insert(target);
                }
            }
        }
        Some(())
    }

    /// Where control goes from the end of a block, and with what.
    fn ends(&self, block: usize, state: &State) -> Vec<(usize, State)> {
        let Some((at, insn)) = self.body(block).last() else {
            return Vec::new();
        };
        let mut ends = Vec::new();
        match *insn {
            Insn::JumpIf {
                width,
                op,
                dst,
                src,
                ..
            } => {
                if let Some(target) = insn.target(*at).and_then(|at| self.block_at(at)) {
                    let taken = suppose(state, width, Some(op), dst, src);
                    ends.extend(taken.map(|state| (target, state)));
                }
                let falls = suppose(state, width, opposite(op), dst, src);
                ends.extend(falls.map(|state| (block + 1, state)));
            }
            Insn::JumpIndirect { .. } => {
                let inside = self.start..self.start + self.len;
                let all = self.code.targets().iter();
                let mine = all.filter(|target| inside.contains(&target.0));
                let blocks = mine.filter_map(|target| self.block_at(*target));
                ends.extend(blocks.map(|block| (block, state.clone())));
            }
            _ => {
                if let Some(target) = insn.target(*at).and_then(|at| self.block_at(at)) {
                    ends.push((target, state.clone()));
                }
                if insn.falls_through() {
                    ends.push((block + 1, state.clone()));
                }
            }
        }
        ends
    }

    /// Adds what comes to a block; answers whether that is news.
    fn reach(&mut self, block: usize, state: State) -> bool {
        let (Some(known), Some(visits)) = (self.states.get_mut(block), self.visits.get_mut(block))
        else {
            return false;
        };
        let Some(before) = known else {
            *known = Some(state);
            return true;
        };
        let mut union = before.union(&state);
        if union == *before {
            return false;
        }
        *visits += 1;
        let (patience, end) = PATIENCE;
        if self.heads.contains(&block) && *visits > patience {
            let steps = if *visits > end { &[][..] } else { &self.steps };
            union.widen(before, steps);
        }
        *known = Some(union);
        true
    }

    /// What the states say of each instruction.
    fn facts(&self) -> Facts {
        let mut facts = vec![Fact::default(); self.len as usize];
        let mut lookups = BTreeMap::new();
        for block in 0..self.blocks.len() {
            let Some(mut state) = self.states.get(block).cloned().flatten() else {
                continue;
            };
            for (at, insn) in self.body(block) {
                if let Some(fact) = facts.get_mut((at.0 - self.start) as usize) {
                    *fact = self.fact(&state, insn);
                }
                lookups.extend(lookup(self.code, &state, insn).map(|array| (*at, array)));
                self.step(&mut state, insn);
            }
        }
        Facts {
            start: self.start,
            facts,
            lookups,
        }
    }

    fn fact(&self, state: &State, insn: &Insn) -> Fact {
        let mut fact = Fact::default();
        if let Some(access) = access(insn) {
            let size = i64::from(access.size.bytes());
            let offset = i64::from(access.offset);
            match state.get(access.base) {
                Value::Frame(low, high) => {
                    let (low, high) = (low + offset, high + offset);
                    let inside = low >= -(FRAME as i64) && high + size <= 0;
                    fact.add(Fact::INSIDE, inside);
                    // R10 is a multiple of 64.
                    fact.add(Fact::ALIGNED, low == high && low % size == 0);
                }
                Value::Number(bounds) => {
                    let low = bounds.min.checked_add_signed(offset);
                    let end = bounds.max.checked_add_signed(offset + size);
                    let inside = |known: &&Known| {
                        low.is_some_and(|low| low >= known.start)
                            && end.is_some_and(|end| end <= known.start.saturating_add(known.len))
                            && (known.writable || !access.write)
                    };
                    fact.add(
                        Fact::INSIDE,
                        self.code.known().iter().find(inside).is_some(),
                    );
                    let exact = bounds.min == bounds.max;
                    let aligned = low.is_some_and(|low| low % size.cast_unsigned() == 0);
                    fact.add(Fact::ALIGNED, exact && aligned);
                }
            }
        }
        if let Insn::Alu {
            width,
            op: AluOp::Div | AluOp::Mod | AluOp::SDiv | AluOp::SMod,
            dst,
            src,
        } = *insn
        {
            let (mut a, mut b) = (state.get(dst).bounds(), state.operand(src).bounds());
            if width == Width::W32 {
                (a, b) = (a.low32(), b.low32());
            }
            fact.add(Fact::NONZERO, b.min > 0);
            fact.add(Fact::SHORT_DIVIDEND, a.fits32());
            fact.add(Fact::SHORT_DIVISOR, b.fits32());
            fact.add(Fact::SMALL_DIVIDEND, a.max <= MOST_EXACT);
            fact.add(Fact::POSITIVE_DIVIDEND, a.max <= MOST_POSITIVE);
            fact.add(Fact::POSITIVE_DIVISOR, b.max <= MOST_POSITIVE);
        }
        fact
    }

    /// What an instruction does to a state, jumps apart.
    fn step(&self, state: &mut State, insn: &Insn) {
        match *insn {
            Insn::Alu {
                width: Width::W64,
                op,
                dst,
                src,
            } => {
                let value = state.get(dst).alu64(op, state.operand(src));
                state.set(dst, value);
            }
            Insn::Alu {
                width: Width::W32,
                op,
                dst,
                src,
            } => {
                let value = state.get(dst).alu32(op, state.operand32(src));
                state.set(dst, value);
            }
            Insn::Mov { width, dst, src } => {
                let value = match width {
                    Width::W64 => state.operand(src),
                    Width::W32 => state.operand32(src),
                };
                state.set(dst, value);
            }
            Insn::MovSx {
                extension,
                dst,
                src,
            } => {
                let value = state.get(src).extended(extension);
                state.set(dst, value);
            }
            Insn::Neg { width, dst } => {
                let value = state.get(dst).neg(width == Width::W32);
                state.set(dst, value);
            }
            Insn::ByteSwap { order, width, dst } => {
                let swapped = match order {
                    ByteOrder::Little => Endian::NATIVE != Endian::Little,
                    ByteOrder::Big => Endian::NATIVE != Endian::Big,
                    ByteOrder::Swap => true,
                };
                let value = state.get(dst).cut(width, swapped);
                state.set(dst, value);
            }
            Insn::AddrSpaceCast { dst, .. } | Insn::LoadStackArg { dst, .. } => {
                state.set(dst, Value::ANY)
            }
            Insn::LoadImm64 { dst, value } => {
                let value = match value {
                    Imm64::Value(value) => Value::exact(value),
                    _ => Value::ANY,
                };
                state.set(dst, value);
            }
            Insn::Load { size, dst, .. } | Insn::LoadAcquire { size, dst, .. } => {
                let value = load(state, insn, size);
                state.set(dst, value);
            }
            Insn::LoadSigned { dst, .. } => state.set(dst, Value::ANY),
            Insn::Store { size, value, .. } => {
                let value = state.operand(value);
                self.store(state, insn, (size == Size::Dw).then_some(value));
            }
            Insn::StoreRelease { size, src, .. } => {
                let value = state.get(src);
                self.store(state, insn, (size == Size::Dw).then_some(value));
            }
            Insn::Atomic { width, op, src, .. } => {
                self.store(state, insn, None);
                let old = match width {
                    Width::W64 => Value::ANY,
                    Width::W32 => Value::unsigned(u64::from(u32::MAX)),
                };
                match op {
                    AtomicOp::CmpXchg => state.set(Reg::R0, old),
                    // A lost access of an arena leaves the register as it was.
                    _ if op.fetches() => state.set(src, Value::ANY),
                    _ => {}
                }
                if op == AtomicOp::CmpXchg && self.code.arena().is_some() {
                    state.set(Reg::R0, Value::ANY);
                }
            }
            Insn::LoadPacketAbs { .. } | Insn::LoadPacketInd { .. } => {
                state.set(Reg::R0, Value::ANY);
            }
            Insn::Call(target) => {
                // It may write to the frame, if it was given its address.
                state.slots.clear();
                state.set(Reg::R0, Value::ANY);
                if matches!(target, CallTarget::Subprogram { .. }) {
                    for register in [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
                        state.set(register, Value::exact(0));
                    }
                }
            }
            Insn::StoreStackArg { .. }
            | Insn::Jump { .. }
            | Insn::JumpLong { .. }
            | Insn::JumpIf { .. }
            | Insn::MayGoto { .. }
            | Insn::JumpIndirect { .. }
            | Insn::Exit => {}
        }
    }

    /// A store that is done, of `value` if it fills a slot.
    fn store(&self, state: &mut State, insn: &Insn, value: Option<Value>) {
        let Some(access) = access(insn) else {
            return;
        };
        let (offset, size) = (i64::from(access.offset), i64::from(access.size.bytes()));
        match state.get(access.base) {
            Value::Frame(low, high) => {
                let (low, high) = (low + offset, high + offset);
                state.stored(low, high, size);
                if let Some(value) = value
                    && low == high
                    && low % 8 == 0
                    && (-(FRAME as i64)..0).contains(&low)
                    && value != Value::ANY
                {
                    state.slots.insert(low, value);
                }
            }
            // Known ranges are not the frame's.
            Value::Number(_) if self.fact(state, insn).has(Fact::INSIDE) => {}
            // It may be the frame, by an address that was computed.
            Value::Number(_) => state.slots.clear(),
        }
    }
}
