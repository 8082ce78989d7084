//! An object file taken apart, to be changed and written again: what finishes objects that compilers
//! leave unfinished. Nothing of what the code means is looked at here.

use std::collections::BTreeMap;

use skep_btf::{Btf, Builder, TypeId};
use skep_isa::{Endian, InsnIndex};

pub use crate::elf::SymbolKind;
use crate::{
    CoreRelocation, Error, LineRecord, Result,
    elf::{Elf, SymbolHome},
    error::Place,
    ext,
    linker::output,
    object::read_btf,
};

/// Types and names that objects begin with, and what is put together of them anew.
mod write;

/// An object file as tables that can be changed. Sections that are tables themselves, and debug
/// information other than BTF, are not among them.
///
/// ```no_run
/// use skep_object::{Object, ObjectFile};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut file = ObjectFile::parse(&std::fs::read("opensnoop.bpf.o")?)?;
/// file.remove_sections(|section| section.name == ".eh_frame")?;
/// let object = Object::parse(&file.write()?)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ObjectFile {
    /// The byte order of code, data and types.
    pub endian: Endian,
    /// Code and data, in the order of the file.
    pub sections: Vec<FileSection>,
    /// Symbols, in the order of the file.
    pub symbols: Vec<FileSymbol>,
    /// The types; empty if there are none.
    pub types: Builder,
    /// What `.BTF.ext` says, by the section that it says it of.
    pub records: BTreeMap<String, FileRecords>,
}

/// A section of an [`ObjectFile`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileSection {
    /// The name.
    pub name: String,
    /// `SHF_*`: written to, executed, strings to be merged.
    pub flags: u64,
    /// A power of two.
    pub align: u64,
    /// Bytes of an entry, for sections of entries.
    pub entry_size: u64,
    /// Bytes in memory: more than there is data in a section of zeroes, else as many.
    pub size: u64,
    /// Empty for a section of zeroes.
    pub data: Vec<u8>,
    /// What is filled in by symbols, by offset.
    pub relocations: Vec<FileRelocation>,
}

impl FileSection {
    /// Whether it holds instructions.
    pub fn is_code(&self) -> bool {
        self.flags & object::elf::SHF_EXECINSTR.0 != 0
    }

    /// Whether it has no bytes in the file, as `.bss`.
    pub fn is_zeroes(&self) -> bool {
        self.data.is_empty() && self.size > 0
    }
}

/// A relocation: a place in a section, and the symbol that fills it in. What is added to the symbol
/// stands in the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileRelocation {
    /// Bytes from the section's start.
    pub offset: u64,
    /// `R_BPF_*`.
    pub kind: u32,
    /// Which of [`ObjectFile::symbols`].
    pub symbol: usize,
}

impl FileRelocation {
    /// An address in the two halves of a 16-byte load: `R_BPF_64_64`.
    pub const LOAD: u32 = crate::elf::relocation_kind::LD_IMM64;
    /// An address of 8 bytes in data: `R_BPF_64_ABS64`.
    pub const ADDRESS: u32 = crate::elf::relocation_kind::ABS64;
    /// The target of a call: `R_BPF_64_32`.
    pub const CALL: u32 = crate::elf::relocation_kind::CALL;
}

/// A symbol of an [`ObjectFile`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSymbol {
    /// The name; a section's own symbol has the section's.
    pub name: String,
    /// What it names.
    pub kind: SymbolKind,
    /// Which of [`ObjectFile::sections`] defines it; `None` if it is found elsewhere.
    pub section: Option<usize>,
    /// Bytes from the section's start.
    pub value: u64,
    /// Bytes.
    pub size: u64,
    /// Who sees it.
    pub binding: Binding,
    /// Global for linkers, static for the kernel.
    pub hidden: bool,
}

/// Who sees a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// This file alone.
    Local,
    /// All.
    Global,
    /// All; it gives way to a global one, and need not be found.
    Weak,
}

/// What `.BTF.ext` says of a section; instructions count from the section's start.
#[derive(Debug, Clone, Default)]
pub struct FileRecords {
    /// Which functions begin where.
    pub functions: Vec<(InsnIndex, TypeId)>,
    /// Lines of source.
    pub lines: Vec<LineRecord>,
    /// CO-RE relocations.
    pub core: Vec<CoreRelocation>,
}

impl ObjectFile {
    /// Takes a file apart.
    ///
    /// # Errors
    /// [`Error::NotBpf`], [`Error::Malformed`], [`Error::Budget`] and [`Error::Btf`], as
    /// [`Object::parse`](crate::Object::parse).
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let elf = Elf::parse(bytes)?;
        let btf = read_btf(&elf)?;
        let mut records = BTreeMap::new();
        if let (Some((_, section)), Some(btf)) = (elf.section(ext::SECTION), &btf) {
            for (name, found) in ext::parse(section.data, elf.endian, btf)? {
                let functions = found.functions.iter();
                let functions = functions.map(|record| (record.insn, record.type_id));
                let found = FileRecords {
                    functions: functions.collect(),
                    lines: found.lines,
                    core: found.core,
                };
                records.insert(name, found);
            }
        }
        let mut types = match &btf {
            Some(btf) => Builder::from_btf(btf)?,
            None => Builder::new(),
        };
        types.set_endianness(elf.endian);

        let mut file = Self {
            endian: elf.endian,
            sections: Vec::new(),
            symbols: Vec::new(),
            types,
            records,
        };
        let places = file.take_sections(&elf)?;
        let symbols = file.take_symbols(&elf, &places)?;
        for (section, place) in elf.sections.iter().zip(&places) {
            let kept = place.and_then(|place| file.sections.get_mut(place));
            let Some(kept) = kept else { continue };
            for relocation in &section.relocations {
                let symbol = symbols.get(relocation.symbol).copied().flatten();
                let symbol = symbol.ok_or_else(|| {
                    let problem = "a relocation by a symbol of a section that is left out";
                    section.malformed(relocation.offset, problem)
                })?;
                kept.relocations.push(FileRelocation {
                    offset: relocation.offset,
                    kind: relocation.kind,
                    symbol,
                });
            }
        }
        Ok(file)
    }

    /// Takes the sections of code and data, and says where each of the file's went.
    fn take_sections(&mut self, elf: &Elf<'_>) -> Result<Vec<Option<usize>>> {
        let mut places = Vec::with_capacity(elf.sections.len());
        for section in &elf.sections {
            let is_types = matches!(section.name, crate::object::BTF | ext::SECTION);
            // `ObjectFile::RECORD` sections are for those who finish the object.
            let wanted = section.loaded || section.name.starts_with(Self::RECORD);
            if is_types || !wanted || section.name == ".eh_frame" {
                places.push(None);
                continue;
            }
            let align = section.align.max(1);
            if !align.is_power_of_two() || align > 1 << 16 {
                let problem = format!("an alignment of {align:#x}, expected a power of two");
                return Err(section.malformed(0, problem));
            }
            places.push(Some(self.sections.len()));
            self.sections.push(FileSection {
                name: section.name.to_owned(),
                flags: section.flags & crate::linker::sections::KEPT_FLAGS,
                align,
                entry_size: section.entry_size,
                size: section.size,
                data: section.data.to_vec(),
                relocations: Vec::new(),
            });
        }
        Ok(places)
    }

    /// Takes the symbols of the sections that were taken, and says where each of the file's went.
    fn take_symbols(
        &mut self,
        elf: &Elf<'_>,
        places: &[Option<usize>],
    ) -> Result<Vec<Option<usize>>> {
        let mut symbols = Vec::with_capacity(elf.symbols.len());
        for (index, symbol) in elf.symbols.iter().enumerate() {
            let section = match symbol.home {
                SymbolHome::Section(section) => match places.get(section) {
                    Some(Some(place)) => Some(*place),
                    _ => {
                        symbols.push(None);
                        continue;
                    }
                },
                // The null symbol, and names of source files.
                _ if symbol.local => {
                    symbols.push(None);
                    continue;
                }
                SymbolHome::Undefined => None,
                SymbolHome::Other => {
                    return Err(Error::Malformed {
                        place: Place::new(format!("symbol {index}"), 0),
                        problem: format!("`{}` is absolute or common", symbol.name),
                    });
                }
            };
            symbols.push(Some(self.symbols.len()));
            self.symbols.push(FileSymbol {
                name: symbol.name.to_owned(),
                kind: symbol.kind,
                section,
                value: symbol.value,
                size: symbol.size,
                binding: match (symbol.local, symbol.weak) {
                    (true, _) => Binding::Local,
                    (false, false) => Binding::Global,
                    (false, true) => Binding::Weak,
                },
                hidden: symbol.hidden,
            });
        }
        Ok(symbols)
    }

    /// Sections of such names are kept by [`ObjectFile::parse`] though nothing loads them: records
    /// that programs leave for those who finish the object.
    pub const RECORD: &'static str = ".skep.";

    /// The types as they are now.
    ///
    /// # Errors
    /// [`Error::Btf`]: what was changed is no BTF any more.
    pub fn btf(&self) -> Result<Btf> {
        Ok(Btf::parse(self.types.build()?)?)
    }

    /// The first section of this name, with its index.
    pub fn section(&self, name: &str) -> Option<(usize, &FileSection)> {
        let mut sections = self.sections.iter().enumerate();
        sections.find(|(_, section)| section.name == name)
    }

    /// The first symbol of this name, with its index; not those of sections.
    pub fn symbol(&self, name: &str) -> Option<(usize, &FileSymbol)> {
        let mut symbols = self.symbols.iter().enumerate();
        symbols.find(|(_, symbol)| symbol.name == name && symbol.kind != SymbolKind::Section)
    }

    /// The symbol of this name that is not defined here, which is added if need be.
    pub fn external(&mut self, name: &str, binding: Binding) -> usize {
        match self.symbol(name) {
            Some((index, _)) => index,
            None => {
                self.symbols.push(FileSymbol {
                    name: name.to_owned(),
                    kind: SymbolKind::Other,
                    section: None,
                    value: 0,
                    size: 0,
                    binding,
                    hidden: false,
                });
                self.symbols.len().saturating_sub(1)
            }
        }
    }

    /// Removes sections, with their symbols and records. Types stay.
    ///
    /// # Errors
    /// [`Error::Malformed`]: something that stays refers to them.
    pub fn remove_sections(&mut self, gone: impl Fn(&FileSection) -> bool) -> Result<()> {
        let mut places = Vec::with_capacity(self.sections.len());
        let mut kept = Vec::with_capacity(self.sections.len());
        for section in std::mem::take(&mut self.sections) {
            if gone(&section) {
                self.records.remove(&section.name);
                places.push(None);
            } else {
                places.push(Some(kept.len()));
                kept.push(section);
            }
        }
        self.sections = kept;
        self.retain_symbols(|symbol| match symbol.section {
            Some(section) => match places.get(section) {
                Some(Some(place)) => {
                    symbol.section = Some(*place);
                    true
                }
                _ => false,
            },
            None => true,
        })
    }

    /// Keeps the symbols for which `keep` says so; it may change them.
    ///
    /// # Errors
    /// [`Error::Malformed`]: a relocation is by one that is not kept.
    pub fn retain_symbols(&mut self, mut keep: impl FnMut(&mut FileSymbol) -> bool) -> Result<()> {
        let mut places = Vec::with_capacity(self.symbols.len());
        let mut kept = Vec::with_capacity(self.symbols.len());
        for mut symbol in std::mem::take(&mut self.symbols) {
            let stays = keep(&mut symbol);
            places.push(match stays {
                true => Ok(kept.len()),
                false => Err(symbol.name.clone()),
            });
            if stays {
                kept.push(symbol);
            }
        }
        self.symbols = kept;
        for section in &mut self.sections {
            for relocation in &mut section.relocations {
                relocation.symbol = match places.get(relocation.symbol) {
                    Some(Ok(place)) => *place,
                    other => {
                        let name = match other {
                            Some(Err(name)) => name.as_str(),
                            _ => "",
                        };
                        return Err(Error::Malformed {
                            place: Place::new(section.name.as_str(), relocation.offset),
                            problem: format!(
                                "a relocation by the symbol `{name}`, which was removed"
                            ),
                        });
                    }
                };
            }
        }
        Ok(())
    }

    /// The file again. Sections, symbols and types stand in it in the order that they have here, but
    /// local symbols first; equal types become one.
    ///
    /// # Errors
    /// [`Error::Malformed`] for references to what is not there, [`Error::Btf`] for types that can't
    /// be written, [`Error::Budget`] for what does not fit an object.
    pub fn write(&self) -> Result<Vec<u8>> {
        let parts = write::parts(self)?;
        output::write(self.endian, &parts.sections, &parts.symbols, &parts.types)
    }
}
