//! The same for programs: one JSON object an instruction, each on a line.

use std::io::{self, Write};

use serde_json::{Map, Value, json};
use skep::isa::{Disassembler, Endian, InsnIndex, NoSymbols, decode_program};

use super::{
    code::{Code, Line},
    listing::hex,
};
use crate::output::Output;

pub(super) fn print(
    code: &Code<'_>,
    endian: Endian,
    names: bool,
    out: &mut Output,
) -> io::Result<()> {
    for decoded in decode_program(code.slots) {
        let mut row = Map::new();
        let at = match decoded {
            Ok((at, insn)) => {
                let index = at.as_usize();
                let end = index.saturating_add(insn.encode().len());
                let slots = code.slots.get(index..end).unwrap_or_default();
                place(code, at, &mut row);
                let bytes: Vec<String> = slots.iter().map(|slot| hex(slot, endian)).collect();
                row.insert("bytes".into(), bytes.join(" ").into());
                row.insert(
                    "opcode".into(),
                    slots.first().map_or(0, |slot| slot.opcode).into(),
                );
                let text = if names {
                    Disassembler::new(code)
                        .insn(at, code.resolved(at, insn))
                        .to_string()
                } else {
                    Disassembler::new(&NoSymbols).insn(at, insn).to_string()
                };
                row.insert("text".into(), text.into());
                at
            }
            Err(error) => {
                let at = error.index().unwrap_or_default();
                place(code, at, &mut row);
                let bytes = code.slots.get(at.as_usize()).map(|slot| hex(slot, endian));
                row.insert("bytes".into(), bytes.into());
                row.insert("error".into(), error.to_string().into());
                at
            }
        };
        if let Some(note) = code.note(at) {
            row.insert("note".into(), note.into());
        }
        if let Some((_, line)) = code.lines.range(..=at).next_back() {
            row.insert("source".into(), source(line));
        }
        serde_json::to_writer(&mut *out, &row)?;
        writeln!(out)?;
    }
    Ok(())
}

fn place(code: &Code<'_>, at: InsnIndex, row: &mut Map<String, Value>) {
    row.insert("program".into(), code.program.into());
    row.insert("function".into(), code.function_at(at).into());
    row.insert("index".into(), at.0.into());
}

fn source(line: &Line<'_>) -> Value {
    let Line {
        file,
        line,
        column,
        text,
    } = line;
    json!({ "file": file, "line": line, "column": column, "text": text })
}
