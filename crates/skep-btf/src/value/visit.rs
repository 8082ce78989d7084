//! Walking a record: [`Visitor`] is told of each part, in the order of the type, with nothing
//! allocated on the way.

use super::{Field, Layout, Node, Shape};
use crate::{Endian, Error, Result, TypeId};

/// Who is told of the parts of a value. Inside a structure each part is announced by
/// [`Visitor::field`]; inside an array the elements follow one another.
pub trait Visitor<'v> {
    /// What can go wrong: an [`Error`] of the value, or of the visitor's own.
    type Error: From<Error>;

    /// A structure or union begins.
    fn begin_aggregate(&mut self, aggregate: Aggregate<'v>) -> Result<(), Self::Error>;
    /// The next part is this member; an empty name is that of an anonymous structure or union.
    fn field(&mut self, name: &'v str) -> Result<(), Self::Error>;
    /// The structure or union ends.
    fn end_aggregate(&mut self) -> Result<(), Self::Error>;
    /// An array of so many elements begins.
    fn begin_array(&mut self, len: usize) -> Result<(), Self::Error>;
    /// The array ends.
    fn end_array(&mut self) -> Result<(), Self::Error>;
    /// A number, pointer, boolean or enumeration.
    fn scalar(&mut self, scalar: Scalar<'v>) -> Result<(), Self::Error>;
    /// An array of `char`.
    fn text(&mut self, text: Text<'v>) -> Result<(), Self::Error>;
}

/// A structure or union that begins.
#[derive(Debug, Clone, Copy)]
pub struct Aggregate<'v> {
    /// Whether it is a union: its members are readings of the same bytes.
    pub union: bool,
    /// How many members it has.
    pub len: usize,
    /// Its type.
    pub type_id: TypeId,
    names: &'v [Box<str>],
}

impl<'v> Aggregate<'v> {
    /// The names of its typedefs from the outermost, then its own: `point_t`, `struct point`.
    pub fn type_names(&self) -> impl Iterator<Item = &'v str> + use<'v> {
        self.names.iter().map(|name| &**name)
    }
}

/// An array of `char`.
#[derive(Debug, Clone, Copy)]
pub struct Text<'v> {
    /// All of its bytes.
    pub bytes: &'v [u8],
    /// Its type.
    pub type_id: TypeId,
}

impl<'v> Text<'v> {
    /// The bytes up to the first NUL.
    pub fn until_nul(&self) -> &'v [u8] {
        self.bytes
            .get(..crate::btf::nul_position(self.bytes))
            .unwrap_or(self.bytes)
    }
}

/// A number, pointer, boolean or enumeration.
#[derive(Debug, Clone, Copy)]
pub struct Scalar<'v> {
    /// What it is.
    pub value: ScalarValue<'v>,
    /// Bytes of its type.
    pub size: u64,
    /// Its type.
    pub type_id: TypeId,
    names: &'v [Box<str>],
}

impl<'v> Scalar<'v> {
    /// The names of its typedefs from the outermost, then of its base type: `pid_t`,
    /// `__kernel_pid_t`, `int`; `enum state`. Pointers have none of their own.
    pub fn type_names(&self) -> impl Iterator<Item = &'v str> + use<'v> {
        self.names.iter().map(|name| &**name)
    }
}

/// The value of a [`Scalar`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ScalarValue<'v> {
    /// A signed integer of up to 64 bits.
    Signed(i64),
    /// An unsigned integer of up to 64 bits.
    Unsigned(u64),
    /// A signed integer of up to 128 bits.
    Signed128(i128),
    /// An unsigned integer of up to 128 bits.
    Unsigned128(u128),
    /// A boolean.
    Bool(bool),
    /// A single `char`.
    Char(u8),
    /// A 32-bit floating-point number.
    Float32(f32),
    /// A 64-bit floating-point number.
    Float64(f64),
    /// An enumeration.
    Enum {
        /// The name that the value has, if it has one.
        name: Option<&'v str>,
        /// The value.
        value: i128,
    },
    /// A pointer.
    Pointer(u64),
    /// A number of a size that no Rust type has: its bytes as they stand.
    Bytes(&'v [u8]),
}

impl Layout {
    /// Tells the visitor of the whole value. Bytes beyond the type's size are the elements of a
    /// flexible array, when it ends with one, and are ignored else.
    ///
    /// # Errors
    /// [`Error::ValueTooShort`], [`Error::TooComplex`], and what the visitor returns.
    pub fn visit<'v, V: Visitor<'v>>(
        &'v self,
        bytes: &'v [u8],
        visitor: &mut V,
    ) -> Result<(), V::Error> {
        self.check_size(bytes)?;
        self.walk(bytes).node(self.root, 0, true, visitor)
    }

    /// Tells the visitor of one member of the structure or union: what [`Layout::fields`] lists at
    /// `index`. Nothing is told of a member that does not exist.
    ///
    /// # Errors
    /// As [`Layout::visit`].
    pub fn visit_field<'v, V: Visitor<'v>>(
        &'v self,
        index: usize,
        bytes: &'v [u8],
        visitor: &mut V,
    ) -> Result<(), V::Error> {
        self.check_size(bytes)?;
        let fields = self.root_fields();
        match fields.get(index) {
            Some(field) => {
                let last = index.wrapping_add(1) == fields.len();
                self.walk(bytes).field(field, 0, last, visitor)
            }
            None => Ok(()),
        }
    }

    fn walk<'v>(&'v self, bytes: &'v [u8]) -> Walk<'v> {
        // Unions show bytes several times, but no honest type so often.
        let events = (bytes.len() as u64).saturating_add(self.fields.len() as u64);
        Walk {
            layout: self,
            bytes,
            budget: events.saturating_add(64).saturating_mul(64),
        }
    }
}

struct Walk<'v> {
    layout: &'v Layout,
    bytes: &'v [u8],
    budget: u64,
}

impl<'v> Walk<'v> {
    /// `offset` is in bits; `tail` says that nothing of the record follows the value.
    fn node<V: Visitor<'v>>(
        &mut self,
        index: u32,
        offset: u64,
        tail: bool,
        visitor: &mut V,
    ) -> Result<(), V::Error> {
        let layout = self.layout;
        let Some(node) = layout.node(index) else {
            return Ok(());
        };
        self.budget = match self.budget.checked_sub(1) {
            Some(left) => left,
            None => return Err(Error::TooComplex { id: node.id }.into()),
        };
        match &node.shape {
            Shape::Composite { fields, union } => {
                let fields = layout.fields_in(fields);
                visitor.begin_aggregate(Aggregate {
                    union: *union,
                    len: fields.len(),
                    type_id: node.id,
                    names: layout.names(node),
                })?;
                let count = fields.len();
                for (index, field) in fields.iter().enumerate() {
                    visitor.field(&field.name)?;
                    let last = tail && (*union || index.wrapping_add(1) == count);
                    self.field(field, offset, last, visitor)?;
                }
                visitor.end_aggregate()
            }
            Shape::Array { element, len } => {
                let stride = layout.node(*element).map_or(0, |element| element.size);
                let len = match (len, stride) {
                    // Elements without bytes have no values.
                    (_, 0) => 0,
                    (0, _) if tail => self.left(offset).checked_div(stride).unwrap_or(0),
                    _ => u64::from(*len),
                };
                visitor.begin_array(len as usize)?;
                for index in 0..len {
                    let at = index.wrapping_mul(stride).wrapping_mul(8);
                    self.node(*element, offset.wrapping_add(at), false, visitor)?;
                }
                visitor.end_array()
            }
            Shape::Text { len } => {
                let len = if *len == 0 && tail {
                    self.left(offset)
                } else {
                    u64::from(*len)
                };
                let bytes = self.slice(offset, len);
                visitor.text(Text {
                    bytes,
                    type_id: node.id,
                })
            }
            _ => {
                let bytes = self.slice(offset, node.size);
                let value = self.scalar(node, bytes);
                visitor.scalar(self.named(node, value))
            }
        }
    }

    fn field<V: Visitor<'v>>(
        &mut self,
        field: &'v Field,
        base: u64,
        tail: bool,
        visitor: &mut V,
    ) -> Result<(), V::Error> {
        let offset = base.wrapping_add(field.bit_offset);
        if field.bitfield_bits == 0 {
            return self.node(field.node, offset, tail, visitor);
        }
        let Some(node) = self.layout.node(field.node) else {
            return Ok(());
        };
        let value = self.bitfield(node, offset, field.bitfield_bits.into());
        visitor.scalar(self.named(node, value))
    }

    fn named(&self, node: &'v Node, value: ScalarValue<'v>) -> Scalar<'v> {
        Scalar {
            value,
            size: node.size,
            type_id: node.id,
            names: self.layout.names(node),
        }
    }

    /// Bytes from a bit offset to the end of the record.
    fn left(&self, offset: u64) -> u64 {
        (self.bytes.len() as u64).saturating_sub(offset / 8)
    }

    fn slice(&self, offset: u64, len: u64) -> &'v [u8] {
        let start = (offset / 8) as usize;
        self.bytes
            .get(start..start.saturating_add(len as usize))
            .unwrap_or_default()
    }

    fn scalar(&self, node: &'v Node, bytes: &'v [u8]) -> ScalarValue<'v> {
        let big = self.layout.endianness == Endian::Big;
        // The widths that exist are read in one step each.
        let raw = match (bytes.len(), big) {
            (1, _) => bytes.first().map(|byte| u128::from(*byte)),
            (2, false) => bytes
                .first_chunk()
                .map(|raw| u16::from_le_bytes(*raw).into()),
            (2, true) => bytes
                .first_chunk()
                .map(|raw| u16::from_be_bytes(*raw).into()),
            (4, false) => bytes
                .first_chunk()
                .map(|raw| u32::from_le_bytes(*raw).into()),
            (4, true) => bytes
                .first_chunk()
                .map(|raw| u32::from_be_bytes(*raw).into()),
            (8, false) => bytes
                .first_chunk()
                .map(|raw| u64::from_le_bytes(*raw).into()),
            (8, true) => bytes
                .first_chunk()
                .map(|raw| u64::from_be_bytes(*raw).into()),
            (16, false) => bytes.first_chunk().map(|raw| u128::from_le_bytes(*raw)),
            (16, true) => bytes.first_chunk().map(|raw| u128::from_be_bytes(*raw)),
            _ => None,
        };
        match raw {
            Some(raw) => {
                let bits = (bytes.len() as u32).wrapping_mul(8);
                self.interpret(node, raw, bits)
                    .unwrap_or(ScalarValue::Bytes(bytes))
            }
            None => ScalarValue::Bytes(bytes),
        }
    }

    /// A bit field of 1 to 128 bits, wherever it starts.
    fn bitfield(&self, node: &'v Node, offset: u64, bits: u32) -> ScalarValue<'v> {
        let before = (offset % 8) as u32;
        let span = before.saturating_add(bits).div_ceil(8);
        let bytes = self.slice(offset, span.into());
        // More than 16 bytes only when a field of more than 120 bits starts inside a byte.
        if bytes.is_empty() || bytes.len() > 16 {
            return ScalarValue::Bytes(bytes);
        }
        let join = |sum: u128, byte: &u8| sum << 8 | u128::from(*byte);
        let (whole, below) = match self.layout.endianness {
            Endian::Little => (bytes.iter().rev().fold(0, join), before),
            Endian::Big => {
                let below = span.wrapping_mul(8).wrapping_sub(before).wrapping_sub(bits);
                (bytes.iter().fold(0, join), below)
            }
        };
        let mask = u128::MAX
            .checked_shr(128_u32.saturating_sub(bits))
            .unwrap_or(0);
        let raw = whole.checked_shr(below).unwrap_or(0) & mask;
        self.interpret(node, raw, bits)
            .unwrap_or(ScalarValue::Bytes(bytes))
    }

    /// What `bits` bits mean by their type.
    fn interpret(&self, node: &'v Node, raw: u128, bits: u32) -> Option<ScalarValue<'v>> {
        let extended = || {
            let unused = 128_u32.saturating_sub(bits).min(127);
            (raw << unused) as i128 >> unused
        };
        Some(match &node.shape {
            Shape::Int { bool: true, .. } => ScalarValue::Bool(raw != 0),
            Shape::Int { char: true, .. } if bits == 8 => ScalarValue::Char(raw as u8),
            Shape::Int { signed: true, .. } if bits <= 64 => ScalarValue::Signed(extended() as i64),
            Shape::Int { signed: true, .. } => ScalarValue::Signed128(extended()),
            Shape::Int { .. } if bits <= 64 => ScalarValue::Unsigned(raw as u64),
            Shape::Int { .. } => ScalarValue::Unsigned128(raw),
            Shape::Float if bits == 32 => ScalarValue::Float32(f32::from_bits(raw as u32)),
            Shape::Float if bits == 64 => ScalarValue::Float64(f64::from_bits(raw as u64)),
            Shape::Pointer => ScalarValue::Pointer(raw as u64),
            Shape::Enum { signed, values } => {
                let value = if *signed { extended() } else { raw as i128 };
                let range = values.start as usize..values.end as usize;
                let known = self.layout.values.get(range).unwrap_or_default();
                let index = known.partition_point(|(one, _)| *one < value);
                let name = known.get(index).filter(|(one, _)| *one == value);
                ScalarValue::Enum {
                    name: name.map(|(_, name)| &**name),
                    value,
                }
            }
            _ => return None,
        })
    }
}
