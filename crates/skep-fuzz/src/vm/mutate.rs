//! Damage to programs that still lets most of them load.

use skep_isa::RawInsn;

use super::{Case, Choices};

/// How a program is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// In any way.
    Any,
    /// So that registers keep what they had: numbers do not become addresses.
    Numbers,
}

/// Changes up to eight things of a case's programs.
pub fn mutate(choices: &mut Choices<'_>, case: &mut Case, kind: Damage) {
    let bodies = 1 + case.tails.len();
    let which = choices.below(bodies);
    let body = match which {
        0 => &mut case.main,
        _ => &mut case.tails[which - 1],
    };
    for _ in 0..=choices.below(8) {
        let at = choices.below(body.slots.len());
        if body
            .maps
            .iter()
            .any(|(slot, _)| at == *slot || at == slot + 1)
        {
            continue;
        }
        let other = choices.below(body.slots.len());
        let is_map = body
            .maps
            .iter()
            .any(|(slot, _)| other == *slot || other == slot + 1);
        let other = if is_map { at } else { other };
        match kind {
            Damage::Any => damage(choices, &mut body.slots, at, other),
            Damage::Numbers => nudge(choices, &mut body.slots[at]),
        }
    }
}

/// Changes a number in a slot, or takes it out.
fn nudge(choices: &mut Choices<'_>, slot: &mut RawInsn) {
    match choices.below(8) {
        0 => slot.imm ^= 1 << choices.below(32),
        1 => slot.imm = choices.imm(),
        2 | 3 => slot.imm = slot.imm.wrapping_add(choices.of(&[-8, -1, 1, 8])),
        4..=6 => {
            let by = choices.of(&[-8, -4, -1, 1, 2, 4, 8]);
            slot.offset = slot.offset.wrapping_add(by);
        }
        _ => {
            *slot = RawInsn {
                opcode: 0x05,
                ..RawInsn::default()
            };
        }
    }
}

/// Changes one slot.
pub(super) fn damage(choices: &mut Choices<'_>, slots: &mut [RawInsn], at: usize, other: usize) {
    let slot = &mut slots[at];
    match choices.below(12) {
        0 => slot.opcode ^= 1 << choices.below(8),
        1 => slot.dst = choices.below(11) as u8,
        2 => slot.src = choices.below(11) as u8,
        3 => slot.imm ^= 1 << choices.below(32),
        4 => slot.imm = choices.imm(),
        5 => slot.offset ^= 1 << choices.below(16),
        6 | 7 => {
            // Nudged: an access beside what it may touch, a jump beside its target.
            let by = choices.of(&[-8, -4, -1, 1, 2, 4, 8, 64]);
            slot.offset = slot.offset.wrapping_add(by);
        }
        8 => {
            // Left out: a check, an initialization.
            *slot = RawInsn::default();
            slot.opcode = 0x05;
        }
        9 => {
            let both = [slots[at], slots[other]];
            [slots[other], slots[at]] = both;
        }
        10 => slots[at] = slots[other],
        _ => slot.imm = slot.imm.wrapping_add(choices.of(&[-8, -1, 1, 8])),
    }
}
