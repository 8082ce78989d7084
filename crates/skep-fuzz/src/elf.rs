//! As much of ELF as mutations need: where the sections of an object are, and one section's bytes
//! put in another's place.

use std::ops::Range;

use object::{Endianness, read::elf::ElfFile64};
use object::{Object, ObjectSection, SectionKind};

/// Where a section header keeps the offset and the size (`Elf64_Shdr`).
const OFFSET_AND_SIZE: Range<usize> = 0x18..0x28;
const HEADER_LEN: usize = 0x40;
/// Where the file header keeps the section headers' offset (`Elf64_Ehdr`).
const SECTIONS_AT: Range<usize> = 0x28..0x30;

/// Where the parts of an object are: its sections and its section headers. None if it is none.
pub(crate) fn parts(file: &[u8]) -> Vec<Range<usize>> {
    let Ok(elf) = ElfFile64::<Endianness>::parse(file) else {
        return Vec::new();
    };
    let ranges = elf.sections().filter_map(|section| section.file_range());
    let mut parts: Vec<Range<usize>> = ranges
        .map(|(start, len)| start as usize..(start as usize).saturating_add(len as usize))
        .filter(|range| !range.is_empty() && range.end <= file.len())
        .collect();
    let headers = elf.elf_section_table().len() * HEADER_LEN;
    let first = u64_at(file, &SECTIONS_AT, elf.endian()) as usize;
    parts.push(first..(first + headers).min(file.len()));
    parts
}

/// A section's bytes; none if there is no such section.
pub(crate) fn section<'a>(file: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let elf = ElfFile64::<Endianness>::parse(file).ok()?;
    elf.section_by_name(name)?.data().ok()
}

/// The object with other bytes for one of its sections, put at the file's end.
pub(crate) fn with_section(file: &[u8], name: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let elf = ElfFile64::<Endianness>::parse(file).ok()?;
    let index = elf.section_by_name(name)?.index().0;
    let header = u64_at(file, &SECTIONS_AT, elf.endian()) as usize + index * HEADER_LEN;
    let mut changed = file.to_vec();
    changed.resize(file.len().next_multiple_of(8), 0);
    let place = [changed.len() as u64, bytes.len() as u64];
    let place = place.map(|word| match elf.endian() {
        Endianness::Little => word.to_le_bytes(),
        Endianness::Big => word.to_be_bytes(),
    });
    changed[header..][OFFSET_AND_SIZE].copy_from_slice(place.as_flattened());
    changed.extend_from_slice(bytes);
    Some(changed)
}

/// The instructions of all programs in the object.
pub(crate) fn code(file: &[u8]) -> Vec<u8> {
    let Ok(elf) = ElfFile64::<Endianness>::parse(file) else {
        return Vec::new();
    };
    let sections = elf
        .sections()
        .filter(|section| section.kind() == SectionKind::Text);
    let bytes = sections.filter_map(|section| section.data().ok());
    bytes.flatten().copied().collect()
}

fn u64_at(file: &[u8], range: &Range<usize>, endian: Endianness) -> u64 {
    let bytes = file
        .get(range.clone())
        .and_then(|bytes| bytes.try_into().ok());
    match endian {
        Endianness::Little => bytes.map_or(0, u64::from_le_bytes),
        Endianness::Big => bytes.map_or(0, u64::from_be_bytes),
    }
}
