//! Where instructions lead, and what is checked of that: jumps stay in their function, functions
//! don't run into each other, everything can be reached, and loops are allowed at all.

use skep_abi::KernelVersion;
use skep_isa::{CallTarget, Imm64, Insn};
use skep_object::Target;

use super::Code;
use crate::{Options, Rejection, Rule, verifier::Result};

/// The slots that an instruction may lead to, without those that it calls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Successors {
    /// The one behind it.
    pub(super) next: Option<usize>,
    /// The one that it jumps to.
    pub(super) jump: Option<usize>,
}

/// The slot that an offset leads to; `usize::MAX` for those before the program.
pub(super) fn target(slot: usize, offset: i32) -> usize {
    i64::try_from(slot)
        .ok()
        .and_then(|slot| usize::try_from(slot + 1 + i64::from(offset)).ok())
        .unwrap_or(usize::MAX)
}

/// Where an instruction leads.
pub(super) fn successors(slot: usize, insn: &Insn) -> Successors {
    let next = Some(slot + 1);
    match *insn {
        Insn::Exit | Insn::JumpIndirect { .. } => Successors::default(),
        Insn::Jump { offset } => Successors {
            next: None,
            jump: Some(target(slot, offset.into())),
        },
        Insn::JumpLong { offset } => Successors {
            next: None,
            jump: Some(target(slot, offset)),
        },
        Insn::JumpIf { offset, .. } | Insn::MayGoto { offset } => Successors {
            next,
            jump: Some(target(slot, offset.into())),
        },
        Insn::LoadImm64 { .. } => Successors {
            next: Some(slot + 2),
            jump: None,
        },
        _ => Successors { next, jump: None },
    }
}

/// The function that an instruction calls, or whose address it loads.
pub(crate) fn callee(slot: usize, insn: &Insn) -> Option<usize> {
    match *insn {
        Insn::Call(CallTarget::Subprogram { offset })
        | Insn::LoadImm64 {
            value: Imm64::Subprogram { offset },
            ..
        } => Some(target(slot, offset)),
        _ => None,
    }
}

/// Jumps stay in their function, and no function runs into the next.
pub(super) fn check_jumps(code: &Code, throws: impl Fn(&Insn) -> bool) -> Result {
    for function in &code.subprograms {
        let mut last = function.start;
        for slot in function.start..function.end {
            let Some(insn) = code.insns.get(slot).and_then(Option::as_ref) else {
                continue;
            };
            last = slot;
            let Some(jump) = successors(slot, insn).jump else {
                continue;
            };
            if !(function.start..function.end).contains(&jump) {
                let message = "a jump leads out of its function";
                return Err(Rejection::new(Rule::JumpOutOfRange, message).at(slot));
            }
            check_boundary(code, slot, jump)?;
        }
        let ends = match code.insns.get(last).and_then(Option::as_ref) {
            Some(Insn::Exit | Insn::Jump { .. } | Insn::JumpLong { .. }) => true,
            Some(Insn::JumpIndirect { .. }) => true,
            Some(insn) => throws(insn),
            None => false,
        };
        if !ends {
            let message = format!(
                "the last instruction of {} is neither an exit nor a jump, so that it would run on \
                 behind its end",
                function.title()
            );
            return Err(Rejection::new(Rule::NoExit, message).at(last));
        }
    }
    for (_, targets) in &code.jump_tables {
        for &jump in targets {
            check_boundary(code, jump, jump)?;
        }
    }
    Ok(())
}

fn check_boundary(code: &Code, slot: usize, jump: usize) -> Result {
    if code.insns.get(jump).is_some_and(Option::is_some) {
        return Ok(());
    }
    let message = "a jump leads into the middle of an instruction of two slots";
    Err(Rejection::new(Rule::JumpOutOfRange, message).at(slot))
}

/// What the search found at an instruction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    /// On the way that is being followed.
    Open,
    Done,
}

/// Everything can be reached, and there are no loops where the kernel takes none.
pub(super) fn check_reachable(
    code: &Code,
    target: &Target,
    options: &Options,
    exception_callback: Option<usize>,
) -> Result {
    let loops = options.bpf && target.version >= KernelVersion::new(5, 3);
    let mut marks = vec![Mark::New; code.insns.len()];
    let targets: Vec<usize> = code.table_targets().collect();
    // The way, with the edges that were followed at each instruction: the next one, the jump, the
    // call, then the targets of a table.
    let mut way: Vec<(usize, usize)> = Vec::new();
    for root in [Some(0), exception_callback].into_iter().flatten() {
        if marks.get(root) != Some(&Mark::New) {
            continue;
        }
        marks[root] = Mark::Open;
        way.push((root, 0));
        while let Some((slot, step)) = way.last_mut() {
            let slot = *slot;
            let Some(insn) = code.insns.get(slot).and_then(Option::as_ref) else {
                return Err(behind_end(slot));
            };
            let to = successors(slot, insn);
            let edge = match *step {
                0 => to.next,
                1 => to.jump,
                2 => callee(slot, insn),
                more => {
                    let jumps = matches!(insn, Insn::JumpIndirect { .. });
                    let Some(&next) = targets.get(more - 3).filter(|_| jumps) else {
                        marks[slot] = Mark::Done;
                        way.pop();
                        continue;
                    };
                    Some(next)
                }
            };
            let calls = *step == 2;
            *step += 1;
            let Some(edge) = edge else { continue };
            match marks.get(edge) {
                Some(Mark::New) => {
                    marks[edge] = Mark::Open;
                    way.push((edge, 0));
                }
                Some(Mark::Open) if !loops => {
                    let what = if calls {
                        "a function calls itself"
                    } else {
                        "there is a loop"
                    };
                    let why = if options.bpf {
                        "kernels before 5.3 take none"
                    } else {
                        "a loader without CAP_BPF may have none"
                    };
                    let message = format!("{what}: instruction {slot} leads back to {edge}; {why}");
                    return Err(Rejection::new(Rule::UnboundedLoop, message).at(slot));
                }
                Some(_) => {}
                None => return Err(behind_end(slot)),
            }
        }
    }
    for (slot, mark) in marks.iter().enumerate() {
        if *mark == Mark::New && code.insns[slot].is_some() {
            let message = "no path leads to this instruction";
            return Err(Rejection::new(Rule::UnreachableCode, message).at(slot));
        }
    }
    Ok(())
}

#[cold]
fn behind_end(slot: usize) -> Box<Rejection> {
    let message = "the program runs on behind its last instruction, or jumps there";
    Rejection::new(Rule::JumpOutOfRange, message).at(slot)
}
