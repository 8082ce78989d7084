//! Which registers are still needed after each instruction: those must survive what is put there.

use std::collections::BTreeMap;

use skep_abi::{ArgKind, Helper};
use skep_isa::{CallTarget, Insn, InsnIndex, Reg};

use super::Flow;

/// Registers by number, as bits.
pub(crate) type Registers = u16;

/// Arguments: R1 to R5.
const ARGUMENTS: Registers = 0b11_1110;

/// For each instruction, what is needed after it.
pub(crate) struct Liveness {
    before: BTreeMap<InsnIndex, Registers>,
    after: BTreeMap<InsnIndex, Registers>,
}

impl Liveness {
    pub(crate) fn of(flow: &Flow) -> Self {
        let mut made = Self {
            before: BTreeMap::new(),
            after: BTreeMap::new(),
        };
        let mut changed = true;
        while changed {
            changed = false;
            for (at, insn) in flow.insns.iter().rev() {
                let mut after = 0;
                let indirect = matches!(insn, Insn::JumpIndirect { .. });
                if indirect {
                    // Wherever it may go: everything that is needed anywhere.
                    after = made.before.values().fold(0, |all, needed| all | needed);
                }
                let next = insn.next(*at).filter(|_| insn.falls_through());
                for goes_to in [next, insn.target(*at)].into_iter().flatten() {
                    after |= made.before.get(&goes_to).copied().unwrap_or_default();
                }
                let (mut reads, writes) = uses(insn);
                if insn.is_call_to_subprogram() {
                    // As many arguments as the function looks at.
                    let entry = insn.subprogram(*at).and_then(|at| made.before.get(&at));
                    reads = entry.copied().unwrap_or_default() & ARGUMENTS;
                }
                let before = reads | (after & !writes);
                made.after.insert(*at, after);
                if made.before.insert(*at, before) != Some(before) {
                    changed = true;
                }
            }
        }
        made
    }

    /// What is needed after an instruction.
    pub(crate) fn after(&self, at: InsnIndex) -> Registers {
        self.after.get(&at).copied().unwrap_or_default()
    }

    /// What is needed before an instruction.
    pub(crate) fn before(&self, at: InsnIndex) -> Registers {
        self.before.get(&at).copied().unwrap_or_default()
    }
}

pub(crate) const fn bit(register: Reg) -> Registers {
    1 << register.number()
}

/// What an instruction reads and writes.
fn uses(insn: &Insn) -> (Registers, Registers) {
    let (own, result) = (insn.uses(), bit(Reg::R0));
    match *insn {
        // Whatever it is: R0 and what was there are kept.
        Insn::Atomic { .. } => (own.reads | result, 0),
        Insn::LoadPacketAbs { .. } | Insn::LoadPacketInd { .. } => (own.reads, result | ARGUMENTS),
        Insn::Call(CallTarget::Helper(id)) => {
            let parameters = Helper::by_id(id).map_or(&[][..], Helper::parameters);
            let variadic = parameters
                .iter()
                .any(|parameter| parameter.kind == ArgKind::Variadic);
            let read = match parameters.len() {
                0..5 if !variadic => ARGUMENTS & ((2 << parameters.len()) - 1),
                _ => ARGUMENTS,
            };
            (read, result | ARGUMENTS)
        }
        Insn::Call(_) => (own.reads | ARGUMENTS, result | ARGUMENTS),
        _ => (own.reads, own.writes),
    }
}
