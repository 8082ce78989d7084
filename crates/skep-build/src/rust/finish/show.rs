//! How output is shown: what `skep.h` says to C programs by typedefs and tags, programs in Rust say
//! by records, which the macros of `skep-ebpf` leave. They become the same typedefs and tags, so that
//! readers have one way to look.
//!
//! A record is three texts, a zero byte after each: a name, a field, and what is said of it. Of a
//! variable or function that is a tag; of a structure's field, the name of a typedef for its type, or the tag that
//! hides it; of a structure itself (no field), the name of a typedef that takes its place. In place of a
//! typedef's name, `enum` and a name is an enumeration, for its names.

use std::collections::BTreeMap;

use skep_btf::{Btf, Builder, Composite, IntEncoding, Kind, KindTag, NewMember, NewType, TypeId};
use skep_object::{Error, ObjectFile, Place, Result};

use super::enumerations;

/// Where the records are.
const SECTION: &str = ".skep.show";

/// The tags' prefix: all else are names of typedefs.
const TAG: &str = "skep:";

/// Of a field: it is padding, of which C has no field.
const HIDDEN: &str = "skep:hidden";

/// Types in types that are looked into at most, where arrays hold arrays.
const DEEPEST: usize = 8;

/// Before the name of an enumeration.
const ENUM: &str = "enum ";

pub(super) fn run(file: &mut ObjectFile) -> Result<()> {
    name_losses(file)?;
    let sections = file.sections.iter().filter(|found| found.name == SECTION);
    let bytes: Vec<u8> = sections
        .flat_map(|found| found.data.iter().copied())
        .collect();
    if bytes.is_empty() {
        return Ok(());
    }
    let records = Records::read(&bytes)?;
    for (name, tags) in &records.tags {
        let btf = file.btf()?;
        let is_named = |kind: Kind<'_>| matches!(kind, Kind::Variable(_) | Kind::Function(_));
        let named = btf
            .types()
            .find(|found| found.name() == *name && is_named(found.kind()));
        // What nothing uses is left out of the object; its record may have stayed.
        let Some(named) = named else { continue };
        for tag in tags {
            file.types.add(NewType::DeclTag {
                name: tag,
                target: named.id(),
                component: None,
                attribute: false,
            });
        }
    }
    structures(&mut file.types, &records)
}

/// The library's count of what was lost is found by its name, as that of `skep.h`. It can't have it
/// in the source: whatever is exported is in every object.
fn name_losses(file: &mut ObjectFile) -> Result<()> {
    let is_count = |name: &str| name.starts_with("_R") && name.ends_with("9skep_lost");
    for symbol in file
        .symbols
        .iter_mut()
        .filter(|symbol| is_count(&symbol.name))
    {
        "skep_lost".clone_into(&mut symbol.name);
    }
    let name = |kind, name: &str| {
        (kind == KindTag::Variable && is_count(name)).then(|| "skep_lost".to_owned())
    };
    Ok(file.types.rename_all(name)?)
}

/// What the records say.
#[derive(Default)]
struct Records<'a> {
    /// By variable or function.
    tags: BTreeMap<&'a str, Vec<&'a str>>,
    /// By structure and field.
    fields: BTreeMap<&'a str, BTreeMap<&'a str, &'a str>>,
}

impl<'a> Records<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self> {
        let text = str::from_utf8(bytes)
            .map_err(|error| malformed(error.valid_up_to(), "a record that is no text"))?;
        let mut records = Self::default();
        let mut texts = text.split('\0');
        let mut at = 0_usize;
        loop {
            let (name, field, what) = (texts.next(), texts.next(), texts.next());
            let (Some(name), Some(field), Some(what)) = (name, field, what) else {
                return match name {
                    // Behind the last zero byte.
                    Some("") if field.is_none() => Ok(records),
                    _ => Err(malformed(at, "a record that ends too early")),
                };
            };
            if field.is_empty() && what.starts_with(TAG) {
                records.tags.entry(name).or_default().push(what);
            } else {
                records.fields.entry(name).or_default().insert(field, what);
            }
            let texts = [name, field, what];
            let lens = texts.iter().map(|text| text.len().saturating_add(1));
            at = at.saturating_add(lens.sum());
        }
    }
}

fn malformed(at: usize, problem: &str) -> Error {
    Error::Malformed {
        place: Place {
            section: SECTION.to_owned(),
            offset: at as u64,
        },
        problem: problem.to_owned(),
    }
}

fn structures(types: &mut Builder, records: &Records<'_>) -> Result<()> {
    if records.fields.is_empty() {
        return Ok(());
    }
    let btf = Btf::parse(types.build()?)?;
    for found in btf.types() {
        let (Kind::Struct(structure), Some(fields)) =
            (found.kind(), records.fields.get(found.name()))
        else {
            continue;
        };
        if let Some(typedef) = fields.get("") {
            let mut members = structure.members();
            if let (Some(only), None) = (members.next(), members.next()) {
                let target = only.type_id;
                let new = match btf.type_by_id(target)?.kind() {
                    Kind::Array(array) => NewType::Array {
                        element: as_typed(types, &btf, array.element, typedef, 0)?,
                        index: array.index,
                        len: array.len,
                    },
                    _ => NewType::Typedef {
                        name: typedef,
                        target,
                    },
                };
                types.replace(found.id(), new)?;
            }
            continue;
        }
        replace_members(types, &btf, found.id(), found.name(), structure, fields)?;
    }
    Ok(())
}

/// Puts typedefs into a structure, and leaves out what is hidden.
fn replace_members(
    types: &mut Builder,
    btf: &Btf,
    id: TypeId,
    name: &str,
    structure: Composite<'_>,
    fields: &BTreeMap<&str, &str>,
) -> Result<()> {
    let mut members = Vec::new();
    for member in structure.members() {
        let type_id = match fields.get(member.name()) {
            Some(&HIDDEN) => continue,
            Some(typedef) => as_typed(types, btf, member.type_id, typedef, 0)?,
            None => member.type_id,
        };
        members.push(NewMember {
            name: member.name(),
            type_id,
            bit_offset: member.bit_offset,
            bitfield_size: member.bitfield_size,
        });
    }
    let size = structure.size;
    types.replace(
        id,
        NewType::Struct {
            name,
            size,
            members: &members,
        },
    )?;
    Ok(())
}

/// The type under another name; of an array, the same of its elements.
fn as_typed(
    types: &mut Builder,
    btf: &Btf,
    id: TypeId,
    typedef: &str,
    depth: usize,
) -> Result<TypeId> {
    if let (Kind::Array(array), true) = (btf.type_by_id(id)?.kind(), depth < DEEPEST) {
        let element = as_typed(types, btf, array.element, typedef, depth.saturating_add(1))?;
        return Ok(types.array(element, array.index, array.len));
    }
    if let Some(name) = typedef.strip_prefix(ENUM) {
        let found = btf.find(name, KindTag::Enum);
        let names = found.and_then(|id| match btf.type_by_id(id).ok()?.kind() {
            Kind::Enum(names) => Some(enumerations::values(names)),
            _ => None,
        });
        let names = names.ok_or_else(|| {
            let problem = format!("`{name}` is no enumeration with names, for `named = {name}`");
            malformed(0, &problem)
        })?;
        let size = u32::try_from(btf.size_of(id)?).unwrap_or(u32::MAX);
        return Ok(types.add(enumerations::sized(name, &names, size)));
    }
    Ok(match typedef {
        // C has no name for these but the types' own.
        "char" => types.int("char", 1, IntEncoding::SIGNED),
        "bool" => types.int("bool", 1, IntEncoding::BOOL),
        _ => types.typedef(typedef, id),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_three_texts() {
        let bytes =
            b"HITS\0\0skep:title=hits by \xc3\xa4ge\0Event\0time\0skep_time_t\0A\0\0__be32\0";
        let records = Records::read(bytes).unwrap();
        assert_eq!(records.tags["HITS"], ["skep:title=hits by \u{e4}ge"]);
        assert_eq!(records.fields["Event"]["time"], "skep_time_t");
        assert_eq!(records.fields["A"][""], "__be32");
        for wrong in [&b"a\0b\0c"[..], b"a\0b\0", b"a", b"a\0b\0\xff\0"] {
            let got = Records::read(wrong);
            assert!(got.is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn typedefs_reach_into_arrays() {
        let mut types = Builder::new();
        let byte = types.int("u8", 1, IntEncoding::default());
        let index = types.int("__ARRAY_SIZE_TYPE__", 4, IntEncoding::default());
        let text = types.array(byte, index, 16);
        let members = [
            NewMember::new("comm", text, 0),
            NewMember::new("n", byte, 128),
            NewMember::new("found", byte, 136),
            NewMember::new("padding", byte, 144),
        ];
        let event = types.structure("Event", 19, &members);
        let records = Records::read(
            b"Event\0comm\0char\0Event\0n\0pid_t\0Event\0found\0bool\0Event\0padding\0skep:hidden\0",
        )
        .unwrap();
        structures(&mut types, &records).unwrap();
        let btf = Btf::parse(types.build().unwrap()).unwrap();
        let Kind::Struct(structure) = btf.type_by_id(event).unwrap().kind() else {
            panic!("a structure")
        };
        let names: Vec<_> = structure
            .members()
            .map(
                |member| match btf.type_by_id(member.type_id).unwrap().kind() {
                    Kind::Array(array) => btf.type_by_id(array.element).unwrap().name(),
                    _ => btf.type_by_id(member.type_id).unwrap().name(),
                },
            )
            .collect();
        assert_eq!(names, ["char", "pid_t", "bool"]);
    }

    #[test]
    fn numbers_have_the_names_of_an_enumeration() {
        let mut types = Builder::new();
        let number = types.int("u16", 2, IntEncoding::default());
        types.add(NewType::Enum {
            name: "Kind",
            size: 1,
            signed: false,
            values: &[("Small", 0), ("Large", 9)],
        });
        let event = types.structure("Event", 2, &[NewMember::new("kind", number, 0)]);
        let records = Records::read(b"Event\0kind\0enum Kind\0").unwrap();
        structures(&mut types, &records).unwrap();
        let btf = Btf::parse(types.build().unwrap()).unwrap();
        let Kind::Struct(structure) = btf.type_by_id(event).unwrap().kind() else {
            panic!("a structure")
        };
        let of = structure.members().next().unwrap().type_id;
        let Kind::Enum(names) = btf.type_by_id(of).unwrap().kind() else {
            panic!("an enumeration")
        };
        assert_eq!(btf.size_of(of).unwrap(), 2);
        assert_eq!(enumerations::values(names), [("Small", 0), ("Large", 9)]);
        let records = Records::read(b"Event\0kind\0enum Sort\0").unwrap();
        let error = structures(&mut types, &records).unwrap_err().to_string();
        assert!(error.contains("`Sort` is no enumeration"), "{error}");
    }
}
