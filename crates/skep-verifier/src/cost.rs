//! What a verification cost, in the user's terms: lines of source and chains of calls.

use std::collections::BTreeMap;

use skep_isa::{CallTarget, Insn, InsnIndex};

use crate::{Program, Stats};

/// How often the instructions of a line of source were followed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineCost {
    /// The file, as the compiler was given it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// Its text; empty where the compiler left it out.
    pub text: String,
    /// The function that it is in.
    pub function: String,
    /// How many instructions of it were followed, each as often as it was.
    pub instructions: u64,
}

/// A function of a chain of calls, and its part of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainLink {
    /// The function's name.
    pub function: String,
    /// Bytes of stack that its frame takes.
    pub stack: u32,
}

impl Stats {
    /// The lines of source, the costliest first. Takes a verification that
    /// [counted](crate::Options::count), and a program with records of its lines.
    pub fn lines(&self, program: &Program<'_>) -> Vec<LineCost> {
        let Some(source) = program.source else {
            return Vec::new();
        };
        let mut lines: BTreeMap<(&str, u32), LineCost> = BTreeMap::new();
        for (insn, &count) in (0..).zip(&self.by_instruction) {
            let Some(place) = source.source_at(InsnIndex(insn)).filter(|_| count > 0) else {
                continue;
            };
            let line = lines
                .entry((place.file, place.line))
                .or_insert_with(|| LineCost {
                    file: place.file.to_owned(),
                    line: place.line,
                    text: place.text.trim().to_owned(),
                    function: place.function.to_owned(),
                    instructions: 0,
                });
            line.instructions = line.instructions.saturating_add(count.into());
        }
        let mut lines: Vec<LineCost> = lines.into_values().collect();
        lines.sort_by_key(|line| std::cmp::Reverse(line.instructions));
        lines
    }

    /// The chain of calls whose frames take the most stack, from the program on.
    pub fn deepest_chain(&self, program: &Program<'_>) -> Vec<ChainLink> {
        let starts: Vec<usize> = match program.functions.is_empty() {
            true => vec![0],
            false => program
                .functions
                .iter()
                .map(|function| function.start.as_usize())
                .collect(),
        };
        let mut calls = vec![Vec::new(); starts.len()];
        let mut insns = skep_isa::decode_program(&program.instructions);
        while let Some(Ok((at, insn))) = insns.next() {
            let Insn::Call(CallTarget::Subprogram { offset }) = insn else {
                continue;
            };
            let Some(target) = at.relative(offset) else {
                continue;
            };
            let caller = starts.partition_point(|start| *start <= at.as_usize());
            let called = starts.binary_search(&target.as_usize());
            if let (Some(calls), Ok(called)) = (calls.get_mut(caller.wrapping_sub(1)), called)
                && !calls.contains(&called)
            {
                calls.push(called);
            }
        }
        let mut best = vec![None; starts.len()];
        deepest(0, &self.stack, &calls, &mut best, 0);
        let mut chain = Vec::new();
        let mut next = Some(0);
        while let Some(function) = next.filter(|_| chain.len() < starts.len()) {
            chain.push(ChainLink {
                function: match program.functions.get(function) {
                    Some(function) => function.name.clone(),
                    None => program.name.to_string(),
                },
                stack: self.stack.get(function).copied().unwrap_or_default(),
            });
            next = best
                .get(function)
                .copied()
                .flatten()
                .and_then(|(_, next)| next);
        }
        chain
    }
}

/// Bytes of the deepest chain from a function on, and the function that it goes on with: by
/// function, `None` where it was not looked at.
type Deepest = Vec<Option<(u32, Option<usize>)>>;

/// Fills in what is below `function`. Programs that recurse are refused, but have no end here.
fn deepest(
    function: usize,
    stack: &[u32],
    calls: &[Vec<usize>],
    best: &mut Deepest,
    depth: usize,
) -> u32 {
    /// More than any kernel takes.
    const MOST_FRAMES: usize = 32;
    if let Some(Some((bytes, _))) = best.get(function) {
        return *bytes;
    }
    let own = stack.get(function).copied().unwrap_or_default();
    if depth >= MOST_FRAMES {
        return own;
    }
    let mut below = (0, None);
    for &called in calls.get(function).into_iter().flatten() {
        let bytes = deepest(called, stack, calls, best, depth.saturating_add(1));
        if below.1.is_none() || bytes > below.0 {
            below = (bytes, Some(called));
        }
    }
    let bytes = own.saturating_add(below.0);
    if let Some(place) = best.get_mut(function) {
        *place = Some((bytes, below.1));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use skep_abi::ProgramType;
    use skep_isa::assemble;

    use super::*;
    use crate::Function;

    #[test]
    fn the_deepest_chain_is_the_one_with_the_most_stack() {
        let code = " call small\n call large\n r0 = 0\n exit\nsmall:\n r0 = 0\n exit\nlarge:\n \
                    r0 = 0\n exit\n";
        let instructions = assemble(code).expect("code");
        let mut program = Program::new(ProgramType::Xdp, "main", &instructions);
        for (name, start) in [("main", 0), ("small", 4), ("large", 6)] {
            program.functions.push(Function {
                name: name.into(),
                start: InsnIndex(start),
                type_id: None,
            });
        }
        let stats = Stats {
            stack: vec![8, 16, 64],
            ..Stats::default()
        };
        let chain = stats.deepest_chain(&program);
        let names: Vec<_> = chain.iter().map(|link| link.function.as_str()).collect();
        assert_eq!(names, ["main", "large"]);
        assert_eq!(chain.iter().map(|link| link.stack).sum::<u32>(), 72);
    }

    #[test]
    fn a_program_that_calls_itself_has_an_end() {
        let calls = vec![vec![1], vec![0]];
        let mut best = vec![None; 2];
        assert!(deepest(0, &[8, 8], &calls, &mut best, 0) >= 16);
    }
}
