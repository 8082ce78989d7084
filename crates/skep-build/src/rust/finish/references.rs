//! References in the values of maps: what `skep_ebpf::map::Kptr` is of becomes what C has there, a
//! pointer with the type tag `kptr`, to a structure that the kernel finds by its name.

use skep_btf::{Btf, Builder, Kind, NewType, Type, TypeId};
use skep_object::{ObjectFile, Result};

/// How the library's structure begins in debug information.
const NAME: &str = "Kptr<";

/// Ends the kernel's name of a type.
const FLAVOUR: &str = "___";

pub(super) fn run(file: &mut ObjectFile) -> Result<()> {
    references(&mut file.types)
}

fn references(types: &mut Builder) -> Result<()> {
    let btf = Btf::parse(types.build()?)?;
    for found in btf.types() {
        let Some((name, union)) = referred(&btf, &found) else {
            continue;
        };
        let (size, members) = (0, &[]);
        let target = types.add(match union {
            false => NewType::Struct {
                name,
                size,
                members,
            },
            true => NewType::Union {
                name,
                size,
                members,
            },
        });
        let target = types.add(NewType::TypeTag {
            name: "kptr",
            target,
            attribute: false,
        });
        types.replace(found.id(), NewType::Pointer { target })?;
    }
    Ok(())
}

/// The kernel's name of what a reference is of, and whether that is a union. `#[kernel]` calls the one
/// field of a type so.
fn referred<'a>(btf: &'a Btf, found: &Type<'a>) -> Option<(&'a str, bool)> {
    let Kind::Struct(structure) = found.kind() else {
        return None;
    };
    if !found.name().starts_with(NAME) {
        return None;
    }
    let of: TypeId = structure
        .members()
        .find(|member| member.name() == "of")?
        .type_id;
    let Kind::Array(array) = btf.type_by_id(of).ok()?.kind() else {
        return None;
    };
    let (of, union) = match btf.type_by_id(array.element).ok()?.kind() {
        Kind::Struct(of) => (of, false),
        Kind::Union(of) => (of, true),
        _ => return None,
    };
    let name = of.members().next()?.name();
    Some((name.split(FLAVOUR).next().unwrap_or(name), union))
}

#[cfg(test)]
mod tests {
    use skep_btf::{IntEncoding, NewMember};

    use super::*;

    #[test]
    fn a_reference_is_a_tagged_pointer_to_the_kernels_type() {
        let mut types = Builder::new();
        let byte = types.int("u8", 1, IntEncoding::default());
        let index = types.int("__ARRAY_SIZE_TYPE__", 4, IntEncoding::default());
        let nothing = types.array(byte, index, 0);
        let task = [NewMember::new("task_struct___old", nothing, 0)];
        let task = types.structure("Task", 0, &task);
        let of = types.array(task, index, 0);
        let at = types.pointer(TypeId::VOID);
        let members = [NewMember::new("at", at, 0), NewMember::new("of", of, 64)];
        let kptr = types.structure("Kptr<program::Task>", 8, &members);
        let other = types.structure("Kept", 8, &members);
        references(&mut types).unwrap();
        let btf = Btf::parse(types.build().unwrap()).unwrap();
        let target = |id| match btf.type_by_id(id).unwrap().kind() {
            Kind::Pointer { target, .. } | Kind::TypeTag { target, .. } => target,
            kind => panic!("{kind:?}"),
        };
        let tag = target(kptr);
        assert_eq!(btf.type_by_id(tag).unwrap().name(), "kptr");
        let structure = btf.type_by_id(target(tag)).unwrap();
        assert!(matches!(structure.kind(), Kind::Struct(_)));
        assert_eq!(structure.name(), "task_struct");
        let other = btf.type_by_id(other).unwrap();
        assert!(matches!(other.kind(), Kind::Struct(_)));
    }
}
