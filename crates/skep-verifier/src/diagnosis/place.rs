//! Places in a program: the instruction, its function, its line of source.

use std::borrow::Cow;

use skep_isa::InsnIndex;

use crate::Program;

/// A place in a program.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The instruction.
    pub insn: InsnIndex,
    /// The instruction in the kernel's syntax, without its number; empty if it is none.
    pub text: String,
    /// The function it is in, if that has a name.
    pub function: Option<String>,
    /// The line of source that it comes from, if the program says it.
    pub source: Option<Source>,
}

/// A line of source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// The file, as the compiler was given it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in bytes, from 1; 0 where it is not known.
    pub column: u32,
    /// The line's text; empty where the compiler left it out.
    pub text: String,
}

impl Place {
    /// The place of an instruction.
    pub(crate) fn of(program: &Program<'_>, insn: InsnIndex) -> Self {
        let function = program
            .functions
            .iter()
            .rev()
            .find(|function| function.start <= insn);
        let line = program.source.and_then(|source| source.source_at(insn));
        Self {
            insn,
            text: text_of(program, insn),
            function: function.map(|function| function.name.clone()),
            // Line 0 is what the compiler made up.
            source: line.filter(|line| line.line > 0).map(|line| Source {
                file: line.file.to_owned(),
                line: line.line,
                column: line.column,
                text: line.text.trim_end().to_owned(),
            }),
        }
    }
}

/// An instruction in the kernel's syntax.
fn text_of(program: &Program<'_>, insn: InsnIndex) -> String {
    let slots = program
        .instructions
        .get(insn.as_usize()..)
        .unwrap_or_default();
    // A wide instruction has two slots.
    let slots = slots.get(..2).unwrap_or(slots);
    match skep_isa::decode_program(slots).next() {
        Some(Ok((_, decoded))) => {
            let opcode = slots.first().map_or(0, |slot| slot.opcode);
            let names = Names(program);
            let disassembler = skep_isa::Disassembler::new(&names);
            let text = disassembler.insn(insn, decoded);
            format!("({opcode:02x}) {text}")
        }
        _ => String::new(),
    }
}

/// The names that a program's instructions refer to.
struct Names<'p>(&'p Program<'p>);

impl skep_isa::Symbols for Names<'_> {
    fn helper(&self, id: u32) -> Option<Cow<'_, str>> {
        Some(skep_abi::Helper::by_id(id)?.name.into())
    }

    fn subprogram(&self, _: InsnIndex, start: Option<InsnIndex>) -> Option<Cow<'_, str>> {
        let mut functions = self.0.functions.iter();
        let function = functions.find(|function| Some(function.start) == start)?;
        Some(function.name.as_str().into())
    }

    fn address(&self, at: InsnIndex, _: skep_isa::Imm64) -> Option<Cow<'_, str>> {
        let used = self.0.map_uses.iter().find(|used| used.insn == at)?;
        let map = self.0.maps.get(used.map.0 as usize)?;
        Some(match used.value_offset {
            None => format!("map[{}]", map.name).into(),
            Some(offset) => format!("map[{}][0]+{offset}", map.name).into(),
        })
    }
}
