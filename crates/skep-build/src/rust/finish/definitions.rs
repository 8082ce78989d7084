//! Definitions of maps: a type in Rust has all of its fields always, so those that ask for nothing go.
//! Loaders refuse some by their name alone, as libbpf does `pinning` in a map for maps of maps. What
//! stands behind `values` are the initial values themselves, which are data and no part of the
//! definition. A field that loaders don't know, `or_perf_buffer`, becomes the tag that `skep.h` has for
//! it.

use std::collections::BTreeSet;

use skep_btf::{Btf, Builder, Kind, NewMember, NewType, TypeId};
use skep_object::{ObjectFile, Result};

/// Fields that ask for nothing where they are 0.
const OPTIONS: [&str; 4] = ["map_flags", "pinning", "numa_node", "map_extra"];

/// Of rings that may become perf buffers: the field, and the tag of the map.
const OR_PERF_BUFFER: &str = "or_perf_buffer";
const TAG: &str = "skep:or_perf_buffer";

pub(super) fn run(file: &mut ObjectFile) -> Result<()> {
    definitions(&mut file.types)
}

fn definitions(types: &mut Builder) -> Result<()> {
    let btf = Btf::parse(types.build()?)?;
    let mut seen = BTreeSet::new();
    let maps: Vec<(TypeId, TypeId)> = btf
        .types()
        .filter(|found| found.name() == ".maps")
        .filter_map(|found| match found.kind() {
            Kind::DataSection(section) => Some(section),
            _ => None,
        })
        .flat_map(|section| section.entries())
        .filter_map(|entry| match btf.type_by_id(entry.type_id).ok()?.kind() {
            Kind::Variable(variable) => Some((entry.type_id, variable.type_id)),
            _ => None,
        })
        .collect();
    for (map, definition) in &maps {
        if has(&btf, *definition, OR_PERF_BUFFER) {
            types.add(NewType::DeclTag {
                name: TAG,
                target: *map,
                component: None,
                attribute: false,
            });
        }
    }
    let mut left: Vec<TypeId> = maps.into_iter().map(|(_, definition)| definition).collect();
    while let Some(id) = left.pop() {
        let found = btf.type_by_id(id)?;
        let Kind::Struct(structure) = found.kind() else {
            continue;
        };
        if !seen.insert(id) {
            continue;
        }
        let mut members = Vec::new();
        for member in structure.members() {
            let asks_nothing =
                OPTIONS.contains(&member.name()) && number(&btf, member.type_id) == Some(0);
            if !asks_nothing && member.name() != OR_PERF_BUFFER {
                members.push(NewMember {
                    name: member.name(),
                    type_id: member.type_id,
                    bit_offset: member.bit_offset,
                    bitfield_size: member.bitfield_size,
                });
            }
            if member.name() == "values" {
                left.extend(pointee_of_elements(&btf, member.type_id));
                break;
            }
        }
        let (name, size) = (found.name(), structure.size);
        types.replace(
            id,
            NewType::Struct {
                name,
                size,
                members: &members,
            },
        )?;
    }
    Ok(())
}

/// Whether a definition has a field.
fn has(btf: &Btf, definition: TypeId, field: &str) -> bool {
    let found = btf.type_by_id(definition).map(|found| found.kind());
    match found {
        Ok(Kind::Struct(structure)) => structure.members().any(|member| member.name() == field),
        _ => false,
    }
}

/// The number that a field says: the length of the array that it points to.
fn number(btf: &Btf, id: TypeId) -> Option<u32> {
    let Kind::Pointer { target, .. } = btf.type_by_id(id).ok()?.kind() else {
        return None;
    };
    match btf.type_by_id(target).ok()?.kind() {
        Kind::Array(array) => Some(array.len),
        _ => None,
    }
}

/// Of an array of pointers: what they point to.
fn pointee_of_elements(btf: &Btf, id: TypeId) -> Option<TypeId> {
    let Kind::Array(array) = btf.type_by_id(id).ok()?.kind() else {
        return None;
    };
    match btf.type_by_id(array.element).ok()?.kind() {
        Kind::Pointer { target, .. } => Some(target),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use skep_btf::{IntEncoding, SectionEntry, VariableLinkage};

    use super::*;

    /// `values` and what would be data behind it, fields that are 0, one that is not.
    #[test]
    fn what_asks_for_nothing_goes() {
        let mut types = Builder::new();
        let int = types.int("i32", 4, IntEncoding::SIGNED);
        let index = types.int("__ARRAY_SIZE_TYPE__", 4, IntEncoding::default());
        let mut field = |len| {
            let array = types.array(int, index, len);
            types.pointer(array)
        };
        let (zero, one, kind) = (field(0), field(1), field(12));
        let inner = types.structure(
            "Array",
            16,
            &[
                NewMember::new("type", kind, 0),
                NewMember::new("pinning", zero, 64),
            ],
        );
        let pointer = types.pointer(inner);
        let values = types.array(pointer, index, 0);
        let data = types.array(pointer, index, 1);
        let outer = types.structure(
            "ArrayOfMaps",
            40,
            &[
                NewMember::new("type", kind, 0),
                NewMember::new("or_perf_buffer", one, 0),
                NewMember::new("map_flags", one, 64),
                NewMember::new("numa_node", zero, 128),
                NewMember::new("max_entries", zero, 192),
                NewMember::new("values", values, 256),
                NewMember::new("data", data, 256),
            ],
        );
        let variable = types.variable("MAPS", outer, VariableLinkage::Global);
        types.add(NewType::DataSection {
            name: ".maps",
            size: 40,
            entries: &[SectionEntry {
                type_id: variable,
                offset: 0,
                size: 40,
            }],
        });
        definitions(&mut types).unwrap();
        let btf = Btf::parse(types.build().unwrap()).unwrap();
        let members = |id| match btf.type_by_id(id).unwrap().kind() {
            Kind::Struct(structure) => structure
                .members()
                .map(|member| member.name().to_owned())
                .collect::<Vec<_>>(),
            _ => panic!("a structure"),
        };
        assert!(btf.decl_tags(variable, None).eq([TAG]));
        assert_eq!(members(inner), ["type"]);
        assert_eq!(
            members(outer),
            ["type", "map_flags", "max_entries", "values"]
        );
    }
}
