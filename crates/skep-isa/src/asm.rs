//! The assembler: the syntax that the disassembler writes, with labels and comments. Lines are
//! parsed into instructions first; then labels become offsets.

mod cursor;
mod error;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub use error::{AssembleError, AssembleErrorKind};

use crate::insn::Insn;
use crate::raw::{InsnIndex, RawInsn};
use cursor::LabelUse;
use lexer::Token;

/// Assembles a program, one instruction a line.
///
/// - **Instructions** are written as [`Disassembler`](crate::Disassembler) writes them. What LLVM
///   writes differently is taken too: `goto +3`, `(r1 + 8)`, `call 12` (a helper), hexadecimal
///   numbers, `w1` as the operand of loads, stores and atomics of up to 32 bits, `xchg_64(..)`,
///   and `<label>` after a jump. So is a line of the kernel's log, with its leading position and
///   opcode: `3: (b7) r0 = 0`.
/// - **Numbers** are decimal or `0x` hexadecimal. A 32-bit immediate may be given as its bits:
///   `0xffffffff` is -1.
/// - **Labels**: `name:`, on a line of its own or before an instruction. They stand for the
///   offset in `goto name`, `gotol name`, `may_goto name`, `if .. goto name`, `call name` (a
///   function of the same program) and `r1 = subprog[name]`.
/// - **Comments** run from `;`, `//` or a `#` at the line's start or after a space to the end of
///   the line.
///
/// # Errors
/// [`AssembleError`]: the first thing that is wrong, with its line, column and what was expected.
///
/// ```
/// use skep_isa::assemble;
/// let slots = assemble("r1 = 7\n call double\n exit\ndouble:\n r0 = r1\n r0 += r0\n exit")?;
/// assert_eq!((slots[1].src, slots[1].imm), (1, 1));
///
/// let error = assemble("r0 = 0\n r0 += q7").unwrap_err();
/// assert_eq!(error.to_string(), "line 2, column 8: expected a 64-bit register or a number, found `q7`");
/// # Ok::<(), skep_isa::AssembleError>(())
/// ```
pub fn assemble(text: &str) -> Result<Vec<RawInsn>, AssembleError> {
    let mut program = Program::default();
    for (number, line) in text.lines().enumerate() {
        program.line(Line {
            number: number.saturating_add(1),
            text: line,
        })?;
    }
    program.finish()
}

/// A line of the text, to say where an error is.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    number: usize,
    text: &'a str,
}

impl Line<'_> {
    fn error(self, at: usize, kind: AssembleErrorKind) -> AssembleError {
        let before = self.text.get(..at).unwrap_or(self.text);
        AssembleError {
            line: self.number,
            column: before.chars().count().saturating_add(1),
            kind,
        }
    }
}

#[derive(Default)]
struct Program<'a> {
    insns: Vec<(InsnIndex, Insn)>,
    next: InsnIndex,
    labels: HashMap<&'a str, (InsnIndex, usize)>,
    /// Which of `insns` wait for a label.
    uses: Vec<(usize, Line<'a>, LabelUse<'a>)>,
    tokens: Vec<Token<'a>>,
}

impl<'a> Program<'a> {
    fn line(&mut self, line: Line<'a>) -> Result<(), AssembleError> {
        let mut start = 0;
        while let Some((name, end)) = label(line.text, start) {
            let first = self.labels.insert(name, (self.next, line.number));
            if let Some((_, first_line)) = first {
                let name = name.to_owned();
                let kind = AssembleErrorKind::DuplicateLabel { name, first_line };
                return Err(line.error(skip_space(line.text, start), kind));
            }
            start = end;
        }
        if start == 0 {
            start = log_prefix(line.text);
        }
        self.tokens.clear();
        lexer::tokenize(line.text, start, &mut self.tokens)
            .map_err(|(at, kind)| line.error(at, kind))?;
        if self.tokens.is_empty() {
            return Ok(());
        }
        let (insn, label) = parser::statement(line, &self.tokens)?;
        if let Some(label) = label {
            self.uses.push((self.insns.len(), line, label));
        }
        self.insns.push((self.next, insn));
        self.next = insn
            .next(self.next)
            .filter(|next| i32::try_from(next.0).is_ok())
            .ok_or_else(|| line.error(start, AssembleErrorKind::TooLong))?;
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<RawInsn>, AssembleError> {
        for (user, line, LabelUse { name, at }) in self.uses {
            let error = |kind| line.error(at, kind);
            let Some((target, _)) = self.labels.get(name) else {
                return Err(error(AssembleErrorKind::UnknownLabel(name.into())));
            };
            let Some((index, insn)) = self.insns.get_mut(user) else {
                continue;
            };
            let distance = i64::from(target.0)
                .saturating_sub(i64::from(index.0))
                .saturating_sub(1);
            let name = name.to_owned();
            *insn = i32::try_from(distance)
                .ok()
                .and_then(|offset| insn.with_relative_offset(offset))
                .ok_or_else(|| error(AssembleErrorKind::TooFar { name, distance }))?;
        }
        let mut slots = Vec::with_capacity(self.next.as_usize());
        for (_, insn) in self.insns {
            slots.extend_from_slice(&insn.encode());
        }
        Ok(slots)
    }
}

/// The label that stands at `start`, and where its colon ends. (A name that begins with a digit is
/// a position of the kernel's log.)
fn label(line: &str, start: usize) -> Option<(&str, usize)> {
    let begin = skip_space(line, start);
    let rest = line.get(begin..)?;
    let end = rest.find(|c| !lexer::is_in_word(c))?;
    let (name, tail) = rest.split_at_checked(end)?;
    let is_label = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && tail.starts_with(':');
    is_label.then(|| (name, begin.saturating_add(end).saturating_add(1)))
}

/// Where the instruction begins in a line of the kernel's log or of bpftool: after `3: (b7)`.
fn log_prefix(line: &str) -> usize {
    let rest = line.trim_start();
    let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let Some(tail) = digits
        .strip_prefix(':')
        .filter(|_| digits.len() < rest.len())
    else {
        return 0;
    };
    let tail = tail.trim_start();
    let opcode = tail
        .split_once(')')
        .and_then(|(opcode, tail)| Some((opcode.strip_prefix('(')?, tail)))
        .filter(|(opcode, _)| opcode.len() == 2 && opcode.chars().all(|c| c.is_ascii_hexdigit()));
    let tail = opcode.map_or(tail, |(_, tail)| tail);
    line.len().saturating_sub(tail.len())
}

fn skip_space(line: &str, start: usize) -> usize {
    let rest = line.get(start..).unwrap_or_default();
    line.len().saturating_sub(rest.trim_start().len())
}
