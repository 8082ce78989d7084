//! What is known of a register or a stack slot: enough to tell loads that a machine can answer by
//! itself from those that look at the world.

use std::collections::BTreeMap;

use skep_isa::Reg;

/// A register, as far as a recording cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// Never set on any way here.
    Unset,
    /// A number that is always the same.
    Number(i64),
    /// A place in the frame of this function, from its top: the lowest it can be. `exact`: always
    /// that one.
    Stack { offset: i32, exact: bool },
    /// A place in the program's context.
    Context { offset: i32, exact: bool },
    /// Memory that the program has from its maps, rings, dynptrs, callers or its packet: a machine
    /// that runs it has the same.
    Own,
    /// Anything else: numbers, and pointers into the kernel.
    World,
}

impl Value {
    /// What holds on both ways.
    pub(crate) fn join(self, other: Self) -> Self {
        use Value::{Context, Number, Own, Stack, Unset, World};
        match (self, other) {
            (same, again) if same == again => same,
            (Unset, value) | (value, Unset) => value,
            // Null on one way: where it is read through, it is the other.
            (Number(0), pointer @ (Stack { .. } | Context { .. } | Own))
            | (pointer @ (Stack { .. } | Context { .. } | Own), Number(0)) => pointer,
            (Stack { offset: one, .. }, Stack { offset: two, .. }) => Stack {
                offset: one.min(two),
                exact: false,
            },
            (Context { offset: one, .. }, Context { offset: two, .. }) => Context {
                offset: one.max(two),
                exact: false,
            },
            _ => World,
        }
    }

    /// A pointer moved by a number.
    pub(crate) fn moved(self, by: Option<i64>) -> Self {
        let by = by.and_then(|by| i32::try_from(by).ok());
        // What is not exact stands still, so that loops over a buffer end here.
        let add = |offset: i32, exact: bool| match by.and_then(|by| offset.checked_add(by)) {
            Some(sum) if exact => (sum, true),
            _ => (offset, false),
        };
        match self {
            Self::Stack { offset, exact } => {
                let (offset, exact) = add(offset, exact);
                Self::Stack { offset, exact }
            }
            Self::Context { offset, exact } => {
                let (offset, exact) = add(offset, exact);
                Self::Context { offset, exact }
            }
            other => other,
        }
    }

    pub(crate) const fn is_pointer(self) -> bool {
        matches!(self, Self::Stack { .. } | Self::Context { .. } | Self::Own)
    }

    /// As a function that is called with it sees it: the caller's frame is not its own.
    pub(crate) const fn passed(self) -> Self {
        match self {
            Self::Stack { .. } => Self::Own,
            other => other,
        }
    }
}

/// What is known before an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    registers: [Value; 11],
    /// Registers that are set on every way here.
    set: u16,
    /// Slots of 8 bytes by their offset, of which more is known than [`Value::World`].
    slots: BTreeMap<i32, Value>,
}

impl State {
    /// At the start of a function with these arguments.
    pub(crate) fn entered(arguments: [Value; 5]) -> Self {
        let mut registers = [Value::Unset; 11];
        let mut set = 0;
        for (place, (number, value)) in registers[1..6].iter_mut().zip((1_u16..).zip(arguments)) {
            *place = value;
            if value != Value::Unset {
                set |= 1 << number;
            }
        }
        registers[10] = Value::Stack {
            offset: 0,
            exact: true,
        };
        Self {
            registers,
            set: set | 1 << 10,
            slots: BTreeMap::new(),
        }
    }

    pub(crate) fn at(&self, register: Reg) -> Value {
        self.registers[usize::from(register.number())]
    }

    /// Whether a register holds something on every way here.
    pub(crate) fn is_set(&self, register: Reg) -> bool {
        self.set & 1 << register.number() != 0
    }

    pub(crate) fn set(&mut self, register: Reg, value: Value) {
        self.registers[usize::from(register.number())] = value;
        self.set |= 1 << register.number();
    }

    /// After a call: R0 is its answer, R1 to R5 are gone.
    pub(crate) fn called(&mut self, answer: Value) {
        let pointed = self.registers[1..6]
            .iter()
            .any(|value| matches!(value, Value::Stack { .. } | Value::Own | Value::World));
        if pointed {
            // What was called may have written numbers into the frame.
            self.slots
                .retain(|_, value| !matches!(value, Value::Number(_)));
        }
        for register in [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
            self.registers[usize::from(register.number())] = Value::Unset;
            self.set &= !(1 << register.number());
        }
        self.set(Reg::R0, answer);
    }

    pub(crate) fn load(&self, base: Value, offset: i16, bytes: u32) -> Value {
        match base.moved(Some(offset.into())) {
            Value::Stack {
                offset,
                exact: true,
            } if bytes == 8 => self.slots.get(&offset).copied().unwrap_or(Value::World),
            _ => Value::World,
        }
    }

    pub(crate) fn store(&mut self, base: Value, offset: i16, bytes: u32, value: Value) {
        let Value::Stack { offset, exact } = base.moved(Some(offset.into())) else {
            return;
        };
        if !exact {
            self.slots.clear();
            return;
        }
        let end = offset.saturating_add_unsigned(bytes);
        self.slots
            .retain(|at, _| at.saturating_add(8) <= offset || *at >= end);
        if bytes == 8 && value != Value::World {
            self.slots.insert(offset, value);
        }
    }

    /// Adds what may hold on another way; answers whether that was news.
    pub(crate) fn join(&mut self, other: &Self) -> bool {
        let before = self.clone();
        for (one, two) in self.registers.iter_mut().zip(&other.registers) {
            *one = one.join(*two);
        }
        self.set &= other.set;
        self.slots.retain(|at, _| other.slots.contains_key(at));
        for (at, value) in &mut self.slots {
            if let Some(two) = other.slots.get(at) {
                *value = value.join(*two);
            }
        }
        self.slots.retain(|_, value| *value != Value::World);
        *self != before
    }
}
