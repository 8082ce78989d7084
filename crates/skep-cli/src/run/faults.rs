//! Faults of programs on the virtual machine, as who wrote them wants to know: each place once,
//! with its line in the source.

use std::fmt::Write as _;

use skep::{Loaded, isa::InsnIndex};

/// Faults that are shown without `-v`.
const SHOWN: usize = 2;

/// Bytes of a name that hosts keep (`BPF_OBJ_NAME_LEN`, without the NUL).
const NAME: usize = 15;

/// Runs of programs that ended with a fault.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    count: u64,
    /// The first of them in words, each once.
    texts: Vec<String>,
}

impl Faults {
    /// Adds so many, and the first of them in words.
    pub(crate) fn add(&mut self, count: u64, first: impl IntoIterator<Item = String>) {
        self.count = self.count.saturating_add(count);
        for text in first {
            if !self.texts.contains(&text) {
                self.texts.push(text);
            }
        }
    }

    /// Finds the lines in the source, while the programs are there.
    pub(crate) fn place(&mut self, loaded: &Loaded) {
        for text in &mut self.texts {
            if let Some(place) = place(loaded, text) {
                text.push_str(&place);
            }
        }
    }

    /// Says them on stderr.
    pub(crate) fn say(&self, verbose: bool) {
        if self.count == 0 {
            return;
        }
        let shown = match verbose {
            true => self.texts.len(),
            false => SHOWN.min(self.texts.len()),
        };
        let runs = match self.count {
            1 => "a run ended".to_owned(),
            count => format!("{count} runs ended"),
        };
        let more = match self.texts.len() > shown {
            true => "; -v shows more",
            false => "",
        };
        say!("{runs} with a fault{more}");
        for text in self.texts.iter().take(shown) {
            say!("fault: {text}");
        }
    }
}

/// Where a fault's instruction is in the source, and what it asked for in vain.
fn place(loaded: &Loaded, fault: &str) -> Option<String> {
    let (name, insn) = named(fault)?;
    let is_it = |full: &str| full == name || (name.len() == NAME && full.starts_with(name));
    let mut programs = loaded.image().programs.iter();
    let program = programs.find(|one| is_it(&one.name))?;
    let mut place = String::new();
    // Writing to a string can't fail.
    if let Some(poisoned) = program.poisoned_at(insn) {
        let _ = write!(place, "\n  the vm lacks {}", poisoned.description);
    }
    if let Some(line) = program.source_at(insn) {
        let _ = write!(place, "\n  --> {}:{}", line.file, line.line);
        let _ = write!(place, "\n   | {}", line.text.trim_start());
    }
    Some(place)
}

/// The program and the instruction that a fault names.
fn named(fault: &str) -> Option<(&str, InsnIndex)> {
    // Where it happened may stand before it.
    let (_, rest) = fault.split_once("program `")?;
    let (name, rest) = rest.split_once("`, instruction ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((name, InsnIndex(digits.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use skep::vm::{Fault, FaultKind};

    use super::*;

    #[test]
    fn a_fault_names_its_program_and_instruction() {
        let fault = Fault {
            program: "bad".into(),
            at: InsnIndex(12),
            call: Some("bpf_map_lookup_elem"),
            kind: FaultKind::Time,
        };
        let text = fault.to_string();
        assert_eq!(named(&text), Some(("bad", InsnIndex(12))));
        let with_packet = format!("packet 16, xdp: {text}");
        assert_eq!(named(&with_packet), Some(("bad", InsnIndex(12))));
        assert_eq!(named("no fault at all"), None);
    }

    #[test]
    fn each_is_said_once() {
        let mut faults = Faults::default();
        faults.add(7, ["a", "b", "a"].map(Into::into));
        faults.add(1, ["b".into()]);
        assert_eq!((faults.count, faults.texts.len()), (8, 2));
    }
}
