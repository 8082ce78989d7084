//! Where a path has been before: it ends if a kept state covers it; a loop that changes nothing is
//! refused; else, its state may be kept for others.

use skep_abi::ProgLoadFlags;
use skep_isa::Reg;

use super::{
    equal::{Comparison, Mode},
    history::Written,
    kept::{BackEdge, KeptId, New},
    precision::has_same_calls,
};
use crate::{
    Rule,
    setup::Points,
    state::{Id, IteratorState, Kind, Register, SlotObject, Stack, State},
    verifier::{Result, Verifier},
};

/// A state is kept after so many jumps …
const JUMPS: u64 = 2;
/// … and so many instructions.
const INSNS: u64 = 8;
/// In a loop, which makes many that are of little use: after so many jumps …
const LOOP_JUMPS: u64 = 20;
/// … or so many instructions.
const LOOP_INSNS: u64 = 100;
/// A state is kept when the way since the last has so many jumps.
const LONG_WAY: u64 = 40;

/// The same in instructions, without pruning.
const LONG_HISTORY: usize = 256;
/// The most bytes that kept states take at once.
const MOST_BYTES: usize = 1 << 30;

/// What a kept state says about the path that came there.
enum Answer {
    /// It covers it; with the state whose marks it waits for, if they are not complete.
    Covers(Option<KeptId>),
    /// It does not.
    Misses,
}

impl Verifier<'_> {
    /// Whether the path ends here, because what follows was seen to be safe.
    pub(super) fn is_covered(&mut self) -> Result<bool> {
        let Some(&points) = self.code.points.get(self.insn) else {
            return Ok(false);
        };
        if !points.contains(Points::PRUNE) {
            return Ok(false);
        }
        if !self.options.prune && !points.contains(Points::KEEP) {
            if self.walk.history.len() > LONG_HISTORY {
                self.keep_state()?;
            }
            return Ok(false);
        }
        let often = self.program.flags.contains(ProgLoadFlags::TEST_STATE_FREQ);
        let forced = often || points.contains(Points::KEEP) || self.walk.jumps_on_way > LONG_WAY;
        let jumps = self.walk.jumps - self.walk.jumps_at_last;
        let insns = self.stats.instructions - self.walk.insns_at_last;
        let mut add = forced || (jumps >= JUMPS && insns >= INSNS);

        let mut ids = std::mem::take(&mut self.walk.ids);
        let mut index = self.walk.kept.listed(self.insn).len();
        while index > 0 {
            index -= 1;
            let Some(&id) = self.walk.kept.listed(self.insn).get(index) else {
                continue;
            };
            if !has_same_calls(&self.walk.kept.at(id).state, &self.state) {
                continue;
            }
            let mut comparison = Comparison {
                code: &self.code,
                mode: Mode::Within,
                perfmon: self.options.perfmon,
                bpf: self.options.bpf,
                ids: std::mem::take(&mut ids),
            };
            let answer = self.ask(id, points, &mut comparison);
            ids = comparison.ids;
            match answer? {
                Answer::Covers(entry) => {
                    if self.end_covered(id, entry) {
                        self.walk.ids = ids;
                        return Ok(true);
                    }
                }
                Answer::Misses => {}
            }
            let open = self.walk.kept.at(id).branches > 0;
            if open && !forced && jumps < LOOP_JUMPS && insns < LOOP_INSNS {
                add = false;
            }
            if add {
                self.missed(id, points);
            }
        }
        self.walk.ids = ids;
        if add {
            self.keep_state()?;
        }
        Ok(false)
    }

    fn ask(&self, id: KeptId, points: Points, comparison: &mut Comparison<'_>) -> Result<Answer> {
        let kept = self.walk.kept.at(id);
        let now = &self.state;
        if kept.branches == 0 {
            let entry = self.walk.kept.waits_for(id);
            if entry.is_none() && self.observed.is_none() {
                comparison.mode = Mode::Marked;
            }
            return Ok(if comparison.covers(kept, now) {
                Answer::Covers(entry)
            } else {
                Answer::Misses
            });
        }
        // The path has been here itself.
        let old = &kept.state;
        if old.in_async_callback && old.frames[0].async_entry != now.frames[0].async_entry {
            // An entry of its own: what is equal is no loop, and tells nothing.
            return Ok(Answer::Misses);
        }
        let converges = |comparison: &mut Comparison<'_>| {
            comparison.mode = Mode::Within;
            comparison.covers(kept, now)
        };
        let entry = || self.walk.kept.waits_for(id);
        if points.contains(Points::ITERATES) {
            let covers = converges(comparison) && has_active_iterator(now);
            return Ok(if covers {
                Answer::Covers(entry())
            } else {
                Answer::Misses
            });
        }
        if points.contains(Points::MAY_GOTO)
            && old.may_goto_depth != now.may_goto_depth
            && converges(comparison)
        {
            return Ok(Answer::Covers(entry()));
        }
        if points.contains(Points::CALLS_BACK) {
            return Ok(if converges(comparison) {
                Answer::Covers(entry())
            } else {
                Answer::Misses
            });
        }
        comparison.mode = Mode::Exact;
        if old.may_goto_depth == now.may_goto_depth
            && old.callback_depth == now.callback_depth
            && comparison.covers(kept, now)
            && !iterators_moved(old, now)
        {
            let message = "the program comes here again and nothing has changed since: it would go \
                           around for ever";
            return Err(self.reject(Rule::UnboundedLoop, message));
        }
        Ok(Answer::Misses)
    }

    /// Ends a path that a state covers; `false` if it can't be used.
    fn end_covered(&mut self, id: KeptId, entry: Option<KeptId>) -> bool {
        match entry {
            None => {
                let history = std::mem::take(&mut self.walk.history);
                let written = self.walk.written;
                let parent = self.walk.parent;
                self.walk
                    .kept
                    .propagate(&self.code, id, &history, parent, &written);
                self.walk.history = history;
            }
            Some(entry) => {
                let edge = BackEdge {
                    to: id,
                    parent: self.walk.parent,
                    history: self.walk.history.clone(),
                    written: self.walk.written,
                };
                if !self.walk.kept.put_aside(edge, entry) {
                    return false;
                }
            }
        }
        self.walk.kept.at_mut(id).hits += 1;
        true
    }

    /// A state was compared with in vain: if that happens often, it is of no use.
    fn missed(&mut self, id: KeptId, points: Points) {
        let kept = self.walk.kept.at_mut(id);
        kept.misses += 1;
        // Loops need theirs for longer.
        let patience = if points.contains(Points::KEEP) && kept.branches > 0 {
            64
        } else {
            3
        };
        if kept.misses > kept.hits.saturating_mul(patience).saturating_add(patience) {
            self.walk.kept.evict(id);
        }
    }

    fn keep_state(&mut self) -> Result {
        if self.walk.kept.bytes > MOST_BYTES {
            let message = "the states on its paths take more memory than the verifier has for them";
            return Err(self.reject(Rule::TooComplex, message));
        }
        forget_lonely_ids(&mut self.state);
        let frames = self.state.frames.len();
        let new = New {
            state: self.state.clone(),
            insn: self.insn,
            parent: self.walk.parent,
            history: std::mem::take(&mut self.walk.history),
            written: std::mem::replace(&mut self.walk.written, Written::nothing(frames)),
        };
        let id = self.walk.kept.keep(new);
        self.walk.parent = Some(id);
        self.walk.jumps_at_last = self.walk.jumps;
        self.walk.insns_at_last = self.stats.instructions;
        self.walk.jumps_on_way = 0;
        self.stats.states += 1;
        Ok(())
    }
}

/// Forgets ids that only one number has: it is linked to nothing, and states need not agree in it.
fn forget_lonely_ids(state: &mut State) {
    let mut ids: Vec<(Id, bool)> = Vec::new();
    let registers = state.frames.iter().flat_map(|frame| frame.all_registers());
    for register in registers.filter(|register| register.is_scalar() && register.id.is_some()) {
        match ids.iter_mut().find(|(id, _)| *id == register.id) {
            Some((_, lonely)) => *lonely = false,
            None => ids.push((register.id, true)),
        }
    }
    ids.retain(|(_, lonely)| *lonely);
    if ids.is_empty() {
        return;
    }
    let lonely =
        |register: &Register| register.is_scalar() && ids.iter().any(|(id, _)| *id == register.id);
    state.change_registers(lonely, Register::unlink);
}

/// Whether the iterator that R1 points to gave something last.
fn has_active_iterator(state: &State) -> bool {
    let register = state.register(Reg::R1);
    let Kind::Stack { frame } = register.kind else {
        return false;
    };
    let Some(base) = register.value.as_constant() else {
        return false;
    };
    let offset = base.cast_signed().saturating_add(register.offset.into());
    let Ok(offset) = i32::try_from(offset) else {
        return false;
    };
    if offset >= 0 {
        return false;
    }
    let (slot, _) = Stack::place(offset);
    let slot = state
        .frames
        .get(usize::from(frame))
        .and_then(|frame| frame.stack.slot(slot));
    matches!(
        slot.and_then(|slot| slot.object),
        Some(SlotObject::Iterator {
            state: IteratorState::Active,
            ..
        })
    )
}

/// Whether an iterator went further since a state.
fn iterators_moved(old: &State, now: &State) -> bool {
    let depth = |object: Option<SlotObject>| match object {
        Some(SlotObject::Iterator { depth, state, .. }) => Some((depth, state)),
        _ => None,
    };
    old.frames.iter().zip(&now.frames).any(|(old, now)| {
        old.stack
            .slots
            .iter()
            .zip(&now.stack.slots)
            .any(|(old, now)| depth(old.object) != depth(now.object))
    })
}
