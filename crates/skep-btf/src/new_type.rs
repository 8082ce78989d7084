//! [`NewType`]: what a type to be written is made of, and its encoding in BTF's words.

use crate::{
    Error, FunctionLinkage, IntEncoding, KindTag, Result, SectionEntry, TypeId, VariableLinkage,
};

/// A type to be written by a [`Builder`](crate::Builder). An empty name means none.
#[derive(Debug, Clone, Copy)]
#[expect(
    missing_docs,
    reason = "the fields are those of the views of the same names in `Kind`"
)]
#[non_exhaustive]
pub enum NewType<'a> {
    /// Integer, character or boolean.
    Int {
        name: &'a str,
        size: u32,
        bits: u8,
        offset: u8,
        encoding: IntEncoding,
    },
    /// Pointer.
    Pointer { target: TypeId },
    /// Array.
    Array {
        element: TypeId,
        index: TypeId,
        len: u32,
    },
    /// Structure of `size` bytes.
    Struct {
        name: &'a str,
        size: u32,
        members: &'a [NewMember<'a>],
    },
    /// Union of `size` bytes.
    Union {
        name: &'a str,
        size: u32,
        members: &'a [NewMember<'a>],
    },
    /// Enumeration of values that fit 32 bits.
    Enum {
        name: &'a str,
        size: u32,
        signed: bool,
        values: &'a [(&'a str, i64)],
    },
    /// Enumeration of 64-bit values, given by their bits (Linux 6.0).
    Enum64 {
        name: &'a str,
        size: u32,
        signed: bool,
        values: &'a [(&'a str, u64)],
    },
    /// Forward declaration.
    Forward { name: &'a str, union: bool },
    /// Type alias.
    Typedef { name: &'a str, target: TypeId },
    /// `volatile`.
    Volatile { target: TypeId },
    /// `const`.
    Const { target: TypeId },
    /// `restrict`.
    Restrict { target: TypeId },
    /// Tag of a type; `attribute` as in [`Kind::TypeTag`](crate::Kind::TypeTag).
    TypeTag {
        name: &'a str,
        target: TypeId,
        attribute: bool,
    },
    /// Function.
    Function {
        name: &'a str,
        prototype: TypeId,
        linkage: FunctionLinkage,
    },
    /// Prototype; a last parameter `("", TypeId::VOID)` stands for `...`.
    FunctionPrototype {
        return_type: TypeId,
        params: &'a [(&'a str, TypeId)],
    },
    /// Variable.
    Variable {
        name: &'a str,
        type_id: TypeId,
        linkage: VariableLinkage,
    },
    /// ELF section of variables.
    DataSection {
        name: &'a str,
        size: u32,
        entries: &'a [SectionEntry],
    },
    /// Floating-point number.
    Float { name: &'a str, size: u32 },
    /// Tag of a declaration; `attribute` as in [`DeclTag`](crate::DeclTag).
    DeclTag {
        name: &'a str,
        target: TypeId,
        component: Option<u32>,
        attribute: bool,
    },
}

/// A member of a [`NewType::Struct`] or [`NewType::Union`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewMember<'a> {
    /// The name; empty for none.
    pub name: &'a str,
    /// Its type.
    pub type_id: TypeId,
    /// Bits from the start.
    pub bit_offset: u32,
    /// Bits of a bit field; 0 for any other member.
    pub bitfield_size: u8,
}

impl<'a> NewMember<'a> {
    /// A member that is not a bit field, `bit_offset` bits from the start.
    pub fn new(name: &'a str, type_id: TypeId, bit_offset: u32) -> Self {
        Self {
            name,
            type_id,
            bit_offset,
            bitfield_size: 0,
        }
    }
}

/// The words of a type.
pub(crate) fn encode(
    id: TypeId,
    new: NewType<'_>,
    mut string: impl FnMut(&str) -> u32,
) -> Result<Vec<u32>> {
    let too_many = || Error::DoesNotFit {
        id,
        what: "the number of elements",
    };
    let head = |kind: KindTag, name: u32, flag: bool, count: usize, third: u32| {
        let count = u32::try_from(count).ok().filter(|count| *count >> 24 == 0);
        let info = (kind as u32) << 24 | u32::from(flag) << 31 | count.ok_or_else(too_many)?;
        Ok::<_, Error>(vec![name, info, third])
    };
    let simple = |kind, name, third| head(kind, name, false, 0, third);
    Ok(match new {
        NewType::Int {
            name,
            size,
            bits,
            offset,
            encoding,
        } => {
            let mut words = simple(KindTag::Int, string(name), size)?;
            let encoding = u32::from(encoding.0 & 0xf);
            words.push(encoding << 24 | u32::from(offset) << 16 | u32::from(bits));
            words
        }
        NewType::Pointer { target } => simple(KindTag::Pointer, 0, target.0)?,
        NewType::Array {
            element,
            index,
            len,
        } => {
            let mut words = simple(KindTag::Array, 0, 0)?;
            words.extend([element.0, index.0, len]);
            words
        }
        NewType::Struct {
            name,
            size,
            members,
        }
        | NewType::Union {
            name,
            size,
            members,
        } => {
            let union = matches!(new, NewType::Union { .. });
            let kind = if union {
                KindTag::Union
            } else {
                KindTag::Struct
            };
            let flag = members.iter().any(|member| member.bitfield_size != 0);
            let mut words = head(kind, string(name), flag, members.len(), size)?;
            for member in members {
                if flag && member.bit_offset >> 24 != 0 {
                    return Err(Error::DoesNotFit {
                        id,
                        what: "a member's bit offset",
                    });
                }
                let offset = u32::from(member.bitfield_size) << 24 | member.bit_offset;
                words.extend([string(member.name), member.type_id.0, offset]);
            }
            words
        }
        NewType::Enum {
            name,
            size,
            signed,
            values,
        } => {
            let mut words = head(KindTag::Enum, string(name), signed, values.len(), size)?;
            for (name, value) in values {
                let fits = i32::try_from(*value).is_ok() || u32::try_from(*value).is_ok();
                if !fits {
                    return Err(Error::DoesNotFit {
                        id,
                        what: "an enumeration's value",
                    });
                }
                words.extend([string(name), *value as u32]);
            }
            words
        }
        NewType::Enum64 {
            name,
            size,
            signed,
            values,
        } => {
            let mut words = head(KindTag::Enum64, string(name), signed, values.len(), size)?;
            for (name, value) in values {
                words.extend([string(name), *value as u32, (*value >> 32) as u32]);
            }
            words
        }
        NewType::Forward { name, union } => head(KindTag::Forward, string(name), union, 0, 0)?,
        NewType::Typedef { name, target } => simple(KindTag::Typedef, string(name), target.0)?,
        NewType::Volatile { target } => simple(KindTag::Volatile, 0, target.0)?,
        NewType::Const { target } => simple(KindTag::Const, 0, target.0)?,
        NewType::Restrict { target } => simple(KindTag::Restrict, 0, target.0)?,
        NewType::TypeTag {
            name,
            target,
            attribute,
        } => head(KindTag::TypeTag, string(name), attribute, 0, target.0)?,
        NewType::Function {
            name,
            prototype,
            linkage,
        } => {
            let linkage = linkage.number() as usize;
            head(KindTag::Function, string(name), false, linkage, prototype.0)?
        }
        NewType::FunctionPrototype {
            return_type,
            params,
        } => {
            let count = params.len();
            let mut words = head(KindTag::FunctionPrototype, 0, false, count, return_type.0)?;
            for (name, type_id) in params {
                words.extend([string(name), type_id.0]);
            }
            words
        }
        NewType::Variable {
            name,
            type_id,
            linkage,
        } => {
            let mut words = simple(KindTag::Variable, string(name), type_id.0)?;
            words.push(linkage.number());
            words
        }
        NewType::DataSection {
            name,
            size,
            entries,
        } => {
            let mut words = head(
                KindTag::DataSection,
                string(name),
                false,
                entries.len(),
                size,
            )?;
            for entry in entries {
                words.extend([entry.type_id.0, entry.offset, entry.size]);
            }
            words
        }
        NewType::Float { name, size } => simple(KindTag::Float, string(name), size)?,
        NewType::DeclTag {
            name,
            target,
            component,
            attribute,
        } => {
            let mut words = head(KindTag::DeclTag, string(name), attribute, 0, target.0)?;
            words.push(component.unwrap_or(u32::MAX));
            words
        }
    })
}
