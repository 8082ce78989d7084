//! How a verification came to where it is: run again, a verification does the same, and notes the
//! step before each step; and then, of the steps that led to the end, what was known before each.
//!
//! A verification that goes well pays nothing for it, and one that is refused has exact states:
//! those of this very path, with what pruning and loops made of them.

use skep_object::Target;

use crate::{Options, Program, Rejection, state::State, verifier::Verifier};

/// The most steps before the end of which states are kept.
const MOST_STATES: usize = 4096;

/// One step of the path to a rejection.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// The instruction.
    pub(crate) insn: usize,
    /// What was known before it.
    pub(crate) state: State,
}

/// What a verification notes on its way.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// By number (from 1) of a step: the step before it on its path, and its instruction.
    steps: Vec<(u32, u32)>,
    /// The step where the verification is.
    current: u32,
    /// The steps of which states are kept, in order.
    wanted: Vec<u32>,
    /// Those that were kept.
    kept: Vec<Step>,
}

impl Trace {
    /// The verification is about to do an instruction.
    pub(crate) fn step(&mut self, insn: usize, state: &State) {
        self.steps
            .push((self.current, u32::try_from(insn).unwrap_or(u32::MAX)));
        self.current = u32::try_from(self.steps.len()).unwrap_or(u32::MAX);
        if self.wanted.get(self.kept.len()) == Some(&self.current) {
            self.kept.push(Step {
                insn,
                state: state.clone(),
            });
        }
    }

    /// Where the verification is: what a branch that is put aside must remember.
    pub(crate) fn current(&self) -> u32 {
        self.current
    }

    /// The verification goes on with what was put aside there; 0: it begins anew.
    pub(crate) fn resume(&mut self, step: u32) {
        self.current = step;
    }

    /// The steps that led to where it is, in order.
    fn path(&self) -> Vec<u32> {
        let mut path = Vec::new();
        let mut at = self.current;
        while let Some(index) = (at as usize).checked_sub(1) {
            path.push(at);
            // A step is behind the one before it, so this ends.
            at = self.steps.get(index).map_or(0, |(before, _)| *before);
        }
        path.reverse();
        path
    }
}

/// The path to a rejection.
pub(crate) struct Path<'a> {
    /// The verification at its end, where it stopped.
    pub(crate) verifier: Verifier<'a>,
    /// All instructions of the path.
    pub(crate) insns: Vec<usize>,
    /// The last steps of it, the refused one last.
    pub(crate) steps: Vec<Step>,
}

impl<'a> Path<'a> {
    /// Goes to a rejection again. `None` where no path leads to it, as for what is refused before
    /// any is followed.
    pub(crate) fn to(
        program: &'a Program<'a>,
        target: &'a Target,
        options: &'a Options,
        rejection: &Rejection,
    ) -> Option<Self> {
        let first = run(program, target, options, Vec::new(), rejection)?;
        let trace = first.trace.as_deref()?;
        let path = trace.path();
        let insns = path
            .iter()
            .filter_map(|step| trace.steps.get((*step as usize).checked_sub(1)?))
            .map(|(_, insn)| *insn as usize)
            .collect();
        let wanted = path[path.len().saturating_sub(MOST_STATES)..].to_vec();
        drop(first);
        let mut verifier = run(program, target, options, wanted, rejection)?;
        let steps = std::mem::take(&mut verifier.trace.as_deref_mut()?.kept);
        (!steps.is_empty()).then_some(Self {
            verifier,
            insns,
            steps,
        })
    }
}

/// Runs a verification that is known to end with this rejection.
fn run<'a>(
    program: &'a Program<'a>,
    target: &'a Target,
    options: &'a Options,
    wanted: Vec<u32>,
    rejection: &Rejection,
) -> Option<Verifier<'a>> {
    let mut verifier = Verifier::new(program, target, options).ok()?;
    verifier.trace = Some(Box::new(Trace {
        wanted,
        ..Trace::default()
    }));
    let end = verifier.run().err()?;
    // The rule may have got its true name since.
    let same = end.insn == rejection.insn;
    same.then_some(verifier)
}
