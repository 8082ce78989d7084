//! The local types of relocations: structures of those fields that the program accesses, laid out
//! as a compiler would. Where the kernel has them is found by name, so any layout will do; but what
//! stands in the instructions must be what it says, since loaders check that.

use super::shape::{Access, Name, Shape, Step};

/// The largest structure, in bytes; BTF's offsets are in bits.
const MAX_BYTES: u64 = 1 << 28;

/// A type whose parts are known by their index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    Void,
    Int {
        bytes: u32,
        signed: bool,
    },
    Bool {
        bytes: u32,
    },
    Float {
        bytes: u32,
    },
    Pointer(Box<Self>),
    Array {
        len: u32,
        element: Box<Self>,
    },
    /// One of [`Layout::composites`].
    Composite(usize),
    /// One that only pointers point to.
    Named(Name),
    /// One of [`Layout::enums`].
    Enum(usize),
    /// What only pointers point to.
    Function {
        returns: Box<Self>,
        takes: Vec<Self>,
    },
}

/// A step of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Member { composite: usize, member: usize },
    Element(u32),
    Enumerator { of: usize, value: usize },
}

/// An access in the layout: where it begins, what is on the way, what is at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) root: Type,
    pub(super) parts: Vec<Part>,
    pub(super) end: Type,
}

#[derive(Debug)]
pub(super) struct Composite {
    pub(super) name: Name,
    pub(super) members: Vec<Member>,
    /// Once it is laid out.
    pub(super) size: Option<Size>,
    /// Where each member is among those in order; the inverse of how they were found.
    pub(super) places: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) of: Type,
    pub(super) offset: u64,
}

#[derive(Debug)]
pub(super) struct Enum {
    pub(super) name: String,
    pub(super) bytes: u32,
    pub(super) signed: bool,
    pub(super) values: Vec<(String, u64)>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) bytes: u64,
    pub(super) align: u64,
}

/// All local types of an object.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) composites: Vec<Composite>,
    pub(super) enums: Vec<Enum>,
}

/// Of what was being laid out, and met within itself.
const CYCLE: &str = "a structure contains itself";

impl Layout {
    /// Puts an access into the layout. Two declarations of one type may name different fields;
    /// where they contradict each other, the type is there more than once.
    ///
    /// # Errors
    /// A step that the type before it does not have.
    pub(super) fn access(&mut self, access: &Access) -> Result<Path, String> {
        let mut parts = Vec::new();
        let (root, end) = self.path(&access.root, &access.steps, &mut parts)?;
        parts.reverse();
        Ok(Path { root, parts, end })
    }

    /// From the end of the path: which of several structures of a name it is depends on what is in
    /// it. The parts come in reverse order; the type, and the type at the end, are given back.
    fn path(
        &mut self,
        shape: &Shape,
        steps: &[Step],
        parts: &mut Vec<Part>,
    ) -> Result<(Type, Type), String> {
        let Some((step, rest)) = steps.split_first() else {
            let end = self.plain(shape);
            return Ok((end.clone(), end));
        };
        match (shape, step) {
            (Shape::Composite(name), Step::Field { name: field, shape }) => {
                let (of, end) = self.path(shape, rest, parts)?;
                if of == Type::Void {
                    return Err(format!("field `{field}` has a type of no size"));
                }
                let (composite, member) = self.member(name, field, &of);
                parts.push(Part::Member { composite, member });
                Ok((Type::Composite(composite), end))
            }
            (Shape::Array { len, element }, Step::Element(index)) => {
                if *index >= *len && *len != 0 {
                    return Err(format!("element {index} of an array of {len}"));
                }
                let (element, end) = self.path(element, rest, parts)?;
                parts.push(Part::Element(*index));
                let (len, element) = (*len, Box::new(element));
                Ok((Type::Array { len, element }, end))
            }
            (Shape::Enum { .. }, Step::Enumerator { name, value }) if rest.is_empty() => {
                let of = self.enumeration(shape);
                let values = self.enums.get_mut(of).map(|found| &mut found.values);
                let values = values.ok_or("an enumeration that is not there")?;
                let known = values.iter().position(|(known, _)| known == name);
                let value = known.unwrap_or_else(|| {
                    values.push((name.clone(), *value));
                    values.len().saturating_sub(1)
                });
                parts.push(Part::Enumerator { of, value });
                Ok((Type::Enum(of), Type::Enum(of)))
            }
            _ => Err("a step that its type does not have".to_owned()),
        }
    }

    /// A type as it stands in a declaration.
    pub(super) fn plain(&mut self, shape: &Shape) -> Type {
        match shape {
            // Only ever the whole of a record.
            Shape::Void | Shape::Local(_) => Type::Void,
            &Shape::Int { bytes, signed } => Type::Int { bytes, signed },
            &Shape::Bool { bytes } => Type::Bool { bytes },
            &Shape::Float { bytes } => Type::Float { bytes },
            Shape::Pointer(to) => Type::Pointer(Box::new(match &**to {
                Shape::Composite(name) => Type::Named(name.clone()),
                to => self.plain(to),
            })),
            Shape::Array { len, element } => Type::Array {
                len: *len,
                element: Box::new(self.plain(element)),
            },
            Shape::Composite(name) => {
                let known = self.composites.iter().position(|known| known.name == *name);
                Type::Composite(known.unwrap_or_else(|| self.composite(name)))
            }
            Shape::Enum { .. } => Type::Enum(self.enumeration(shape)),
            Shape::Function { returns, takes } => Type::Function {
                returns: Box::new(self.plain(returns)),
                takes: takes.iter().map(|of| self.plain(of)).collect(),
            },
        }
    }

    /// As [`Self::plain`], of what loaders compare with the kernel's by its kind: structures that
    /// are pointed to are there as such, and not as a mere name.
    pub(super) fn whole(&mut self, shape: &Shape) -> Type {
        match shape {
            Shape::Composite(_) => {
                self.plain(shape);
            }
            Shape::Pointer(of) | Shape::Array { element: of, .. } => {
                self.whole(of);
            }
            Shape::Function { returns, takes } => {
                for of in takes.iter().chain([&**returns]) {
                    self.whole(of);
                }
            }
            _ => {}
        }
        self.plain(shape)
    }

    fn composite(&mut self, name: &Name) -> usize {
        self.composites.push(Composite {
            name: name.clone(),
            members: Vec::new(),
            size: None,
            places: Vec::new(),
        });
        self.composites.len().saturating_sub(1)
    }

    /// The composite of this name that has the field with this type, and the field's index.
    fn member(&mut self, name: &Name, field: &str, of: &Type) -> (usize, usize) {
        let mut room = None;
        for (index, composite) in self.composites.iter().enumerate() {
            if composite.name != *name {
                continue;
            }
            let mut members = composite.members.iter().enumerate();
            match members.find(|(_, member)| member.name == field) {
                Some((member, found)) if found.of == *of => return (index, member),
                Some(_) => {}
                None => room = room.or(Some(index)),
            }
        }
        let index = room.unwrap_or_else(|| self.composite(name));
        let Some(composite) = self.composites.get_mut(index) else {
            return (index, 0);
        };
        composite.members.push(Member {
            name: field.to_owned(),
            of: of.clone(),
            offset: 0,
        });
        (index, composite.members.len().saturating_sub(1))
    }

    fn enumeration(&mut self, shape: &Shape) -> usize {
        let Shape::Enum {
            name,
            bytes,
            signed,
        } = shape
        else {
            return usize::MAX;
        };
        let known = self
            .enums
            .iter()
            .position(|known| (&known.name, known.bytes, known.signed) == (name, *bytes, *signed));
        known.unwrap_or_else(|| {
            self.enums.push(Enum {
                name: name.clone(),
                bytes: *bytes,
                signed: *signed,
                values: Vec::new(),
            });
            self.enums.len().saturating_sub(1)
        })
    }

    /// Gives every field its place.
    ///
    /// # Errors
    /// A structure that contains itself, or is too large.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        for index in 0..self.composites.len() {
            self.lay_out(index, &mut Vec::new())?;
        }
        Ok(())
    }

    fn lay_out(&mut self, index: usize, within: &mut Vec<usize>) -> Result<Size, String> {
        let composite = self.composites.get_mut(index);
        let composite = composite.ok_or("a structure that is not there")?;
        if let Some(size) = composite.size {
            return Ok(size);
        }
        if within.contains(&index) || within.len() > 64 {
            return Err(format!("`{}`: {CYCLE}", composite.name.name));
        }
        within.push(index);
        let union = composite.name.union;
        let mut members = std::mem::take(&mut composite.members);
        let mut sizes = Vec::with_capacity(members.len());
        for member in &members {
            sizes.push(self.size(&member.of, within)?);
        }
        // What is large comes last, since instructions reach only so far; what has no end of its
        // own, at the very end.
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by_key(|at| {
            let flexible = members
                .get(*at)
                .is_some_and(|member| matches!(member.of, Type::Array { len: 0, .. }));
            (flexible, sizes.get(*at).map_or(0, |size| size.bytes))
        });
        let mut whole = Size { bytes: 0, align: 1 };
        for at in &order {
            let (Some(member), Some(size)) = (members.get_mut(*at), sizes.get(*at)) else {
                continue;
            };
            whole.align = whole.align.max(size.align);
            if union {
                whole.bytes = whole.bytes.max(size.bytes);
            } else {
                member.offset = whole.bytes.next_multiple_of(size.align);
                whole.bytes = member.offset.saturating_add(size.bytes);
            }
            if whole.bytes > MAX_BYTES {
                return Err(format!("a structure of {} bytes is too large", whole.bytes));
            }
        }
        whole.bytes = whole.bytes.next_multiple_of(whole.align);
        within.pop();
        let mut places = vec![0; members.len()];
        for (place, at) in order.iter().enumerate() {
            if let Some(slot) = places.get_mut(*at) {
                *slot = place;
            }
        }
        if let Some(composite) = self.composites.get_mut(index) {
            composite.members = members;
            composite.places = places;
            composite.size = Some(whole);
        }
        Ok(whole)
    }

    fn size(&mut self, of: &Type, within: &mut Vec<usize>) -> Result<Size, String> {
        let plain = |bytes: u32| Size {
            bytes: bytes.into(),
            align: bytes.into(),
        };
        Ok(match of {
            Type::Int { bytes, .. } | Type::Bool { bytes } | Type::Float { bytes } => plain(*bytes),
            Type::Pointer(_) => plain(8),
            Type::Array { len, element } => {
                let element = self.size(element, within)?;
                Size {
                    bytes: element.bytes.saturating_mul((*len).into()),
                    align: element.align,
                }
            }
            Type::Composite(index) => self.lay_out(*index, within)?,
            Type::Enum(index) => plain(self.enums.get(*index).map_or(4, |of| of.bytes)),
            Type::Void | Type::Named(_) | Type::Function { .. } => {
                return Err("a value of no size".to_owned());
            }
        })
    }

    /// Bytes of a type, once all are laid out.
    pub(super) fn bytes(&mut self, of: &Type) -> Result<u64, String> {
        Ok(self.size(of, &mut Vec::new())?.bytes)
    }

    /// Bytes from the start to the end of a path.
    pub(super) fn offset(&mut self, path: &Path) -> Result<u64, String> {
        let (mut offset, mut at) = (0_u64, path.root.clone());
        for part in &path.parts {
            let (more, next) = match (part, at) {
                (Part::Member { composite, member }, _) => {
                    let found = self.composites.get(*composite);
                    let found = found.and_then(|found| found.members.get(*member));
                    let found = found.ok_or("a field that is not there")?;
                    (found.offset, found.of.clone())
                }
                (Part::Element(index), Type::Array { element, .. }) => {
                    let bytes = self.bytes(&element)?;
                    (bytes.saturating_mul((*index).into()), *element)
                }
                _ => return Err("no place".to_owned()),
            };
            offset = offset.saturating_add(more);
            at = next;
        }
        Ok(offset)
    }

    /// The path as a relocation spells it.
    pub(super) fn spelled(&self, path: &Path) -> String {
        let mut text = String::new();
        for part in &path.parts {
            let index = match part {
                Part::Member { composite, member } => {
                    let places = self.composites.get(*composite).map(|found| &found.places);
                    places
                        .and_then(|places| places.get(*member))
                        .copied()
                        .unwrap_or(*member)
                }
                Part::Element(index) => *index as usize,
                // An enumerator is not in what a pointer points to.
                Part::Enumerator { value, .. } => return value.to_string(),
            };
            text.push_str(&format!(":{index}"));
        }
        format!("0{text}")
    }

    /// The value that the object's own types give an enumerator.
    pub(super) fn value(&self, path: &Path) -> Option<u64> {
        let [Part::Enumerator { of, value }] = path.parts.as_slice() else {
            return None;
        };
        let (_, value) = self.enums.get(*of)?.values.get(*value)?;
        Some(*value)
    }

    /// Whether a number of this type can be negative.
    pub(super) fn is_signed(&self, of: &Type) -> bool {
        match of {
            Type::Int { signed, .. } => *signed,
            Type::Enum(index) => self.enums.get(*index).is_some_and(|of| of.signed),
            _ => false,
        }
    }
}
