//! Which registers are read later, by instruction: data flow backwards, without paths. Others need
//! not be compared where states are.

use skep_abi::Helper;
use skep_isa::{CallTarget, Insn};

use super::{Code, flow};

/// Registers, a bit each.
type Registers = u16;

const RESULT: Registers = 1;
const ARGUMENTS: Registers = 0b11_1110;
const SCRATCHED: Registers = RESULT | ARGUMENTS;

/// What an instruction reads and what it overwrites.
fn uses(insn: &Insn) -> (Registers, Registers) {
    let own = insn.uses();
    match *insn {
        Insn::LoadPacketAbs { .. } | Insn::LoadPacketInd { .. } => (own.reads, SCRATCHED),
        Insn::Call(target) => (own.reads | arguments(target), SCRATCHED),
        _ => (own.reads, own.writes),
    }
}

/// The registers that a call reads.
fn arguments(target: CallTarget) -> Registers {
    let count = match target {
        CallTarget::Helper(id) => Helper::by_id(id).map(|helper| {
            let parameters = helper.parameters();
            // `...` may be any that are left.
            if parameters.iter().any(|parameter| parameter.c_type == "...") {
                5
            } else {
                parameters.len()
            }
        }),
        _ => None,
    };
    let count = count.unwrap_or(5).min(5);
    ((1 << (count + 1)) - 1) & ARGUMENTS
}

/// Computes the registers that are read later, before each slot.
pub(super) fn registers(code: &Code) -> Vec<Registers> {
    let count = code.insns.len();
    let mut live: Vec<Registers> = vec![0; count];
    let effects: Vec<(Registers, Registers)> = code
        .insns
        .iter()
        .map(|insn| insn.as_ref().map_or((0, 0), uses))
        .collect();
    let at = |live: &[Registers], slot: Option<usize>| {
        slot.and_then(|slot| live.get(slot)).copied().unwrap_or(0)
    };
    loop {
        let mut changed = false;
        for slot in (0..count).rev() {
            let Some(insn) = &code.insns[slot] else {
                continue;
            };
            let to = flow::successors(slot, insn);
            let mut after = at(&live, to.next) | at(&live, to.jump);
            if matches!(insn, Insn::JumpIndirect { .. }) {
                for (_, targets) in &code.jump_tables {
                    for &target in targets {
                        after |= at(&live, Some(target));
                    }
                }
            }
            let (reads, writes) = effects[slot];
            let before = (after & !writes) | reads;
            if before != live[slot] {
                live[slot] = before;
                changed = true;
            }
        }
        if !changed {
            return live;
        }
    }
}
