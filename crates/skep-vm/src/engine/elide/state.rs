//! What is known of registers and slots of the frame at one place.

use std::collections::BTreeMap;

use skep_isa::{CallTarget, CompareOp, Insn, Operand, Reg, Size, Width};

use super::value::{Value, assume};
use crate::{
    engine::{ArrayValues, FRAME},
    program::Code,
};

/// `bpf_map_lookup_elem`
const LOOKUP: u32 = 1;

/// Registers and slots at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) registers: [Value; 11],
    /// Slots of 8 bytes, by their offset from R10.
    pub(super) slots: BTreeMap<i64, Value>,
}

impl State {
    pub(super) fn entry() -> Self {
        let mut registers = [Value::ANY; 11];
        for zero in [0, 6, 7, 8, 9] {
            registers[zero] = Value::exact(0);
        }
        registers[10] = Value::Frame(0, 0);
        Self {
            registers,
            slots: BTreeMap::new(),
        }
    }

    pub(super) fn get(&self, register: Reg) -> Value {
        let number = usize::from(register.number());
        self.registers.get(number).copied().unwrap_or(Value::ANY)
    }

    pub(super) fn set(&mut self, register: Reg, value: Value) {
        if let Some(place) = self.registers.get_mut(usize::from(register.number())) {
            *place = value;
        }
    }

    pub(super) fn operand(&self, operand: Operand) -> Value {
        match operand {
            Operand::Reg(register) => self.get(register),
            Operand::Imm(imm) => Value::exact(i64::from(imm).cast_unsigned()),
        }
    }

    pub(super) fn operand32(&self, operand: Operand) -> Value {
        self.operand(operand).low32()
    }

    /// What holds here and there.
    pub(super) fn union(&self, other: &Self) -> Self {
        let mut union = self.clone();
        for (mine, theirs) in union.registers.iter_mut().zip(&other.registers) {
            *mine = mine.union(*theirs);
        }
        union.slots.retain(|slot, mine| {
            let theirs = other.slots.get(slot);
            theirs.is_some_and(|theirs| {
                *mine = mine.union(*theirs);
                *mine != Value::ANY
            })
        });
        union
    }

    pub(super) fn widen(&mut self, before: &Self, steps: &[i64]) {
        for (mine, old) in self.registers.iter_mut().zip(&before.registers) {
            *mine = mine.widen(*old, steps);
        }
        self.slots.retain(|slot, mine| {
            if let Some(old) = before.slots.get(slot) {
                *mine = mine.widen(*old, steps);
            }
            *mine != Value::ANY
        });
    }

    /// Something was stored to `size` bytes at an address between these offsets.
    pub(super) fn stored(&mut self, low: i64, high: i64, size: i64) {
        self.slots
            .retain(|slot, _| slot + 8 <= low || *slot >= high.saturating_add(size));
    }
}

/// What a load gives.
pub(super) fn load(state: &State, insn: &Insn, size: Size) -> Value {
    let kept = access(insn).and_then(|access| match state.get(access.base) {
        Value::Frame(low, high) if low == high && size == Size::Dw => {
            state.slots.get(&(low + i64::from(access.offset))).copied()
        }
        _ => None,
    });
    kept.unwrap_or(match size {
        Size::B => Value::unsigned(0xff),
        Size::H => Value::unsigned(0xffff),
        Size::W => Value::unsigned(0xffff_ffff),
        Size::Dw => Value::ANY,
    })
}

/// The state when a comparison holds; `None` when it never does. No `op`: nothing is known.
pub(super) fn suppose(
    state: &State,
    width: Width,
    op: Option<CompareOp>,
    dst: Reg,
    src: Operand,
) -> Option<State> {
    let mut state = state.clone();
    let Some(op) = op else {
        return Some(state);
    };
    let narrow = width == Width::W32;
    let a = state.get(dst);
    let b = if narrow && matches!(src, Operand::Imm(_)) {
        state.operand32(src)
    } else {
        state.operand(src)
    };
    let (a, b) = assume(op, narrow, a, b)?;
    if let Operand::Reg(src) = src {
        state.set(src, b);
    }
    if src != Operand::Reg(dst) {
        state.set(dst, a);
    }
    Some(state)
}

/// An access to memory.
pub(super) struct Access {
    pub(super) base: Reg,
    pub(super) offset: i16,
    pub(super) size: Size,
    pub(super) write: bool,
}

pub(super) fn access(insn: &Insn) -> Option<Access> {
    let (base, offset, size, write) = match *insn {
        Insn::Load {
            size, base, offset, ..
        }
        | Insn::LoadAcquire {
            size, base, offset, ..
        } => (base, offset, size, false),
        Insn::LoadSigned {
            size, base, offset, ..
        } => (base, offset, size.size(), false),
        Insn::Store {
            size, base, offset, ..
        }
        | Insn::StoreRelease {
            size, base, offset, ..
        } => (base, offset, size, true),
        Insn::Atomic {
            width,
            base,
            offset,
            ..
        } => (base, offset, width.size(), true),
        _ => return None,
    };
    Some(Access {
        base,
        offset,
        size,
        write,
    })
}

/// The array in which a call looks up a key that is in the frame.
pub(super) fn lookup(code: &Code, state: &State, insn: &Insn) -> Option<ArrayValues> {
    let Insn::Call(CallTarget::Helper(LOOKUP)) = insn else {
        return None;
    };
    let map = state.get(Reg::R1).bounds();
    let Value::Frame(low, high) = state.get(Reg::R2) else {
        return None;
    };
    let inside = low >= -(FRAME as i64) && high <= -(size_of::<u32>() as i64);
    (inside && map.min == map.max)
        .then(|| code.array(map.min))
        .flatten()
}
