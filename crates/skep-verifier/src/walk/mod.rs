//! Following paths: one instruction after the other, the other side of a branch later, and never
//! twice what was seen to be safe.

mod branch;
mod history;
mod precision;

use skep_isa::{CallTarget, Insn};

use crate::{
    Rule,
    setup::complexity_limit,
    state::State,
    verifier::{Result, Verifier},
};

/// Branches that may wait to be followed (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
const MOST_PENDING: usize = 8192;

/// Paths that are still to be followed, and where the verification has been.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    pending: Vec<Pending>,
    /// The instructions since the last state that was kept.
    history: Vec<history::Step>,
}

/// The other side of a branch.
#[derive(Debug)]
struct Pending {
    state: State,
    insn: usize,
    previous: usize,
    /// The step of [`Trace`](crate::diagnosis::Trace) that it branches off; 0 where there is none.
    step: u32,
}

/// Where the path goes after an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// To the instruction behind it.
    Fall,
    /// To another one.
    Goto(usize),
    /// Nowhere: the path ends.
    End,
}

impl Verifier<'_> {
    /// Follows all paths.
    pub(crate) fn run(&mut self) -> Result {
        self.admit()?;
        self.check_maps()?;
        self.enter_program()?;
        self.walk_paths()?;
        self.verify_global_functions()?;
        self.check_call_chains()
    }

    /// Follows the path where the verification stands, and all that branch off it.
    pub(crate) fn walk_paths(&mut self) -> Result {
        if let Some(trace) = &mut self.trace {
            trace.resume(0);
        }
        let limit = complexity_limit(self.target.version, self.options);
        loop {
            self.stats.instructions += 1;
            if self.stats.instructions > limit {
                let message = format!(
                    "its paths are more than {limit} instructions long in all, and the kernel gives \
                     up there"
                );
                return Err(self.reject(Rule::TooComplex, message));
            }
            let insn = self.code.insns.get(self.insn).copied().flatten();
            let Some(insn) = insn else {
                return Err(self.reject(
                    Rule::NoExit,
                    "the program runs on behind its last instruction",
                ));
            };
            if let Some(trace) = &mut self.trace {
                trace.step(self.insn, &self.state);
            }
            let wide = matches!(insn, Insn::LoadImm64 { .. });
            let next = self.step(insn)?;
            self.previous = self.insn;
            match next {
                Next::Fall => self.insn += if wide { 2 } else { 1 },
                Next::Goto(target) => self.insn = target,
                Next::End => match self.walk.pending.pop() {
                    Some(pending) => {
                        self.state = pending.state;
                        self.insn = pending.insn;
                        self.previous = pending.previous;
                        if let Some(trace) = &mut self.trace {
                            trace.resume(pending.step);
                        }
                    }
                    None => return Ok(()),
                },
            }
        }
    }

    /// Puts another path aside: it goes on at `insn` with a copy of the state, which the caller may
    /// change.
    pub(crate) fn push(&mut self, insn: usize) -> Result<&mut State> {
        self.push_state(insn, self.state.clone())
    }

    /// The same with a state of its own.
    pub(crate) fn push_state(&mut self, insn: usize, state: State) -> Result<&mut State> {
        if self.walk.pending.len() >= MOST_PENDING {
            let message = format!(
                "the program has too many branches: {MOST_PENDING} of them wait to be followed"
            );
            return Err(self.reject(Rule::TooComplex, message));
        }
        self.walk.pending.push(Pending {
            state,
            insn,
            previous: self.insn,
            step: self.trace.as_ref().map_or(0, |trace| trace.current()),
        });
        Ok(&mut self.walk.pending.last_mut().expect("just pushed").state)
    }

    /// Slots from the next instruction to a slot.
    pub(crate) fn target_of(&self, offset: i32) -> usize {
        (self.insn as i64 + 1 + i64::from(offset)) as usize
    }

    fn step(&mut self, insn: Insn) -> Result<Next> {
        match insn {
            Insn::Jump { offset } => return Ok(Next::Goto(self.target_of(offset.into()))),
            Insn::JumpLong { offset } => return Ok(Next::Goto(self.target_of(offset))),
            Insn::JumpIf {
                width,
                op,
                dst,
                src,
                offset,
            } => {
                return self.jump_if(width, op, dst, src, offset);
            }
            Insn::MayGoto { offset } => return self.may_goto(offset),
            Insn::JumpIndirect { target } => return self.jump_indirect(target),
            Insn::Call(CallTarget::Helper(id)) => return self.call_helper(id),
            Insn::Call(CallTarget::Kfunc { btf_id, .. }) => return self.call_kfunc(btf_id),
            Insn::Call(CallTarget::Subprogram { offset }) => {
                return self.call_subprogram(self.target_of(offset));
            }
            Insn::Call(CallTarget::Register(_)) => {
                return Err(self.reject(
                    Rule::InvalidInstruction,
                    "no kernel takes a call of an address in a register",
                ));
            }
            Insn::Exit => return self.exit(),
            Insn::Load { .. }
            | Insn::LoadSigned { .. }
            | Insn::Store { .. }
            | Insn::Atomic { .. }
            | Insn::LoadAcquire { .. }
            | Insn::StoreRelease { .. }
            | Insn::LoadPacketAbs { .. }
            | Insn::LoadPacketInd { .. }
            | Insn::LoadStackArg { .. }
            | Insn::StoreStackArg { .. } => self.memory(insn)?,
            _ => self.alu(insn)?,
        }
        Ok(Next::Fall)
    }
}
