//! The result as an ELF file: sections of code and data, their relocations, types, symbols, names.

use std::collections::HashMap;

use object::{
    Endianness, U16, U32, U64,
    elf::{
        self, FileFlags, FileHeader64, Ident, Rel64, RelocationType, SectionFlags, SectionHeader64,
        SectionType, Sym64, SymbolBind, SymbolInfo, SymbolOther, SymbolSection,
    },
    pod::{Pod, bytes_of},
};
use skep_isa::Endian;

use super::{
    sections::{Merged, Sections},
    symbols::{Key, OutSymbol, Symbols},
    types::Types,
};
use crate::{Error, Result, elf::SymbolKind, ext, object::BTF};

/// Sections that the symbol table can say by number: `SHN_LORESERVE` and up mean other things.
const MAX_SECTIONS: usize = 0xff00;
/// Names of sections and symbols; a small file can name the same bytes many times.
const MAX_NAMES: usize = 1 << 26;
/// What tables are aligned to, and where in the file sections of a greater alignment are, too: it is
/// their place in memory that must have that.
const WORD: usize = 8;

type Header = SectionHeader64<Endianness>;

pub(crate) fn write(
    endian: Endian,
    sections: &Sections<'_>,
    symbols: &Symbols<'_>,
    types: &Types,
) -> Result<Vec<u8>> {
    let mut file = File::new(endian);
    for section in &sections.list {
        file.section(section)?;
    }
    // The symbol table follows relocations and types.
    let relocated = sections
        .list
        .iter()
        .filter(|section| !section.relocations.is_empty());
    let with_types = [(BTF, &types.btf), (ext::SECTION, &types.ext)];
    let with_types = with_types.iter().filter(|(_, bytes)| !bytes.is_empty());
    let table = 1_usize
        .saturating_add(sections.list.len())
        .saturating_add(relocated.clone().count())
        .saturating_add(with_types.clone().count());
    let names = table.saturating_add(1);
    if names >= MAX_SECTIONS {
        return Err(Error::Budget {
            what: "sections in the linked object",
            count: names as u64,
            limit: MAX_SECTIONS as u64,
        });
    }
    let numbers = Numbers {
        sections: sections.list.len(),
        locals: symbols.locals.len(),
    };
    for (index, section) in sections.list.iter().enumerate() {
        if !section.relocations.is_empty() {
            file.relocations(section, index.saturating_add(1), table, &numbers)?;
        }
    }
    for (name, bytes) in with_types {
        file.table(&Table {
            name,
            bytes,
            align: 4,
            ..Table::default()
        })?;
    }
    file.symbols(sections, symbols, names, &numbers)?;
    file.finish(names)
}

/// Where symbols are in the table: the null symbol, those of sections, local ones, global ones.
struct Numbers {
    sections: usize,
    locals: usize,
}

impl Numbers {
    fn of(&self, key: Key) -> u32 {
        let index = match key {
            Key::Section(index) => index,
            Key::Local(index) => self.sections.saturating_add(index),
            Key::Global(index) => self.globals().saturating_add(index),
        };
        number(index.saturating_add(1))
    }

    /// The global symbols, without the null symbol.
    fn globals(&self) -> usize {
        self.sections.saturating_add(self.locals)
    }
}

/// The file, section by section.
struct File {
    endian: Endianness,
    bytes: Vec<u8>,
    headers: Vec<Header>,
    names: Names,
}

impl File {
    fn new(endian: Endian) -> Self {
        let endian = match endian {
            Endian::Little => Endianness::Little,
            Endian::Big => Endianness::Big,
        };
        let mut file = Self {
            endian,
            bytes: vec![0; size_of::<FileHeader64<Endianness>>()],
            headers: Vec::new(),
            names: Names::new(),
        };
        let null = Table {
            kind: elf::SHT_NULL,
            ..Table::default()
        };
        file.headers.push(file.header(0, 0, &null));
        file
    }

    fn header(&self, name: u32, offset: usize, table: &Table<'_>) -> Header {
        let endian = self.endian;
        let word = |word: usize| U64::new(endian, word as u64);
        SectionHeader64 {
            sh_name: U32::new(endian, name),
            sh_type: U32::new(endian, table.kind),
            sh_flags: U64::new(endian, table.flags),
            sh_addr: word(0),
            sh_offset: word(offset),
            sh_size: word(table.bytes.len()),
            sh_link: U32::new(endian, number(table.link)),
            sh_info: U32::new(endian, number(table.info)),
            sh_addralign: word(table.align),
            sh_entsize: word(table.entry_size),
        }
    }

    /// Adds a section of code, data or zeroes.
    fn section(&mut self, section: &Merged<'_>) -> Result<()> {
        let kind = match section.zeroed {
            true => elf::SHT_NOBITS,
            false => elf::SHT_PROGBITS,
        };
        self.table(&Table {
            name: section.name,
            kind,
            flags: SectionFlags(section.flags),
            bytes: &section.data,
            ..Table::default()
        })?;
        if let Some(header) = self.headers.last_mut() {
            header.sh_size = U64::new(self.endian, section.size);
            header.sh_addralign = U64::new(self.endian, section.align);
            header.sh_entsize = U64::new(self.endian, section.entry_size);
        }
        Ok(())
    }

    /// Adds a section.
    fn table(&mut self, table: &Table<'_>) -> Result<()> {
        let start = self.bytes.len().next_multiple_of(WORD);
        self.bytes.resize(start, 0);
        let name = self.names.intern(table.name)?;
        self.headers.push(self.header(name, start, table));
        self.bytes.extend_from_slice(table.bytes);
        Ok(())
    }

    /// Adds the relocations of section number `target`.
    fn relocations(
        &mut self,
        section: &Merged<'_>,
        target: usize,
        symbols: usize,
        numbers: &Numbers,
    ) -> Result<()> {
        let entries = section.relocations.iter().map(|relocation| {
            let symbol = numbers.of(relocation.symbol);
            Rel64 {
                r_offset: U64::new(self.endian, relocation.offset),
                r_info: Rel64::r_info(self.endian, symbol, RelocationType(relocation.kind)),
            }
        });
        let bytes = bytes_of_all(entries);
        self.table(&Table {
            name: &format!(".rel{}", section.name),
            kind: elf::SHT_REL,
            flags: elf::SHF_INFO_LINK,
            bytes: &bytes,
            link: symbols,
            info: target,
            align: WORD,
            entry_size: size_of::<Rel64<Endianness>>(),
        })
    }

    /// Adds the symbols, whose names will be in section number `names`.
    fn symbols(
        &mut self,
        sections: &Sections<'_>,
        symbols: &Symbols<'_>,
        names: usize,
        numbers: &Numbers,
    ) -> Result<()> {
        let null = self.symbol(&OutSymbol::default(), elf::STB_LOCAL, false)?;
        let mut list = vec![null];
        for index in 0..sections.list.len() {
            let section = OutSymbol {
                kind: SymbolKind::Section,
                section: Some(index),
                ..OutSymbol::default()
            };
            list.push(self.symbol(&section, elf::STB_LOCAL, false)?);
        }
        for local in &symbols.locals {
            list.push(self.symbol(local, elf::STB_LOCAL, false)?);
        }
        for global in &symbols.globals {
            let binding = match global.weak {
                true => elf::STB_WEAK,
                false => elf::STB_GLOBAL,
            };
            list.push(self.symbol(&global.symbol, binding, global.hidden)?);
        }
        let bytes = bytes_of_all(list.into_iter());
        self.table(&Table {
            name: ".symtab",
            kind: elf::SHT_SYMTAB,
            bytes: &bytes,
            link: names,
            info: numbers.globals().saturating_add(1),
            align: WORD,
            entry_size: size_of::<Sym64<Endianness>>(),
            ..Table::default()
        })
    }

    fn symbol(
        &mut self,
        symbol: &OutSymbol<'_>,
        binding: SymbolBind,
        hidden: bool,
    ) -> Result<Sym64<Endianness>> {
        let kind = match symbol.kind {
            SymbolKind::Function => elf::STT_FUNC,
            SymbolKind::Object => elf::STT_OBJECT,
            SymbolKind::Section => elf::STT_SECTION,
            SymbolKind::Other => elf::STT_NOTYPE,
        };
        let visibility = match hidden {
            true => elf::STV_HIDDEN,
            false => elf::STV_DEFAULT,
        };
        // There are fewer sections than the numbers of sections that mean other things.
        let home = symbol.section.map_or(0, |index| index.saturating_add(1));
        let home = u16::try_from(home).unwrap_or(elf::SHN_UNDEF.0);
        Ok(Sym64 {
            st_name: U32::new(self.endian, self.names.intern(symbol.name)?),
            st_info: SymbolInfo::new(binding, kind),
            st_other: SymbolOther(0).with_visibility(visibility),
            st_shndx: U16::new(self.endian, SymbolSection(home)),
            st_value: U64::new(self.endian, symbol.value),
            st_size: U64::new(self.endian, symbol.size),
        })
    }

    /// The file, once its names and headers are in it too.
    fn finish(mut self, names: usize) -> Result<Vec<u8>> {
        // The section of names names itself.
        self.names.intern(STRINGS)?;
        let bytes = std::mem::take(&mut self.names.bytes);
        self.table(&Table {
            name: STRINGS,
            kind: elf::SHT_STRTAB,
            bytes: &bytes,
            align: 1,
            ..Table::default()
        })?;
        let start = self.bytes.len().next_multiple_of(WORD);
        self.bytes.resize(start, 0);
        let header = FileHeader64 {
            e_ident: Ident {
                magic: elf::ELFMAG,
                class: elf::ELFCLASS64,
                data: match self.endian {
                    Endianness::Little => elf::ELFDATA2LSB,
                    Endianness::Big => elf::ELFDATA2MSB,
                },
                version: elf::EV_CURRENT,
                os_abi: elf::ELFOSABI_NONE,
                abi_version: 0,
                padding: [0; 7],
            },
            e_type: U16::new(self.endian, elf::ET_REL),
            e_machine: U16::new(self.endian, elf::EM_BPF),
            e_version: U32::new(self.endian, elf::EV_CURRENT.0.into()),
            e_entry: U64::new(self.endian, 0),
            e_phoff: U64::new(self.endian, 0),
            e_shoff: U64::new(self.endian, start as u64),
            e_flags: U32::new(self.endian, FileFlags(0)),
            e_ehsize: U16::new(self.endian, short(size_of::<FileHeader64<Endianness>>())),
            e_phentsize: U16::new(self.endian, 0),
            e_phnum: U16::new(self.endian, 0),
            e_shentsize: U16::new(self.endian, short(size_of::<Header>())),
            e_shnum: U16::new(self.endian, short(self.headers.len())),
            e_shstrndx: U16::new(self.endian, SymbolSection(short(names))),
        };
        let header = bytes_of(&header);
        if let Some(place) = self.bytes.get_mut(..header.len()) {
            place.copy_from_slice(header);
        }
        self.bytes.extend(bytes_of_all(self.headers.into_iter()));
        Ok(self.bytes)
    }
}

/// A section that is only a table, or one of code or data before its header is complete.
struct Table<'a> {
    name: &'a str,
    kind: SectionType,
    flags: SectionFlags,
    bytes: &'a [u8],
    link: usize,
    info: usize,
    align: usize,
    entry_size: usize,
}

impl Default for Table<'_> {
    fn default() -> Self {
        Self {
            name: "",
            kind: elf::SHT_PROGBITS,
            flags: SectionFlags(0),
            bytes: &[],
            link: 0,
            info: 0,
            align: 0,
            entry_size: 0,
        }
    }
}

fn bytes_of_all<T: Pod>(all: impl Iterator<Item = T>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(all.size_hint().0.saturating_mul(size_of::<T>()));
    for one in all {
        bytes.extend_from_slice(bytes_of(&one));
    }
    bytes
}

/// Counts of what was read from files with numbers of 32 bits, within a budget.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Sizes of headers, and numbers of sections, which are counted before.
fn short(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// The section of names.
const STRINGS: &str = ".strtab";

/// Names, each once.
struct Names {
    bytes: Vec<u8>,
    known: HashMap<Box<str>, u32>,
}

impl Names {
    fn new() -> Self {
        Self {
            bytes: vec![0],
            known: HashMap::from([("".into(), 0)]),
        }
    }

    fn intern(&mut self, name: &str) -> Result<u32> {
        if let Some(known) = self.known.get(name) {
            return Ok(*known);
        }
        let start = self.bytes.len();
        let end = start.saturating_add(name.len());
        if end > MAX_NAMES {
            return Err(Error::Budget {
                what: "bytes of names in the linked object",
                count: end as u64,
                limit: MAX_NAMES as u64,
            });
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        let start = number(start);
        self.known.insert(name.into(), start);
        Ok(start)
    }
}
