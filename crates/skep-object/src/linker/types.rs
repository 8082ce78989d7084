//! BTF of all files in one: appended, names that mean the same made one, data sections merged, equal
//! types made one; and `.BTF.ext`, which follows all of that.

use std::collections::{BTreeMap, BTreeSet};

use skep_btf::{
    Btf, Builder, IdMap, Kind, NewType, SectionEntry, StringOffset, Type, TypeId, dedup,
};
use skep_isa::InsnIndex;

use super::{
    input::{Input, Visibility, visibility},
    sections::{Placed, Sections},
    symbols::{Global, Symbols},
};
use crate::{
    Error, Result,
    core::CoreRelocation,
    elf,
    error::Place,
    ext::{self, FunctionRecord, LineRecord, SectionRecords},
    functions::SLOT,
    object::BTF,
};

/// Strings that records name may overlap in their file, and do not in the result. As much as names
/// of types may take.
const MAX_STRINGS: usize = 1 << 26;

/// The bytes of the sections of types; empty where there are none.
#[derive(Debug, Default)]
pub(crate) struct Types {
    pub(crate) btf: Vec<u8>,
    pub(crate) ext: Vec<u8>,
}

pub(super) fn merge(
    inputs: &[Input<'_>],
    sections: &Sections<'_>,
    symbols: &Symbols<'_>,
) -> Result<Types> {
    let Some(first) = inputs.iter().find(|input| input.btf.is_some()) else {
        return Ok(Types::default());
    };
    let mut builder = Builder::new();
    builder.set_endianness(first.elf.endian);
    let mut appended = Vec::with_capacity(inputs.len());
    for input in inputs {
        let ids = input.btf.as_deref().map(|btf| builder.append(btf));
        appended.push(ids.transpose().map_err(|error| input.error(error.into()))?);
    }
    let merger = Merger {
        inputs,
        sections,
        symbols,
        appended,
    };
    let fates = merger.fates();
    for (tag, target) in &fates.tags {
        builder.set_target(*tag, *target)?;
    }
    merger.add_data_sections(&mut builder)?;
    let kept = builder
        .retain(|id| !fates.gone.contains(&id))
        .map_err(|error| merger.blame(error))?;
    let deduped = dedup(&Btf::parse(builder.build()?)?)?;

    let mut builder = Builder::from_btf(&deduped.btf)?;
    let ids = |input: usize, old: TypeId| {
        let id = merger.id(input, old)?;
        let id = fates.instead.get(&id).copied().unwrap_or(id);
        deduped.ids.get(kept.get(id)?)
    };
    let records = merger.records(&mut builder, ids)?;
    let ext = ext::write(&records, first.elf.endian).ok_or(Error::Budget {
        what: "bytes of .BTF.ext",
        count: 1 << 32,
        limit: u32::MAX.into(),
    })?;
    Ok(Types {
        btf: builder.build()?,
        ext,
    })
}

struct Merger<'a, 'data> {
    inputs: &'a [Input<'data>],
    sections: &'a Sections<'a>,
    symbols: &'a Symbols<'a>,
    appended: Vec<Option<IdMap>>,
}

/// What becomes of types, by their ids once all are appended.
#[derive(Debug, Default)]
struct Fates {
    /// Those that the result has not.
    gone: BTreeSet<TypeId>,
    /// What stands for some of them.
    instead: BTreeMap<TypeId, TypeId>,
    /// Tags, and what they are tags of now.
    tags: Vec<(TypeId, TypeId)>,
}

impl<'a> Merger<'a, '_> {
    /// The id of a file's type once all are appended.
    fn id(&self, input: usize, old: TypeId) -> Option<TypeId> {
        self.appended.get(input)?.as_ref()?.get(old)
    }

    /// What only makes sense as a declaration was taken for something else: in which file?
    fn blame(&self, error: skep_btf::Error) -> Error {
        let skep_btf::Error::NoSuchType { id, .. } = error else {
            return error.into();
        };
        let mut appended = self.inputs.iter().zip(&self.appended);
        let found = appended.find_map(|(input, ids)| {
            let (old, _) = ids.as_ref()?.iter().find(|(_, new)| *new == id)?;
            let problem =
                format!("a type refers to type {old}, which is a function, variable or section");
            let place = Place::new(BTF, 0);
            Some(input.error(Error::Malformed { place, problem }))
        });
        found.unwrap_or_else(|| error.into())
    }

    fn types(&self) -> impl Iterator<Item = (usize, Type<'a>)> {
        let files = self.inputs.iter().enumerate();
        files.flat_map(|(index, input)| {
            let types = input.btf.as_deref().map(Btf::types).into_iter().flatten();
            types.map(move |one| (index, one))
        })
    }

    /// Where the data section of this name of a file went; `None` for one without a section in the
    /// file: of externs.
    fn placed(&self, input: usize, name: &str) -> Option<Placed> {
        let (index, _) = self.inputs.get(input)?.elf.section(name)?;
        self.sections.placed(input, index)
    }

    /// What all files mean by the name of a function or variable; `None` if no one else sees it.
    fn global(&self, one: &Type<'_>) -> Option<&Global<'a>> {
        match visibility(&one.kind())? {
            Visibility::Static => None,
            Visibility::Global | Visibility::Extern => self.symbols.global(one.name()),
        }
    }

    /// The type that was chosen for it.
    fn chosen(&self, global: &Global<'_>) -> Option<TypeId> {
        self.id(global.input, global.type_id?)
    }

    /// Declarations make way for what was chosen for their names, data sections for merged ones.
    fn fates(&self) -> Fates {
        let mut fates = Fates::default();
        for (input, one) in self.types() {
            let Some(id) = self.id(input, one.id()) else {
                continue;
            };
            if let Kind::DataSection(listed) = one.kind() {
                fates.gone.insert(id);
                // What files state alike is listed by the first.
                if self
                    .placed(input, one.name())
                    .is_some_and(|placed| placed.shared)
                {
                    let entries = listed.entries();
                    fates
                        .gone
                        .extend(entries.filter_map(|entry| self.id(input, entry.type_id)));
                }
                continue;
            }
            let is_extern = visibility(&one.kind()) == Some(Visibility::Extern);
            let global = self.global(&one);
            match (global.and_then(|global| self.chosen(global)), global) {
                (Some(chosen), _) if chosen != id => {
                    fates.gone.insert(id);
                    fates.instead.insert(id, chosen);
                }
                (Some(_), _) => {}
                // Compilers describe what they then find no use for; and what is defined without
                // types is no extern any more.
                (None, None) if is_extern => _ = fates.gone.insert(id),
                (None, Some(global)) if is_extern && global.symbol.section.is_some() => {
                    fates.gone.insert(id);
                }
                (None, _) => {}
            }
        }
        // What was said of a declaration is said of the definition; of nothing, nothing.
        for (input, one) in self.types() {
            let Kind::DeclTag(tag) = one.kind() else {
                continue;
            };
            let ids = self.id(input, one.id()).zip(self.id(input, tag.target));
            let Some((id, target)) = ids.filter(|(_, target)| fates.gone.contains(target)) else {
                continue;
            };
            match fates.instead.get(&target) {
                Some(instead) => fates.tags.push((id, *instead)),
                None => {
                    fates.gone.insert(id);
                }
            }
        }
        fates
    }

    /// One data section for those of one name, in the order of the sections; those of externs last.
    fn add_data_sections(&self, builder: &mut Builder) -> Result<()> {
        let mut found: BTreeMap<(usize, &str), Vec<SectionEntry>> = BTreeMap::new();
        for (input, one) in self.types() {
            let Kind::DataSection(listed) = one.kind() else {
                continue;
            };
            let placed = self.placed(input, one.name());
            let mut entries = Vec::new();
            for entry in listed.entries() {
                entries.extend(self.entry(input, entry, placed)?);
            }
            // Externs of a map are listed where maps are defined, in other files.
            let order = placed.map(|placed| placed.section);
            let order = order.or_else(|| self.sections.named(one.name()));
            let order = order.unwrap_or(usize::MAX);
            // A section of the file has its data section even if no variable of it has a name.
            if placed.is_some() || !entries.is_empty() {
                found
                    .entry((order, one.name()))
                    .or_default()
                    .append(&mut entries);
            }
        }
        for ((order, name), mut entries) in found {
            let section = self.sections.list.get(order);
            entries.sort_by_key(|entry| entry.offset);
            builder.add(NewType::DataSection {
                name,
                size: section.map_or(0, |section| u32::try_from(section.size).unwrap_or(u32::MAX)),
                entries: &entries,
            });
        }
        Ok(())
    }

    /// An entry of a data section as the result has it, if it has it.
    fn entry(
        &self,
        input: usize,
        entry: SectionEntry,
        placed: Option<Placed>,
    ) -> Result<Option<SectionEntry>> {
        let Some(file) = self.inputs.get(input) else {
            return Ok(None);
        };
        let Some(btf) = file.btf.as_deref() else {
            return Ok(None);
        };
        let one = btf.type_by_id(entry.type_id)?;
        let Some(id) = self.id(input, entry.type_id) else {
            return Ok(None);
        };
        if placed.is_some_and(|placed| placed.shared) {
            return Ok(None);
        }
        let malformed = |problem| {
            file.error(Error::Malformed {
                place: Place::new(BTF, one.data_offset().into()),
                problem,
            })
        };
        let start = placed.map_or(0, |placed| placed.offset);
        let moved = start.saturating_add(entry.offset.into());
        let offset = match (self.global(&one), visibility(&one.kind())) {
            (Some(global), _) => {
                let section = placed.map(|placed| placed.section);
                let is_here = global.symbol.section.is_none() || global.symbol.section == section;
                if self.chosen(global) != Some(id) || !is_here {
                    return Ok(None);
                }
                // Compilers leave it to the symbol table where a global variable is.
                match global.symbol.section {
                    Some(_) => global.symbol.value,
                    None => entry.offset.into(),
                }
            }
            (None, Some(Visibility::Extern)) => return Ok(None),
            (None, _) if placed.is_none() => {
                let problem = format!("`{}` is in a section that the file has not", one.name());
                return Err(malformed(problem));
            }
            (None, _) => moved,
        };
        let Ok(offset) = u32::try_from(offset) else {
            let problem = format!("`{}` at {moved:#x}, beyond 4 GiB", one.name());
            return Err(malformed(problem));
        };
        Ok(Some(SectionEntry {
            type_id: id,
            offset,
            size: entry.size,
        }))
    }

    /// The records of all code, by section. Strings come in the order of the records that name them,
    /// so that a linked object linked again is the same.
    fn records(
        &self,
        builder: &mut Builder,
        id: impl Fn(usize, TypeId) -> Option<TypeId>,
    ) -> Result<Vec<(StringOffset, SectionRecords)>> {
        let mut parts: BTreeMap<usize, Vec<Part<'_>>> = BTreeMap::new();
        for (index, input) in self.inputs.iter().enumerate() {
            for (section_index, section) in input.sections() {
                let placed = self.sections.placed(index, section_index);
                let records = input.records.get(section.name);
                if let (Some(placed), Some(records)) = (placed, records) {
                    let slots = u32::try_from(placed.offset / SLOT).unwrap_or(u32::MAX);
                    parts.entry(placed.section).or_default().push(Part {
                        index,
                        input,
                        records,
                        slots,
                        len: section.size / SLOT,
                    });
                }
            }
        }
        let mut found = Vec::with_capacity(parts.len());
        for (section, parts) in parts {
            let Some(section) = self.sections.list.get(section) else {
                continue;
            };
            let mut records = SectionRecords::default();
            let all = || parts.iter();
            for (part, record) in all().flat_map(|part| part.each(&part.records.functions)) {
                records.functions.push(FunctionRecord {
                    insn: part.insn(record.insn)?,
                    type_id: part.type_id(record.type_id, &id)?,
                });
            }
            for (part, record) in all().flat_map(|part| part.each(&part.records.lines)) {
                records.lines.push(LineRecord {
                    insn: part.insn(record.insn)?,
                    file: part.string(record.file, builder)?,
                    text: part.string(record.text, builder)?,
                    line_and_column: record.line_and_column,
                });
            }
            for (part, record) in all().flat_map(|part| part.each(&part.records.core)) {
                records.core.push(CoreRelocation {
                    insn: part.insn(record.insn)?,
                    type_id: part.type_id(record.type_id, &id)?,
                    access: part.string(record.access, builder)?,
                    kind: record.kind,
                });
            }
            found.push((builder.string(section.name), records));
        }
        Ok(found)
    }
}

/// The records of one file's part of a section.
struct Part<'a> {
    index: usize,
    input: &'a Input<'a>,
    records: &'a SectionRecords,
    /// How far its code moved.
    slots: u32,
    /// Slots that it has.
    len: u64,
}

impl Part<'_> {
    fn each<'a, R>(&'a self, records: &'a [R]) -> impl Iterator<Item = (&'a Self, &'a R)> {
        records.iter().map(move |record| (self, record))
    }

    fn wrong(&self, problem: String) -> Error {
        self.input.error(Error::Malformed {
            place: Place::new(ext::SECTION, 0),
            problem,
        })
    }

    fn insn(&self, insn: InsnIndex) -> Result<InsnIndex> {
        let moved = insn.0.checked_add(self.slots);
        match moved.filter(|_| u64::from(insn.0) < self.len) {
            Some(moved) => Ok(InsnIndex(moved)),
            None => Err(self.wrong(format!(
                "a record of instruction {insn} of a section that has {}",
                self.len
            ))),
        }
    }

    fn type_id(&self, old: TypeId, id: impl Fn(usize, TypeId) -> Option<TypeId>) -> Result<TypeId> {
        id(self.index, old)
            .ok_or_else(|| self.wrong(format!("a record of type {old}, which is not there")))
    }

    fn string(&self, old: StringOffset, builder: &mut Builder) -> Result<StringOffset> {
        let btf = self.input.btf.as_deref();
        match btf.and_then(|btf| btf.string_bytes(old)) {
            Some(text) => {
                let text = builder.string_bytes(text);
                match builder.strings_len() {
                    0..=MAX_STRINGS => Ok(text),
                    len => Err(self
                        .input
                        .error(elf::budget("bytes of strings", len, MAX_STRINGS))),
                }
            }
            None => Err(self.wrong(format!("a record of string {old}, which is not there"))),
        }
    }
}
