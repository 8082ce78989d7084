//! The kernel's verifier log as data: from what 5.10 writes to what 7.3 does, whose logs end with
//! a diagnosis in words of their own.
//!
//! A log is anyone's bytes. Nothing in it is taken for more than it says: what is not found stays
//! empty, and a message that no pattern knows has no rule.

mod rules;

use skep_isa::{InsnIndex, Reg};

use crate::Rule;

/// What the kernel's verifier says of a program that it refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct KernelLog {
    /// The rule that the message is about, if it is known.
    pub rule: Option<Rule>,
    /// The message: the last thing that the log says of the program.
    pub message: String,
    /// The instruction where it stopped, if the log says it.
    pub insn: Option<InsnIndex>,
    /// The register that the message names.
    pub register: Option<Reg>,
    /// The lines of source that were followed before the end, each where its instructions begin,
    /// the last one last.
    pub lines: Vec<LogLine>,
    /// The instructions that were followed to the end without a branch between that another path
    /// was taken from; the last one last.
    pub path: Vec<InsnIndex>,
    /// Why, in the kernel's own words. Since Linux 7.3.
    pub reason: Option<String>,
    /// What the kernel suggests. Since Linux 7.3.
    pub suggestion: Option<String>,
}

/// A line of source in a log: `; text @ file.c:12`, before 6.8 only the text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLine {
    /// The first instruction that was followed for it.
    pub insn: InsnIndex,
    /// The text.
    pub text: String,
    /// The file's name and the line, from 1, if the log has them.
    pub place: Option<(String, u32)>,
}

/// The most lines of source that are kept.
const MOST_LINES: usize = 64;

/// The most instructions that are kept.
const MOST_INSNS: usize = 4096;

impl KernelLog {
    /// Reads a log.
    #[must_use]
    pub fn parse(log: &str) -> Self {
        let (states, diagnosis) = split(log);
        let mut parsed = Self {
            reason: paragraph(diagnosis, "Reason:"),
            suggestion: paragraph(diagnosis, "Suggestion:"),
            ..Self::default()
        };
        let mut source = None;
        for line in states.lines() {
            if let Some(text) = line.strip_prefix("; ") {
                source = Some(source_line(text));
            } else if let Some(insn) = instruction(line) {
                parsed.insn = Some(insn);
                keep(&mut parsed.path, insn, MOST_INSNS);
                if let Some((text, place)) = source.take() {
                    keep(&mut parsed.lines, LogLine { insn, text, place }, MOST_LINES);
                }
            } else if is_new_path(line) {
                parsed.path.clear();
                source = None;
            }
        }
        parsed.message = match message(states) {
            "" => title(diagnosis).to_owned(),
            message => message.to_owned(),
        };
        parsed.rule = rules::of(&parsed.message).or_else(|| rules::of(title(diagnosis)));
        parsed.register = register(&parsed.message);
        // Messages that name the place themselves know it better.
        if let Some(insn) = named_instruction(&parsed.message) {
            parsed.insn = Some(insn);
        }
        parsed
    }
}

/// Adds to a list that forgets its beginning.
fn keep<T>(list: &mut Vec<T>, one: T, most: usize) {
    if list.len() >= most * 2 {
        list.drain(..most);
    }
    list.push(one);
}

/// A log's states, and the diagnosis in words that stands behind them since Linux 7.3.
fn split(log: &str) -> (&str, &str) {
    const START: &str = "Verification failed:";
    let at = if log.starts_with(START) {
        Some(0)
    } else {
        log.find("\nVerification failed:").map(|at| at + 1)
    };
    log.split_at(at.unwrap_or(log.len()))
}

/// What the diagnosis' first line says.
fn title(diagnosis: &str) -> &str {
    let first = diagnosis.lines().next().unwrap_or_default();
    first
        .strip_prefix("Verification failed:")
        .unwrap_or_default()
        .trim()
}

/// The indented lines below a heading, as one.
fn paragraph(diagnosis: &str, heading: &str) -> Option<String> {
    let mut lines = diagnosis.lines().skip_while(|line| *line != heading);
    lines.next()?;
    let words: Vec<&str> = lines
        .take_while(|line| line.starts_with(' '))
        .map(str::trim)
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// The instruction of a line such as `12: (61) r1 = …`; lines with states alone have none.
fn instruction(line: &str) -> Option<InsnIndex> {
    let (number, rest) = line.split_once(": (")?;
    let (opcode, _) = rest.split_once(')')?;
    let is_opcode = opcode.len() == 2 && opcode.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_opcode {
        return None;
    }
    number.parse().ok().map(InsnIndex)
}

/// Whether another path begins: `from 5 to 9: R0=…`.
fn is_new_path(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next() == Some("from") && words.nth(1) == Some("to")
}

/// The text, and the file and line, of what follows `; `.
fn source_line(text: &str) -> (String, Option<(String, u32)>) {
    if let Some((before, place)) = text.rsplit_once(" @ ")
        && let Some((file, line)) = place.trim().rsplit_once(':')
        && let Ok(line) = line.parse()
    {
        return (before.trim().to_owned(), Some((file.to_owned(), line)));
    }
    (text.trim().to_owned(), None)
}

/// Beginnings of lines that count, follow or comment, and are no message.
const NO_MESSAGE: &[&str] = &[
    "processed ",
    "verification time ",
    "stack depth ",
    "max_states_per_insn",
    "insns_processed",
    "mark_precise: ",
    "regs=",
    "parent ",
    "last_idx ",
    "func#",
    "from ",
    "arg#",
    "; ",
    "caller:",
    "callee:",
    "to caller at",
    "returning from callee:",
    "propagating ",
    "reg type unsupported for arg#",
    "Validating ",
];

/// The last line that is no count, no state and no comment. What only comments is taken where
/// there is nothing else.
fn message(states: &str) -> &str {
    let lines = || {
        states
            .lines()
            .rev()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    let counts = |line: &&str| {
        NO_MESSAGE
            .iter()
            .take(5)
            .any(|start| line.starts_with(start))
    };
    let comments = |line: &&str| {
        NO_MESSAGE.iter().any(|start| line.starts_with(start)) && rules::of(line).is_none()
    };
    let state = |line: &&str| {
        instruction(line).is_some()
            || line.split_once(": ").is_some_and(|(number, rest)| {
                number.bytes().all(|byte| byte.is_ascii_digit())
                    && (rest.starts_with('R') || rest.starts_with("frame") || rest == "safe")
            })
    };
    lines()
        .filter(|line| !counts(line))
        .find(|line| !comments(line) && !state(line))
        .unwrap_or_default()
}

/// The register that a message begins with or names: `R3`.
fn register(message: &str) -> Option<Reg> {
    let mut words = message.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.find_map(|word| {
        let number: u8 = word.strip_prefix('R')?.parse().ok()?;
        Reg::new(number)
    })
}

/// The instruction that a message names: `unreachable insn 4`, `at insn 7`.
fn named_instruction(message: &str) -> Option<InsnIndex> {
    let starts = [
        "unreachable insn ",
        "detected at insn ",
        "back-edge from insn ",
    ];
    starts.iter().find_map(|start| {
        let (_, rest) = message.split_once(start)?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok().map(InsnIndex)
    })
}

#[cfg(test)]
mod tests;
