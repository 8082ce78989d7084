//! Values by their types: bytes made of what a test says, and told apart from what it expects,
//! field by field.

mod combine;
mod compare;
mod encode;
mod show;
mod words;

use std::sync::Arc;

use skep::btf::{Btf, Composite, Kind as BtfKind, KindTag, TypeId};

pub(crate) use combine::combine;
pub(crate) use compare::{compare, text_mismatch};
pub(crate) use encode::{Encoder, NoPointers, Pointers, raw_bytes};
pub(crate) use show::show;
pub(crate) use words::{address, duration, errno_by_name, hex, mac};

/// The type of some bytes.
#[derive(Debug, Clone)]
pub(crate) enum Type {
    /// One of BTF.
    Btf(Arc<Btf>, TypeId),
    /// Numbers that are known by their size alone.
    Plain(Plain),
}

/// What is known of bytes without BTF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plain {
    /// Bytes of one.
    pub(crate) size: usize,
    /// How many; `None` for one that is no array.
    pub(crate) count: Option<usize>,
    pub(crate) signed: bool,
    /// In the order of networks.
    pub(crate) network: bool,
}

impl Plain {
    /// Bytes of which nothing is known: a number if they are as many as numbers have.
    pub(crate) const fn opaque(size: usize) -> Self {
        let one = matches!(size, 1 | 2 | 4 | 8);
        Self {
            size: if one { size } else { 1 },
            count: if one { None } else { Some(size) },
            signed: false,
            network: false,
        }
    }

    pub(crate) const fn whole(self) -> usize {
        self.size.saturating_mul(match self.count {
            Some(count) => count,
            None => 1,
        })
    }
}

impl Type {
    /// Bytes of it.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Btf(btf, id) => btf
                .size_of(*id)
                .ok()
                .and_then(|size| usize::try_from(size).ok())
                .unwrap_or(0),
            Self::Plain(plain) => plain.whole(),
        }
    }

    /// As C writes it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Btf(btf, id) => type_name(btf, *id),
            Self::Plain(plain) => format!("{} bytes", plain.whole()),
        }
    }

    /// What it is, without typedefs.
    pub(crate) fn shape(&self) -> Shape<'_> {
        match self {
            Self::Btf(btf, id) => shape(btf, *id),
            Self::Plain(plain) => {
                let number = Number {
                    size: plain.size,
                    signed: plain.signed,
                    network: plain.network,
                    meaning: Meaning::Plain,
                };
                match plain.count {
                    None => Shape::Number(number),
                    Some(len) => Shape::Array {
                        element: Self::Plain(Plain {
                            count: None,
                            ..*plain
                        }),
                        stride: plain.size,
                        len,
                        byte: plain.size == 1,
                    },
                }
            }
        }
    }
}

/// The shape of a value.
#[derive(Debug)]
pub(crate) enum Shape<'b> {
    Number(Number),
    Float(usize),
    Pointer(usize, Type),
    Enum {
        number: Number,
        btf: &'b Btf,
        id: TypeId,
    },
    Struct {
        btf: &'b Arc<Btf>,
        composite: Composite<'b>,
        union: bool,
    },
    Array {
        element: Type,
        stride: usize,
        len: usize,
        /// Its elements are unsigned bytes, so that text and addresses can stand for them.
        byte: bool,
    },
    /// An array of `char`.
    Text(usize),
    /// What has no values: functions, void.
    Nothing,
}

/// An integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) size: usize,
    pub(crate) signed: bool,
    /// In the order of networks.
    pub(crate) network: bool,
    pub(crate) meaning: Meaning,
}

/// What more a type says of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Plain,
    Bool,
    Char,
    /// `__be32`: an IPv4 address.
    Ipv4,
    /// `skep_ns_t`, `skep_time_t`
    Time,
}

impl Number {
    /// Its value; sign-extended where it is signed.
    pub(crate) fn read(self, bytes: &[u8]) -> Option<i128> {
        let bytes = bytes.get(..self.size)?;
        let mut wide = [0; 16];
        let little = self.network != cfg!(target_endian = "little");
        for (index, byte) in bytes.iter().enumerate() {
            let at = match little {
                true => index,
                false => self.size.checked_sub(index)?.checked_sub(1)?,
            };
            *wide.get_mut(at)? = *byte;
        }
        let value = i128::from_le_bytes(wide);
        let unused = 128_usize.checked_sub(self.size.checked_mul(8)?)?;
        let unused = u32::try_from(unused).ok()?;
        Some(match self.signed {
            true => value.checked_shl(unused)?.checked_shr(unused)?,
            false => value,
        })
    }

    /// Its bytes, cut to its size.
    pub(crate) fn write(self, value: i128, out: &mut [u8]) -> Option<()> {
        let out = out.get_mut(..self.size)?;
        let wide = value.to_le_bytes();
        out.copy_from_slice(wide.get(..self.size)?);
        if self.network == cfg!(target_endian = "little") {
            out.reverse();
        }
        Some(())
    }

    /// Whether it can hold a number, as signed or as unsigned.
    pub(crate) fn fits(self, value: i128) -> bool {
        let bits = u32::try_from(self.size.saturating_mul(8)).unwrap_or(128);
        match 1_i128.checked_shl(bits) {
            Some(end) if bits < 127 => {
                let half = end / 2;
                (half.saturating_neg()..end).contains(&value)
            }
            _ => true,
        }
    }
}

/// The names of a type's typedefs, and of what they stand for.
fn names(btf: &Btf, id: TypeId) -> Vec<&str> {
    let mut names = Vec::new();
    let mut id = id;
    for _ in 0..32 {
        let Ok(found) = btf.type_by_id(id) else { break };
        if !found.name().is_empty() {
            names.push(found.name());
        }
        match found.kind().modified() {
            Some(target) => id = target,
            None => break,
        }
    }
    names
}

/// The type as C writes it, as far as its name goes.
fn type_name(btf: &Btf, id: TypeId) -> String {
    let Ok(found) = btf.type_by_id(id) else {
        return "?".into();
    };
    match found.kind() {
        BtfKind::Struct(_) | BtfKind::Forward { union: false } if !found.name().is_empty() => {
            format!("struct {}", found.name())
        }
        BtfKind::Union(_) if !found.name().is_empty() => format!("union {}", found.name()),
        BtfKind::Enum(_) | BtfKind::Enum64(_) if !found.name().is_empty() => {
            format!("enum {}", found.name())
        }
        BtfKind::Pointer { target } => format!("{} *", type_name(btf, target)),
        BtfKind::Array(array) => format!("{}[{}]", type_name(btf, array.element), array.len),
        BtfKind::Void => "void".into(),
        BtfKind::Const { target }
        | BtfKind::Volatile { target }
        | BtfKind::Restrict { target }
        | BtfKind::TypeTag { target, .. } => type_name(btf, target),
        _ if found.name().is_empty() => "a type without a name".into(),
        _ => found.name().to_owned(),
    }
}

fn shape(btf: &Arc<Btf>, id: TypeId) -> Shape<'_> {
    let names = names(btf, id);
    let has = |wanted: &[&str]| names.iter().any(|name| wanted.contains(name));
    let Ok(found) = btf.skip_modifiers(id) else {
        return Shape::Nothing;
    };
    let number = |size: u32, signed, meaning| Number {
        size: size as usize,
        signed,
        network: has(&["__be16", "__be32", "__be64"]),
        meaning,
    };
    match found.kind() {
        BtfKind::Int(int) => {
            let meaning = match int.encoding {
                encoding if encoding.is_bool() => Meaning::Bool,
                encoding if encoding.is_char() || is_char(&names, int.size) => Meaning::Char,
                _ if has(&["__be32"]) => Meaning::Ipv4,
                _ if has(&["skep_ns_t", "skep_time_t"]) => Meaning::Time,
                _ => Meaning::Plain,
            };
            Shape::Number(number(int.size, int.encoding.is_signed(), meaning))
        }
        BtfKind::Enum(known) | BtfKind::Enum64(known) => Shape::Enum {
            number: number(known.size, known.signed, Meaning::Plain),
            btf,
            id: found.id(),
        },
        BtfKind::Float { size } => Shape::Float(size as usize),
        BtfKind::Pointer { target } => Shape::Pointer(
            btf.pointer_size().into(),
            Type::Btf(Arc::clone(btf), target),
        ),
        BtfKind::Struct(composite) => Shape::Struct {
            btf,
            composite,
            union: false,
        },
        BtfKind::Union(composite) => Shape::Struct {
            btf,
            composite,
            union: true,
        },
        BtfKind::Array(array) => {
            let element = Type::Btf(Arc::clone(btf), array.element);
            let stride = element.size();
            let len = array.len as usize;
            let number = match shape(btf, array.element) {
                Shape::Number(number) => Some(number),
                _ => None,
            };
            if number.is_some_and(|number| number.meaning == Meaning::Char) {
                return Shape::Text(len);
            }
            Shape::Array {
                byte: number.is_some_and(|number| number.size == 1),
                element,
                stride,
                len,
            }
        }
        _ => Shape::Nothing,
    }
}

/// Compilers encode `char` as any other integer of a byte; its name tells.
fn is_char(names: &[&str], size: u32) -> bool {
    size == 1 && names.last() == Some(&"char")
}

/// A member of a structure.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) of: Type,
    /// Bits from the start of the outer structure.
    pub(crate) bit_offset: usize,
    /// Bits of a bit field; 0 for any other.
    pub(crate) bits: u8,
}

impl Field {
    /// Bytes from the start, of what is no bit field.
    pub(crate) fn offset(&self) -> usize {
        self.bit_offset / 8
    }
}

/// The members of a structure, those of unnamed structures in it among them.
pub(crate) fn fields(btf: &Arc<Btf>, composite: &Composite<'_>) -> Vec<Field> {
    let mut all = Vec::new();
    gather(btf, composite, 0, 0, &mut all);
    all
}

fn gather(
    btf: &Arc<Btf>,
    composite: &Composite<'_>,
    base: usize,
    depth: u32,
    all: &mut Vec<Field>,
) {
    for member in composite.members() {
        let bit_offset = base.saturating_add(member.bit_offset as usize);
        if member.name().is_empty() {
            let inner = btf.skip_modifiers(member.type_id).map(|found| found.kind());
            if let (Ok(BtfKind::Struct(inner) | BtfKind::Union(inner)), true) = (inner, depth < 16)
            {
                gather(btf, &inner, bit_offset, depth.saturating_add(1), all);
            }
            continue;
        }
        all.push(Field {
            name: member.name().to_owned(),
            of: Type::Btf(Arc::clone(btf), member.type_id),
            bit_offset,
            bits: member.bitfield_size,
        });
    }
}

/// The value of a bit field.
pub(crate) fn read_bits(bytes: &[u8], bit_offset: usize, bits: u8, signed: bool) -> Option<i128> {
    let mut value = 0_i128;
    for bit in 0..usize::from(bits) {
        let at = bit_offset.checked_add(bit)?;
        let byte = bytes.get(at / 8)?;
        value |= i128::from(byte >> (at % 8) & 1) << bit;
    }
    let top = bits.checked_sub(1)?;
    Some(match signed && value >> top & 1 == 1 {
        true => value - (1_i128.checked_shl(bits.into())?),
        false => value,
    })
}

/// Sets a bit field.
pub(crate) fn write_bits(bytes: &mut [u8], bit_offset: usize, bits: u8, value: i128) -> Option<()> {
    for bit in 0..usize::from(bits) {
        let at = bit_offset.checked_add(bit)?;
        let byte = bytes.get_mut(at / 8)?;
        *byte &= !(1 << (at % 8));
        *byte |= ((value >> bit & 1) as u8) << (at % 8);
    }
    Some(())
}

/// A structure of a BTF by its name.
pub(crate) fn structure(btf: &Arc<Btf>, name: &str) -> Option<Type> {
    let id = btf.find(name, KindTag::Struct)?;
    Some(Type::Btf(Arc::clone(btf), id))
}

/// An enumerator of a BTF by its name: a constant of the program's source.
pub(crate) fn constant(btf: &Btf, name: &str) -> Option<i128> {
    btf.types().find_map(|found| match found.kind() {
        BtfKind::Enum(known) | BtfKind::Enum64(known) => known
            .values()
            .find(|value| value.name() == name)
            .map(|value| value.value),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
