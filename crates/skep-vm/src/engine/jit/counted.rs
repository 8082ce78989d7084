//! Counted loops: whose rounds are known when they begin. If what is left of the slice covers all
//! of them, machine code runs a copy of the loop that pays as ever but need not look whether it
//! can.
//!
//! A loop is a range of instructions, up to a jump back to its start, that is entered at one place
//! only. One instruction in it, and no other, changes the *counter*, by a constant; right behind
//! it the counter is compared, and the loop left when it has reached a bound. All ways around the
//! loop come by there. So from one visit of that place to the next each jump backwards is taken
//! at most once, and the distance from counter to bound says how often it can be visited.

use std::{collections::BTreeMap, ops::Range};

use skep_isa::{AluOp, CompareOp, Insn, InsnIndex, Operand, Reg, Width};

use crate::engine::elide::opposite;

/// Instructions of a loop that is worth a copy: in longer ones, looking costs little.
const LONGEST: usize = 24;

/// Functions with more loops are not looked at.
const MOST: usize = 64;

/// Rounds are not counted beyond this. No slice of the budget would do.
pub(super) const MOST_ROUNDS: i64 = 1 << 20;

/// A loop that leaves when `counter` has moved by its distance to `bound`, at the latest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counted {
    /// The instructions, as places among those of the function.
    pub(super) range: Range<usize>,
    /// The slots: from the first to the one behind the last.
    pub(super) slots: Range<u32>,
    /// Where it is entered.
    pub(super) entry: u32,
    pub(super) counter: Reg,
    pub(super) width: Width,
    /// Where the counter goes: to higher numbers.
    pub(super) up: bool,
    /// Where the counter ends: a register that the loop does not change, or a number.
    pub(super) bound: Operand,
    /// What a round costs at most.
    pub(super) cost: u32,
    /// Whether its last instruction may leave to the next one.
    pub(super) falls_out: bool,
    /// Whether all that enters it stands before it.
    pub(super) from_before: bool,
}

/// The counted loops of a function, by place; none overlap.
pub(super) fn loops(instructions: &[(InsnIndex, Insn)]) -> Vec<Counted> {
    let indirect = |(_, insn): &(InsnIndex, Insn)| matches!(insn, Insn::JumpIndirect { .. });
    if instructions.iter().any(indirect) {
        return Vec::new();
    }
    let place = |at: InsnIndex| instructions.binary_search_by_key(&at, |(at, _)| *at).ok();
    let jumps: Vec<_> = instructions
        .iter()
        .enumerate()
        .filter_map(|(from, (at, insn))| Some((from, place(insn.target(*at)?)?)))
        .collect();
    // The last jump to each start counts; short loops first, which are the inner ones.
    let mut ends = BTreeMap::new();
    for (from, to) in jumps.iter().filter(|(from, to)| to <= from) {
        ends.insert(*to, from + 1);
    }
    if ends.len() > MOST {
        return Vec::new();
    }
    let mut ranges: Vec<_> = ends.into_iter().map(|(start, end)| start..end).collect();
    ranges.retain(|range| range.len() <= LONGEST);
    ranges.sort_by_key(|range| (range.len(), range.start));
    let mut found: Vec<Counted> = Vec::new();
    for range in ranges {
        let apart =
            |other: &Counted| other.range.end <= range.start || range.end <= other.range.start;
        if found.iter().all(apart) {
            found.extend(counted(instructions, &jumps, range));
        }
    }
    found.sort_by_key(|found| found.range.start);
    found
}

/// A range as a loop, if it is a counted one.
fn counted(
    instructions: &[(InsnIndex, Insn)],
    jumps: &[(usize, usize)],
    range: Range<usize>,
) -> Option<Counted> {
    let body = instructions.get(range.clone())?;
    if !body.iter().all(|(_, insn)| is_plain(insn)) {
        return None;
    }
    let inside = |place: usize| range.contains(&place);
    let falls_in = match range.start.checked_sub(1) {
        None => true,
        Some(before) => instructions.get(before)?.1.falls_through(),
    };
    let mut entries: Vec<_> = jumps
        .iter()
        .filter(|(from, to)| !inside(*from) && inside(*to))
        .map(|(_, to)| *to)
        .chain(falls_in.then_some(range.start))
        .collect();
    entries.sort_unstable();
    entries.dedup();
    let [entry] = *entries else {
        return None;
    };
    let late = |(from, to): &(usize, usize)| *from >= range.end && inside(*to);
    let from_before = !jumps.iter().any(late);
    let inner: Vec<_> = jumps
        .iter()
        .filter(|(from, to)| inside(*from) && inside(*to))
        .map(|(from, to)| (from - range.start, to - range.start))
        .collect();
    let slot = |place: usize| instructions.get(place).map(|(at, _)| at.0);
    let cost = inner.iter().filter(|(from, to)| to <= from);
    let cost = cost.map(|(from, to)| {
        let (from, to) = (slot(range.start + from)?, slot(range.start + to)?);
        Some(from - to + 1)
    });
    let cost = cost.sum::<Option<u32>>()?;
    let first = slot(range.start)?;
    let last = body.last()?;
    let mut steps = body.iter().enumerate().filter_map(|(place, (_, insn))| {
        let Insn::Alu {
            width,
            op: op @ (AluOp::Add | AluOp::Sub),
            dst,
            src: Operand::Imm(by),
        } = *insn
        else {
            return None;
        };
        let by = i64::from(by);
        let by = if op == AluOp::Sub { -by } else { by };
        Some((place, width, dst, by))
    });
    steps.find_map(|(step, width, counter, by)| {
        let writers = body.iter().filter(|(_, insn)| writes(insn, counter));
        if by == 0 || by.abs() > 64 || writers.count() != 1 || !always_by(&inner, body, step) {
            return None;
        }
        let exit = body
            .iter()
            .skip(step + 1)
            .position(|(_, insn)| insn.is_jump())?;
        let exit = step + 1 + exit;
        if body
            .get(step..exit)?
            .iter()
            .any(|(_, insn)| !insn.falls_through())
        {
            return None;
        }
        let (at, insn) = body.get(exit)?;
        let Insn::JumpIf {
            width: compared,
            op,
            dst,
            src,
            ..
        } = *insn
        else {
            return None;
        };
        if compared != width || dst != counter {
            return None;
        }
        let target = insn.target(*at)?;
        let stays_if_taken = (first..=last.0.0).contains(&target.0);
        let stays_if_not = exit + 1 < body.len();
        let leaves = match (stays_if_taken, stays_if_not) {
            (false, true) => op,
            (true, false) => opposite(op)?,
            _ => return None,
        };
        let bound = match src {
            Operand::Imm(imm) => Operand::Imm(end(leaves, width, by, imm)?),
            Operand::Reg(register) => {
                let changes = body.iter().any(|(_, insn)| writes(insn, register));
                // It is left when both are equal, at the latest.
                let when_equal = matches!(
                    leaves,
                    CompareOp::Eq | CompareOp::Ge | CompareOp::Le | CompareOp::SGe | CompareOp::SLe
                );
                if changes || by.abs() != 1 || !when_equal {
                    return None;
                }
                Operand::Reg(register)
            }
        };
        Some(Counted {
            range: range.clone(),
            slots: first..last.0.0 + 1,
            entry: slot(entry)?,
            counter,
            width,
            up: by > 0,
            bound,
            cost,
            falls_out: last.1.falls_through(),
            from_before,
        })
    })
}

/// The number such that the loop is left when the counter, in its steps, reaches or passes it:
/// `imm` or the next. Steps are counted from any number, so all that it may come to must do.
fn end(leaves: CompareOp, width: Width, by: i64, imm: i32) -> Option<i32> {
    [0, by.signum()].into_iter().find_map(|more| {
        let end = i64::from(imm) + more;
        let all = (0..by.abs()).all(|past| holds(leaves, width, end + past * by.signum(), imm));
        i32::try_from(end).ok().filter(|_| all)
    })
}

/// Whether a comparison of a counter with a number holds.
fn holds(op: CompareOp, width: Width, counter: i64, imm: i32) -> bool {
    let imm = i64::from(imm);
    let (a, b, sa, sb) = match width {
        Width::W64 => (counter as u64, imm as u64, counter, imm),
        Width::W32 => (
            u64::from(counter as u32),
            u64::from(imm as u32),
            i64::from(counter as i32),
            i64::from(imm as i32),
        ),
    };
    match op {
        CompareOp::Eq => a == b,
        CompareOp::Ne => a != b,
        CompareOp::Gt => a > b,
        CompareOp::Ge => a >= b,
        CompareOp::Lt => a < b,
        CompareOp::Le => a <= b,
        CompareOp::SGt => sa > sb,
        CompareOp::SGe => sa >= sb,
        CompareOp::SLt => sa < sb,
        CompareOp::SLe => sa <= sb,
        CompareOp::Set => a & b != 0,
    }
}

/// Whether every way around comes by `step`: without it, nothing goes around.
fn always_by(inner: &[(usize, usize)], body: &[(InsnIndex, Insn)], step: usize) -> bool {
    let mut open: Vec<_> = (0..body.len()).filter(|place| *place != step).collect();
    // Takes away, again and again, what nothing that is left goes to.
    loop {
        let entered = |place: &usize| {
            let falls = place.checked_sub(1).is_some_and(|before| {
                open.contains(&before)
                    && body
                        .get(before)
                        .is_some_and(|(_, insn)| insn.falls_through())
            });
            falls
                || inner
                    .iter()
                    .any(|(from, to)| to == place && open.contains(from))
        };
        let rest: Vec<_> = open.iter().copied().filter(entered).collect();
        if rest.len() == open.len() {
            return rest.is_empty();
        }
        open = rest;
    }
}

/// What a copied loop may have.
fn is_plain(insn: &Insn) -> bool {
    !matches!(
        insn,
        Insn::Call(_)
            | Insn::LoadPacketAbs { .. }
            | Insn::LoadPacketInd { .. }
            | Insn::LoadStackArg { .. }
            | Insn::StoreStackArg { .. }
            | Insn::MayGoto { .. }
            | Insn::JumpIndirect { .. }
    )
}

/// Whether one of those changes a register.
fn writes(insn: &Insn, register: Reg) -> bool {
    match *insn {
        Insn::Alu { dst, .. }
        | Insn::Mov { dst, .. }
        | Insn::MovSx { dst, .. }
        | Insn::Neg { dst, .. }
        | Insn::ByteSwap { dst, .. }
        | Insn::AddrSpaceCast { dst, .. }
        | Insn::LoadImm64 { dst, .. }
        | Insn::Load { dst, .. }
        | Insn::LoadSigned { dst, .. }
        | Insn::LoadAcquire { dst, .. } => dst == register,
        Insn::Atomic { src, .. } => src == register || register == Reg::R0,
        Insn::Store { .. }
        | Insn::StoreRelease { .. }
        | Insn::Jump { .. }
        | Insn::JumpLong { .. }
        | Insn::JumpIf { .. }
        | Insn::Exit => false,
        _ => true,
    }
}
