//! What the linker's writer of files takes, out of an [`ObjectFile`].

use skep_btf::dedup;

use super::{Binding, FileSymbol, ObjectFile};
use crate::{
    Error, Result,
    elf::SymbolKind,
    error::Place,
    ext::{self, FunctionRecord, SectionRecords},
    linker::{
        sections::{Merged, Rebased, Sections},
        symbols::{Global, Key, OutSymbol, Symbols},
        types::Types,
    },
};

pub(super) struct Parts<'a> {
    pub(super) sections: Sections<'a>,
    pub(super) symbols: Symbols<'a>,
    pub(super) types: Types,
}

pub(super) fn parts(file: &ObjectFile) -> Result<Parts<'_>> {
    let mut symbols = Symbols::default();
    let mut keys = Vec::with_capacity(file.symbols.len());
    for symbol in &file.symbols {
        keys.push(key(file, symbol, &mut symbols)?);
    }
    let mut sections = Sections::default();
    for section in &file.sections {
        let mut relocations = Vec::with_capacity(section.relocations.len());
        for relocation in &section.relocations {
            let symbol = keys.get(relocation.symbol).copied();
            let fits = relocation.offset < section.size;
            let Some(symbol) = symbol.filter(|_| fits) else {
                return Err(Error::Malformed {
                    place: Place::new(section.name.as_str(), relocation.offset),
                    problem: "a relocation beyond the section, or by a symbol that is not there"
                        .into(),
                });
            };
            relocations.push(Rebased {
                offset: relocation.offset,
                kind: relocation.kind,
                symbol,
            });
        }
        relocations.sort_by_key(|relocation| relocation.offset);
        sections.list.push(Merged {
            name: &section.name,
            executable: section.is_code(),
            zeroed: section.is_zeroes(),
            flags: section.flags,
            align: section.align,
            entry_size: section.entry_size,
            size: match section.is_zeroes() {
                true => section.size,
                false => section.data.len() as u64,
            },
            data: section.data.clone(),
            relocations,
            first: 0,
        });
    }
    Ok(Parts {
        sections,
        symbols,
        types: types(file)?,
    })
}

/// Puts a symbol where the table will have it.
fn key<'a>(file: &ObjectFile, symbol: &'a FileSymbol, symbols: &mut Symbols<'a>) -> Result<Key> {
    let missing = |section: usize| Error::Malformed {
        place: Place::new("symbol table", 0),
        problem: format!(
            "`{}` is in section {section}, which is not there",
            symbol.name
        ),
    };
    if let Some(section) = symbol.section
        && section >= file.sections.len()
    {
        return Err(missing(section));
    }
    if let (SymbolKind::Section, Some(section)) = (symbol.kind, symbol.section) {
        return Ok(Key::Section(section));
    }
    let out = OutSymbol {
        name: &symbol.name,
        kind: symbol.kind,
        section: symbol.section,
        value: symbol.value,
        size: symbol.size,
    };
    Ok(match symbol.binding {
        Binding::Local => {
            symbols.locals.push(out);
            Key::Local(symbols.locals.len().saturating_sub(1))
        }
        binding => {
            symbols.globals.push(Global {
                symbol: out,
                weak: binding == Binding::Weak,
                hidden: symbol.hidden,
                input: 0,
                type_id: None,
                uses: Vec::new(),
            });
            Key::Global(symbols.globals.len().saturating_sub(1))
        }
    })
}

/// The types without repetition, and the records that refer to them.
fn types(file: &ObjectFile) -> Result<Types> {
    if file.types.next_id().0 <= 1 {
        return Ok(Types::default());
    }
    let deduped = dedup(&file.btf()?)?;
    let mut builder = skep_btf::Builder::from_btf(&deduped.btf)?;
    let old = file.btf()?;
    let id = |old| {
        deduped.ids.get(old).ok_or_else(|| Error::Malformed {
            place: Place::new(ext::SECTION, 0),
            problem: format!("a record of type {old}, which is not there"),
        })
    };
    let mut string = |offset| match old.string_bytes(offset) {
        Some(text) => Ok(builder.string_bytes(text)),
        None => Err(Error::Malformed {
            place: Place::new(ext::SECTION, 0),
            problem: format!("a record of string {offset}, which is not there"),
        }),
    };
    let mut written = Vec::new();
    for section in &file.sections {
        let Some(records) = file.records.get(&section.name) else {
            continue;
        };
        let mut out = SectionRecords::default();
        for (insn, type_id) in &records.functions {
            out.functions.push(FunctionRecord {
                insn: *insn,
                type_id: id(*type_id)?,
            });
        }
        for line in &records.lines {
            let mut line = *line;
            line.file = string(line.file)?;
            line.text = string(line.text)?;
            out.lines.push(line);
        }
        for core in &records.core {
            let mut core = *core;
            core.type_id = id(core.type_id)?;
            core.access = string(core.access)?;
            out.core.push(core);
        }
        out.functions.sort_by_key(|record| record.insn);
        out.lines.sort_by_key(|record| record.insn);
        out.core.sort_by_key(|record| record.insn);
        written.push((section.name.as_str(), out));
    }
    let written: Vec<_> = written
        .into_iter()
        .map(|(name, records)| (builder.string(name), records))
        .collect();
    let ext = ext::write(&written, file.endian).ok_or(Error::Budget {
        what: "bytes of .BTF.ext",
        count: 1 << 32,
        limit: u32::MAX.into(),
    })?;
    Ok(Types {
        btf: builder.build()?,
        ext,
    })
}
