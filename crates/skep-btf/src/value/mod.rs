//! Values by their types: a [`Layout`] is made once of a type, then applied to any number of
//! records; a [`Visitor`] sees their parts, a [`Value`] prints as C-like text.
//!
//! ```
//! use skep_btf::{Btf, Builder, IntEncoding, NewMember};
//! use skep_btf::value::{Layout, Value};
//!
//! # fn main() -> skep_btf::Result<()> {
//! let mut types = Builder::new();
//! let int = types.int("int", 4, IntEncoding::SIGNED);
//! let char_type = types.int("char", 1, IntEncoding::SIGNED);
//! let name = types.array(char_type, int, 4);
//! let event = types.structure("event", 8, &[
//!     NewMember::new("pid", int, 0),
//!     NewMember::new("name", name, 32),
//! ]);
//! # types.set_endianness(skep_btf::Endian::Little);
//! let btf = Btf::parse(types.build()?)?;
//!
//! let layout = Layout::new(&btf, event)?;
//! let record = [7, 0, 0, 0, b'l', b's', 0, 0];
//! let text = Value::new(&layout, &record)?.to_string();
//! assert_eq!(text, r#"{ .pid = 7, .name = "ls" }"#);
//! # Ok(())
//! # }
//! ```

mod compile;
mod text;
mod visit;

pub use text::{TextStyle, TextVisitor, Value, write_escaped};
pub use visit::{Aggregate, Scalar, ScalarValue, Text, Visitor};

use crate::{Btf, Endian, Error, Result, TypeId};
use std::ops::Range;

/// How the bytes of a type are read: made once, without a tie to the BTF it was made of.
#[derive(Debug, Clone)]
pub struct Layout {
    endianness: Endian,
    root: u32,
    nodes: Vec<Node>,
    fields: Vec<Field>,
    names: Vec<Box<str>>,
    /// Enumerators: each enumeration's range is sorted by value.
    values: Vec<(i128, Box<str>)>,
}

/// A type as values have it: without qualifiers, with the names of its typedefs aside.
#[derive(Debug, Clone)]
struct Node {
    shape: Shape,
    /// Bytes.
    size: u64,
    id: TypeId,
    /// Typedefs from the outermost, then the base type's own name.
    names: Range<u32>,
}

#[derive(Debug, Clone)]
enum Shape {
    Int {
        signed: bool,
        bool: bool,
        char: bool,
    },
    Float,
    Pointer,
    Enum {
        signed: bool,
        values: Range<u32>,
    },
    Composite {
        fields: Range<u32>,
        union: bool,
    },
    Array {
        element: u32,
        len: u32,
    },
    /// An array of `char`.
    Text {
        len: u32,
    },
}

#[derive(Debug, Clone)]
struct Field {
    name: Box<str>,
    node: u32,
    /// From the start of the structure.
    bit_offset: u64,
    /// Bits of a bit field; 0 for any other.
    bitfield_bits: u8,
}

/// A member of a structure, for those who make columns of it.
#[derive(Debug, Clone, Copy)]
pub struct LayoutField<'l> {
    /// Its name; empty for an anonymous structure or union.
    pub name: &'l str,
    /// Bits from the start of the structure.
    pub bit_offset: u64,
    /// Bits of a bit field; 0 for any other.
    pub bitfield_bits: u8,
    /// Bytes of its type.
    pub size: u64,
    /// Its type.
    pub type_id: TypeId,
    names: &'l [Box<str>],
    text: bool,
    scalar: bool,
}

impl<'l> LayoutField<'l> {
    /// The names of its typedefs from the outermost, then of its base type: `pid_t`,
    /// `__kernel_pid_t`, `int`; `struct point`.
    pub fn type_names(&self) -> impl Iterator<Item = &'l str> + use<'l> {
        self.names.iter().map(|name| &**name)
    }

    /// Whether it is an array of `char`.
    pub fn is_text(&self) -> bool {
        self.text
    }

    /// Whether it is a number, a pointer, a boolean or an enumeration.
    pub fn is_scalar(&self) -> bool {
        self.scalar
    }
}

impl Layout {
    /// The layout of a type, of a variable's type, or of a data section's variables.
    ///
    /// # Errors
    /// [`Error::NoSize`] for what has no values; [`Error::MemberOutside`], [`Error::TypeLoop`],
    /// [`Error::SizeOverflow`] for types that make no sense.
    pub fn new(btf: &Btf, id: TypeId) -> Result<Self> {
        compile::compile(btf, id)
    }

    /// Bytes of a value; records with a flexible array at their end may have more.
    pub fn size(&self) -> u64 {
        self.node(self.root).map_or(0, |root| root.size)
    }

    /// The name of the type (the outermost typedef's, else such as `struct event`), or an empty string.
    pub fn type_name(&self) -> &str {
        let names = self
            .node(self.root)
            .map(|root| self.names(root))
            .unwrap_or_default();
        names.first().map_or("", |name| name)
    }

    /// The members of a structure or union; nothing for other types.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = LayoutField<'_>> + Clone {
        self.root_fields().iter().map(|field| {
            let node = self.node(field.node);
            LayoutField {
                name: &field.name,
                bit_offset: field.bit_offset,
                bitfield_bits: field.bitfield_bits,
                size: node.map_or(0, |node| node.size),
                type_id: node.map_or(TypeId::VOID, |node| node.id),
                names: node.map(|node| self.names(node)).unwrap_or_default(),
                text: node.is_some_and(|node| matches!(node.shape, Shape::Text { .. })),
                scalar: node.is_some_and(|node| {
                    !matches!(
                        node.shape,
                        Shape::Text { .. } | Shape::Array { .. } | Shape::Composite { .. }
                    )
                }),
            }
        })
    }

    fn root_fields(&self) -> &[Field] {
        match self.node(self.root).map(|root| &root.shape) {
            Some(Shape::Composite { fields, .. }) => self.fields_in(fields),
            _ => &[],
        }
    }

    fn fields_in(&self, range: &Range<u32>) -> &[Field] {
        self.fields
            .get(range.start as usize..range.end as usize)
            .unwrap_or_default()
    }

    fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(index as usize)
    }

    fn names(&self, node: &Node) -> &[Box<str>] {
        let range = node.names.start as usize..node.names.end as usize;
        self.names.get(range).unwrap_or_default()
    }

    /// Refuses bytes that are fewer than the type has.
    fn check_size(&self, bytes: &[u8]) -> Result<()> {
        let available = bytes.len() as u64;
        if available >= self.size() {
            return Ok(());
        }
        let end_of = |field: &&Field| {
            let bits = match field.bitfield_bits {
                0 => self
                    .node(field.node)
                    .map_or(0, |node| node.size.saturating_mul(8)),
                bits => bits.into(),
            };
            field.bit_offset.saturating_add(bits) > available.saturating_mul(8)
        };
        let field = self.root_fields().iter().find(end_of);
        Err(Error::ValueTooShort {
            type_name: self.type_name().to_owned(),
            needed: self.size(),
            available: bytes.len(),
            field: field.map(|field| field.name.to_string()),
        })
    }
}

#[cfg(test)]
mod tests;
