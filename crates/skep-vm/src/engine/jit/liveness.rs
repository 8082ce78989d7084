//! Which registers are still wanted, before each instruction of a function. Ways that are hardly
//! ever taken keep just these over the calls that they make, in memory, so that the others need
//! no registers that survive calls.

use skep_isa::{AtomicOp, CallTarget, Insn, InsnIndex, Operand, Reg};

/// Registers as bits, R0 first.
pub(super) type Registers = u16;

const ALL: Registers = 0x3ff;
const ARGUMENTS: Registers = 0b11_1110;

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

fn bit(register: Reg) -> Registers {
    1 << register.number() & ALL
}

fn operand(operand: Operand) -> Registers {
    match operand {
        Operand::Reg(register) => bit(register),
        Operand::Imm(_) => 0,
    }
}

/// What an instruction reads, and what it writes in any case.
fn uses(insn: &Insn) -> (Registers, Registers) {
    match *insn {
        Insn::Alu { dst, src, .. } => (bit(dst) | operand(src), bit(dst)),
        Insn::Mov { dst, src, .. } => (operand(src), bit(dst)),
        Insn::MovSx { dst, src, .. } | Insn::AddrSpaceCast { dst, src, .. } => (bit(src), bit(dst)),
        Insn::Neg { dst, .. } | Insn::ByteSwap { dst, .. } => (bit(dst), bit(dst)),
        Insn::LoadImm64 { dst, .. } | Insn::LoadStackArg { dst, .. } => (0, bit(dst)),
        Insn::Load { dst, base, .. }
        | Insn::LoadSigned { dst, base, .. }
        | Insn::LoadAcquire { dst, base, .. } => (bit(base), bit(dst)),
        Insn::Store { base, value, .. } => (bit(base) | operand(value), 0),
        Insn::StoreRelease { base, src, .. } => (bit(base) | bit(src), 0),
        Insn::StoreStackArg { value, .. } => (operand(value), 0),
        // What it writes stays as it was where a store is lost.
        Insn::Atomic { op, base, src, .. } => {
            let expected = match op {
                AtomicOp::CmpXchg => bit(Reg::R0),
                _ => 0,
            };
            (bit(base) | bit(src) | expected, 0)
        }
        Insn::LoadPacketAbs { .. } => (bit(Reg::R6), bit(Reg::R0)),
        Insn::LoadPacketInd { index, .. } => (bit(Reg::R6) | bit(index), bit(Reg::R0)),
        Insn::JumpIf { dst, src, .. } => (bit(dst) | operand(src), 0),
        Insn::JumpIndirect { target } => (bit(target), 0),
        Insn::Call(CallTarget::Subprogram { .. }) => (ARGUMENTS, ARGUMENTS | bit(Reg::R0)),
        Insn::Call(_) => (ARGUMENTS, bit(Reg::R0)),
        Insn::Exit => (bit(Reg::R0), 0),
        Insn::Jump { .. } | Insn::JumpLong { .. } | Insn::MayGoto { .. } => (0, 0),
    }
}
