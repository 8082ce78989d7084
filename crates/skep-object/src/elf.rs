//! The ELF file as plain tables: sections, symbols and relocations of an `EM_BPF` relocatable,
//! checked once here so that everything after reads infallible values.

use std::collections::BTreeMap;

use object::{
    Endianness, SectionIndex,
    elf::{self, FileHeader64},
    read::elf::{FileHeader, Rel as _, SectionHeader as _, Sym as _},
};
use skep_isa::Endian;

use crate::{Error, Result, error::Place, order};

/// More than any compiler emits; each costs a name and a table entry.
const MAX_SECTIONS: usize = 1 << 16;
const MAX_SYMBOLS: usize = 1 << 20;
/// Bytes of all names together, with a section's for each thing in it: names may overlap in a
/// file, but what is made of them does not.
pub(crate) const MAX_NAMES: usize = 1 << 26;
/// Bytes of an `Elf64_Rel`.
const RELOCATION: usize = 16;

/// One section.
#[derive(Debug)]
pub(crate) struct Section<'data> {
    pub(crate) name: &'data str,
    /// Bytes in memory: of the file's data, or of what `.bss` stands for.
    pub(crate) size: u64,
    /// Empty for sections without data in the file.
    pub(crate) data: &'data [u8],
    /// Whether it holds instructions.
    pub(crate) executable: bool,
    /// Whether it is part of the loaded image (program bits or no bits, not a table).
    pub(crate) loaded: bool,
    /// Whether it has no data in the file (`.bss`).
    pub(crate) zeroed: bool,
    /// `SHF_*`.
    pub(crate) flags: u64,
    /// A power of two that its place in memory is a multiple of; 0 and 1 are the same.
    pub(crate) align: u64,
    /// Bytes of an entry, for sections of entries (strings to be merged).
    pub(crate) entry_size: u64,
    /// Sorted by offset.
    pub(crate) relocations: Vec<Relocation>,
}

impl Section<'_> {
    pub(crate) fn place(&self, offset: u64) -> Place {
        Place::new(self.name, offset)
    }

    /// The 64-bit number in place, which is what a relocation of data adds to its symbol.
    pub(crate) fn addend(&self, offset: u64, endian: Endian) -> u64 {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|at| self.data.get(at..)?.first_chunk());
        match (bytes, endian) {
            (Some(bytes), Endian::Little) => u64::from_le_bytes(*bytes),
            (Some(bytes), Endian::Big) => u64::from_be_bytes(*bytes),
            (None, _) => 0,
        }
    }

    pub(crate) fn malformed(&self, offset: u64, problem: impl Into<String>) -> Error {
        Error::Malformed {
            place: self.place(offset),
            problem: problem.into(),
        }
    }
}

/// A relocation: at `offset` of its section, by a symbol. BPF objects have no explicit addends:
/// they stand in place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relocation {
    pub(crate) offset: u64,
    pub(crate) kind: u32,
    pub(crate) symbol: usize,
}

/// Names and numbers of `R_BPF_*`, from LLVM's documentation of the BPF ELF ABI.
pub(crate) mod relocation_kind {
    pub(crate) const NONE: u32 = 0;
    pub(crate) const LD_IMM64: u32 = 1;
    pub(crate) const ABS64: u32 = 2;
    pub(crate) const ABS32: u32 = 3;
    pub(crate) const NODYLD32: u32 = 4;
    pub(crate) const CALL: u32 = 10;

    /// The name that tools print.
    pub(crate) fn name(kind: u32) -> String {
        match kind {
            NONE => "R_BPF_NONE".into(),
            LD_IMM64 => "R_BPF_64_64".into(),
            ABS64 => "R_BPF_64_ABS64".into(),
            ABS32 => "R_BPF_64_ABS32".into(),
            NODYLD32 => "R_BPF_64_NODYLD32".into(),
            CALL => "R_BPF_64_32".into(),
            other => format!("relocation type {other}"),
        }
    }
}

/// Where a symbol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SymbolHome {
    Undefined,
    Section(usize),
    /// Absolute, common or reserved.
    Other,
}

/// What a symbol names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SymbolKind {
    /// Code.
    Function,
    /// A variable.
    Object,
    /// A section as a whole.
    Section,
    /// Anything, as where it is found elsewhere.
    #[default]
    Other,
}

/// One symbol.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Symbol<'data> {
    pub(crate) name: &'data str,
    pub(crate) home: SymbolHome,
    pub(crate) kind: SymbolKind,
    pub(crate) local: bool,
    pub(crate) weak: bool,
    /// Hidden or internal visibility: global for the linker, static for the kernel.
    pub(crate) hidden: bool,
    pub(crate) value: u64,
    pub(crate) size: u64,
}

/// The whole file.
#[derive(Debug)]
pub(crate) struct Elf<'data> {
    pub(crate) endian: Endian,
    pub(crate) sections: Vec<Section<'data>>,
    pub(crate) symbols: Vec<Symbol<'data>>,
    /// The first section of each name.
    by_name: BTreeMap<&'data str, usize>,
    /// The symbols of each section.
    by_section: BTreeMap<usize, Vec<usize>>,
}

type Header = FileHeader64<Endianness>;

impl<'data> Elf<'data> {
    pub(crate) fn parse(data: &'data [u8]) -> Result<Self> {
        let header = file_header(data)?;
        let endianness = header
            .endian()
            .map_err(|error| at_header("ELF header", error))?;
        let table = header
            .sections(endianness, data)
            .map_err(|error| at_header("section headers", error))?;
        if table.len() > MAX_SECTIONS {
            return Err(budget("sections", table.len(), MAX_SECTIONS));
        }

        let mut sections = Vec::with_capacity(table.len());
        let (mut names, mut left) = (0_usize, data.len());
        for (index, raw) in table.enumerate() {
            let at = |error| at_header(&format!("section header {}", index.0), error);
            let name = table.section_name(endianness, raw).map_err(at)?;
            names = names.saturating_add(name.len());
            if names > MAX_NAMES {
                return Err(budget("bytes of sections' names", names, MAX_NAMES));
            }
            let name = text(name, &format!("section header {}", index.0))?;
            let kind = raw.sh_type(endianness);
            let zeroed = kind == elf::SHT_NOBITS;
            let flags = raw.sh_flags(endianness).0;
            let bytes = raw
                .data(endianness, data)
                .map_err(|error| at_header(name, error))?;
            // Sections that share their bytes would make much of a small file.
            left = left
                .checked_sub(bytes.len())
                .ok_or_else(|| Error::Malformed {
                    place: Place::new(name, 0),
                    problem: "it overlaps another section".into(),
                })?;
            sections.push(Section {
                name,
                size: raw.sh_size(endianness),
                data: bytes,
                executable: kind == elf::SHT_PROGBITS && flags & elf::SHF_EXECINSTR.0 != 0,
                loaded: (kind == elf::SHT_PROGBITS || zeroed) && flags & elf::SHF_ALLOC.0 != 0,
                zeroed,
                flags,
                align: raw.sh_addralign(endianness),
                entry_size: raw.sh_entsize(endianness),
                relocations: Vec::new(),
            });
        }

        let mut file = Self {
            endian: match endianness {
                Endianness::Little => Endian::Little,
                Endianness::Big => Endian::Big,
            },
            sections,
            symbols: Vec::new(),
            by_name: BTreeMap::new(),
            by_section: BTreeMap::new(),
        };
        for (index, section) in file.sections.iter().enumerate() {
            file.by_name.entry(section.name).or_insert(index);
        }
        file.read_symbols(endianness, data, &table)?;
        file.read_relocations(endianness, data, &table)?;
        Ok(file)
    }

    /// The first section of this name, with its index.
    pub(crate) fn section(&self, name: &str) -> Option<(usize, &Section<'data>)> {
        let index = *self.by_name.get(name)?;
        Some((index, self.sections.get(index)?))
    }

    /// The symbols that are defined in a section.
    pub(crate) fn symbols_of(&self, section: usize) -> impl Iterator<Item = &Symbol<'data>> {
        let indices = self.by_section.get(&section).into_iter().flatten();
        indices.filter_map(|index| self.symbols.get(*index))
    }

    fn read_symbols(
        &mut self,
        endianness: Endianness,
        data: &'data [u8],
        table: &object::read::elf::SectionTable<'data, Header>,
    ) -> Result<()> {
        let symbols = table
            .symbols(endianness, data, elf::SHT_SYMTAB)
            .map_err(|error| at_header("symbol table", error))?;
        if symbols.len() > MAX_SYMBOLS {
            return Err(budget("symbols", symbols.len(), MAX_SYMBOLS));
        }
        let mut names = 0_usize;
        // `enumerate` and `iter` leave out the null symbol, which relocations still count.
        for (index, raw) in symbols.symbols().iter().enumerate() {
            let place = format!("symbol {index}");
            let at = |error| at_header(&place, error);
            let home = match symbols
                .symbol_section(endianness, raw, object::SymbolIndex(index))
                .map_err(at)?
            {
                Some(SectionIndex(section)) if section < self.sections.len() => {
                    SymbolHome::Section(section)
                }
                Some(SectionIndex(section)) => {
                    return Err(Error::Malformed {
                        place: Place::new(place, 0),
                        problem: format!(
                            "it is in section {section}, but there are {}",
                            self.sections.len()
                        ),
                    });
                }
                None if raw.is_undefined(endianness) => SymbolHome::Undefined,
                None => SymbolHome::Other,
            };
            let kind = match raw.st_type() {
                elf::STT_FUNC => SymbolKind::Function,
                elf::STT_OBJECT => SymbolKind::Object,
                elf::STT_SECTION => SymbolKind::Section,
                _ => SymbolKind::Other,
            };
            let name = symbols.symbol_name(endianness, raw).map_err(at)?;
            let around = match home {
                SymbolHome::Section(section) => self.sections.get(section),
                _ => None,
            };
            names = names
                .saturating_add(name.len())
                .saturating_add(around.map_or(0, |section| section.name.len()));
            if names > MAX_NAMES {
                return Err(budget("bytes of symbols' names", names, MAX_NAMES));
            }
            let name = text(name, &place)?;
            let visibility = raw.st_visibility();
            if let SymbolHome::Section(section) = home {
                self.by_section.entry(section).or_default().push(index);
            }
            self.symbols.push(Symbol {
                name: match (kind, home) {
                    (SymbolKind::Section, SymbolHome::Section(section)) if name.is_empty() => self
                        .sections
                        .get(section)
                        .map_or(name, |section| section.name),
                    _ => name,
                },
                home,
                kind,
                local: raw.st_bind() == elf::STB_LOCAL,
                weak: raw.st_bind() == elf::STB_WEAK,
                hidden: visibility == elf::STV_HIDDEN || visibility == elf::STV_INTERNAL,
                value: raw.st_value(endianness),
                size: raw.st_size(endianness),
            });
        }
        Ok(())
    }

    fn read_relocations(
        &mut self,
        endianness: Endianness,
        data: &'data [u8],
        table: &object::read::elf::SectionTable<'data, Header>,
    ) -> Result<()> {
        // Tables that share their bytes would make much of a small file.
        let mut left = data.len() / RELOCATION;
        for (index, raw) in table.enumerate() {
            let name = self
                .sections
                .get(index.0)
                .map_or("", |section| section.name);
            let at = |error| at_header(name, error);
            let malformed = |offset: u64, problem: String| Error::Malformed {
                place: Place::new(name, offset),
                problem,
            };
            if raw.rela(endianness, data).map_err(at)?.is_some() {
                return Err(malformed(
                    0,
                    "relocations with addends (RELA); BPF objects have REL".into(),
                ));
            }
            let Some((relocations, _)) = raw.rel(endianness, data).map_err(at)? else {
                continue;
            };
            let target = raw.info_link(endianness).0;
            let symbols = self.symbols.len();
            let Some(section) = self.sections.get_mut(target).filter(|_| target != 0) else {
                return Err(malformed(
                    0,
                    format!("it is for section {target}, which is not there"),
                ));
            };
            left = left
                .checked_sub(relocations.len())
                .ok_or_else(|| malformed(0, "it overlaps another table of relocations".into()))?;
            section.relocations.reserve(relocations.len());
            for (entry, relocation) in (0_u64..).zip(relocations) {
                let symbol = relocation.r_sym(endianness);
                let offset = relocation.r_offset(endianness);
                let here = entry.saturating_mul(RELOCATION as u64);
                let symbol = usize::try_from(symbol)
                    .ok()
                    .filter(|index| *index < symbols)
                    .ok_or_else(|| {
                        malformed(here, format!("symbol {symbol}, but there are {symbols}"))
                    })?;
                if offset >= section.size {
                    return Err(malformed(
                        here,
                        format!(
                            "it is at offset {offset:#x} of {}, which has {:#x} bytes",
                            section.name, section.size
                        ),
                    ));
                }
                section.relocations.push(Relocation {
                    offset,
                    kind: relocation.r_type(endianness).0,
                    symbol,
                });
            }
            order::by_key(&mut section.relocations, |relocation| relocation.offset);
        }
        Ok(())
    }
}

fn file_header(data: &[u8]) -> Result<&Header> {
    let not_bpf = |reason: String| Error::NotBpf { reason };
    match data.get(..5) {
        Some([0x7f, b'E', b'L', b'F', 2]) => {}
        Some([0x7f, b'E', b'L', b'F', 1]) => {
            return Err(not_bpf("a 32-bit ELF file, expected a 64-bit one".into()));
        }
        Some([b'B', b'C', 0xc0, 0xde, _]) => {
            return Err(not_bpf(
                "LLVM bitcode: compile with -c to an object file".into(),
            ));
        }
        _ if data.is_empty() => return Err(not_bpf("the file is empty".into())),
        _ => {
            return Err(not_bpf(
                "no ELF file (it does not start with 7f 45 4c 46)".into(),
            ));
        }
    }
    let header = Header::parse(data).map_err(|error| at_header("ELF header", error))?;
    let endianness = header
        .endian()
        .map_err(|error| at_header("ELF header", error))?;
    let machine = header.e_machine.get(endianness);
    if machine != elf::EM_BPF {
        return Err(not_bpf(format!(
            "ELF machine {}, expected 247 (EM_BPF): compile with -target bpf",
            machine.0
        )));
    }
    let kind = header.e_type.get(endianness);
    if kind != elf::ET_REL {
        return Err(not_bpf(format!(
            "ELF file type {}, expected 1 (relocatable)",
            kind.0
        )));
    }
    Ok(header)
}

fn at_header(section: &str, error: object::read::Error) -> Error {
    Error::Malformed {
        place: Place::new(section, 0),
        problem: error.to_string().to_lowercase(),
    }
}

pub(crate) fn budget(what: &'static str, count: usize, limit: usize) -> Error {
    Error::Budget {
        what,
        count: count as u64,
        limit: limit as u64,
    }
}

fn text<'data>(bytes: &'data [u8], place: &str) -> Result<&'data str> {
    std::str::from_utf8(bytes).map_err(|error| Error::Malformed {
        place: Place::new(place, 0),
        problem: format!("its name is not UTF-8 from byte {} on", error.valid_up_to()),
    })
}
