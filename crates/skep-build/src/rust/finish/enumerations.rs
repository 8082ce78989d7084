//! Numbers with names: what `skep_ebpf::Named` is of becomes an enumeration in BTF, as C has one
//! there, whose readers show numbers by it.

use skep_btf::{Btf, Builder, Composite, Enum, Kind, NewType};
use skep_object::{ObjectFile, Result};

/// How the library's structure begins in debug information.
const NAME: &str = "Named<";

pub(super) fn run(file: &mut ObjectFile) -> Result<()> {
    enumerations(&mut file.types)
}

fn enumerations(types: &mut Builder) -> Result<()> {
    let btf = Btf::parse(types.build()?)?;
    for found in btf.types() {
        let Kind::Struct(structure) = found.kind() else {
            continue;
        };
        if !found.name().starts_with(NAME) {
            continue;
        }
        let Some((name, names)) = names(&btf, structure) else {
            continue;
        };
        let values = values(names);
        types.replace(found.id(), sized(name, &values, structure.size))?;
    }
    Ok(())
}

/// The names of an enumeration, with their numbers.
pub(super) fn values(names: Enum<'_>) -> Vec<(&str, i64)> {
    names
        .values()
        .filter_map(|value| Some((value.name(), i64::try_from(value.value).ok()?)))
        .collect()
}

/// An enumeration of so many bytes, as the number has that it names; rustc makes it as small as it can
/// be.
pub(super) fn sized<'a>(name: &'a str, values: &'a [(&'a str, i64)], size: u32) -> NewType<'a> {
    NewType::Enum {
        name,
        size,
        signed: values.iter().any(|(_, value)| *value < 0),
        values,
    }
}

/// The enumeration to which the structure has no pointers, beside its number.
fn names<'a>(btf: &'a Btf, structure: Composite<'_>) -> Option<(&'a str, Enum<'a>)> {
    structure.members().find_map(|member| {
        let Kind::Array(array) = btf.type_by_id(member.type_id).ok()?.kind() else {
            return None;
        };
        let Kind::Pointer { target, .. } = btf.type_by_id(array.element).ok()?.kind() else {
            return None;
        };
        let target = btf.type_by_id(target).ok()?;
        match target.kind() {
            Kind::Enum(names) if array.len == 0 => Some((target.name(), names)),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use skep_btf::{IntEncoding, NewMember};

    use super::*;

    #[test]
    fn a_number_with_names_is_an_enumeration() {
        let mut types = Builder::new();
        let number = types.int("u32", 4, IntEncoding::default());
        // As rustc has it: one byte holds all values.
        let names = types.add(NewType::Enum {
            name: "protocol",
            size: 1,
            signed: false,
            values: &[("tcp", 6), ("udp", 17)],
        });
        let pointer = types.pointer(names);
        let none = types.array(pointer, number, 0);
        let members = [
            NewMember::new("number", number, 0),
            NewMember::new("names", none, 32),
        ];
        let named = types.structure("Named<program::protocol>", 4, &members);
        let other = types.structure("Names", 4, &members);
        enumerations(&mut types).unwrap();
        let btf = Btf::parse(types.build().unwrap()).unwrap();
        let found = btf.type_by_id(named).unwrap();
        let Kind::Enum(values) = found.kind() else {
            panic!("an enumeration")
        };
        let values: Vec<_> = values.values().map(|v| (v.name(), v.value)).collect();
        assert_eq!(values, [("tcp", 6), ("udp", 17)]);
        assert_eq!((found.name(), btf.size_of(named).unwrap()), ("protocol", 4));
        let other = btf.type_by_id(other).unwrap();
        assert!(matches!(other.kind(), Kind::Struct(_)));
    }
}
