//! What instructions refer to: the relocations of program sections, read into maps, places in
//! global data, functions and externs.

use std::collections::BTreeMap;

use skep_isa::{InsnIndex, RawInsn, opcode};

use crate::{
    Error, Function, FunctionIndex, MapIndex, Reference, ReferenceKind, Result,
    elf::{Elf, Relocation, Section, Symbol, SymbolHome, SymbolKind, relocation_kind},
    externs::Externs,
    functions::{SLOT, Starts},
    jump_tables::{self, JumpTables},
    maps::Places,
    order,
};

/// `ld_imm64`, in two slots.
pub(crate) const LD_IMM64: u8 = opcode::BPF_LD | opcode::BPF_IMM | opcode::BPF_DW;
/// `call`.
pub(crate) const CALL: u8 = opcode::BPF_JMP | opcode::BPF_CALL;

/// What an object has, by the place where symbols point to it.
pub(crate) struct Things<'a> {
    pub(crate) functions: &'a Starts,
    pub(crate) maps: &'a Places,
    pub(crate) data: &'a BTreeMap<usize, MapIndex>,
}

pub(crate) fn read(
    elf: &Elf<'_>,
    functions: &mut [Function],
    things: &Things<'_>,
    externs: &mut Externs,
    jump_tables: &mut JumpTables,
) -> Result<()> {
    for ((section_index, start), index) in things.functions {
        let Some(section) = elf.sections.get(*section_index) else {
            continue;
        };
        let Some(function) = functions.get_mut(index.as_usize()) else {
            continue;
        };
        let first = u64::from(*start).saturating_mul(SLOT);
        let len = (function.instructions.len() as u64).saturating_mul(SLOT);
        let end = first.saturating_add(len);
        let from = section
            .relocations
            .partition_point(|relocation| relocation.offset < first);
        let to = section
            .relocations
            .partition_point(|relocation| relocation.offset < end);

        let mut references = Vec::new();
        for relocation in section.relocations.get(from..to).unwrap_or_default() {
            if relocation.kind == relocation_kind::NONE {
                continue;
            }
            let Some(symbol) = elf.symbols.get(relocation.symbol) else {
                continue;
            };
            let reader = Reader {
                elf,
                section,
                relocation,
                symbol,
                things,
            };
            let offset = relocation.offset.saturating_sub(first);
            let insn = match (u32::try_from(offset / 8), offset % 8) {
                (Ok(insn), 0) => InsnIndex(insn),
                _ => return Err(reader.wrong("the place is no instruction's start")),
            };
            let slots = function
                .instructions
                .get(insn.as_usize()..)
                .unwrap_or_default();
            references.push(Reference {
                insn,
                kind: reader.kind(slots, externs, jump_tables)?,
            });
        }
        let mut calls = Vec::new();
        calls_in_place(&function.instructions, *start, |insn, target| {
            if references
                .binary_search_by_key(&insn, |reference| reference.insn)
                .is_ok()
            {
                return Ok(());
            }
            let callee = target.and_then(|target| things.functions.get(&(*section_index, target)));
            let Some(callee) = callee else {
                let offset = u64::from(insn.0).saturating_mul(SLOT);
                let problem = "a call that leads to no function's start";
                return Err(section.malformed(first.saturating_add(offset), problem));
            };
            calls.push(Reference {
                insn,
                kind: ReferenceKind::Call(*callee),
            });
            Ok(())
        })?;
        references.append(&mut calls);
        order::by_key(&mut references, |reference| reference.insn.0);
        function.references = references;
    }
    Ok(())
}

/// Visits calls of subprograms, with the slot of the section that each leads to by itself.
/// Assemblers resolve calls within a section without a relocation.
fn calls_in_place(
    slots: &[RawInsn],
    start: u32,
    mut visit: impl FnMut(InsnIndex, Option<u32>) -> Result<()>,
) -> Result<()> {
    let mut insns = (0_u32..).zip(slots);
    while let Some((insn, slot)) = insns.next() {
        match slot.opcode {
            LD_IMM64 => {
                insns.next();
            }
            CALL if slot.src == opcode::BPF_PSEUDO_CALL => {
                let here = start.checked_add(insn).map(InsnIndex);
                let target = here.and_then(|here| here.relative(slot.imm));
                visit(InsnIndex(insn), target.map(|target| target.0))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// One relocation, being read.
struct Reader<'a, 'data> {
    elf: &'a Elf<'data>,
    section: &'a Section<'data>,
    relocation: &'a Relocation,
    symbol: &'a Symbol<'data>,
    things: &'a Things<'a>,
}

impl Reader<'_, '_> {
    fn wrong(&self, problem: impl Into<String>) -> Error {
        Error::Reference {
            place: self.section.place(self.relocation.offset),
            symbol: self.symbol.name.to_owned(),
            problem: problem.into(),
        }
    }

    fn kind(
        &self,
        slots: &[RawInsn],
        externs: &mut Externs,
        jump_tables: &mut JumpTables,
    ) -> Result<ReferenceKind> {
        match (self.relocation.kind, slots) {
            (relocation_kind::LD_IMM64, [first, _second, ..]) if first.opcode == LD_IMM64 => {
                self.address(first.imm, externs, jump_tables)
            }
            (relocation_kind::CALL, [call, ..])
                if call.opcode == CALL && call.src == opcode::BPF_PSEUDO_CALL =>
            {
                self.call(call.imm, externs)
            }
            (kind, [insn, ..]) => Err(self.wrong(format!(
                "{} on an instruction of opcode {:#04x}; expected R_BPF_64_64 on ld_imm64 or \
                 R_BPF_64_32 on a call",
                relocation_kind::name(kind),
                insn.opcode
            ))),
            (_, []) => Err(self.wrong("no instruction is there")),
        }
    }

    fn call(&self, imm: i32, externs: &mut Externs) -> Result<ReferenceKind> {
        match self.symbol.home {
            SymbolHome::Undefined if self.symbol.name.is_empty() => {
                Err(self.wrong("a call of nothing"))
            }
            SymbolHome::Undefined => {
                let external = externs.find_or_add_untyped(self.symbol.name, self.symbol.weak);
                Ok(ReferenceKind::ExternCall(external))
            }
            SymbolHome::Section(section) => {
                // The immediate counts slots from the next one on, and is -1 where the symbol
                // itself is the function.
                let slots = i64::from(imm).saturating_add(1);
                let bytes = slots.saturating_mul(SLOT.cast_signed());
                self.function(section, self.symbol.value.checked_add_signed(bytes))
                    .map(ReferenceKind::Call)
            }
            SymbolHome::Other => Err(self.wrong("it is no function")),
        }
    }

    fn function(&self, section: usize, offset: Option<u64>) -> Result<FunctionIndex> {
        let slot = offset
            .filter(|offset| offset.is_multiple_of(SLOT))
            .and_then(|offset| u32::try_from(offset / SLOT).ok());
        slot.and_then(|slot| self.things.functions.get(&(section, slot)))
            .copied()
            .ok_or_else(|| self.wrong("no function begins there"))
    }

    fn address(
        &self,
        imm: i32,
        externs: &mut Externs,
        jump_tables: &mut JumpTables,
    ) -> Result<ReferenceKind> {
        let offset = self.symbol.value.checked_add_signed(imm.into());
        let index = match self.symbol.home {
            SymbolHome::Section(index) => index,
            SymbolHome::Undefined => return self.extern_address(externs),
            SymbolHome::Other => return Err(self.wrong("it is in no section")),
        };
        let Some(home) = self.elf.sections.get(index) else {
            return Err(self.wrong("it is in no section"));
        };
        if home.executable {
            return self
                .function(index, offset)
                .map(ReferenceKind::FunctionAddress);
        }
        if self.things.maps.is_map_section(index) {
            // Only a section's symbol needs more to say which map it is.
            let offset = match self.symbol.kind {
                SymbolKind::Section => offset,
                _ => Some(self.symbol.value),
            };
            let map = offset.and_then(|offset| self.things.maps.at(index, offset));
            return map
                .map(ReferenceKind::Map)
                .ok_or_else(|| self.wrong("no map begins there"));
        }
        if let Some(map) = self.things.data.get(&index) {
            return match offset
                .filter(|offset| *offset <= home.size)
                .map(u32::try_from)
            {
                Some(Ok(offset)) => Ok(ReferenceKind::MapValue { map: *map, offset }),
                _ => Err(self.wrong(format!("it lies outside section {}", home.name))),
            };
        }
        if home.name == jump_tables::SECTION {
            let table = jump_tables.at(self.elf, home, self.symbol);
            return table
                .map(ReferenceKind::JumpTable)
                .map_err(|problem| self.wrong(problem));
        }
        Err(self.wrong(format!(
            "it stands in section {}, which holds neither maps, nor data of a name that loaders \
             know (.data, .rodata, .bss, .percpu, and those with a dot and more behind)",
            home.name
        )))
    }

    fn extern_address(&self, externs: &Externs) -> Result<ReferenceKind> {
        externs
            .find(self.symbol.name)
            .map(ReferenceKind::ExternAddress)
            .ok_or_else(|| {
                self.wrong(
                "it is neither defined nor declared as an extern of .ksyms (__ksym) or .kconfig \
                 (__kconfig); if another object defines it, `skep link` makes one of both",
            )
            })
    }
}
