//! Relocations move with their sections. What they refer to by a section's symbol is told apart by
//! the number that stands in place, which moves by as much as that file's part of the section did.

use std::collections::BTreeSet;

use skep_isa::{Endian, opcode};

use super::{
    input::Input,
    sections::{Placed, Rebased, Sections},
    symbols::Symbols,
};
use crate::{
    Error, Result,
    elf::{Relocation, Section, Symbol, SymbolHome, SymbolKind, relocation_kind},
    functions::SLOT,
    jump_tables, order,
    references::{CALL, LD_IMM64},
};

/// Where an instruction has its immediate.
const IMM: u64 = 4;

pub(super) fn rebase(
    inputs: &[Input<'_>],
    sections: &mut Sections<'_>,
    symbols: &Symbols<'_>,
) -> Result<()> {
    for (input_index, input) in inputs.iter().enumerate() {
        let mut tables = Tables::of(input);
        for (index, section) in input.sections() {
            let Some(placed) = sections
                .placed(input_index, index)
                .filter(|one| !one.shared)
            else {
                continue;
            };
            for relocation in &section.relocations {
                if relocation.kind == relocation_kind::NONE {
                    continue;
                }
                let one = One {
                    input,
                    section,
                    placed,
                    relocation,
                };
                let symbol = one.symbol()?;
                let Some(key) = symbols.key(input_index, relocation.symbol) else {
                    return Err(one.wrong(symbol, "it is in a section that linking leaves out"));
                };
                one.check(symbol)?;
                if let (SymbolKind::Section, SymbolHome::Section(home)) = (symbol.kind, symbol.home)
                    && let Some(home) = sections.placed(input_index, home)
                {
                    one.move_addend(symbol, home, sections)?;
                }
                if let (SymbolHome::Section(home), Some(tables)) = (symbol.home, &mut tables)
                    && tables.section == home
                    && let Some(home) = sections.placed(input_index, home)
                {
                    one.move_jump_table(symbol, tables, home, sections)?;
                }
                if let Some(merged) = sections.list.get_mut(placed.section) {
                    merged.relocations.push(Rebased {
                        offset: placed.offset.saturating_add(relocation.offset),
                        kind: relocation.kind,
                        symbol: key,
                    });
                }
            }
        }
    }
    Ok(())
}

/// The jump tables of a file.
struct Tables {
    /// Their section.
    section: usize,
    size: u64,
    /// Entries that move by a relocation of their own.
    relocated: BTreeSet<u64>,
    /// Where tables begin that were moved.
    moved: BTreeSet<u64>,
    /// Bytes that no table which was moved has.
    left: u64,
}

impl Tables {
    fn of(input: &Input<'_>) -> Option<Self> {
        let mut sections = input.sections();
        let (index, section) =
            sections.find(|(_, section)| section.name == jump_tables::SECTION)?;
        let relocations = section.relocations.iter();
        Some(Self {
            section: index,
            size: section.size,
            relocated: order::set(relocations.map(|relocation| relocation.offset)),
            moved: BTreeSet::new(),
            left: section.size,
        })
    }
}

/// A relocation of a file.
struct One<'a, 'data> {
    input: &'a Input<'data>,
    section: &'a Section<'data>,
    placed: Placed,
    relocation: &'a Relocation,
}

impl<'a> One<'a, '_> {
    fn wrong(&self, symbol: &Symbol<'_>, problem: impl Into<String>) -> Error {
        self.input.error(Error::Reference {
            place: self.section.place(self.relocation.offset),
            symbol: symbol.name.to_owned(),
            problem: problem.into(),
        })
    }

    fn symbol(&self) -> Result<&'a Symbol<'a>> {
        self.input
            .elf
            .symbols
            .get(self.relocation.symbol)
            .ok_or_else(|| {
                let problem = format!("no symbol {}", self.relocation.symbol);
                self.input
                    .error(self.section.malformed(self.relocation.offset, problem))
            })
    }

    /// Whether it is of a kind that is known, and there is room for it.
    fn check(&self, symbol: &Symbol<'_>) -> Result<()> {
        let kind = self.relocation.kind;
        let (in_code, bytes) = match kind {
            relocation_kind::LD_IMM64 => (true, 16),
            relocation_kind::CALL => (true, 8),
            relocation_kind::ABS64 => (false, 8),
            relocation_kind::ABS32 | relocation_kind::NODYLD32 => (false, 4),
            _ => {
                let kind = relocation_kind::name(kind);
                return Err(self.wrong(symbol, format!("{kind} is not known")));
            }
        };
        let offset = self.relocation.offset;
        let end = offset.saturating_add(bytes);
        let has_room = end <= self.section.data.len() as u64;
        let on_insn = !in_code || (self.section.executable && offset.is_multiple_of(SLOT));
        if !has_room || !on_insn {
            let kind = relocation_kind::name(kind);
            let problem = format!("{kind} of {bytes} bytes where there is no room for it");
            return Err(self.wrong(symbol, problem));
        }
        let opcode = self.byte(0);
        let fits = match kind {
            relocation_kind::LD_IMM64 => opcode == Some(LD_IMM64),
            relocation_kind::CALL => opcode == Some(CALL),
            _ => true,
        };
        if !fits {
            let kind = relocation_kind::name(kind);
            let opcode = opcode.unwrap_or_default();
            let problem = format!("{kind} on an instruction of opcode {opcode:#04x}");
            return Err(self.wrong(symbol, problem));
        }
        Ok(())
    }

    fn byte(&self, at: usize) -> Option<u8> {
        let offset = usize::try_from(self.relocation.offset).ok()?;
        self.section.data.get(offset.checked_add(at)?).copied()
    }

    /// Adds to the number in place what its section's symbol lost by becoming that of the result.
    fn move_addend(
        &self,
        symbol: &Symbol<'_>,
        home: Placed,
        sections: &mut Sections<'_>,
    ) -> Result<()> {
        let bytes = home.offset.saturating_add(symbol.value);
        if bytes == 0 {
            return Ok(());
        }
        let start = self.placed.offset.saturating_add(self.relocation.offset);
        let endian = self.input.elf.endian;
        let merged = sections.list.get_mut(self.placed.section);
        let data = merged.map_or(&mut [][..], |merged| merged.data.as_mut_slice());
        let moved = match self.relocation.kind {
            relocation_kind::LD_IMM64 => add_i32(data, start.saturating_add(IMM), bytes, endian),
            relocation_kind::CALL => {
                match self.byte(1).map(|registers| source(registers, endian)) {
                    // Slots from the next one on, so that -1 is the symbol itself.
                    Some(opcode::BPF_PSEUDO_CALL) if bytes.is_multiple_of(SLOT) => {
                        add_i32(data, start.saturating_add(IMM), bytes / SLOT, endian)
                    }
                    _ => None,
                }
            }
            relocation_kind::ABS64 => add_u64(data, start, bytes, endian),
            _ => add_u32(data, start, bytes, endian),
        };
        moved.ok_or_else(|| {
            self.wrong(
                symbol,
                format!(
                    "its place moved by {bytes:#x} bytes, and the number that refers to it can't \
                     move along"
                ),
            )
        })
    }

    /// The entries of a jump table count from the start of the section of its code.
    fn move_jump_table(
        &self,
        symbol: &Symbol<'_>,
        tables: &mut Tables,
        home: Placed,
        sections: &mut Sections<'_>,
    ) -> Result<()> {
        if self.placed.offset == 0 || !self.section.executable {
            return Ok(());
        }
        if symbol.kind == SymbolKind::Section {
            return Err(self.wrong(symbol, "a jump table without a symbol of its own"));
        }
        if !tables.moved.insert(symbol.value) {
            return Ok(());
        }
        tables.left = tables
            .left
            .checked_sub(symbol.size)
            .ok_or_else(|| self.wrong(symbol, jump_tables::OVERLAP))?;
        let end = symbol.value.saturating_add(symbol.size).min(tables.size);
        let mut at = symbol.value;
        while at.saturating_add(SLOT) <= end {
            // One that has a relocation moves by that.
            if !tables.relocated.contains(&at) {
                let place = home.offset.saturating_add(at);
                let merged = sections.list.get_mut(home.section);
                let data = merged.map_or(&mut [][..], |merged| merged.data.as_mut_slice());
                add_u64(data, place, self.placed.offset, self.input.elf.endian)
                    .ok_or_else(|| self.wrong(symbol, "a jump table outside of its section"))?;
            }
            at = at.saturating_add(SLOT);
        }
        Ok(())
    }
}

/// The source register, which of the byte's halves the byte order says.
fn source(registers: u8, endian: Endian) -> u8 {
    match endian {
        Endian::Little => registers >> 4,
        Endian::Big => registers & 0xf,
    }
}

/// Puts another number in the place of one, both as their bytes in little endian.
fn change<const LEN: usize>(
    data: &mut [u8],
    at: u64,
    endian: Endian,
    new: impl FnOnce([u8; LEN]) -> Option<[u8; LEN]>,
) -> Option<()> {
    let place: &mut [u8; LEN] = data
        .get_mut(usize::try_from(at).ok()?..)?
        .first_chunk_mut()?;
    let ordered = |mut bytes: [u8; LEN]| {
        if endian == Endian::Big {
            bytes.reverse();
        }
        bytes
    };
    *place = ordered(new(ordered(*place))?);
    Some(())
}

fn add_i32(data: &mut [u8], at: u64, more: u64, endian: Endian) -> Option<()> {
    let more = i64::try_from(more).ok()?;
    change(data, at, endian, |old| {
        let sum = i64::from(i32::from_le_bytes(old)).checked_add(more)?;
        Some(i32::try_from(sum).ok()?.to_le_bytes())
    })
}

fn add_u32(data: &mut [u8], at: u64, more: u64, endian: Endian) -> Option<()> {
    let more = u32::try_from(more).ok()?;
    change(data, at, endian, |old| {
        Some(u32::from_le_bytes(old).checked_add(more)?.to_le_bytes())
    })
}

fn add_u64(data: &mut [u8], at: u64, more: u64, endian: Endian) -> Option<()> {
    change(data, at, endian, |old| {
        Some(u64::from_le_bytes(old).checked_add(more)?.to_le_bytes())
    })
}
