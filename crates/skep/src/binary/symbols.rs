//! The functions that an ELF file has names for. Binaries have hundreds of megabytes: of them only
//! the tables of symbols are read, once, in pieces that fit a cache; names are compared by where
//! they are, not one by one.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use std::{
    collections::BTreeMap, fs::File, io::Read as _, ops::Range, os::unix::fs::FileExt as _,
    path::Path,
};

use memchr::memmem;
use object::{
    Endianness, FileKind, ReadCache, SymbolIndex, elf,
    read::elf::{FileHeader, ProgramHeader as _, SectionHeader as _},
};

use crate::{Error, Result};

/// How much is read at once.
const PIECE: usize = 1 << 18;

/// No version has a longer name; what is longer is none.
const VERSION: usize = 256;

/// A file, and where its tables are.
pub(super) struct Symbols {
    file: File,
    shown: String,
    wide: bool,
    big_endian: bool,
    /// Addresses of what is loaded, and where that is in the file.
    segments: Vec<(Range<u64>, u64)>,
    tables: Vec<Table>,
}

/// A table of symbols with their names.
#[derive(Debug, Clone)]
struct Table {
    symbols: Range<u64>,
    names: Range<u64>,
    dynamic: bool,
}

/// A function by one of its names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function {
    pub(super) address: u64,
    /// Other files of the same program can't see it, and may have one of its name.
    local: bool,
    /// Where it is in its table.
    index: usize,
    name: u32,
}

/// A function that was found, and its symbol's version.
#[derive(Debug)]
struct Found {
    function: Function,
    /// Empty if it has none.
    version: String,
    /// The one that is meant where none is named.
    default: bool,
}

impl Symbols {
    pub(super) fn open(binary: &Path) -> Result<Self> {
        let shown = binary.display().to_string();
        let fault = |reason: String| Error::binary(&shown, reason);
        let file = File::open(binary).map_err(|error| fault(error.to_string()))?;
        let again = file.try_clone().map_err(|error| fault(error.to_string()))?;
        let cache = ReadCache::new(again);
        let read = match FileKind::parse(&cache).map_err(|error| fault(error.to_string()))? {
            FileKind::Elf64 => read::<elf::FileHeader64<Endianness>>(&cache),
            FileKind::Elf32 => read::<elf::FileHeader32<Endianness>>(&cache),
            _ => return Err(fault("it is no ELF file".into())),
        };
        let (wide, big_endian, segments, tables) =
            read.map_err(|error| fault(error.to_string()))?;
        Ok(Self {
            file,
            shown,
            wide,
            big_endian,
            segments,
            tables,
        })
    }

    /// Whether it has no names but those of what it exports and imports.
    pub(super) fn is_stripped(&self) -> bool {
        self.tables.iter().all(|table| table.dynamic)
    }

    /// Where in the file an address is.
    pub(super) fn file_offset(&self, address: u64) -> Option<u64> {
        self.segments.iter().find_map(|(addresses, offset)| {
            let inside = address.checked_sub(addresses.start)?;
            (address < addresses.end).then(|| offset.checked_add(inside))?
        })
    }

    /// The address of a function; `None` if there is none of that name. The name may say the
    /// symbol's version (`memcpy@GLIBC_2.2.5`); without, it is the default one.
    pub(super) fn address(&self, wanted: &str) -> Result<Option<u64>> {
        let (name, version) = match wanted.split_once('@') {
            Some((name, version)) => (name, Some(version.trim_start_matches('@'))),
            None => (wanted, None),
        };
        let mut all = Vec::new();
        for table in &self.tables {
            all.extend(self.of_table(table, name, version)?);
        }
        match version {
            Some(version) => all.retain(|found| found.version == version),
            // Where all are old ones, any is better than none.
            None if all.iter().any(|found| found.default) => all.retain(|found| found.default),
            None => {}
        }
        if all.iter().any(|found| !found.function.local) {
            all.retain(|found| !found.function.local);
        }
        let mut addresses: Vec<u64> = all.iter().map(|found| found.function.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        match addresses.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            [first, ..] => Err(self.several(name, *first, &addresses)),
        }
    }

    fn several(&self, name: &str, first: u64, addresses: &[u64]) -> Error {
        const SHOWN: usize = 4;
        let places: Vec<String> = addresses
            .iter()
            .take(SHOWN)
            .map(|address| format!("{address:#x}"))
            .collect();
        let more = if addresses.len() > SHOWN { ", …" } else { "" };
        let offset = self.file_offset(first).unwrap_or(first);
        Error::binary(
            &self.shown,
            format!(
                "it has {} functions `{name}`: at {}{more}; say which by its offset in the file, as \
                 in `{}:{offset:#x}`",
                addresses.len(),
                places.join(", "),
                self.shown
            ),
        )
    }

    fn of_table(&self, table: &Table, name: &str, version: Option<&str>) -> Result<Vec<Found>> {
        let names = self.names_like(table, name.as_bytes())?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        self.scan(table, &mut |function| {
            if let Some(version) = names.get(&function.name) {
                let (version, default) = match version.strip_prefix('@') {
                    Some(default) => (default, true),
                    None => (version.as_str(), version.is_empty()),
                };
                found.push(Found {
                    function,
                    version: version.to_owned(),
                    default,
                });
            }
        })?;
        // The versions of exported functions are in a table beside, for which it must be of use.
        if table.dynamic && (version.is_some() || found.len() > 1) {
            self.add_versions(&mut found)?;
        }
        Ok(found)
    }

    /// Where this name is among a table's, and the version that it has there, behind one `@` or
    /// two.
    fn names_like(&self, table: &Table, name: &[u8]) -> Result<BTreeMap<u32, String>> {
        let mut like = BTreeMap::new();
        if name.is_empty() {
            return Ok(like);
        }
        let finder = memmem::Finder::new(name);
        // What is at a piece's end may go on behind it, and is looked at again with the next.
        let behind = name.len().saturating_add(VERSION);
        let mut buffer = Vec::new();
        let mut at = table.names.start;
        let mut rest = table.names.clone();
        loop {
            let more = self.append(&mut buffer, &mut rest)?;
            let end = match more {
                true => buffer.len().saturating_sub(behind),
                false => buffer.len(),
            };
            for start in finder.find_iter(&buffer) {
                if start >= end {
                    break;
                }
                let Some(tail) = buffer.get(start.saturating_add(name.len())..) else {
                    continue;
                };
                let version = match tail.first() {
                    Some(0) => String::new(),
                    Some(b'@') => {
                        let tail = tail.get(1..).unwrap_or_default();
                        let length = tail.iter().take(VERSION).position(|byte| *byte == 0);
                        let version = length.and_then(|length| tail.get(..length));
                        String::from_utf8_lossy(version.unwrap_or_default()).into_owned()
                    }
                    _ => continue,
                };
                let place = at
                    .saturating_add(start as u64)
                    .saturating_sub(table.names.start);
                if let Ok(place) = u32::try_from(place) {
                    like.insert(place, version);
                }
            }
            if !more {
                return Ok(like);
            }
            buffer.drain(..end);
            at = at.saturating_add(end as u64);
        }
    }

    /// Appends a piece of the file, and says whether there is more.
    fn append(&self, buffer: &mut Vec<u8>, rest: &mut Range<u64>) -> Result<bool> {
        let left = rest.end.saturating_sub(rest.start);
        let size = left.min(PIECE as u64);
        let kept = buffer.len();
        buffer.resize(kept.saturating_add(size as usize), 0);
        let piece = buffer.get_mut(kept..).unwrap_or_default();
        self.file
            .read_exact_at(piece, rest.start)
            .map_err(|error| self.cut(&error))?;
        rest.start = rest.start.saturating_add(size);
        Ok(rest.start < rest.end)
    }

    fn cut(&self, error: &std::io::Error) -> Error {
        Error::binary(
            &self.shown,
            format!("its table of symbols can't be read to the end: {error}"),
        )
    }

    /// Shows all functions that are defined.
    fn scan(&self, table: &Table, visit: &mut dyn FnMut(Function)) -> Result<()> {
        let size = if self.wide { 24 } else { 16 };
        let mut buffer = Vec::new();
        let mut rest = table.symbols.clone();
        let mut index = 0_usize;
        loop {
            let more = self.append(&mut buffer, &mut rest)?;
            let mut symbols = buffer.chunks_exact(size);
            for symbol in symbols.by_ref() {
                if let Some(function) = self.function(symbol, index) {
                    visit(function);
                }
                index = index.saturating_add(1);
            }
            let kept = symbols.remainder().len();
            if !more {
                return Ok(());
            }
            let done = buffer.len().saturating_sub(kept);
            buffer.drain(..done);
        }
    }

    /// Reads a symbol, if it is a function of this file.
    fn function(&self, symbol: &[u8], index: usize) -> Option<Function> {
        let name = self.number(symbol.get(0..4)?);
        let (info, section, value) = match self.wide {
            true => (symbol.get(4)?, symbol.get(6..8)?, symbol.get(8..16)?),
            false => (symbol.get(12)?, symbol.get(14..16)?, symbol.get(4..8)?),
        };
        let kind = info & 0xf;
        let is_function = kind == elf::STT_FUNC.0 || kind == elf::STT_GNU_IFUNC.0;
        (is_function && section != [0, 0]).then(|| Function {
            address: self.number(value),
            local: info >> 4 == elf::STB_LOCAL.0,
            index,
            name: name as u32,
        })
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let join = |all: u64, byte: &u8| all << 8 | u64::from(*byte);
        match self.big_endian {
            true => bytes.iter().fold(0, join),
            false => bytes.iter().rev().fold(0, join),
        }
    }

    /// Shows all functions by name, without their versions.
    pub(super) fn each(&self, mut visit: impl FnMut(&str, Function)) -> Result<()> {
        for table in &self.tables {
            let size = table.names.end.saturating_sub(table.names.start);
            let mut names = Vec::new();
            let mut file = &self.file;
            std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(table.names.start))
                .and_then(|_| file.take(size).read_to_end(&mut names))
                .map_err(|error| self.cut(&error))?;
            self.scan(table, &mut |function| {
                let name = names.get(function.name as usize..).unwrap_or_default();
                let end = memchr::memchr2(0, b'@', name).unwrap_or(name.len());
                let name = name.get(..end).unwrap_or_default();
                if let Ok(name) = std::str::from_utf8(name) {
                    visit(name, function);
                }
            })?;
        }
        Ok(())
    }

    /// Adds the versions of exported functions.
    fn add_versions(&self, found: &mut [Found]) -> Result<()> {
        let fault = |error: &dyn std::fmt::Display| Error::binary(&self.shown, error.to_string());
        let again = self.file.try_clone().map_err(|error| fault(&error))?;
        let cache = ReadCache::new(again);
        let done = match self.wide {
            true => add_versions::<elf::FileHeader64<Endianness>>(&cache, found),
            false => add_versions::<elf::FileHeader32<Endianness>>(&cache, found),
        };
        done.map_err(|error| fault(&error))
    }
}

fn add_versions<Elf: FileHeader<Endian = Endianness>>(
    data: &ReadCache<File>,
    found: &mut [Found],
) -> object::read::Result<()> {
    let header = Elf::parse(data)?;
    let endian = header.endian()?;
    let Some(versions) = header.sections(endian, data)?.versions(endian, data)? else {
        return Ok(());
    };
    for one in found {
        let index = versions.version_index(endian, SymbolIndex(one.function.index));
        one.default = !index.is_hidden();
        if let Some(version) = versions.version(index.index())? {
            one.version = String::from_utf8_lossy(version.name()).into_owned();
        }
    }
    Ok(())
}

/// What is known of a file by its headers.
type Headers = (bool, bool, Vec<(Range<u64>, u64)>, Vec<Table>);

fn read<Elf: FileHeader<Endian = Endianness>>(
    data: &ReadCache<File>,
) -> object::read::Result<Headers> {
    let header = Elf::parse(data)?;
    let endian = header.endian()?;
    let mut segments = Vec::new();
    for segment in header.program_headers(endian, data)? {
        if segment.p_type(endian) == elf::PT_LOAD {
            let address: u64 = segment.p_vaddr(endian).into();
            let size: u64 = segment.p_filesz(endian).into();
            let range = address..address.saturating_add(size);
            segments.push((range, segment.p_offset(endian).into()));
        }
    }
    let sections = header.sections(endian, data)?;
    let mut tables = Vec::new();
    let range = |offset: u64, size: u64| offset..offset.saturating_add(size);
    for section in sections.iter() {
        let kind = section.sh_type(endian);
        if kind != elf::SHT_SYMTAB && kind != elf::SHT_DYNSYM {
            continue;
        }
        let names = sections.section(object::SectionIndex(section.sh_link(endian) as usize))?;
        tables.push(Table {
            symbols: range(
                section.sh_offset(endian).into(),
                section.sh_size(endian).into(),
            ),
            names: range(names.sh_offset(endian).into(), names.sh_size(endian).into()),
            dynamic: kind == elf::SHT_DYNSYM,
        });
    }
    // Names that a program's own table has come first.
    tables.sort_by_key(|table| table.dynamic);
    let wide = header.is_type_64();
    Ok((wide, header.is_big_endian(), segments, tables))
}
