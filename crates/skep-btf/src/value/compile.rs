//! From a type to a [`Layout`]: each type that it has by value becomes one node.

use super::{Field, Layout, Node, Shape};
use crate::resolve::DEPTH;
use crate::{Btf, Error, Kind, Member, Result, Type, TypeId};
use std::collections::HashMap;

pub(super) fn compile(btf: &Btf, id: TypeId) -> Result<Layout> {
    let layout = Layout {
        endianness: btf.endianness(),
        root: 0,
        nodes: Vec::new(),
        fields: Vec::new(),
        names: Vec::new(),
        values: Vec::new(),
    };
    let mut compiler = Compiler {
        btf,
        layout,
        known: HashMap::new(),
        name_budget: NAME_BYTES,
    };
    compiler.layout.root = compiler.node(id, DEPTH)?;
    Ok(compiler.layout)
}

struct Compiler<'a> {
    btf: &'a Btf,
    layout: Layout,
    /// The node of a type; `None` while it is being made.
    known: HashMap<TypeId, Option<u32>>,
    name_budget: usize,
}

/// How long all names of a layout together may be: a hundred times those of a `task_struct`.
const NAME_BYTES: usize = 16 << 20;

impl Compiler<'_> {
    fn node(&mut self, id: TypeId, depth: u32) -> Result<u32> {
        let depth = depth.checked_sub(1).ok_or(Error::TypeLoop { id })?;
        match self.known.get(&id) {
            Some(Some(known)) => return Ok(*known),
            Some(None) => return Err(Error::TypeLoop { id }),
            None => self.known.insert(id, None),
        };
        let btf = self.btf;
        let mut own_names: Vec<Box<str>> = Vec::new();
        let mut now = btf.type_by_id(id)?;
        for _ in 0..DEPTH {
            let next = match now.kind() {
                Kind::Typedef { target } => {
                    own_names.push(self.name(id, now.name())?);
                    target
                }
                Kind::Variable(variable) => variable.type_id,
                other => match other.modified() {
                    Some(target) => target,
                    None => break,
                },
            };
            now = btf.type_by_id(next)?;
        }
        let (shape, size) = if now.id() == id {
            let size = btf.size_of(id)?;
            if !now.name().is_empty() {
                let keyword = match now.kind() {
                    Kind::Struct(_) => "struct ",
                    Kind::Union(_) => "union ",
                    Kind::Enum(_) | Kind::Enum64(_) => "enum ",
                    _ => "",
                };
                own_names.push(self.name(id, &format!("{keyword}{}", now.name()))?);
            }
            (self.shape(now, size, depth)?, size)
        } else {
            // All typedefs of a type share what it is made of.
            let base = self.node(now.id(), depth)?;
            let Some(base) = self.layout.node(base) else {
                return Err(Error::TypeLoop { id });
            };
            own_names.extend(self.layout.names(base).iter().cloned());
            (base.shape.clone(), base.size)
        };
        let first_name = self.layout.names.len() as u32;
        self.layout.names.append(&mut own_names);
        let names = first_name..self.layout.names.len() as u32;
        let index = self.layout.nodes.len() as u32;
        self.layout.nodes.push(Node {
            shape,
            size,
            id,
            names,
        });
        self.known.insert(id, Some(index));
        Ok(index)
    }

    /// A copy of a name, as long as all of them together stay within reason: types may share a
    /// name, copies do not.
    fn name(&mut self, id: TypeId, name: &str) -> Result<Box<str>> {
        let left = self.name_budget.checked_sub(name.len());
        self.name_budget = left.ok_or(Error::TooComplex { id })?;
        Ok(name.into())
    }

    /// What a type without modifiers is made of.
    fn shape(&mut self, now: Type<'_>, size: u64, depth: u32) -> Result<Shape> {
        let btf = self.btf;
        let id = now.id();
        Ok(match now.kind() {
            Kind::Int(int) => Shape::Int {
                signed: int.encoding.is_signed(),
                bool: int.encoding.is_bool(),
                char: is_char(now.name(), int.size) || int.encoding.is_char(),
            },
            Kind::Float { .. } => Shape::Float,
            Kind::Pointer { .. } => Shape::Pointer,
            Kind::Enum(values) | Kind::Enum64(values) => {
                let start = self.layout.values.len();
                let values_of = values
                    .values()
                    .map(|one| (one.value, Box::from(one.name())));
                self.layout.values.extend(values_of);
                if let Some(own) = self.layout.values.get_mut(start..) {
                    // Of several names for a value, the first one stands for it.
                    own.sort_by_key(|(value, _)| *value);
                }
                Shape::Enum {
                    signed: values.signed,
                    values: start as u32..self.layout.values.len() as u32,
                }
            }
            Kind::Array(array) => {
                let element = self.node(array.element, depth)?;
                let of_char = self.layout.node(element).is_some_and(|node| {
                    node.size == 1 && matches!(node.shape, Shape::Int { char: true, .. })
                });
                match of_char {
                    true => Shape::Text { len: array.len },
                    false => Shape::Array {
                        element,
                        len: array.len,
                    },
                }
            }
            Kind::Struct(composite) | Kind::Union(composite) => {
                let mut fields = Vec::with_capacity(composite.members().len());
                for member in composite.members() {
                    fields.push(self.field(member, id, size, depth)?);
                }
                let union = matches!(now.kind(), Kind::Union(_));
                self.composite(fields, union)
            }
            Kind::DataSection(section) => {
                let mut fields = Vec::with_capacity(section.entries().len());
                for entry in section.entries() {
                    let node = self.node(entry.type_id, depth)?;
                    let name = self.name(id, btf.type_by_id(entry.type_id)?.name())?;
                    let bit_offset = u64::from(entry.offset).saturating_mul(8);
                    let bits = self
                        .layout
                        .node(node)
                        .map_or(0, |node| node.size.saturating_mul(8));
                    check_inside(id, &name, bit_offset, bits, size)?;
                    fields.push(Field {
                        name,
                        node,
                        bit_offset,
                        bitfield_bits: 0,
                    });
                }
                self.composite(fields, false)
            }
            // `size_of` refused all others.
            _ => return Err(Error::TypeLoop { id }),
        })
    }

    fn composite(&mut self, fields: Vec<Field>, union: bool) -> Shape {
        let start = self.layout.fields.len() as u32;
        self.layout.fields.extend(fields);
        Shape::Composite {
            fields: start..self.layout.fields.len() as u32,
            union,
        }
    }

    fn field(
        &mut self,
        member: Member<'_>,
        parent: TypeId,
        size: u64,
        depth: u32,
    ) -> Result<Field> {
        let node = self.node(member.type_id, depth)?;
        let place = self.btf.member_bits(&member)?;
        check_inside(parent, member.name(), place.offset, place.bits, size)?;
        // No integer type is wider, and no bit field than its type.
        let bits = u8::try_from(place.bits)
            .ok()
            .filter(|bits| place.bitfield && *bits <= 128);
        if place.bitfield && bits.is_none() {
            return Err(outside(parent, member.name()));
        }
        Ok(Field {
            name: self.name(parent, member.name())?,
            node,
            bit_offset: place.offset,
            bitfield_bits: bits.unwrap_or(0),
        })
    }
}

fn check_inside(id: TypeId, name: &str, bit_offset: u64, bits: u64, size: u64) -> Result<()> {
    let end = bit_offset.checked_add(bits);
    if end.is_some_and(|end| end <= size.saturating_mul(8)) {
        Ok(())
    } else {
        Err(outside(id, name))
    }
}

fn outside(id: TypeId, member: &str) -> Error {
    Error::MemberOutside {
        id,
        member: member.to_owned(),
    }
}

/// Compilers seldom mark characters as such: the name tells.
fn is_char(name: &str, size: u32) -> bool {
    size == 1 && name == "char"
}
