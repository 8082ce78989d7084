//! Functions and programs: the symbols of program sections, their instructions, and which of them
//! a program takes along.

use std::collections::BTreeMap;

use skep_btf::{Btf, KindTag, TypeId};
use skep_isa::{InsnIndex, decode_slots};

use crate::{
    Error, Function, FunctionIndex, Linkage, Program, ReferenceKind, Result, SectionHandlers,
    SectionName,
    core::CoreRelocation,
    elf::{Elf, Symbol, SymbolHome, SymbolKind},
    ext::{LineRecord, Records, SectionRecords},
    order,
};

/// Bytes of a slot, as offsets in sections count them.
pub(crate) const SLOT: u64 = 8;

/// Functions by section and first slot.
pub(crate) type Starts = BTreeMap<(usize, u32), FunctionIndex>;

/// Whether functions of this section are subprograms only.
fn holds_subprograms(section: &str) -> bool {
    section == ".text" || section.starts_with(".text.")
}

pub(crate) fn read(
    elf: &Elf<'_>,
    btf: Option<&Btf>,
    records: &Records,
) -> Result<(Vec<Function>, Starts)> {
    let mut symbols: Vec<(usize, &Symbol<'_>)> = elf
        .symbols
        .iter()
        .filter(|symbol| symbol.kind == SymbolKind::Function)
        .filter_map(|symbol| match symbol.home {
            SymbolHome::Section(section) if elf.sections.get(section)?.executable => {
                Some((section, symbol))
            }
            _ => None,
        })
        .collect();
    order::by_key(&mut symbols, |(section, symbol)| {
        (*section as u128) << 64 | u128::from(symbol.value)
    });

    let empty = SectionRecords::default();
    let mut functions = Vec::with_capacity(symbols.len());
    let mut starts = Starts::new();
    for (position, (index, symbol)) in symbols.iter().enumerate() {
        let Some(section) = elf.sections.get(*index) else {
            continue;
        };
        let next = symbols
            .get(position.saturating_add(1))
            .filter(|(next, _)| next == index);
        let limit = next.map_or(section.data.len() as u64, |(_, next)| next.value);
        let bytes = function_bytes(section, symbol, limit)?;
        let start = u32::try_from(symbol.value / SLOT)
            .map_err(|_| section.malformed(symbol.value, "beyond what a program can have"))?;
        let instructions = decode_slots(bytes, elf.endian)
            .map_err(|error| section.malformed(symbol.value, error.to_string()))?;

        let function = FunctionIndex::from_usize(functions.len());
        starts.insert((*index, start), function);
        let records = records.get(section.name).unwrap_or(&empty);
        let end = start.saturating_add(u32::try_from(instructions.len()).unwrap_or(u32::MAX));
        functions.push(Function {
            name: symbol.name.to_owned(),
            section: section.name.to_owned(),
            section_offset: start,
            instructions,
            references: Vec::new(),
            linkage: linkage(symbol),
            type_id: function_type(btf, records, start, symbol.name)?,
            lines: within(&records.lines, start, end, |line: &mut LineRecord| {
                &mut line.insn
            }),
            core_relocations: within(&records.core, start, end, |core: &mut CoreRelocation| {
                &mut core.insn
            }),
        });
    }
    Ok((functions, starts))
}

pub(crate) fn linkage(symbol: &Symbol<'_>) -> Linkage {
    match symbol {
        Symbol { local: true, .. } => Linkage::Static,
        Symbol { hidden: true, .. } => Linkage::Hidden,
        Symbol { weak: true, .. } => Linkage::Weak,
        _ => Linkage::Global,
    }
}

/// The bytes of a function; one without a size ends where the next one begins, at `limit`.
fn function_bytes<'data>(
    section: &crate::elf::Section<'data>,
    symbol: &Symbol<'_>,
    limit: u64,
) -> Result<&'data [u8]> {
    let malformed = |problem: String| section.malformed(symbol.value, problem);
    let size = match symbol.size {
        0 => limit.saturating_sub(symbol.value),
        size => size,
    };
    if !symbol.value.is_multiple_of(SLOT) || !size.is_multiple_of(SLOT) || size == 0 {
        return Err(malformed(format!(
            "function `{}` of {size:#x} bytes, expected whole instructions of 8 bytes",
            symbol.name
        )));
    }
    let end = symbol.value.saturating_add(size);
    if end > limit {
        let what = if limit == section.data.len() as u64 {
            "the section"
        } else {
            "the next one"
        };
        return Err(malformed(format!(
            "function `{}` reaches beyond {what}",
            symbol.name
        )));
    }
    usize::try_from(symbol.value)
        .ok()
        .zip(usize::try_from(end).ok())
        .and_then(|(start, end)| section.data.get(start..end))
        .ok_or_else(|| malformed(format!("function `{}` has no instructions", symbol.name)))
}

fn function_type(
    btf: Option<&Btf>,
    records: &SectionRecords,
    start: u32,
    name: &str,
) -> Result<Option<TypeId>> {
    let Some(btf) = btf else { return Ok(None) };
    let index = records
        .functions
        .binary_search_by_key(&start, |record| record.insn.0);
    let recorded = index.ok().and_then(|index| records.functions.get(index));
    let Some(id) = recorded
        .map(|record| record.type_id)
        .or_else(|| btf.find(name, KindTag::Function))
    else {
        return Ok(None);
    };
    match btf.type_by_id(id)?.tag() {
        Some(KindTag::Function) => Ok(Some(id)),
        _ => Err(Error::Malformed {
            place: crate::Place::new(crate::ext::SECTION, 0),
            problem: format!("function `{name}` has type {id}, which is no FUNC"),
        }),
    }
}

/// The records of one function, from its start; `insn` finds the instruction in a record.
fn within<R: Copy>(
    records: &[R],
    start: u32,
    end: u32,
    insn: impl Fn(&mut R) -> &mut InsnIndex,
) -> Vec<R> {
    let position = |record: &R| insn(&mut { *record }).0;
    let from = records.partition_point(|record| position(record) < start);
    let to = records.partition_point(|record| position(record) < end);
    let mut own = records.get(from..to).unwrap_or_default().to_vec();
    for record in &mut own {
        let insn = insn(record);
        insn.0 = insn.0.saturating_sub(start);
    }
    own
}

/// The programs: global functions of sections that are not only for subprograms.
pub(crate) fn programs(functions: &[Function], handlers: &SectionHandlers) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    for (index, function) in functions.iter().enumerate() {
        if holds_subprograms(&function.section) || function.linkage == Linkage::Static {
            continue;
        }
        let section = SectionName::parse_with(&function.section, handlers);
        let section = section.map_err(|error| match error {
            Error::UnknownSection {
                section,
                suggestion,
                known,
                ..
            } => Error::UnknownSection {
                section,
                program: Some(function.name.clone()),
                suggestion,
                known,
            },
            other => other,
        })?;
        programs.push(Program {
            name: function.name.clone(),
            section,
            function: FunctionIndex::from_usize(index),
            subprograms: Vec::new(),
        });
    }
    Ok(programs)
}

/// The function that a program's tag `exception_callback:NAME` names.
fn exception_callback(
    functions: &[Function],
    program: FunctionIndex,
    btf: Option<&Btf>,
) -> Option<FunctionIndex> {
    let type_id = functions.get(program.as_usize())?.type_id?;
    let mut tags = btf?.decl_tags(type_id, None);
    let name = tags.find_map(|tag| tag.strip_prefix("exception_callback:"))?;
    let mut all = functions.iter();
    let found = all.position(|other| other.name == name && holds_subprograms(&other.section))?;
    Some(FunctionIndex::from_usize(found))
}

/// A kernel takes 256 functions a program; this bounds all programs of an object together.
const MAX_REACHED: usize = 1 << 20;

/// Finds the functions that each program takes along. A function is put behind those before it
/// when it is first referred to, and what it refers to follows it before the rest does: libbpf's
/// order, so that instructions are where its users expect them.
///
/// The last is the callback for exceptions, which nothing but a tag on the program refers to.
pub(crate) fn reach(
    programs: &mut [Program],
    functions: &[Function],
    btf: Option<&Btf>,
) -> Result<()> {
    let mut total = 0_usize;
    let mut seen_by = vec![usize::MAX; functions.len()];
    for (program_index, program) in programs.iter_mut().enumerate() {
        if let Some(seen) = seen_by.get_mut(program.function.as_usize()) {
            *seen = program_index;
        }
        // The functions whose references are being followed, and how far each has come.
        let mut path = vec![(program.function, 0_usize)];
        let mut callback = exception_callback(functions, program.function, btf);
        loop {
            let Some((function, position)) = path.last_mut() else {
                let Some(next) = callback.take() else {
                    break;
                };
                if let Some(seen) = seen_by.get_mut(next.as_usize())
                    && *seen != program_index
                {
                    *seen = program_index;
                    program.subprograms.push(next);
                    path.push((next, 0));
                }
                continue;
            };
            let references = functions
                .get(function.as_usize())
                .map_or(&[][..], |function| &function.references);
            let Some(reference) = references.get(*position) else {
                path.pop();
                continue;
            };
            *position = position.saturating_add(1);
            let (ReferenceKind::Call(next) | ReferenceKind::FunctionAddress(next)) = reference.kind
            else {
                continue;
            };
            match seen_by.get_mut(next.as_usize()) {
                Some(seen) if *seen != program_index => *seen = program_index,
                _ => continue,
            }
            program.subprograms.push(next);
            path.push((next, 0));
            total = total.saturating_add(1);
            if total > MAX_REACHED {
                return Err(Error::Budget {
                    what: "subprograms of programs",
                    count: total as u64,
                    limit: MAX_REACHED as u64,
                });
            }
        }
    }
    Ok(())
}
