//! Structs of functions for the kernel, sections `.struct_ops` and `.struct_ops.link`: read into
//! the Spec here; `kernel_struct` lays them out as the target's kernel does.

use std::collections::BTreeMap;

use skep_abi::{MapCreateFlags, MapType};
use skep_btf::{Btf, Kind};

use crate::{
    Contents, Error, FunctionIndex, Map, ProgramIndex, Result,
    data::SectionLayout,
    elf::{Elf, Section, SymbolHome, relocation_kind},
    functions::{SLOT, Starts},
};

pub(crate) fn read(
    elf: &Elf<'_>,
    btf: Option<&Btf>,
    layouts: &[SectionLayout],
    programs: &BTreeMap<FunctionIndex, ProgramIndex>,
    starts: &Starts,
    maps: &mut Vec<Map>,
) -> Result<()> {
    for (index, section) in elf.sections.iter().enumerate() {
        let name = section.name;
        let bare = name.strip_prefix('?').unwrap_or(name);
        let by_link = bare == ".struct_ops.link";
        if !(by_link || bare == ".struct_ops") || section.executable {
            continue;
        }
        let layout = layouts.iter().find(|layout| layout.section == Some(index));
        let (Some(btf), Some(layout)) = (btf, layout) else {
            return Err(Error::NeedsBtf {
                what: format!("section {name}"),
            });
        };
        let functions = functions(elf, section, programs, starts)?;
        let mut free = 0;
        for entry in &layout.entries {
            let variable = btf.type_by_id(entry.type_id)?;
            let Kind::Variable(kind) = variable.kind() else {
                continue;
            };
            let start = usize::try_from(entry.offset).unwrap_or(usize::MAX);
            let end = start.saturating_add(usize::try_from(entry.size).unwrap_or(usize::MAX));
            let data = section.data.get(start..end).ok_or_else(|| {
                section.malformed(entry.offset.into(), "a struct that has no data")
            })?;
            let end = entry.offset.saturating_add(entry.size);
            // Each is copied: a small file could have the same bytes copied many times.
            if entry.offset < free {
                let problem = format!("struct `{}` overlaps another", variable.name());
                return Err(section.malformed(entry.offset.into(), problem));
            }
            free = end;
            let own = functions.range(entry.offset..end);
            let mut map = Map::new(variable.name(), name, MapType::StructOps);
            map.key_size = 4;
            map.value_size = entry.size;
            map.max_entries = 1;
            map.value_type = Some(kind.type_id);
            map.variable = Some(variable.id());
            map.autocreate = bare == name;
            if by_link {
                map.flags |= MapCreateFlags::LINK;
            }
            map.contents = Contents::StructOps {
                data: data.to_vec(),
                programs: own
                    .map(|(offset, program)| (offset.saturating_sub(entry.offset), *program))
                    .collect(),
                by_link,
            };
            maps.push(map);
        }
    }
    Ok(())
}

/// The programs that a section's function pointers are to point to, by offset.
fn functions(
    elf: &Elf<'_>,
    section: &Section<'_>,
    programs: &BTreeMap<FunctionIndex, ProgramIndex>,
    starts: &Starts,
) -> Result<BTreeMap<u32, ProgramIndex>> {
    let mut found = BTreeMap::new();
    for relocation in &section.relocations {
        let Some(symbol) = elf.symbols.get(relocation.symbol) else {
            continue;
        };
        let wrong = |problem: &str| Error::Reference {
            place: section.place(relocation.offset),
            symbol: symbol.name.to_owned(),
            problem: problem.to_owned(),
        };
        let (SymbolHome::Section(home), relocation_kind::ABS64) = (symbol.home, relocation.kind)
        else {
            return Err(wrong("it is no function of the object"));
        };
        let offset = symbol
            .value
            .wrapping_add(section.addend(relocation.offset, elf.endian));
        let slot = offset
            .is_multiple_of(SLOT)
            .then(|| u32::try_from(offset / SLOT).ok())
            .flatten();
        let program = slot
            .and_then(|slot| starts.get(&(home, slot)))
            .and_then(|function| programs.get(function))
            .ok_or_else(|| wrong("it is no program: SEC(\"struct_ops\")"))?;
        let at = u32::try_from(relocation.offset).unwrap_or(u32::MAX);
        found.insert(at, *program);
    }
    Ok(found)
}
