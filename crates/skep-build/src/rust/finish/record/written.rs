//! The local types in BTF, once they are laid out.

use skep_btf::{Builder, IntEncoding, NewMember, NewType, TypeId};

use super::{
    layout::{Composite, Enum, Layout, Type},
    shape::Name,
};

impl Layout {
    /// Writes the types behind those of `builder`.
    pub(super) fn write<'a>(&'a self, builder: &'a mut Builder) -> skep_btf::Result<Written<'a>> {
        let mut written = Written {
            layout: self,
            composites: Vec::new(),
            structures: Vec::new(),
            enums: Vec::new(),
            others: Vec::new(),
            builder,
        };
        for of in &self.enums {
            let id = written.enumeration(of);
            written.enums.push(id);
        }
        // Structures can refer to each other: first there is a place for each.
        for composite in &self.composites {
            let id = written.builder.add(composite.to_write(&[]));
            written.structures.push(id);
            let id = match composite.name.typedef {
                true => written.builder.typedef(&composite.name.name, id),
                false => id,
            };
            written.composites.push(id);
        }
        for (index, composite) in self.composites.iter().enumerate() {
            let mut sorted = vec![NewMember::new("", TypeId::VOID, 0); composite.members.len()];
            for (place, member) in composite.places.iter().zip(&composite.members) {
                let of = written.id(&member.of);
                let bits = u32::try_from(member.offset.saturating_mul(8)).unwrap_or(u32::MAX);
                if let Some(slot) = sorted.get_mut(*place) {
                    *slot = NewMember::new(&member.name, of, bits);
                }
            }
            if let Some(id) = written.structures.get(index).copied() {
                written.builder.replace(id, composite.to_write(&sorted))?;
            }
        }
        Ok(written)
    }
}

impl Composite {
    fn to_write<'a>(&'a self, members: &'a [NewMember<'a>]) -> NewType<'a> {
        // Whose name is a typedef's has none of its own.
        let name = if self.name.typedef {
            ""
        } else {
            &self.name.name
        };
        let size = self.size.map_or(0, |size| size.bytes);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        match self.name.union {
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
        }
    }
}

/// The types in BTF.
pub(super) struct Written<'a> {
    layout: &'a Layout,
    builder: &'a mut Builder,
    /// As they are named: structures and unions, or typedefs of those.
    composites: Vec<TypeId>,
    structures: Vec<TypeId>,
    enums: Vec<TypeId>,
    others: Vec<(Type, TypeId)>,
}

impl Written<'_> {
    pub(super) fn builder(&mut self) -> &mut Builder {
        self.builder
    }

    /// The id of a type, which is written if it was not yet.
    pub(super) fn id(&mut self, of: &Type) -> TypeId {
        match of {
            Type::Void => return TypeId::VOID,
            Type::Composite(index) => {
                return self.composites.get(*index).copied().unwrap_or(TypeId::VOID);
            }
            Type::Enum(index) => return self.enums.get(*index).copied().unwrap_or(TypeId::VOID),
            _ => {}
        }
        if let Some((_, id)) = self.others.iter().find(|(known, _)| known == of) {
            return *id;
        }
        let id = match of {
            Type::Int { bytes, signed } => {
                // As gcc calls them, and so most kernels: types that are to match are compared by
                // these, too.
                let (name, encoding) = match (bytes, signed) {
                    (1, false) => ("unsigned char", IntEncoding::UNSIGNED),
                    (2, false) => ("short unsigned int", IntEncoding::UNSIGNED),
                    (4, false) => ("unsigned int", IntEncoding::UNSIGNED),
                    (8, false) => ("long unsigned int", IntEncoding::UNSIGNED),
                    (_, false) => ("__int128 unsigned", IntEncoding::UNSIGNED),
                    (1, true) => ("signed char", IntEncoding::SIGNED),
                    (2, true) => ("short int", IntEncoding::SIGNED),
                    (4, true) => ("int", IntEncoding::SIGNED),
                    (8, true) => ("long int", IntEncoding::SIGNED),
                    (_, true) => ("__int128", IntEncoding::SIGNED),
                };
                self.builder.int(name, *bytes, encoding)
            }
            Type::Bool { bytes } => self.builder.int("_Bool", *bytes, IntEncoding::BOOL),
            Type::Float { bytes } => {
                let name = if *bytes == 4 { "float" } else { "double" };
                self.builder.add(NewType::Float { name, size: *bytes })
            }
            Type::Pointer(to) => {
                let target = self.id(to);
                self.builder.pointer(target)
            }
            Type::Array { len, element } => {
                let element = self.id(element);
                let index = self.id(&Type::Int {
                    bytes: 4,
                    signed: false,
                });
                self.builder.array(element, index, *len)
            }
            Type::Named(name) => self.named(name),
            Type::Function { returns, takes } => {
                let returns = self.id(returns);
                let takes: Vec<_> = takes.iter().map(|of| ("", self.id(of))).collect();
                self.builder.prototype(returns, &takes)
            }
            Type::Void | Type::Composite(_) | Type::Enum(_) => TypeId::VOID,
        };
        self.others.push((of.clone(), id));
        id
    }

    /// What a pointer points to: the structure, if it has fields here, or else its name.
    fn named(&mut self, name: &Name) -> TypeId {
        let mut composites = self.layout.composites.iter();
        let of = |name: &Name| (name.union, name.typedef, name.name.clone());
        let known = composites.position(|known| of(&known.name) == of(name));
        if let Some(id) = known.and_then(|index| self.composites.get(index)) {
            return *id;
        }
        if name.typedef {
            let members = &[];
            let of = self.builder.add(match name.union {
                false => NewType::Struct {
                    name: "",
                    size: 0,
                    members,
                },
                true => NewType::Union {
                    name: "",
                    size: 0,
                    members,
                },
            });
            return self.builder.typedef(&name.name, of);
        }
        self.builder.add(NewType::Forward {
            name: &name.name,
            union: name.union,
        })
    }

    fn enumeration(&mut self, of: &Enum) -> TypeId {
        let (name, size, signed) = (of.name.as_str(), of.bytes, of.signed);
        if size == 8 {
            let values: Vec<(&str, u64)> = of
                .values
                .iter()
                .map(|(name, value)| (name.as_str(), *value))
                .collect();
            return self.builder.add(NewType::Enum64 {
                name,
                size,
                signed,
                values: &values,
            });
        }
        let values: Vec<(&str, i64)> = of
            .values
            .iter()
            .map(|(name, value)| {
                // The low half, by the enumeration's sign.
                let low = *value as u32;
                let value = if signed {
                    i64::from(low.cast_signed())
                } else {
                    low.into()
                };
                (name.as_str(), value)
            })
            .collect();
        self.builder.add(NewType::Enum {
            name,
            size,
            signed,
            values: &values,
        })
    }
}
