//! Types that make no sense, to build BTF of and to compare what is read with.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use proptest::prelude::*;
use skep_btf::{
    Builder, FunctionLinkage, IntEncoding, Kind, NewMember, NewType, SectionEntry, TypeId,
    VariableLinkage,
};

/// A type to build, with its names owned.
#[derive(Debug, Clone)]
pub enum Spec {
    Int(String, u32, u8),
    Reference(u8, String, u32),
    Array(u32, u32, u32),
    Composite(bool, String, u32, Vec<(String, u32, u32, u8)>),
    Enum(String, bool, Vec<(String, i32)>),
    Enum64(String, bool, Vec<(String, u64)>),
    Forward(String, bool),
    Function(String, u32, u32),
    Prototype(u32, Vec<(String, u32)>),
    Variable(String, u32, u32),
    Section(String, u32, Vec<(u32, u32, u32)>),
    Float(String, u32),
    Tag(String, u32, Option<u32>),
}

pub const COUNT: u32 = 12;

fn spec(names: &'static str, last: u32) -> impl Strategy<Value = Spec> {
    let name = || names;
    let id = move || 0..=last;
    let size = || prop_oneof![Just(1_u32), Just(2), Just(4), Just(8), Just(16), 0..40_u32];
    let bits = prop_oneof![Just(0_u8), 1..64_u8];
    let members = prop::collection::vec((name(), id(), 0..200_u32, bits), 0..5);
    let section = prop::collection::vec((id(), 0..64_u32, 0..16_u32), 0..4);
    prop_oneof![
        (name(), size(), 0..8_u8).prop_map(|(name, size, bits)| Spec::Int(name, size, bits)),
        (0..6_u8, name(), id()).prop_map(|(kind, name, id)| Spec::Reference(kind, name, id)),
        (id(), id(), 0..9_u32).prop_map(|(element, index, len)| Spec::Array(element, index, len)),
        (any::<bool>(), name(), size(), members)
            .prop_map(|(union, name, size, members)| Spec::Composite(union, name, size, members)),
        (
            name(),
            any::<bool>(),
            prop::collection::vec((name(), any::<i32>()), 0..4)
        )
            .prop_map(|(name, signed, values)| Spec::Enum(name, signed, values)),
        (
            name(),
            any::<bool>(),
            prop::collection::vec((name(), any::<u64>()), 0..4)
        )
            .prop_map(|(name, signed, values)| Spec::Enum64(name, signed, values)),
        (name(), any::<bool>()).prop_map(|(name, union)| Spec::Forward(name, union)),
        (name(), id(), 0..3_u32).prop_map(|(name, id, linkage)| Spec::Function(name, id, linkage)),
        (id(), prop::collection::vec((name(), id()), 0..4))
            .prop_map(|(result, params)| Spec::Prototype(result, params)),
        (name(), id(), 0..3_u32).prop_map(|(name, id, linkage)| Spec::Variable(name, id, linkage)),
        (name(), size(), section)
            .prop_map(|(name, size, entries)| Spec::Section(name, size, entries)),
        (name(), size()).prop_map(|(name, size)| Spec::Float(name, size)),
        (name(), id(), prop::option::of(0..4_u32))
            .prop_map(|(name, id, component)| Spec::Tag(name, id, component)),
    ]
}

/// [`COUNT`] types that refer to each other.
pub fn specs() -> impl Strategy<Value = Vec<Spec>> {
    specs_of("[a-z]{0,3}(___[a-z])?", COUNT)
}

/// [`COUNT`] types with such names, which refer to types up to the last one.
pub fn specs_of(names: &'static str, last: u32) -> impl Strategy<Value = Vec<Spec>> {
    prop::collection::vec(spec(names, last), COUNT as usize)
}

fn function_linkage(number: u32) -> FunctionLinkage {
    [
        FunctionLinkage::Static,
        FunctionLinkage::Global,
        FunctionLinkage::Extern,
    ][number as usize]
}

fn variable_linkage(number: u32) -> VariableLinkage {
    [
        VariableLinkage::Static,
        VariableLinkage::Global,
        VariableLinkage::Extern,
    ][number as usize]
}

pub fn add(builder: &mut Builder, spec: &Spec) {
    let id = TypeId;
    let named = |list: &'_ [(String, u32)]| -> Vec<(String, TypeId)> {
        list.iter()
            .map(|(name, one)| (name.clone(), id(*one)))
            .collect()
    };
    match spec {
        Spec::Int(name, size, encoding) => {
            builder.int(name, *size, IntEncoding(*encoding));
        }
        Spec::Reference(kind, name, target) => {
            let target = id(*target);
            builder.add(match kind {
                0 => NewType::Pointer { target },
                1 => NewType::Const { target },
                2 => NewType::Volatile { target },
                3 => NewType::Restrict { target },
                4 => NewType::Typedef { name, target },
                _ => NewType::TypeTag {
                    name,
                    target,
                    attribute: false,
                },
            });
        }
        Spec::Array(element, index, len) => {
            builder.array(id(*element), id(*index), *len);
        }
        Spec::Composite(union, name, size, members) => {
            let members: Vec<_> = members
                .iter()
                .map(|(name, type_id, bit_offset, bitfield_size)| NewMember {
                    name,
                    type_id: id(*type_id),
                    bit_offset: *bit_offset,
                    bitfield_size: *bitfield_size,
                })
                .collect();
            match union {
                true => builder.union(name, *size, &members),
                false => builder.structure(name, *size, &members),
            };
        }
        Spec::Enum(name, signed, values) => {
            let value = |value: i32| {
                if *signed {
                    value.into()
                } else {
                    i64::from(value as u32)
                }
            };
            let values: Vec<_> = values
                .iter()
                .map(|(name, one)| (name.as_str(), value(*one)))
                .collect();
            builder.add(NewType::Enum {
                name,
                size: 4,
                signed: *signed,
                values: &values,
            });
        }
        Spec::Enum64(name, signed, values) => {
            let values: Vec<_> = values
                .iter()
                .map(|(name, one)| (name.as_str(), *one))
                .collect();
            builder.add(NewType::Enum64 {
                name,
                size: 8,
                signed: *signed,
                values: &values,
            });
        }
        Spec::Forward(name, union) => {
            builder.add(NewType::Forward {
                name,
                union: *union,
            });
        }
        Spec::Function(name, prototype, linkage) => {
            builder.function(name, id(*prototype), function_linkage(*linkage));
        }
        Spec::Prototype(result, params) => {
            let params = named(params);
            let params: Vec<_> = params
                .iter()
                .map(|(name, one)| (name.as_str(), *one))
                .collect();
            builder.prototype(id(*result), &params);
        }
        Spec::Variable(name, target, linkage) => {
            builder.variable(name, id(*target), variable_linkage(*linkage));
        }
        Spec::Section(name, size, entries) => {
            let entry = |(type_id, offset, size): &(u32, u32, u32)| SectionEntry {
                type_id: id(*type_id),
                offset: *offset,
                size: *size,
            };
            let entries: Vec<_> = entries.iter().map(entry).collect();
            builder.add(NewType::DataSection {
                name,
                size: *size,
                entries: &entries,
            });
        }
        Spec::Float(name, size) => {
            builder.add(NewType::Float { name, size: *size });
        }
        Spec::Tag(name, target, component) => {
            let (target, component) = (id(*target), *component);
            builder.add(NewType::DeclTag {
                name,
                target,
                component,
                attribute: false,
            });
        }
    }
}

/// What the reader says of a type, as the specification that would make it.
pub fn read(one: skep_btf::Type<'_>) -> Spec {
    let name = one.name().to_owned();
    let reference = |kind, target: TypeId| Spec::Reference(kind, name.clone(), target.0);
    match one.kind() {
        Kind::Int(int) => Spec::Int(name, int.size, int.encoding.0),
        Kind::Pointer { target } => reference(0, target),
        Kind::Const { target } => reference(1, target),
        Kind::Volatile { target } => reference(2, target),
        Kind::Restrict { target } => reference(3, target),
        Kind::Typedef { target } => reference(4, target),
        Kind::TypeTag { target, .. } => reference(5, target),
        Kind::Array(array) => Spec::Array(array.element.0, array.index.0, array.len),
        Kind::Struct(composite) | Kind::Union(composite) => {
            let members = composite.members().map(|member| {
                let name = member.name().to_owned();
                (
                    name,
                    member.type_id.0,
                    member.bit_offset,
                    member.bitfield_size,
                )
            });
            let union = matches!(one.kind(), Kind::Union(_));
            Spec::Composite(union, name, composite.size, members.collect())
        }
        Kind::Enum(values) => {
            let all = values
                .values()
                .map(|one| (one.name().to_owned(), one.value as i32));
            Spec::Enum(name, values.signed, all.collect())
        }
        Kind::Enum64(values) => {
            let all = values
                .values()
                .map(|one| (one.name().to_owned(), one.value as u64));
            Spec::Enum64(name, values.signed, all.collect())
        }
        Kind::Forward { union } => Spec::Forward(name, union),
        Kind::Function(function) => {
            Spec::Function(name, function.prototype.0, function.linkage.number())
        }
        Kind::FunctionPrototype(prototype) => {
            let params = prototype
                .params()
                .map(|one| (one.name().to_owned(), one.type_id.0));
            Spec::Prototype(prototype.return_type.0, params.collect())
        }
        Kind::Variable(variable) => {
            Spec::Variable(name, variable.type_id.0, variable.linkage.number())
        }
        Kind::DataSection(section) => {
            let entries = section
                .entries()
                .map(|one| (one.type_id.0, one.offset, one.size));
            Spec::Section(name, section.size, entries.collect())
        }
        Kind::Float { size } => Spec::Float(name, size),
        Kind::DeclTag(tag) => Spec::Tag(name, tag.target.0, tag.component),
        other => panic!("{other:?} was not built"),
    }
}

/// The names that kinds without names were given are not kept.
pub fn without_lost_names(spec: &Spec) -> Spec {
    match spec {
        Spec::Reference(kind @ 0..=3, _, id) => Spec::Reference(*kind, String::new(), *id),
        other => other.clone(),
    }
}
