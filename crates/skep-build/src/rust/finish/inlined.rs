//! Which calls were inlined where, by the compiler's debug information (DWARF): BTF's records of lines
//! only know the innermost function's line. Whatever is wrong with it makes the answer shorter, and
//! is no error: the object is as good without.

use std::{collections::HashMap, path::Path};

use gimli::{
    AttributeValue, DebuggingInformationEntry, Dwarf, EndianSlice, RunTimeEndian, SectionId, Unit,
};
use object::{
    Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags,
    RelocationTarget, SectionKind,
};

use super::own::Place;

type Reader<'a> = EndianSlice<'a, RunTimeEndian>;

/// `R_BPF_64_ABS64`: eight bytes of data.
const ABSOLUTE: u32 = 2;

/// `R_BPF_64_ABS32`: four bytes of data.
const ABSOLUTE_HALF: u32 = 3;

/// More than this of anything is no object of a program that a kernel takes.
const LIMIT: usize = 1 << 18;

/// A call whose callee is part of the caller.
#[derive(Debug)]
struct Call {
    /// In bytes from the section's start.
    begin: u64,
    end: u64,
    /// How many functions it is inside of.
    depth: isize,
    /// Of the call.
    place: Place,
}

/// The calls of an object, by section.
#[derive(Debug, Default)]
pub(super) struct Inlined(HashMap<String, Vec<Call>>);

impl Inlined {
    /// Those that an object tells of.
    pub(super) fn of(bytes: &[u8]) -> Self {
        read(bytes).unwrap_or_default()
    }

    /// Where the instruction is called from, innermost first.
    pub(super) fn callers(&self, section: &str, insn: u32) -> impl Iterator<Item = &Place> {
        let at = u64::from(insn) * 8;
        let calls = self.0.get(section).map(Vec::as_slice).unwrap_or_default();
        calls
            .iter()
            .filter(move |call| call.begin <= at && at < call.end)
            .map(|call| &call.place)
    }
}

fn read(bytes: &[u8]) -> Option<Inlined> {
    let file = object::File::parse(bytes).ok()?;
    let sections = Sections::of(&file)?;
    let load = |id: SectionId| -> Result<Reader<'_>, gimli::Error> {
        let data = sections.debug.get(id.name()).map(Vec::as_slice);
        Ok(EndianSlice::new(data.unwrap_or_default(), sections.endian))
    };
    let dwarf = Dwarf::load(load).ok()?;
    let mut calls: HashMap<u64, Vec<Call>> = HashMap::new();
    let mut left = LIMIT;
    let mut headers = dwarf.units();
    while let Ok(Some(header)) = headers.next() {
        let Ok(unit) = dwarf.unit(header) else {
            continue;
        };
        let mut places = Places::new(&dwarf, &unit);
        let mut entries = unit.entries();
        let mut depth = 0;
        while let Ok(Some((more, entry))) = entries.next_dfs() {
            depth += more;
            left = left.checked_sub(1)?;
            if entry.tag() != gimli::DW_TAG_inlined_subroutine {
                continue;
            }
            let Some(place) = places.of_call(entry) else {
                continue;
            };
            let Ok(mut ranges) = dwarf.die_ranges(&unit, entry) else {
                continue;
            };
            while let Ok(Some(range)) = ranges.next() {
                left = left.checked_sub(1)?;
                let offset = |address: u64| address & u64::from(u32::MAX);
                calls.entry(range.begin >> 32).or_default().push(Call {
                    begin: offset(range.begin),
                    end: offset(range.end),
                    depth,
                    place: place.clone(),
                });
            }
        }
    }
    let mut found = Inlined::default();
    for (section, mut of_section) in calls {
        let Some(name) = sections.code.get(&section) else {
            continue;
        };
        of_section.sort_by_key(|call| -call.depth);
        found.0.insert(name.clone(), of_section);
    }
    Some(found)
}

/// Debug information with its relocations done. All sections begin at 0: which one an address is of
/// stands in its upper half.
struct Sections {
    endian: RunTimeEndian,
    debug: HashMap<String, Vec<u8>>,
    code: HashMap<u64, String>,
}

impl Sections {
    fn of(file: &object::File<'_>) -> Option<Self> {
        let mut sections = Self {
            endian: match file.endianness() {
                Endianness::Little => RunTimeEndian::Little,
                Endianness::Big => RunTimeEndian::Big,
            },
            debug: HashMap::new(),
            code: HashMap::new(),
        };
        for section in file.sections() {
            let name = section.name().ok()?;
            if section.kind() == SectionKind::Text {
                let index = section.index().0 as u64;
                sections.code.insert(index, name.to_owned());
            } else if name.starts_with(".debug_") {
                let mut data = section.data().ok()?.to_vec();
                for (offset, relocation) in section.relocations() {
                    let RelocationTarget::Symbol(symbol) = relocation.target() else {
                        continue;
                    };
                    let symbol = file.symbol_by_index(symbol).ok()?;
                    let home = symbol.section_index();
                    let home = home.and_then(|index| file.section_by_index(index).ok());
                    let code = home.filter(|home| home.kind() == SectionKind::Text);
                    let base = code.map_or(0, |code| (code.index().0 as u64) << 32);
                    let RelocationFlags::Elf { r_type } = relocation.flags() else {
                        continue;
                    };
                    let value = base.wrapping_add(symbol.address());
                    sections.add(&mut data, offset, r_type.0, value);
                }
                sections.debug.insert(name.to_owned(), data);
            }
        }
        Some(sections)
    }

    /// Adds to what stands in a section.
    fn add(&self, data: &mut [u8], offset: u64, kind: u32, value: u64) {
        let place = usize::try_from(offset).ok();
        let place = place.and_then(|offset| data.get_mut(offset..));
        let Some(place) = place else { return };
        let little = self.endian == RunTimeEndian::Little;
        match kind {
            ABSOLUTE => {
                let Some(bytes) = place.first_chunk_mut::<8>() else {
                    return;
                };
                *bytes = match little {
                    true => u64::from_le_bytes(*bytes).wrapping_add(value).to_le_bytes(),
                    false => u64::from_be_bytes(*bytes).wrapping_add(value).to_be_bytes(),
                };
            }
            ABSOLUTE_HALF => {
                let Some(bytes) = place.first_chunk_mut::<4>() else {
                    return;
                };
                // Of debug information's own sections: no address of code has half a register.
                let value = value as u32;
                *bytes = match little {
                    true => u32::from_le_bytes(*bytes).wrapping_add(value).to_le_bytes(),
                    false => u32::from_be_bytes(*bytes).wrapping_add(value).to_be_bytes(),
                };
            }
            _ => {}
        }
    }
}

/// Files of a unit, by their numbers.
struct Places<'a> {
    dwarf: &'a Dwarf<Reader<'a>>,
    unit: &'a Unit<Reader<'a>>,
    known: HashMap<u64, Option<String>>,
}

impl<'a> Places<'a> {
    fn new(dwarf: &'a Dwarf<Reader<'a>>, unit: &'a Unit<Reader<'a>>) -> Self {
        Self {
            dwarf,
            unit,
            known: HashMap::new(),
        }
    }

    fn of_call(&mut self, entry: &DebuggingInformationEntry<'_, '_, Reader<'a>>) -> Option<Place> {
        let number = |name| match entry.attr_value(name).ok()?? {
            AttributeValue::FileIndex(number) => Some(number),
            value => value.udata_value(),
        };
        let file = number(gimli::DW_AT_call_file)?;
        let line = number(gimli::DW_AT_call_line)?;
        let column = number(gimli::DW_AT_call_column).unwrap_or(0);
        if !self.known.contains_key(&file) {
            let path = self.path(file);
            self.known.insert(file, path);
        }
        Some(Place {
            file: self.known.get(&file)?.clone()?,
            line: u32::try_from(line).ok()?,
            column: u32::try_from(column).ok()?,
        })
    }

    /// The path as BTF has it: the folder's and the name.
    fn path(&self, file: u64) -> Option<String> {
        let header = self.unit.line_program.as_ref()?.header();
        let entry = header.file(file)?;
        let text = |value| {
            let text = self.dwarf.attr_string(self.unit, value).ok()?;
            Some(text.to_string_lossy().into_owned())
        };
        let compiled_in = self
            .unit
            .comp_dir
            .map(|folder| folder.to_string_lossy().into_owned());
        let mut path = Path::new(&compiled_in.unwrap_or_default()).to_owned();
        // Before DWARF 5, the folder of number 0 is the one that was compiled in, and has no entry.
        if let Some(folder) = entry.directory(header).and_then(text) {
            path.push(folder);
        }
        path.push(text(entry.path_name())?);
        path.into_os_string().into_string().ok()
    }
}
