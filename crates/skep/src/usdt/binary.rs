//! The points of a binary: its notes, with the places that they name found in the file.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use std::{
    cell::OnceCell,
    collections::{HashMap, hash_map::Entry},
    fs,
    path::Path,
};

use object::{
    Endianness, FileKind, ReadCache, ReadRef, elf,
    read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _, SectionTable, Sym as _},
};

use super::{
    Argument, BadArgument, Machine,
    argument::Around,
    notes::{BASE_SECTION, KIND, Note, OWNER, SECTION},
};
use crate::{Error, Result};

/// The points of a binary.
///
/// ```no_run
/// let notes = skep::usdt::Notes::open("/usr/lib/x86_64-linux-gnu/libstdc++.so.6".as_ref())?;
/// for point in &notes.points {
///     println!("{}:{} at {:#x}", point.provider, point.name, point.address);
/// }
/// # Ok::<(), skep::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Notes {
    /// The machine that the binary is for.
    pub machine: Machine,
    /// Processes have it at the addresses that it was linked for: it is neither a shared library
    /// nor a position-independent program.
    pub fixed: bool,
    /// The points, in the order of their notes. Those of one name are places of one point.
    pub points: Vec<Point>,
}

/// One place of a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Whose it is, such as `libstdcxx`.
    pub provider: String,
    /// Its name, such as `throw`.
    pub name: String,
    /// Its address, as the file was linked.
    pub address: u64,
    /// Where its instruction is in the file; `None` if that is in no code of the file.
    pub offset: Option<u64>,
    /// The counter that says whether anybody watches, which the kernel keeps.
    pub semaphore: Semaphore,
    /// Its arguments, or the first one that can't be read.
    pub arguments: Result<Vec<Argument>, BadArgument>,
}

/// A point's counter of those who watch, by which it saves itself the work to find its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Semaphore {
    /// The point has none.
    None,
    /// Where it is in the file.
    At {
        /// Bytes from the file's start.
        offset: u64,
    },
    /// At an address that is in no data of the file.
    Nowhere {
        /// The address.
        address: u64,
    },
}

impl Notes {
    /// Reads the points of a binary, of a 64-bit ELF file.
    ///
    /// # Errors
    /// The file can't be read, is malformed, of another kind, or has no points.
    pub fn open(binary: &Path) -> Result<Self> {
        Self::open_like(binary, &|_, _| true)
    }

    /// The same, of those points that are wanted by provider and name.
    pub(crate) fn open_like(binary: &Path, wanted: &dyn Fn(&[u8], &[u8]) -> bool) -> Result<Self> {
        let fault = |reason: String| Error::binary(&binary.display().to_string(), reason);
        let file = fs::File::open(binary).map_err(|error| fault(error.to_string()))?;
        read(&ReadCache::new(file), wanted).map_err(fault)
    }

    /// Reads the points of a binary that is in memory.
    ///
    /// # Errors
    /// The bytes are malformed, of another kind of file, or have no points.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        read(bytes, &|_, _| true).map_err(|reason| Error::binary("the binary", reason))
    }
}

fn read<'data, R: ReadRef<'data>>(
    data: R,
    wanted: &dyn Fn(&[u8], &[u8]) -> bool,
) -> Result<Notes, String> {
    let fault = |error: object::Error| error.to_string();
    if FileKind::parse(data).map_err(fault)? != FileKind::Elf64 {
        return Err("its static probe points are not read: it is no 64-bit ELF file".into());
    }
    let header = elf::FileHeader64::<Endianness>::parse(data).map_err(fault)?;
    let endian = header.endian().map_err(fault)?;
    let sections = header.sections(endian, data).map_err(fault)?;
    let base = sections.section_by_name(endian, BASE_SECTION.as_bytes());
    let machine = match header.e_machine(endian) {
        elf::EM_X86_64 => Machine::X86_64,
        elf::EM_AARCH64 => Machine::Arm64,
        other => {
            let name = match other {
                elf::EM_S390 => "s390x".into(),
                elf::EM_RISCV => "riscv64".into(),
                elf::EM_PPC64 => "powerpc64".into(),
                elf::EM_LOONGARCH => "loongarch64".into(),
                elf::Machine(number) => format!("another machine (ELF number {number})"),
            };
            return Err(format!(
                "it is for {name}, and arguments of static probe points are read for x86-64 and arm64 \
                 alone"
            ));
        }
    };
    let file = File {
        data,
        endian,
        segments: header.program_headers(endian, data).map_err(fault)?,
        machine,
        fixed: header.e_type(endian) == elf::ET_EXEC,
        base: base.map(|(_, base)| base.sh_addr(endian)),
        symbols: OnceCell::new(),
        sections: &sections,
    };
    let mut points = Vec::new();
    let mut found = 0_usize;
    for section in sections.iter() {
        if sections.section_name(endian, section) != Ok(SECTION.as_bytes()) {
            continue;
        }
        found = found.saturating_add(1);
        let fault = |error: object::Error| format!("section {SECTION}: {error}");
        let notes = section.notes(endian, data);
        let Some(mut notes) = notes.map_err(fault)? else {
            return Err(format!("section {SECTION} is none of notes"));
        };
        let mut count = 0_usize;
        while let Some(note) = notes.next().map_err(fault)? {
            count = count.saturating_add(1);
            if note.name() != OWNER || note.n_type(endian).0 != KIND {
                continue;
            }
            let note = Note::parse(note.desc(), file.big_endian())
                .ok_or_else(|| format!("section {SECTION}: note {count} ends too early"))?;
            points.extend(file.point(&note, wanted));
        }
    }
    if found == 0 {
        return Err(format!(
            "it has no static probe points (no section {SECTION}): it was built without them, or stripped of their notes"
        ));
    }
    Ok(Notes {
        machine,
        fixed: file.fixed,
        points,
    })
}

/// A file, and what was found out of it.
struct File<'data, 'file, R: ReadRef<'data>> {
    data: R,
    endian: Endianness,
    segments: &'data [elf::ProgramHeader64<Endianness>],
    sections: &'file SectionTable<'data, elf::FileHeader64<Endianness>, R>,
    machine: Machine,
    fixed: bool,
    /// Where `.stapsdt.base` is now.
    base: Option<u64>,
    /// The addresses of symbols, none where several have one name.
    symbols: OnceCell<HashMap<&'data [u8], Option<u64>>>,
}

impl<'data, R: ReadRef<'data>> File<'data, '_, R> {
    fn big_endian(&self) -> bool {
        self.endian == Endianness::Big
    }

    fn point(&self, note: &Note<'_>, wanted: &dyn Fn(&[u8], &[u8]) -> bool) -> Option<Point> {
        // Linkers leave a zero where the code was thrown away.
        if note.location == 0 {
            return None;
        }
        // Binaries have thousands of points: what is not wanted is passed over by its bytes.
        if !wanted(note.provider, note.name) {
            return None;
        }
        let provider = String::from_utf8_lossy(note.provider);
        let name = String::from_utf8_lossy(note.name);
        let moved = match self.base {
            Some(base) if note.base != 0 => base.wrapping_sub(note.base),
            _ => 0,
        };
        let address = note.location.wrapping_add(moved);
        let semaphore = match note.semaphore {
            0 => Semaphore::None,
            linked => {
                let address = linked.wrapping_add(moved);
                match self.offset_of(address, 2, elf::PF_W) {
                    Some(offset) => Semaphore::At { offset },
                    None => Semaphore::Nowhere { address },
                }
            }
        };
        let around = Around {
            machine: self.machine,
            site: address,
            fixed: self.fixed,
            symbol: &|name| self.symbol(name),
        };
        Some(Point {
            offset: self.offset_of(address, 1, elf::PF_X),
            address,
            semaphore,
            arguments: around.arguments(&String::from_utf8_lossy(note.arguments)),
            provider: provider.into_owned(),
            name: name.into_owned(),
        })
    }

    /// Where in the file so many bytes at an address come from, if a segment of that kind has them.
    fn offset_of(&self, address: u64, size: u64, kind: elf::ProgramFlags) -> Option<u64> {
        let endian = self.endian;
        self.segments.iter().find_map(|segment| {
            let fits =
                segment.p_type(endian) == elf::PT_LOAD && segment.p_flags(endian).contains(kind);
            let inside = address
                .checked_sub(segment.p_vaddr(endian))
                .filter(|_| fits)?;
            let end = inside.checked_add(size)?;
            let offset = segment.p_offset(endian).checked_add(inside)?;
            (end <= segment.p_filesz(endian)).then_some(offset)
        })
    }

    fn symbol(&self, name: &str) -> Result<u64, String> {
        let symbols = self.symbols.get_or_init(|| {
            let mut symbols = HashMap::new();
            let tables = [elf::SHT_SYMTAB, elf::SHT_DYNSYM].map(|kind| {
                // A damaged table has no names: the point that needs one says so.
                let table = self.sections.symbols(self.endian, self.data, kind);
                table.unwrap_or_default()
            });
            let all = tables
                .iter()
                .flat_map(|table| table.iter().map(move |symbol| (table, symbol)));
            for (table, symbol) in all {
                let Ok(name) = symbol.name(self.endian, table.strings()) else {
                    continue;
                };
                let defined = symbol.st_shndx(self.endian) != elf::SHN_UNDEF;
                if !defined || name.is_empty() || symbol.st_type() == elf::STT_TLS {
                    continue;
                }
                let address = symbol.st_value(self.endian);
                match symbols.entry(name) {
                    Entry::Vacant(entry) => {
                        entry.insert(Some(address));
                    }
                    // The same symbol stands in both tables.
                    Entry::Occupied(mut entry) if *entry.get() != Some(address) => {
                        entry.insert(None);
                    }
                    Entry::Occupied(_) => {}
                }
            }
            symbols
        });
        match symbols.get(name.as_bytes()) {
            Some(Some(address)) => Ok(*address),
            Some(None) => Err(format!("the file has several symbols `{name}`")),
            None => Err(format!(
                "the file has no symbol `{name}`: it is local to the assembler, or stripped"
            )),
        }
    }
}
