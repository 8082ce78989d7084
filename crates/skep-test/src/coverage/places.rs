//! From instructions to places in the source: by the function's line records and its jumps. The
//! rules, and why, stand in [`super`].

use std::collections::{BTreeMap, BTreeSet};

use skep::{
    isa::{CompareOp, Insn, InsnIndex, Operand, Width, decode_program},
    spec::Function,
};

/// A place in the source, by strings of the object's BTF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The file's path.
    pub(super) file: u32,
    /// From 1.
    pub(super) line: u32,
    /// From 1; 0 where it is not known.
    pub(super) column: u32,
    /// The line's text.
    pub(super) text: u32,
}

/// A conditional jump of a function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jump {
    /// What it asks, and whether it jumps if the answer is no.
    pub(super) test: Test,
    pub(super) opposite: bool,
    /// Where control comes to if the answer is yes, and if it is no.
    pub(super) ways: [Option<Place>; 2],
}

/// What a conditional jump asks, so that a question and its opposite are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Test {
    wide: bool,
    pub(super) question: Question,
    /// The right side; `None` for a register.
    pub(super) constant: Option<i32>,
}

impl Test {
    /// Whether it is for a single value.
    pub(super) fn is_equal(self) -> bool {
        self.question == Question::Equal
    }

    /// What copies of it share: the constant only where it tells cases of a `switch` apart. Others
    /// differ by the constants that an inlined function was given.
    pub(super) fn of_copies(self) -> Self {
        Self {
            constant: self.constant.filter(|_| self.is_equal()),
            ..self
        }
    }

    /// What the answer is when a value is compared with this constant: that it is `0`, `other than
    /// 0`, `above 5`, `at most 5`.
    pub(super) fn answer(self, constant: i32, yes: bool) -> String {
        // Constants are extended by their sign, whatever is compared.
        let unsigned = match self.wide {
            true => i64::from(constant).cast_unsigned(),
            false => u64::from(constant.cast_unsigned()),
        };
        match (self.question, constant, yes) {
            (Question::Equal, -4096..4096, true) => constant.to_string(),
            (Question::Equal, -4096..4096, false) => format!("other than {constant}"),
            (Question::Equal, _, true) => format!("{unsigned:#x}"),
            (Question::Equal, _, false) => format!("other than {unsigned:#x}"),
            (Question::Above, _, true) => format!("above {unsigned}"),
            (Question::Above, _, false) => format!("at most {unsigned}"),
            (Question::AtLeast, _, true) => format!("at least {unsigned}"),
            (Question::AtLeast, _, false) => format!("below {unsigned}"),
            // How compilers ask for what is negative.
            (Question::SignedAbove, -1, true) => "at least 0".to_owned(),
            (Question::SignedAbove, -1, false) => "below 0".to_owned(),
            (Question::SignedAbove, _, true) => format!("above {constant}"),
            (Question::SignedAbove, _, false) => format!("at most {constant}"),
            (Question::SignedAtLeast, _, true) => format!("at least {constant}"),
            (Question::SignedAtLeast, _, false) => format!("below {constant}"),
            (Question::Bits, _, true) => format!("with bits of {unsigned:#x}"),
            (Question::Bits, _, false) => format!("without bits of {unsigned:#x}"),
        }
    }
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Question {
    Equal,
    Above,
    AtLeast,
    SignedAbove,
    SignedAtLeast,
    Bits,
}

/// An instruction of a function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) at: InsnIndex,
    /// Where it comes from, if that is known.
    pub(super) place: Option<Place>,
    /// What it is, if it is a conditional jump.
    pub(super) jump: Option<Jump>,
}

/// Copies that a piece of code is compared with, and instructions that are looked at for a line:
/// real code needs a few, and hostile code gets no more.
const COPIES: usize = 16;
const NEAR: usize = 64;

/// The instructions of a function with their places.
pub(super) fn steps(function: &Function) -> Vec<Step> {
    let mut body = Body::new(function);
    body.place_copies();
    body.steps()
}

/// A function's instructions while their places are found.
struct Body<'f> {
    function: &'f Function,
    insns: Vec<(InsnIndex, Insn)>,
    targets: BTreeSet<InsnIndex>,
    /// By place in `insns`.
    places: Vec<Option<Place>>,
}

impl<'f> Body<'f> {
    fn new(function: &'f Function) -> Self {
        let insns: Vec<(InsnIndex, Insn)> = decode_program(&function.instructions)
            .filter_map(Result::ok)
            .collect();
        let targets: BTreeSet<InsnIndex> = insns
            .iter()
            .filter_map(|(at, insn)| insn.target(*at))
            .collect();
        let mut records = function.lines.iter().peekable();
        let mut current = None;
        let places = insns.iter().map(|(at, _)| {
            if targets.contains(at) {
                current = None;
            }
            while let Some(record) = records.next_if(|record| record.insn <= *at) {
                // Line 0 is what compilers say of code that is of no line.
                current = (record.line() != 0).then(|| Place {
                    file: record.file.0,
                    line: record.line(),
                    column: record.column(),
                    text: record.text.0,
                });
            }
            current
        });
        Self {
            function,
            places: places.collect(),
            insns,
            targets,
        }
    }

    fn index(&self, at: InsnIndex) -> Option<usize> {
        self.insns.binary_search_by_key(&at, |(at, _)| *at).ok()
    }

    /// Compilers merge the ends of copies, of an inlined function or of an unrolled loop, and what
    /// was merged has no line. Where copies of a jump lead to the same instructions, and some of
    /// these have a place, the others get it.
    fn place_copies(&mut self) {
        let mut known: BTreeMap<(Place, Test, bool), BTreeSet<(Place, usize)>> = BTreeMap::new();
        let mut unknown = Vec::new();
        for index in 0..self.insns.len() {
            let (Some(place), Some((test, opposite, ends))) =
                (self.places[index], self.conditional(index))
            else {
                continue;
            };
            for (end, jumps) in ends.into_iter().zip([true, false]) {
                let Some(end) = end else { continue };
                let key = (place, test, jumps != opposite);
                match self.places[end] {
                    Some(place) => _ = known.entry(key).or_default().insert((place, end)),
                    None => unknown.push((key, end)),
                }
            }
        }
        for (key, end) in unknown {
            let copies = known.get(&key).into_iter().flatten().take(COPIES);
            let mut alike = copies.filter(|(_, copy)| self.is_copy(end, *copy));
            let place = alike.next().map(|(place, _)| *place);
            if alike.any(|(other, _)| Some(*other) != place) || place.is_none() {
                continue;
            }
            for index in end..self.insns.len() {
                let begins = index > end && self.targets.contains(&self.insns[index].0);
                if begins || self.places[index].is_some() {
                    break;
                }
                self.places[index] = place;
                if !self.insns[index].1.falls_through() {
                    break;
                }
            }
        }
    }

    /// Whether the same instructions begin at two places: up to four, or to where control meets.
    fn is_copy(&self, first: usize, second: usize) -> bool {
        let slot = |index: usize| {
            let at = self.insns.get(index)?.0;
            self.function.instructions.get(at.as_usize())
        };
        for step in 0..4 {
            let (first, second) = (first + step, second + step);
            let meets = |index: usize| {
                let insn = self.insns.get(index);
                insn.is_none_or(|(at, insn)| self.targets.contains(at) || insn.is_jump())
            };
            if step > 0 && (meets(first) || meets(second)) {
                return true;
            }
            if slot(first) != slot(second) {
                return false;
            }
        }
        true
    }

    /// What a conditional jump asks, and where it comes to when it jumps and when it does not.
    fn conditional(&self, index: usize) -> Option<(Test, bool, [Option<usize>; 2])> {
        let (at, insn) = self.insns.get(index)?;
        let Insn::JumpIf { width, op, src, .. } = *insn else {
            return None;
        };
        let (question, opposite) = match op {
            CompareOp::Eq => (Question::Equal, false),
            CompareOp::Ne => (Question::Equal, true),
            CompareOp::Gt => (Question::Above, false),
            CompareOp::Le => (Question::Above, true),
            CompareOp::Ge => (Question::AtLeast, false),
            CompareOp::Lt => (Question::AtLeast, true),
            CompareOp::SGt => (Question::SignedAbove, false),
            CompareOp::SLe => (Question::SignedAbove, true),
            CompareOp::SGe => (Question::SignedAtLeast, false),
            CompareOp::SLt => (Question::SignedAtLeast, true),
            CompareOp::Set => (Question::Bits, false),
        };
        let test = Test {
            wide: width == Width::W64,
            question,
            constant: match src {
                Operand::Imm(imm) => Some(imm),
                Operand::Reg(_) => None,
            },
        };
        let jumps = insn.target(*at).and_then(|target| self.end(target));
        let falls = self.insns.get(index + 1);
        let falls = falls.and_then(|(next, _)| self.end(*next));
        Some((test, opposite, [jumps, falls]))
    }

    /// Where control comes to at `at`, by jumps that are of no line.
    fn end(&self, mut at: InsnIndex) -> Option<usize> {
        // Chains of jumps are short, but might be circles.
        for _ in 0..16 {
            let index = self.index(at)?;
            match self.insns.get(index)?.1 {
                insn @ (Insn::Jump { .. } | Insn::JumpLong { .. })
                    if self.places[index].is_none() =>
                {
                    at = insn.target(at)?;
                }
                _ => return Some(index),
            }
        }
        None
    }

    /// The first place of another line than `own` from here on, up to where control parts or meets;
    /// if there is none, the place here.
    fn near(&self, from: usize, own: Option<Place>) -> Option<Place> {
        let is_other = |place: &Place| own.is_none_or(|own| own.line != place.line);
        for index in from..from + NEAR {
            let place = *self.places.get(index)?;
            if place.is_some_and(|place| is_other(&place)) {
                return place;
            }
            let (_, insn) = self.insns.get(index)?;
            let next = self.insns.get(index + 1);
            let meets = next.is_none_or(|(next, _)| self.targets.contains(next));
            if meets || insn.is_jump() || !insn.falls_through() {
                break;
            }
        }
        self.places[from]
    }

    fn steps(&self) -> Vec<Step> {
        let all = self.insns.iter().enumerate();
        all.map(|(index, (at, _))| Step {
            at: *at,
            place: self.places[index],
            jump: self.conditional(index).map(|(test, opposite, ends)| {
                let [jumps, falls] =
                    ends.map(|end| end.and_then(|end| self.near(end, self.places[index])));
                Jump {
                    test,
                    opposite,
                    ways: if opposite {
                        [falls, jumps]
                    } else {
                        [jumps, falls]
                    },
                }
            }),
        })
        .collect()
    }
}
