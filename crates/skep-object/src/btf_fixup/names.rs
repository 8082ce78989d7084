//! Names as kernels take them: identifiers of C, and parameters that have one.

use std::borrow::Cow;

use skep_abi::LoaderFeature as Feature;
use skep_btf::{Composite, FunctionPrototype, Kind, NewMember, NewType, Type, TypeId};

use super::Fixup;
use crate::{Result, data::SectionLayout};

impl Fixup<'_> {
    /// Replaces names that are no identifiers of C, such as those of Rust's generic types, and
    /// names parameters that have none: kernels ask for that.
    pub(super) fn valid_names(&mut self, found: &Type<'_>) -> Result<()> {
        match found.kind() {
            Kind::Struct(composite) => self.valid_members(found, &composite, false),
            Kind::Union(composite) => self.valid_members(found, &composite, true),
            Kind::Enum(values) | Kind::Enum64(values) => {
                let mut names = values.values().map(|value| value.name());
                if is_valid(found.name()) && names.all(is_valid) {
                    return Ok(());
                }
                self.replace_enum(found, &values)
            }
            Kind::FunctionPrototype(prototype) => self.valid_parameters(found, &prototype),
            Kind::Forward { .. } | Kind::Typedef { .. } | Kind::Variable(_) | Kind::Function(_)
                if !is_valid(found.name()) =>
            {
                Ok(self.builder.rename(found.id(), &valid(found.name()))?)
            }
            _ => Ok(()),
        }
    }

    fn valid_members(
        &mut self,
        found: &Type<'_>,
        composite: &Composite<'_>,
        union: bool,
    ) -> Result<()> {
        let mut names = composite.members().map(|member| member.name());
        if is_valid(found.name()) && names.all(is_valid) {
            return Ok(());
        }
        let names: Vec<Cow<'_, str>> = composite
            .members()
            .map(|member| valid(member.name()))
            .collect();
        let members: Vec<NewMember<'_>> = composite
            .members()
            .zip(&names)
            .map(|(member, name)| NewMember {
                name,
                type_id: member.type_id,
                bit_offset: member.bit_offset,
                bitfield_size: member.bitfield_size,
            })
            .collect();
        let (name, size, members) = (&valid(found.name()), composite.size, members.as_slice());
        let new = if union {
            NewType::Union {
                name,
                size,
                members,
            }
        } else {
            NewType::Struct {
                name,
                size,
                members,
            }
        };
        Ok(self.builder.replace(found.id(), new)?)
    }

    fn valid_parameters(
        &mut self,
        found: &Type<'_>,
        prototype: &FunctionPrototype<'_>,
    ) -> Result<()> {
        let nameless = !self.prototypes.contains(&found.id());
        let fits = |name: &str, type_id| {
            is_valid(name) && (!name.is_empty() || type_id == TypeId::VOID || nameless)
        };
        if prototype
            .params()
            .all(|parameter| fits(parameter.name(), parameter.type_id))
        {
            return Ok(());
        }
        let named: Vec<(Cow<'_, str>, TypeId)> = prototype
            .params()
            .map(|parameter| match parameter.name() {
                "" if parameter.type_id != TypeId::VOID => ("arg".into(), parameter.type_id),
                name => (valid(name), parameter.type_id),
            })
            .collect();
        let params: Vec<(&str, TypeId)> = named
            .iter()
            .map(|(name, type_id)| (name.as_ref(), *type_id))
            .collect();
        let return_type = prototype.return_type;
        let new = NewType::FunctionPrototype {
            return_type,
            params: &params,
        };
        Ok(self.builder.replace(found.id(), new)?)
    }

    /// Data sections are named after those of the file, which may have any name.
    pub(super) fn valid_section_name(&mut self, layout: &SectionLayout) -> Result<()> {
        if is_valid(&layout.name) || self.lacking.is(Feature::BtfDataSections) {
            return Ok(());
        }
        if self.lacking.uses(Feature::BtfSectionNames) {
            self.builder.rename(layout.type_id, &valid(&layout.name))?;
        }
        Ok(())
    }
}

/// The kernel's `KSYM_NAME_LEN` of before 6.1, without the NUL.
const LONGEST_NAME: usize = 127;

fn fits(position: usize, byte: u8) -> bool {
    let letter = byte.is_ascii_alphabetic() || byte == b'_' || byte == b'.';
    letter || (position > 0 && byte.is_ascii_digit())
}

fn is_valid(name: &str) -> bool {
    let mut bytes = name.bytes().enumerate();
    name.len() <= LONGEST_NAME && bytes.all(|(position, byte)| fits(position, byte))
}

/// A name with `_` for each byte that no identifier has.
pub(super) fn valid(name: &str) -> Cow<'_, str> {
    if is_valid(name) {
        return name.into();
    }
    let bytes = name.bytes().enumerate().take(LONGEST_NAME);
    let letters = bytes.map(|(position, byte)| {
        if fits(position, byte) {
            char::from(byte)
        } else {
            '_'
        }
    });
    letters.collect::<String>().into()
}

/// The same without dots, which only data sections and functions may have.
pub(super) fn identifier(name: &str) -> String {
    valid(name).replace('.', "_")
}
