//! What a comparison of numbers teaches: bounds for both, and for all numbers that differ from
//! them by a constant.

use skep_isa::{AluOp, CompareOp, Operand, Width};

use super::Comparison;
use crate::{
    Scalar,
    state::{Id, Register, State},
    verifier::Verifier,
    walk::history::Place,
};

/// The two numbers where the comparison holds, or where it does not.
pub(super) struct Numbers {
    left: Scalar,
    right: Scalar,
}

impl Numbers {
    /// Whether no number is left.
    pub(super) fn is_impossible(&self) -> bool {
        self.left.is_empty() || self.right.is_empty()
    }
}

impl Verifier<'_> {
    /// What both sides of a fork know about the numbers that were compared; `None` if one is a
    /// pointer.
    pub(super) fn refine(&self, comparison: &Comparison) -> Option<(Numbers, Numbers)> {
        let Comparison { width, op, dst, .. } = *comparison;
        let left = self.reg(dst);
        let right = comparison.right(&self.state);
        if !left.is_scalar() || !right.is_scalar() {
            return None;
        }
        let (left, right) = (&left.value, &right.value);
        let equality = matches!(op, CompareOp::Eq | CompareOp::Ne);
        let mut taken = Scalar::refine(op, width, left, right);
        let mut fallen = Scalar::refine_not(op, width, left, right);
        if !self.since(6, 8) {
            // Older kernels learn nothing from what is not equal, and of two numbers that are not
            // known only that they are equal, as a whole.
            let known = |value: &Scalar| match width {
                Width::W32 => value.as_constant32().is_some(),
                Width::W64 => value.as_constant().is_some(),
            };
            let both_unknown = !known(left) && !known(right);
            let learns_equal = equality && (!both_unknown || width == Width::W64);
            if (equality || both_unknown) && !(learns_equal && op == CompareOp::Eq) {
                taken = (*left, *right);
            }
            if (equality || both_unknown) && !(learns_equal && op == CompareOp::Ne) {
                fallen = (*left, *right);
            }
        }
        let [taken, fallen] = [taken, fallen].map(|(left, right)| Numbers { left, right });
        Some((taken, fallen))
    }

    /// Remembers which numbers learn from the comparison of another, so that precision finds back
    /// from one to the other.
    pub(super) fn note_linked(&mut self, comparison: &Comparison) {
        let left = self.reg(comparison.dst);
        let mut ids = [left.id, Id::NONE];
        if !left.is_scalar() {
            ids[0] = Id::NONE;
        }
        if let Operand::Reg(reg) = comparison.src
            && self.reg(reg).is_scalar()
        {
            ids[1] = self.reg(reg).id;
        }
        if ids == [Id::NONE; 2] {
            return;
        }
        let mut places = Vec::new();
        for (depth, frame) in self.state.frames.iter().enumerate() {
            let concerns = |register: &Register| {
                register.is_scalar() && register.id.is_some() && ids.contains(&register.id)
            };
            for (number, register) in frame.registers.iter().enumerate() {
                if concerns(register) {
                    places.push(Place::register(depth, number));
                }
            }
            for (number, slot) in frame.stack.slots.iter().enumerate() {
                if slot.has_spill() && concerns(&slot.spilled) {
                    places.push(Place::slot(depth, number));
                }
            }
        }
        if places.len() > 1 {
            self.walk.note_linked(places);
        }
    }
}

/// Writes down what one side knows.
pub(super) fn learn(state: &mut State, comparison: &Comparison, numbers: &Numbers) {
    if let Operand::Reg(reg) = comparison.src {
        state.register_mut(reg).value = numbers.right;
        synchronise(state, &state.register(reg).clone());
    }
    let register = state.register_mut(comparison.dst);
    register.value = if comparison.src_reg() == Some(comparison.dst) {
        numbers.left.intersect(&numbers.right)
    } else {
        numbers.left
    };
    synchronise(state, &state.register(comparison.dst).clone());
}

/// Tells all numbers with the same id what is known about one of them.
fn synchronise(state: &mut State, known: &Register) {
    if !known.id.is_some() {
        return;
    }
    state.change_registers(
        |register| register.is_scalar() && register.id == known.id,
        |register| {
            let difference = i64::from(register.offset) - i64::from(known.offset);
            let value = if difference == 0 && register.linked == known.linked {
                known.value
            } else {
                let width = if register.linked {
                    Width::W32
                } else if known.linked {
                    // Only its lower half is told by one that has no upper half.
                    return;
                } else {
                    Width::W64
                };
                let difference = Scalar::constant(difference.cast_unsigned());
                Scalar::alu(AluOp::Add, width, &known.value, &difference)
            };
            let both = register.value.intersect(&value);
            if !both.is_empty() {
                register.value = both;
            }
        },
    );
}
