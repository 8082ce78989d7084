//! A listing for people, in the form of the kernel's log: all that is no instruction is a comment,
//! so that the whole can be assembled again.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use skep::isa::{
    DecodeError, Disassembler, Endian, Insn, InsnIndex, NoSymbols, RawInsn, decode_program,
};

use super::code::{Code, Line};
use crate::{output::Output, text::printable};

const TITLE: Style = Style::new().bold();
const SOURCE: Style = AnsiColor::Cyan.on_default();
const NOTE: Style = Style::new().dimmed();

/// What stands beside the instructions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    pub(super) bytes: bool,
    pub(super) source: bool,
    pub(super) names: bool,
}

pub(super) fn print(
    code: &Code<'_>,
    endian: Endian,
    columns: Columns,
    first: bool,
    out: &mut Output,
) -> io::Result<()> {
    if !first {
        writeln!(out)?;
    }
    let title = out.paint(TITLE, format!("; {}", printable(&code.title)));
    writeln!(out, "{title}")?;
    let mut said: Option<Line<'_>> = None;
    for decoded in decode_program(code.slots) {
        let at = position(&decoded);
        if let Some(name) = code.functions.get(&at).filter(|_| at != InsnIndex(0)) {
            let name = out.paint(TITLE, format!("; function {}:", printable(name)));
            writeln!(out, "{name}")?;
        }
        // Line 0 is the compiler's own code.
        let line = code
            .lines
            .get(&at)
            .filter(|line| columns.source && line.line != 0);
        if let Some(line) = line {
            // Several places in one line are one line to the reader.
            if said.is_none_or(|said| (said.file, said.line) != (line.file, line.line)) {
                print_source(line, out)?;
            }
            said = Some(*line);
        }
        match decoded {
            Ok((at, insn)) => print_insn(code, at, insn, endian, columns, out)?,
            Err(error) => {
                let bytes = code.slots.get(at.as_usize()).map(|slot| hex(slot, endian));
                let text = format!("; {}: {error}", bytes.unwrap_or_default());
                let text = out.paint(NOTE, text);
                writeln!(out, "{text}")?;
            }
        }
    }
    Ok(())
}

fn position(decoded: &Result<(InsnIndex, Insn), DecodeError>) -> InsnIndex {
    match decoded {
        Ok((at, _)) => *at,
        Err(error) => error.index().unwrap_or_default(),
    }
}

fn print_source(line: &Line<'_>, out: &mut Output) -> io::Result<()> {
    let Line {
        file, line, text, ..
    } = line;
    let text = printable(text.trim_start());
    let source = out.paint(SOURCE, format!("; {text} @ {}:{line}", printable(file)));
    writeln!(out, "{source}")
}

fn print_insn(
    code: &Code<'_>,
    at: InsnIndex,
    insn: Insn,
    endian: Endian,
    columns: Columns,
    out: &mut Output,
) -> io::Result<()> {
    let index = at.as_usize();
    let length = insn.encode().len();
    let slots = code
        .slots
        .get(index..index.saturating_add(length))
        .unwrap_or_default();
    let opcode = slots.first().map_or(0, |slot| slot.opcode);
    write!(out, "{at:>4}: ")?;
    if columns.bytes {
        write!(
            out,
            "{}  ",
            hex(slots.first().unwrap_or(&RawInsn::default()), endian)
        )?;
    }
    let named = Disassembler::new(code).insn(at, code.resolved(at, insn));
    let plain = Disassembler::new(&NoSymbols).insn(at, insn);
    let text = if columns.names {
        named.to_string()
    } else {
        plain.to_string()
    };
    write!(out, "({opcode:02x}) {}", printable(&text))?;
    if let Some(note) = code.note(at).filter(|_| columns.names) {
        let note = out.paint(NOTE, format!("  ; {}", printable(note)));
        write!(out, "{note}")?;
    }
    writeln!(out)?;
    if columns.bytes {
        for slot in slots.iter().skip(1) {
            let rest = out.paint(NOTE, format!("      {}", hex(slot, endian)));
            writeln!(out, "{rest}")?;
        }
    }
    Ok(())
}

/// A slot's bytes as they stand in the file.
pub(super) fn hex(slot: &RawInsn, endian: Endian) -> String {
    slot.to_bytes(endian)
        .map(|byte| format!("{byte:02x}"))
        .join(" ")
}
