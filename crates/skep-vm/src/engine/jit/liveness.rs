//! Which registers are still wanted, before each instruction of a function. Ways that are hardly
//! ever taken keep just these over the calls that they make, in memory, so that the others need
//! no registers that survive calls.

use skep_isa::{CallTarget, Insn, InsnIndex};

/// Registers as bits, R0 first.
pub(super) type Registers = u16;

const ALL: Registers = 0x3ff;
const ARGUMENTS: Registers = 0b11_1110;
const RESULT: Registers = 1;

/// Functions longer than this are not looked at: there all registers are wanted.
const MOST: usize = 50_000;

/// The registers that are wanted before each instruction.
pub(super) fn wanted(instructions: &[(InsnIndex, Insn)]) -> Vec<Registers> {
    if instructions.len() > MOST {
        return vec![ALL; instructions.len()];
    }
    let targets: Vec<_> = instructions
        .iter()
        .map(|(at, insn)| {
            let target = insn.target(*at)?;
            let place = instructions.binary_search_by_key(&target, |(at, _)| *at);
            place.ok()
        })
        .collect();
    let mut wanted = vec![0; instructions.len()];
    loop {
        let mut changed = false;
        for (index, (_, insn)) in instructions.iter().enumerate().rev() {
            let at = |place: usize| wanted.get(place).copied().unwrap_or_default();
            let mut after = 0;
            if insn.falls_through() {
                after |= at(index + 1);
            }
            if let Some(target) = targets.get(index).copied().flatten() {
                after |= at(target);
            }
            if matches!(insn, Insn::JumpIndirect { .. }) {
                after = ALL;
            }
            let (read, written) = uses(insn);
            let before = read | after & !written;
            if let Some(place) = wanted.get_mut(index)
                && *place != before
            {
                *place = before;
                changed = true;
            }
        }
        if !changed {
            return wanted;
        }
    }
}

/// What an instruction reads, and what it writes in any case; of the frame pointer nothing is asked.
fn uses(insn: &Insn) -> (Registers, Registers) {
    let own = insn.uses();
    let (reads, writes) = match *insn {
        // What it writes stays as it was where a store is lost.
        Insn::Atomic { .. } => (own.reads, 0),
        Insn::Call(CallTarget::Subprogram { .. }) => (ARGUMENTS, ARGUMENTS | RESULT),
        Insn::Call(_) => (ARGUMENTS, RESULT),
        _ => (own.reads, own.writes),
    };
    (reads & ALL, writes & ALL)
}
