//! Global data: sections of variables as maps, and the variables in them. Also the true sizes and
//! offsets that compilers leave out of a BTF's data sections.

use std::collections::{BTreeMap, BTreeSet};

use skep_abi::{MapCreateFlags, MapType};
use skep_btf::{Btf, Kind, SectionEntry, TypeId, VariableLinkage};

use crate::{
    Contents, Error, Linkage, Map, MapIndex, Result, Variable,
    elf::{self, Elf, Section, SymbolHome, SymbolKind},
    functions::linkage,
    order,
};

/// A section of variables as it is in memory, for one `DATASEC` of the BTF.
#[derive(Debug, Clone)]
pub(crate) struct SectionLayout {
    /// The `DATASEC`.
    pub(crate) type_id: TypeId,
    /// Its name.
    pub(crate) name: String,
    /// The section of the file; `None` for those of externs.
    pub(crate) section: Option<usize>,
    /// Bytes of the section.
    pub(crate) size: u32,
    /// Its variables by offset.
    pub(crate) entries: Vec<SectionEntry>,
}

pub(crate) fn layouts(elf: &Elf<'_>, btf: &Btf) -> Result<Vec<SectionLayout>> {
    let mut offsets = BTreeMap::new();
    for symbol in &elf.symbols {
        if let (SymbolHome::Section(section), false) = (symbol.home, symbol.local) {
            offsets.insert((section, symbol.name), symbol.value);
        }
    }
    let mut layouts = Vec::new();
    let mut names = 0_usize;
    let mut count = |more: usize| {
        names = names.saturating_add(more);
        match names > elf::MAX_NAMES {
            true => Err(elf::budget(
                "bytes of variables' names",
                names,
                elf::MAX_NAMES,
            )),
            false => Ok(()),
        }
    };
    for data in btf.types() {
        let Kind::DataSection(listed) = data.kind() else {
            continue;
        };
        count(data.name().len())?;
        let found = elf.section(data.name());
        let mut entries = Vec::with_capacity(listed.entries().len());
        for mut entry in listed.entries() {
            let variable = btf.type_by_id(entry.type_id)?;
            count(data.name().len().saturating_add(variable.name().len()))?;
            if let (Kind::Variable(kind), Some((index, section))) = (variable.kind(), found) {
                // Offsets of static variables are true as they stand; those of others are the
                // linker's to know.
                if kind.linkage != VariableLinkage::Static
                    && let Some(offset) = offsets.get(&(index, variable.name()))
                {
                    entry.offset = u32::try_from(*offset).unwrap_or(u32::MAX);
                }
                let end = u64::from(entry.offset).saturating_add(entry.size.into());
                if end > section.size {
                    return Err(section.malformed(
                        entry.offset.into(),
                        format!(
                            "variable `{}` of {} bytes reaches beyond the section of {:#x} bytes",
                            variable.name(),
                            entry.size,
                            section.size
                        ),
                    ));
                }
            }
            entries.push(entry);
        }
        order::by_key(&mut entries, |entry| entry.offset);
        let size = match found {
            Some((_, section)) => u32::try_from(section.size)
                .map_err(|_| section.malformed(0, "a section of 4 GiB or more"))?,
            None => listed.size,
        };
        layouts.push(SectionLayout {
            type_id: data.id(),
            name: data.name().to_owned(),
            section: found.map(|(index, _)| index),
            size,
            entries,
        });
    }
    Ok(layouts)
}

/// What was found of global data.
#[derive(Debug, Default)]
pub(crate) struct GlobalData {
    /// The map that holds each section.
    pub(crate) places: BTreeMap<usize, MapIndex>,
    pub(crate) variables: Vec<Variable>,
}

/// Sections are copied once into their maps; `.bss` costs nothing until it is set.
const MAX_SECTION: u64 = 1 << 30;

pub(crate) fn read(
    elf: &Elf<'_>,
    btf: Option<&Btf>,
    layouts: &[SectionLayout],
    object: &str,
    maps: &mut Vec<Map>,
) -> Result<GlobalData> {
    let mut found = GlobalData::default();
    let layouts_by_section = layouts.iter().rev();
    let layout_of: BTreeMap<usize, &SectionLayout> =
        order::map(layouts_by_section.filter_map(|layout| Some((layout.section?, layout))));
    for (index, section) in elf.sections.iter().enumerate() {
        let Some(class) = Class::of(section) else {
            continue;
        };
        if section.size > MAX_SECTION {
            return Err(Error::Budget {
                what: "bytes of global data",
                count: section.size,
                limit: MAX_SECTION,
            });
        }
        let size = u32::try_from(section.size).unwrap_or(u32::MAX);
        let layout = layout_of.get(&index).copied();
        let place = if class == Class::Arena {
            fill_arena(section, maps)?
        } else {
            maps.push(map_of_section(section, class, size, layout, btf, object)?);
            MapIndex::from_usize(maps.len().saturating_sub(1))
        };
        found.places.insert(index, place);
        variables(
            elf,
            index,
            section,
            class,
            layout,
            btf,
            place,
            &mut found.variables,
        )?;
    }
    Ok(found)
}

/// What a section of variables is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Data,
    ReadOnly,
    Zeroed,
    PerCpu,
    Arena,
}

/// The section of `__arena` variables: those of address space 1.
pub(crate) const ARENA: &str = ".addr_space.1";

impl Class {
    fn of(section: &Section<'_>) -> Option<Self> {
        let is = |base: &str| {
            section
                .name
                .strip_prefix(base)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        // Compilers write empty sections; a map of none can't be made.
        if !section.loaded || section.executable || section.size == 0 {
            return None;
        }
        match section.zeroed {
            _ if section.name == ARENA => Some(Self::Arena),
            _ if is(".percpu") => Some(Self::PerCpu),
            true if is(".bss") => Some(Self::Zeroed),
            false if is(".rodata") => Some(Self::ReadOnly),
            false if is(".data") => Some(Self::Data),
            // With an initial value, `.bss.mine` is data by any other name.
            false if is(".bss") => Some(Self::Data),
            _ => None,
        }
    }
}

/// The section's bytes, also where the file has none.
fn bytes_of(section: &Section<'_>) -> Vec<u8> {
    if section.zeroed {
        // Bounded by `MAX_SECTION`.
        return vec![0; usize::try_from(section.size).unwrap_or(0)];
    }
    section.data.to_vec()
}

/// Puts the variables of address space 1 into the object's arena, which must be its only one.
fn fill_arena(section: &Section<'_>, maps: &mut [Map]) -> Result<MapIndex> {
    let mut arenas = (0_usize..)
        .zip(maps)
        .filter(|(_, map)| map.map_type == MapType::Arena);
    let Some((index, arena)) = arenas.next() else {
        return Err(section.malformed(
            0,
            "variables of an arena, and the object has none: define a map of type \
             BPF_MAP_TYPE_ARENA",
        ));
    };
    if let Some((_, other)) = arenas.next() {
        let problem = format!(
            "variables of an arena, and the object has two, `{}` and `{}`",
            arena.name, other.name
        );
        return Err(section.malformed(0, problem));
    }
    arena.contents = Contents::Arena(bytes_of(section));
    Ok(MapIndex::from_usize(index))
}

fn map_of_section(
    section: &Section<'_>,
    class: Class,
    size: u32,
    layout: Option<&SectionLayout>,
    btf: Option<&Btf>,
    object: &str,
) -> Result<Map> {
    // A per-CPU section's name stands alone, as libbpf has it.
    let (name, map_type) = match class {
        Class::PerCpu => (section.name.to_owned(), MapType::PercpuArray),
        _ => (map_name(object, section.name), MapType::Array),
    };
    let mut map = Map::new(&name, section.name, map_type);
    map.key_size = 4;
    map.value_size = size;
    map.max_entries = 1;
    map.value_type = layout.map(|layout| layout.type_id);
    if class == Class::ReadOnly {
        map.flags |= MapCreateFlags::RDONLY_PROG;
        map.frozen = true;
    }
    // Static variables may be of kinds (locks, timers) that user space must not map.
    if let (Some(layout), Some(btf), false) = (layout, btf, class == Class::PerCpu) {
        for entry in &layout.entries {
            if let Kind::Variable(variable) = btf.type_by_id(entry.type_id)?.kind()
                && variable.linkage == VariableLinkage::Global
            {
                map.flags |= MapCreateFlags::MMAPABLE;
            }
        }
    }
    map.contents = match class {
        Class::Zeroed => Contents::Zeroes,
        Class::PerCpu => Contents::PerCpu(bytes_of(section)),
        Class::Data | Class::ReadOnly | Class::Arena => Contents::Data(section.data.to_vec()),
    };
    Ok(map)
}

/// The name of the map of a section: a custom section's own (`.data.mine`), else the object's
/// first 8 letters and the section's name, as other loaders name it.
pub(crate) fn map_name(object: &str, section: &str) -> String {
    const LONGEST: usize = 15;
    const OBJECT: usize = 8;
    if section.chars().skip(1).any(|letter| letter == '.') {
        return section.to_owned();
    }
    // `.rodata` and `.kconfig` are longer than the others, which leave room they don't use.
    let room = LONGEST.saturating_sub(section.len().max(7)).min(OBJECT);
    let letters = object.chars().take(room).chain(section.chars());
    crate::names::kernel_name(&letters.collect::<String>())
}

#[expect(
    clippy::too_many_arguments,
    reason = "all of one section's views, used once"
)]
fn variables(
    elf: &Elf<'_>,
    index: usize,
    section: &Section<'_>,
    class: Class,
    layout: Option<&SectionLayout>,
    btf: Option<&Btf>,
    map: MapIndex,
    found: &mut Vec<Variable>,
) -> Result<()> {
    let variable = |name: &str, offset: u32, size: u32, type_id, linkage| Variable {
        name: name.to_owned(),
        section: section.name.to_owned(),
        map,
        offset,
        size,
        type_id,
        linkage,
        read_only: class == Class::ReadOnly,
    };
    let mut list = Vec::new();
    let mut known = BTreeSet::new();
    if let (Some(layout), Some(btf)) = (layout, btf) {
        for entry in &layout.entries {
            let declared = btf.type_by_id(entry.type_id)?;
            let Kind::Variable(kind) = declared.kind() else {
                continue;
            };
            let linkage = match kind.linkage {
                VariableLinkage::Static => Linkage::Static,
                _ => Linkage::Global,
            };
            known.insert(entry.offset);
            let type_id = Some(kind.type_id);
            list.push(variable(
                declared.name(),
                entry.offset,
                entry.size,
                type_id,
                linkage,
            ));
        }
    }
    for symbol in elf.symbols_of(index) {
        if symbol.kind != SymbolKind::Object {
            continue;
        }
        let (Ok(offset), Ok(size)) = (u32::try_from(symbol.value), u32::try_from(symbol.size))
        else {
            continue;
        };
        let end = u64::from(offset).saturating_add(size.into());
        if size == 0 || end > section.size || !known.insert(offset) {
            continue;
        }
        list.push(variable(symbol.name, offset, size, None, linkage(symbol)));
    }
    order::by_key(&mut list, |variable| variable.offset);
    found.append(&mut list);
    Ok(())
}
