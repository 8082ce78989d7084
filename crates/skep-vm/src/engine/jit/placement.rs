//! Where in a line of the instruction cache a function begins: so that as few of its inner loops
//! as possible lie across lines. Processors fetch short loops in one go when they are in one.

use cranelift_codegen::CompiledCode;
use skep_isa::{Insn, InsnIndex};

/// Bytes of a line.
pub(super) const LINE: usize = 64;

/// Steps in which a function's start is moved. Constants behind the code are of 8 bytes at most.
const STEP: usize = if cfg!(target_arch = "x86_64") { 4 } else { 16 };

/// Functions longer than this are not looked at.
const MOST: usize = 4000;

/// How many bytes behind the start of a line a function begins best.
pub(super) fn shift(instructions: &[(InsnIndex, Insn)], code: &CompiledCode) -> usize {
    if instructions.len() > MOST {
        return 0;
    }
    let loops = loops(instructions, code);
    if loops.is_empty() {
        return 0;
    }
    let costs = (0..LINE).step_by(STEP).map(|shift| {
        let cost = loops.iter().map(|looped| {
            let (first, last) = (looped.start + shift, looped.end + shift - 1);
            looped.weight * (last / LINE - first / LINE) as u64
        });
        (cost.sum::<u64>(), shift)
    });
    costs.min().map_or(0, |(_, shift)| shift)
}

/// Bytes that may lie between two pieces of a loop.
const NEAR: u32 = 16;

/// A loop in machine code.
struct Loop {
    start: usize,
    end: usize,
    /// More for the inner ones.
    weight: u64,
}

fn loops(instructions: &[(InsnIndex, Insn)], code: &CompiledCode) -> Vec<Loop> {
    let Some((first, _)) = instructions.first() else {
        return Vec::new();
    };
    let backward: Vec<_> = instructions
        .iter()
        .filter_map(|(at, insn)| {
            let target = insn.target(*at)?;
            (target <= *at).then_some((target.0 - first.0, at.0 - first.0))
        })
        .collect();
    // A nest is looked at by its innermost loops; there are few in each.
    if backward.len() > 64 {
        return Vec::new();
    }
    let ranges = code.buffer.get_srclocs_sorted();
    let mut loops = Vec::new();
    for (head, tail) in &backward {
        let depth = backward
            .iter()
            .filter(|(from, to)| from <= head && tail <= to)
            .count();
        let slots = *head..=*tail;
        let mut mine = ranges
            .iter()
            .filter(|range| slots.contains(&range.loc.bits()));
        let Some(first) = mine.next() else {
            continue;
        };
        let (start, mut end) = (first.start, first.end);
        for next in mine {
            // What is further away is a way that is hardly ever taken.
            if next.start > end + NEAR {
                break;
            }
            end = next.end;
        }
        if end - start <= 4 * LINE as u32 {
            loops.push(Loop {
                start: start as usize,
                end: end as usize,
                weight: 1 << (3 * depth.min(8)),
            });
        }
    }
    loops
}
