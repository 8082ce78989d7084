//! Kinds of types that a target is too old for, as others of the same size.

use std::borrow::Cow;

use skep_abi::LoaderFeature as Feature;
use skep_btf::{Enum, IntEncoding, Kind, NewMember, NewType, Type};

use super::{
    Fixup,
    names::{identifier, valid},
};
use crate::{Result, data::SectionLayout};

impl Fixup<'_> {
    /// Replaces a type of a kind that the target does not know; answers whether it did.
    pub(super) fn replace_kind(&mut self, found: &Type<'_>) -> Result<bool> {
        let id = found.id();
        match found.kind() {
            Kind::Function(function) if self.lacking.uses(Feature::BtfFunctions) => {
                let name = &valid(found.name());
                let target = function.prototype;
                self.builder
                    .replace(id, NewType::Typedef { name, target })?;
            }
            Kind::FunctionPrototype(_) if self.lacking.is(Feature::BtfFunctions) => {
                let none = NewType::Enum {
                    name: "",
                    size: 4,
                    signed: false,
                    values: &[],
                };
                self.builder.replace(id, none)?;
            }
            // One byte is never too much for what the variable has room for.
            Kind::Variable(_) if self.lacking.is(Feature::BtfDataSections) => {
                let byte = NewType::Int {
                    name: &valid(found.name()),
                    size: 1,
                    bits: 8,
                    offset: 0,
                    encoding: IntEncoding::UNSIGNED,
                };
                self.builder.replace(id, byte)?;
            }
            Kind::Float { size } if self.lacking.uses(Feature::BtfFloats) => {
                self.builder.replace(
                    id,
                    NewType::Struct {
                        name: "",
                        size,
                        members: &[],
                    },
                )?;
            }
            Kind::DeclTag(_) if self.lacking.uses(Feature::BtfDeclTags) => {
                let (bits, encoding) = (8, IntEncoding::UNSIGNED);
                let tag = NewType::Int {
                    name: "decl_tag",
                    size: 1,
                    bits,
                    offset: 0,
                    encoding,
                };
                self.builder.replace(id, tag)?;
            }
            Kind::TypeTag { target, .. } if self.lacking.uses(Feature::BtfTypeTags) => {
                self.builder.replace(id, NewType::Const { target })?;
            }
            Kind::DeclTag(tag) if tag.attribute && self.lacking.uses(Feature::BtfTagAttributes) => {
                let (target, component) = (tag.target, tag.component);
                let name = found.name();
                let tag = NewType::DeclTag {
                    name,
                    target,
                    component,
                    attribute: false,
                };
                self.builder.replace(id, tag)?;
            }
            Kind::TypeTag {
                target,
                attribute: true,
            } if self.lacking.uses(Feature::BtfTagAttributes) => {
                let name = found.name();
                self.builder.replace(
                    id,
                    NewType::TypeTag {
                        name,
                        target,
                        attribute: false,
                    },
                )?;
            }
            Kind::Enum64(values) if self.lacking.uses(Feature::BtfEnum64) => {
                self.replace_enum64(found, &values)?;
            }
            Kind::Enum(values) if values.signed && self.lacking.uses(Feature::BtfEnum64) => {
                self.replace_enum(found, &values)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A union of the same size, with the enumerators' names for members.
    fn replace_enum64(&mut self, found: &Type<'_>, values: &Enum<'_>) -> Result<()> {
        let int = self.builder.int("enum64_value", 1, IntEncoding::UNSIGNED);
        let names: Vec<Cow<'_, str>> = values.values().map(|value| valid(value.name())).collect();
        let members: Vec<NewMember<'_>> = names
            .iter()
            .map(|name| NewMember::new(name, int, 0))
            .collect();
        let name = &valid(found.name());
        let union = NewType::Union {
            name,
            size: values.size,
            members: &members,
        };
        Ok(self.builder.replace(found.id(), union)?)
    }

    /// The same without its sign, with names that the kernel takes.
    pub(super) fn replace_enum(&mut self, found: &Type<'_>, values: &Enum<'_>) -> Result<()> {
        let signed = values.signed && !self.lacking.is(Feature::BtfEnum64);
        let name = &valid(found.name());
        let size = values.size;
        if let Kind::Enum64(_) = found.kind() {
            let named: Vec<(Cow<'_, str>, u64)> = values
                .values()
                .map(|value| (valid(value.name()), low_bits(value.value)))
                .collect();
            let values: Vec<(&str, u64)> = named
                .iter()
                .map(|(name, value)| (name.as_ref(), *value))
                .collect();
            let wide = NewType::Enum64 {
                name,
                size,
                signed,
                values: &values,
            };
            return Ok(self.builder.replace(found.id(), wide)?);
        }
        let named: Vec<(Cow<'_, str>, i64)> = values
            .values()
            .map(|value| (valid(value.name()), low_bits(value.value).cast_signed()))
            .collect();
        let values: Vec<(&str, i64)> = named
            .iter()
            .map(|(name, value)| (name.as_ref(), *value))
            .collect();
        Ok(self.builder.replace(
            found.id(),
            NewType::Enum {
                name,
                size,
                signed,
                values: &values,
            },
        )?)
    }

    /// A data section as a struct of its variables.
    pub(super) fn as_struct(&mut self, layout: &SectionLayout) -> Result<()> {
        let mut members = Vec::with_capacity(layout.entries.len());
        for entry in &layout.entries {
            let variable = self.btf.type_by_id(entry.type_id)?;
            // Externs have no place: their section has no size.
            if entry.offset < layout.size {
                let bits = entry.offset.saturating_mul(8);
                members.push((valid(variable.name()), entry.type_id, bits));
            }
        }
        let members: Vec<NewMember<'_>> = members
            .iter()
            .map(|(name, type_id, bits)| NewMember::new(name, *type_id, *bits))
            .collect();
        let section = NewType::Struct {
            name: &identifier(&layout.name),
            size: layout.size,
            members: &members,
        };
        Ok(self.builder.replace(layout.type_id, section)?)
    }
}

fn low_bits(value: i128) -> u64 {
    let [b0, b1, b2, b3, b4, b5, b6, b7, ..] = value.to_le_bytes();
    u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7])
}
