//! Which divisions are better done by the divider for floating-point numbers. That one takes a new
//! division twice as often as the other one does, but needs longer for each: good in a loop whose
//! divisions do not wait for one another, bad for a chain of them.

use std::collections::BTreeMap;

use skep_isa::{AluOp, CallTarget, Insn, InsnIndex, Operand, Reg};

/// Functions longer than this are not looked at, nor those with more divisions than that.
const MOST: (usize, usize) = (4000, 16);

/// The divisions in loops whose operands do not come from their own results; each with the
/// register that holds its dividend all through the loop, if one does.
pub(super) fn independent(instructions: &[(InsnIndex, Insn)]) -> BTreeMap<u32, Option<Reg>> {
    let divisions: Vec<_> = instructions
        .iter()
        .enumerate()
        .filter_map(|(index, (at, insn))| match *insn {
            Insn::Alu {
                op: AluOp::Div | AluOp::Mod,
                dst,
                src: Operand::Reg(_),
                ..
            } => Some((index, at.0, dst)),
            _ => None,
        })
        .collect();
    if instructions.len() > MOST.0 || divisions.len() > MOST.1 {
        return BTreeMap::new();
    }
    let all = divisions.into_iter();
    all.filter_map(|(index, at, dividend)| {
        let looped = innermost(instructions, index)?;
        let steady = steady(instructions, looped, index, dividend);
        (!feeds_itself(instructions, index)).then_some((at, steady))
    })
    .collect()
}

/// The shortest loop around an instruction.
fn innermost(instructions: &[(InsnIndex, Insn)], index: usize) -> Option<&[(InsnIndex, Insn)]> {
    let ends = instructions.iter().enumerate().skip(index);
    let loops = ends.filter_map(|(end, (at, insn))| {
        let target = insn.target(*at)?;
        let start = instructions.partition_point(|(at, _)| *at < target);
        instructions.get(start..=end).filter(|_| start <= index)
    });
    loops.min_by_key(|looped| looped.len())
}

/// Programs copy what they divide, since the result takes its place: the register that the
/// dividend is copied from right before, if nothing in the loop sets that.
fn steady(
    instructions: &[(InsnIndex, Insn)],
    looped: &[(InsnIndex, Insn)],
    index: usize,
    dividend: Reg,
) -> Option<Reg> {
    let (_, Insn::Mov { dst, src, .. }) = instructions.get(index.checked_sub(1)?)? else {
        return None;
    };
    let Operand::Reg(source) = *src else {
        return None;
    };
    let (at, _) = instructions.get(index)?;
    let is_target = |(from, insn): &(InsnIndex, Insn)| insn.target(*from) == Some(*at);
    let sets = |(_, insn): &(InsnIndex, Insn)| {
        flow(insn, bit(source)) & bit(source) == 0 || insn.uses().writes & bit(source) != 0
    };
    let copied = *dst == dividend && !instructions.iter().any(is_target);
    (copied && !looped.iter().any(sets)).then_some(source)
}

/// Whether what an instruction computes may come back to it as an operand, by registers.
fn feeds_itself(instructions: &[(InsnIndex, Insn)], division: usize) -> bool {
    // Registers that hold something of the result, before each instruction.
    let mut tainted = vec![0_u16; instructions.len() + 1];
    loop {
        let mut changed = false;
        for (index, (at, insn)) in instructions.iter().enumerate() {
            let before = tainted.get(index).copied().unwrap_or_default();
            let mut after = flow(insn, before);
            if index == division
                && let Insn::Alu { dst, .. } = insn
            {
                after |= bit(*dst);
            }
            let target = insn.target(*at).and_then(|target| {
                let place = instructions.binary_search_by_key(&target, |(at, _)| *at);
                place.ok()
            });
            let falls = insn.falls_through().then_some(index + 1);
            for next in target.into_iter().chain(falls) {
                if let Some(place) = tainted.get_mut(next)
                    && *place | after != *place
                {
                    *place |= after;
                    changed = true;
                }
            }
        }
        if !changed {
            break;
        }
    }
    let before = tainted.get(division).copied().unwrap_or_default();
    match instructions.get(division) {
        Some((
            _,
            Insn::Alu {
                dst,
                src: Operand::Reg(src),
                ..
            },
        )) => before & (bit(*dst) | bit(*src)) != 0,
        _ => true,
    }
}

fn bit(register: Reg) -> u16 {
    1 << register.number()
}

/// What is tainted after an instruction.
fn flow(insn: &Insn, before: u16) -> u16 {
    let has = |register: Reg| before & bit(register) != 0;
    let set = |register: Reg, tainted: bool| {
        if tainted {
            before | bit(register)
        } else {
            before & !bit(register)
        }
    };
    match *insn {
        Insn::Alu {
            dst,
            src: Operand::Reg(src),
            ..
        } => set(dst, has(dst) || has(src)),
        Insn::Mov { dst, src, .. } => match src {
            Operand::Reg(src) => set(dst, has(src)),
            Operand::Imm(_) => set(dst, false),
        },
        Insn::MovSx { dst, src, .. } => set(dst, has(src)),
        Insn::LoadImm64 { dst, .. } | Insn::LoadStackArg { dst, .. } => set(dst, false),
        Insn::Load { dst, base, .. }
        | Insn::LoadSigned { dst, base, .. }
        | Insn::LoadAcquire { dst, base, .. } => set(dst, has(base)),
        Insn::Call(target) => {
            let arguments = 0b11_1110;
            let tainted = before & arguments != 0;
            let after = set(Reg::R0, tainted);
            match target {
                CallTarget::Subprogram { .. } => after & !arguments,
                _ => after,
            }
        }
        _ => before,
    }
}
