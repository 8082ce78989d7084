//! Following paths: one instruction after the other, the other side of a branch later, and never
//! twice what was seen to be safe.
//!
//! What the other parts can rely on:
//!
//! - [`Verifier::push`] and [`push_state`](Verifier::push_state) put another path aside, which goes
//!   on at an instruction with a state of its own; frames may be added to it.
//!   [`push_apart`](Verifier::push_apart) is for a path that does not come from this one, such as a
//!   timer's callback.
//! - [`Verifier::mark_precise`] must be called by every instruction or check to which the exact
//!   value of a number matters (a size, an offset, an index, a returned value that has a range),
//!   before the register is overwritten. Numbers that are not marked are not compared where paths
//!   meet.
//! - What loops around a call (`next` of an iterator, a callback) puts the round aside after
//!   [`widen_from_previous`](Verifier::widen_from_previous), with the call's slot and the state of the
//!   round; the call's slot must be a [`Points::KEEP`](crate::setup::Points).
//! - Stack that an instruction reads, or that a call may read by its arguments, is noted here
//!   (`history`): nothing needs to be told. Loads give what was spilled in the slots they read, no
//!   more.
//!
//! Where paths meet (`Points`), `visit` compares with the states that were kept there (`kept`,
//! `equal`), and only what decides something (`precision`) or is read later.

mod branch;
mod equal;
mod history;
mod kept;
mod precision;
mod visit;

use skep_isa::{CallTarget, Insn};

use self::{
    history::{Step, Written},
    kept::{KeptId, Shelf},
};
use crate::{
    Rule,
    setup::complexity_limit,
    state::{Id, State},
    verifier::{Result, Verifier},
};

/// Branches that may wait to be followed (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
const MOST_PENDING: usize = 8192;

/// Paths that are still to be followed, and where the verification has been.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    pending: Vec<Pending>,
    kept: Shelf,
    /// The state that was kept last on this path.
    parent: Option<KeptId>,
    /// The instructions since then.
    history: Vec<Step>,
    /// The slots that were overwritten since then.
    written: Written,
    /// Jumps since then.
    jumps_on_way: u64,
    /// Jumps in all.
    jumps: u64,
    /// The same when a state was kept last, on any path.
    jumps_at_last: u64,
    /// Instructions then.
    insns_at_last: u64,
    /// Instructions on this path.
    length: u64,
    /// Room for pairs of ids, to be used again.
    ids: Vec<(Id, Id)>,
}

/// The other side of a branch.
#[derive(Debug)]
struct Pending {
    state: State,
    insn: usize,
    previous: usize,
    /// The trace's step.
    step: u32,
    parent: Option<KeptId>,
    history: Vec<Step>,
    written: Written,
    jumps_on_way: u64,
    length: u64,
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
        self.check_throws()?;
        self.check_call_chains()
    }

    /// Follows the path where the verification stands, and all that branch off it.
    pub(crate) fn walk_paths(&mut self) -> Result {
        if let Some(trace) = &mut self.trace {
            trace.resume(0);
        }
        let limit = complexity_limit(self.target.version, self.options);
        // What was kept on the way to another function says nothing here.
        self.walk = Walk {
            kept: Shelf::new(self.code.insns.len()),
            insns_at_last: self.stats.instructions,
            ..Walk::default()
        };
        let result = self.walk_on(limit);
        let stats = &mut self.stats;
        let kept = &self.walk.kept;
        stats.peak_states = stats.peak_states.max(kept.peak);
        stats.most_states_per_instruction = stats.most_states_per_instruction.max(kept.most_listed);
        result
    }

    fn walk_on(&mut self, limit: u64) -> Result {
        loop {
            let insn = self.code.insns.get(self.insn).copied().flatten();
            let Some(insn) = insn else {
                return Err(self.reject(
                    Rule::NoExit,
                    "the program runs on behind its last instruction",
                ));
            };
            self.stats.instructions += 1;
            if self.stats.instructions > limit {
                let message = format!(
                    "its paths are more than {limit} instructions long in all, and the kernel gives \
                     up there"
                );
                return Err(self.reject(Rule::TooComplex, message));
            }
            if let Some(count) = self.stats.by_instruction.get_mut(self.insn) {
                *count = count.saturating_add(1);
            }
            let next = if self.is_covered()? {
                Next::End
            } else {
                if let Some(trace) = &mut self.trace {
                    trace.step(self.insn, &self.state);
                }
                if let Some(observed) = &mut self.observed {
                    observed.note(self.insn, &self.state);
                }
                self.walk.length += 1;
                match self.follow(insn) {
                    Ok(next) => next,
                    // Since 6.16, where the processor may only guess its way, it is made to wait.
                    Err(rejection)
                        if self.state.speculative
                            && rejection.rule != Rule::TooComplex
                            && self.since(6, 16) =>
                    {
                        Next::End
                    }
                    Err(rejection) => return Err(rejection),
                }
            };
            self.previous = self.insn;
            match next {
                Next::Fall => {
                    self.insn += if matches!(insn, Insn::LoadImm64 { .. }) {
                        2
                    } else {
                        1
                    };
                }
                Next::Goto(target) => self.insn = target,
                Next::End => {
                    self.stats.longest_path = self.stats.longest_path.max(self.walk.length);
                    if !self.resume() {
                        return Ok(());
                    }
                }
            }
            self.walk.written.resize(self.state.frames.len());
        }
    }

    /// Ends the path and goes on with the one that was put aside last; `false` if there is none.
    fn resume(&mut self) -> bool {
        let walk = &mut self.walk;
        walk.kept.end(&self.code, walk.parent);
        let Some(pending) = walk.pending.pop() else {
            return false;
        };
        self.state = pending.state;
        self.insn = pending.insn;
        self.previous = pending.previous;
        walk.parent = pending.parent;
        walk.history = pending.history;
        walk.written = pending.written;
        walk.jumps_on_way = pending.jumps_on_way;
        walk.length = pending.length;
        if let Some(trace) = &mut self.trace {
            trace.resume(pending.step);
        }
        true
    }

    /// Puts another path aside: it goes on at `insn` with a copy of the state, which the caller may
    /// change.
    pub(crate) fn push(&mut self, insn: usize) -> Result<&mut State> {
        self.push_state(insn, self.state.clone())
    }

    /// The same with a state of its own.
    pub(crate) fn push_state(&mut self, insn: usize, state: State) -> Result<&mut State> {
        self.walk.kept.fork(self.walk.parent);
        let pending = Pending {
            state,
            insn,
            previous: self.insn,
            step: self.trace.as_ref().map_or(0, |trace| trace.current()),
            parent: self.walk.parent,
            history: self.walk.history.clone(),
            written: self.walk.written,
            jumps_on_way: self.walk.jumps_on_way,
            length: self.walk.length,
        };
        self.put_aside(pending)
    }

    /// The same for what does not come from here: it has nothing in common with this path but that it
    /// is followed because of it.
    pub(crate) fn push_apart(&mut self, insn: usize, state: State) -> Result<&mut State> {
        let pending = Pending {
            state,
            insn,
            previous: self.insn,
            step: self.trace.as_ref().map_or(0, |trace| trace.current()),
            parent: None,
            history: Vec::new(),
            written: Written::default(),
            jumps_on_way: 0,
            length: self.walk.length,
        };
        self.put_aside(pending)
    }

    fn put_aside(&mut self, pending: Pending) -> Result<&mut State> {
        if self.walk.pending.len() >= MOST_PENDING {
            let message = format!(
                "the program has too many branches: {MOST_PENDING} of them wait to be followed"
            );
            return Err(self.reject(Rule::TooComplex, message));
        }
        self.walk.pending.push(pending);
        Ok(&mut self.walk.pending.last_mut().expect("just pushed").state)
    }

    /// Does an instruction.
    fn follow(&mut self, insn: Insn) -> Result<Next> {
        if matches!(
            insn,
            Insn::Jump { .. }
                | Insn::JumpLong { .. }
                | Insn::JumpIf { .. }
                | Insn::MayGoto { .. }
                | Insn::JumpIndirect { .. }
                | Insn::Call(_)
                | Insn::Exit
        ) {
            self.walk.jumps += 1;
            self.walk.jumps_on_way += 1;
        }
        self.note_step(&insn)?;
        self.step(insn)
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
            Insn::LoadPacketAbs { .. } => return self.load_packet(None),
            Insn::LoadPacketInd { index, .. } => return self.load_packet(Some(index)),
            Insn::Load { .. }
            | Insn::LoadSigned { .. }
            | Insn::Store { .. }
            | Insn::Atomic { .. }
            | Insn::LoadAcquire { .. }
            | Insn::StoreRelease { .. }
            | Insn::LoadStackArg { .. }
            | Insn::StoreStackArg { .. } => self.memory(insn)?,
            _ => self.alu(insn)?,
        }
        Ok(Next::Fall)
    }
}
