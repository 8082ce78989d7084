//! The object's BTF as a kernel takes it: sizes and offsets filled in, externs made ordinary,
//! names that are no identifiers replaced, and kinds that the target is too old for replaced by
//! others of the same size. Type ids and string offsets stay what they were.

use std::{borrow::Cow, collections::BTreeSet};

use skep_btf::{
    Btf, Builder, Composite, Enum, FunctionLinkage, FunctionPrototype, IntEncoding, Kind,
    NewMember, NewType, SectionEntry, Type, TypeId, VariableLinkage,
};

use crate::{
    Linkage, Object, Result, Target,
    data::SectionLayout,
    externs::{KCONFIG, KSYMS},
};

/// The BTF of an object for a target; `None` if it has none.
pub(crate) fn for_target(object: &Object, target: &Target) -> Result<Option<Vec<u8>>> {
    let Some(btf) = &object.btf else {
        return Ok(None);
    };
    let builder = Builder::from_btf(btf)?;
    let mut fixup = Fixup {
        builder,
        btf,
        target,
        prototypes: BTreeSet::new(),
    };
    fixup.linkages(object)?;
    for layout in &object.layouts {
        match layout.name.as_str() {
            KSYMS => fixup.ksyms(layout)?,
            KCONFIG => fixup.kconfig(object, layout)?,
            _ if layout.entries.is_empty() && layout.size > 0 => fixup.unnamed(layout)?,
            _ => fixup.set_entries(layout.type_id, layout.size, layout.entries.iter().copied())?,
        }
    }
    for found in btf.types() {
        if !fixup.replace_kind(&found)? {
            fixup.valid_names(&found)?;
        }
    }
    Ok(Some(fixup.builder.build()?))
}

struct Fixup<'a> {
    builder: Builder,
    btf: &'a Btf,
    target: &'a Target,
    /// Prototypes of functions, not only of pointers to some.
    prototypes: BTreeSet<TypeId>,
}

impl Fixup<'_> {
    /// Makes functions and variables that are found elsewhere ordinary ones, and functions that
    /// the linker alone sees static, so that they are not verified by themselves.
    fn linkages(&mut self, object: &Object) -> Result<()> {
        let hidden: BTreeSet<TypeId> = object
            .functions
            .iter()
            .filter(|function| function.linkage == Linkage::Hidden)
            .filter_map(|function| function.type_id)
            .collect();
        for found in self.btf.types() {
            match found.kind() {
                Kind::Function(function) => {
                    self.prototypes.insert(function.prototype);
                    let linkage = match function.linkage {
                        _ if hidden.contains(&found.id()) => FunctionLinkage::Static,
                        _ if !self.target.btf_features.global_functions => FunctionLinkage::Static,
                        FunctionLinkage::Extern => FunctionLinkage::Global,
                        other => other,
                    };
                    if linkage != function.linkage {
                        self.builder.set_function_linkage(found.id(), linkage)?;
                    }
                }
                Kind::Variable(variable) if variable.linkage == VariableLinkage::Extern => {
                    self.builder
                        .set_variable_linkage(found.id(), VariableLinkage::Global)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the size of a data section and its entries, in the order of offsets.
    fn set_entries(
        &mut self,
        section: TypeId,
        size: u32,
        mut entries: impl Iterator<Item = SectionEntry>,
    ) -> Result<()> {
        self.builder.set_data_section(section, size, |entry| {
            *entry = entries.next().unwrap_or(*entry);
        })?;
        Ok(())
    }

    /// A section of constants without names: Linux 5.10 refuses one that has no variable.
    fn unnamed(&mut self, layout: &SectionLayout) -> Result<()> {
        let byte = self.builder.int("char", 1, IntEncoding::SIGNED);
        let linkage = VariableLinkage::Static;
        let entry = SectionEntry {
            type_id: self.builder.variable("unnamed", byte, linkage),
            offset: 0,
            size: 1,
        };
        let section = NewType::DataSection {
            name: &layout.name,
            size: layout.size,
            entries: &[entry],
        };
        self.builder.replace(layout.type_id, section)?;
        Ok(())
    }

    /// Kernel symbols: what the kernel wants of a section are variables with a size, one after
    /// the other. Functions are stood in for by one variable.
    fn ksyms(&mut self, layout: &SectionLayout) -> Result<()> {
        const SIZE: u32 = 4;
        let int = self.builder.int("int", SIZE, IntEncoding::SIGNED);
        let mut dummy = None;
        let mut entries = Vec::with_capacity(layout.entries.len());
        let mut offset = 0_u32;
        for entry in &layout.entries {
            let declared = self.btf.type_by_id(entry.type_id)?;
            let type_id = match declared.kind() {
                Kind::Variable(_) => {
                    self.builder.set_target(declared.id(), int)?;
                    declared.id()
                }
                _ => *dummy.get_or_insert_with(|| {
                    self.builder
                        .variable("dummy_ksym", int, VariableLinkage::Global)
                }),
            };
            entries.push(SectionEntry {
                type_id,
                offset,
                size: SIZE,
            });
            offset = offset.saturating_add(SIZE);
        }
        self.set_entries(layout.type_id, offset, entries.into_iter())
    }

    /// The kernel's configuration, as it was laid out in its map.
    fn kconfig(&mut self, object: &Object, layout: &SectionLayout) -> Result<()> {
        let Some(kconfig) = &object.kconfig else {
            return Ok(());
        };
        let entries = kconfig.values.iter().map(|value| SectionEntry {
            type_id: value.variable,
            offset: value.offset,
            size: value.size,
        });
        self.set_entries(layout.type_id, kconfig.size, entries)
    }

    /// Replaces a type of a kind that the target does not know; answers whether it did.
    fn replace_kind(&mut self, found: &Type<'_>) -> Result<bool> {
        let features = self.target.btf_features;
        let id = found.id();
        match found.kind() {
            Kind::Float { size } if !features.floats => {
                self.builder.replace(
                    id,
                    NewType::Struct {
                        name: "",
                        size,
                        members: &[],
                    },
                )?;
            }
            Kind::DeclTag(_) if !features.decl_tags => {
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
            Kind::TypeTag { target, .. } if !features.type_tags => {
                self.builder.replace(id, NewType::Const { target })?;
            }
            Kind::DeclTag(tag) if tag.attribute && !features.tag_attributes => {
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
            } if !features.tag_attributes => {
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
            Kind::Enum64(values) if !features.enum64 => self.replace_enum64(found, &values)?,
            Kind::Enum(values) if values.signed && !features.enum64 => {
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
    fn replace_enum(&mut self, found: &Type<'_>, values: &Enum<'_>) -> Result<()> {
        let signed = values.signed && self.target.btf_features.enum64;
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

    /// Replaces names that are no identifiers of C, such as those of Rust's generic types, and
    /// names parameters that have none: kernels ask for that.
    fn valid_names(&mut self, found: &Type<'_>) -> Result<()> {
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
}

fn low_bits(value: i128) -> u64 {
    let [b0, b1, b2, b3, b4, b5, b6, b7, ..] = value.to_le_bytes();
    u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7])
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
fn valid(name: &str) -> Cow<'_, str> {
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
