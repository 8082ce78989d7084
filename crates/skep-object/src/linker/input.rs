//! One object to be linked: its tables, its types, and what of them others can see.

use std::collections::BTreeMap;

use object::elf;
use skep_btf::{Btf, FunctionLinkage, Kind, TypeId, VariableLinkage};

use crate::{
    Error, Result, SymbolPlace,
    elf::{Elf, Section, Symbol, SymbolHome, SymbolKind},
    error::Place,
    ext::{self, Records},
    functions::SLOT,
    jump_tables,
    object::{BTF, read_btf},
};

/// The largest alignment that is taken: pages of any machine.
const MAX_ALIGN: u64 = 1 << 16;

/// An object, parsed.
#[derive(Debug)]
pub(super) struct Input<'data> {
    /// What errors call it.
    pub(super) name: String,
    pub(super) elf: Elf<'data>,
    pub(super) btf: Option<std::sync::Arc<Btf>>,
    pub(super) records: Records,
}

impl<'data> Input<'data> {
    pub(super) fn parse(name: &str, bytes: &'data [u8]) -> Result<Self> {
        let elf = Elf::parse(bytes)?;
        let btf = read_btf(&elf)?;
        let records = match (elf.section(ext::SECTION), &btf) {
            (Some((_, section)), Some(btf)) => ext::parse(section.data, elf.endian, btf)?,
            _ => Records::new(),
        };
        let input = Self {
            name: name.to_owned(),
            elf,
            btf,
            records,
        };
        input.check_sections()?;
        Ok(input)
    }

    /// Sections are copied: they must be what a compiler writes.
    fn check_sections(&self) -> Result<()> {
        let mut names = BTreeMap::new();
        for (index, section) in self.sections() {
            if let Some(first) = names.insert(section.name, index) {
                return Err(section.malformed(
                    0,
                    format!(
                        "sections {first} and {index} have one name, and types can't say which \
                         they mean: compile without -ffunction-sections and section groups"
                    ),
                ));
            }
            let align = section.align.max(1);
            if !align.is_power_of_two() || align > MAX_ALIGN {
                return Err(section.malformed(
                    0,
                    format!(
                        "an alignment of {align:#x}, expected a power of two up to {MAX_ALIGN:#x}"
                    ),
                ));
            }
            if section.size > u32::MAX.into() {
                return Err(section.malformed(0, "a section of 4 GiB or more"));
            }
            if section.executable && !section.size.is_multiple_of(SLOT) {
                let problem = format!("code of {:#x} bytes, no multiple of 8", section.size);
                return Err(section.malformed(0, problem));
            }
        }
        for section in &self.elf.sections {
            let allocated = section.flags & elf::SHF_ALLOC.0 != 0 && section.size != 0;
            if allocated && !section.loaded && !section.name.starts_with(".note") {
                return Err(section.malformed(
                    0,
                    "a section of a type that BPF objects don't have; expected code, data or zeroes",
                ));
            }
        }
        Ok(())
    }

    /// The sections that go into the result, with their indices: code and data, not tables, types
    /// and debug information.
    pub(super) fn sections(&self) -> impl Iterator<Item = (usize, &Section<'data>)> {
        let sections = self.elf.sections.iter().enumerate();
        sections.filter(|(index, section)| self.is_kept(*index, section))
    }

    fn is_kept(&self, index: usize, section: &Section<'_>) -> bool {
        let named = || {
            let mut symbols = self.elf.symbols_of(index);
            symbols.any(|symbol| symbol.kind != SymbolKind::Section)
        };
        match section.name {
            // What unwinds stacks is of no use in a kernel.
            ".eh_frame" => false,
            // They are read and written anew, whatever the flags of their sections say.
            BTF | ext::SECTION => false,
            // They are for loaders, and not marked as loaded.
            jump_tables::SECTION => true,
            // Compilers write an empty `.text` where there are only programs.
            _ => section.loaded && (section.size != 0 || named()),
        }
    }

    /// Where a symbol is, for those who look for it.
    pub(super) fn place_of(&self, symbol: &Symbol<'_>) -> SymbolPlace {
        let section = match symbol.home {
            SymbolHome::Section(index) => self.elf.sections.get(index),
            _ => None,
        };
        SymbolPlace {
            file: self.name.clone(),
            place: section.map(|section| Place::new(section.name, symbol.value)),
            source: section.and_then(|section| self.source_of(section.name, symbol)),
        }
    }

    /// The file and line that a function begins at.
    fn source_of(&self, section: &str, symbol: &Symbol<'_>) -> Option<String> {
        let lines = &self.records.get(section)?.lines;
        let start = u32::try_from(symbol.value / SLOT).ok()?;
        let end = u32::try_from(symbol.value.checked_add(symbol.size)? / SLOT).ok()?;
        let at = lines.partition_point(|line| line.insn.0 < start);
        let line = lines.get(at).filter(|line| line.insn.0 < end)?;
        let file = self.btf.as_ref()?.string(line.file).ok()?;
        Some(format!("{file}:{}", line.line()))
    }

    pub(super) fn error(&self, error: Error) -> Error {
        error.in_file(&self.name)
    }

    /// The error of a symbol of this file.
    pub(super) fn symbol_error(&self, symbol: &Symbol<'_>, problem: impl Into<String>) -> Error {
        let place = match symbol.home {
            SymbolHome::Section(index) => self.elf.sections.get(index),
            _ => None,
        };
        let place = place.map_or(Place::new("symbol table", 0), |section| {
            section.place(symbol.value)
        });
        self.error(Error::Malformed {
            place,
            problem: format!("symbol `{}`: {}", symbol.name, problem.into()),
        })
    }
}

/// A function or variable that other objects can see, as BTF declares or defines it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Declaration<'a> {
    /// The `FUNC` or `VAR`.
    pub(super) type_id: TypeId,
    /// The data section that lists it.
    pub(super) section: Option<&'a str>,
    is_extern: bool,
}

/// What an object's BTF declares for others to see, by name.
#[derive(Debug, Default)]
pub(super) struct Declarations<'a>(BTreeMap<&'a str, Declaration<'a>>);

impl<'a> Declarations<'a> {
    pub(super) fn of(input: &'a Input<'_>) -> Self {
        let mut found = Self::default();
        let Some(btf) = input.btf.as_deref() else {
            return found;
        };
        let mut sections = BTreeMap::new();
        for section in btf.types() {
            if let Kind::DataSection(listed) = section.kind() {
                for entry in listed.entries() {
                    sections.entry(entry.type_id).or_insert(section.name());
                }
            }
        }
        for one in btf.types() {
            let is_extern = match visibility(&one.kind()) {
                Some(Visibility::Global) => false,
                Some(Visibility::Extern) => true,
                _ => continue,
            };
            let declaration = Declaration {
                type_id: one.id(),
                section: sections.get(&one.id()).copied(),
                is_extern,
            };
            let known = found.0.entry(one.name()).or_insert(declaration);
            if known.is_extern && !is_extern {
                *known = declaration;
            }
        }
        found
    }

    pub(super) fn find(&self, name: &str) -> Option<Declaration<'a>> {
        self.0.get(name).copied()
    }
}

/// Who sees a function or variable, by BTF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visibility {
    Static,
    Global,
    Extern,
}

/// `None` for what is neither a function nor a variable.
pub(super) fn visibility(kind: &Kind<'_>) -> Option<Visibility> {
    match kind {
        Kind::Function(function) => Some(match function.linkage {
            FunctionLinkage::Global => Visibility::Global,
            FunctionLinkage::Extern => Visibility::Extern,
            _ => Visibility::Static,
        }),
        Kind::Variable(variable) => Some(match variable.linkage {
            VariableLinkage::Global => Visibility::Global,
            VariableLinkage::Extern => Visibility::Extern,
            _ => Visibility::Static,
        }),
        _ => None,
    }
}
