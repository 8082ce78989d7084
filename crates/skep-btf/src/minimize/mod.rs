//! [`Minimizer`]: a kernel's BTF cut down to what objects ask of it, for kernels that have none
//! themselves: some hundred bytes to ship instead of megabytes.

#[cfg(test)]
mod tests;

use crate::walk::split_info;
use crate::words::{Reference, each_reference};
use crate::{Array, Btf, Builder, Kind, KindTag, Result, StringOffset, Type, TypeId, dedup};
use std::collections::{BTreeMap, BTreeSet};

/// What is needed of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Need {
    /// That there is such a type, and its size. Pointers, arrays and prototypes are followed, of
    /// structures and enumerations only the name and the size is kept.
    Type,
    /// A member of a structure or union, or a value of an enumeration, by its index. The member's
    /// type is kept as far as its size tells: what a pointer leads to is not.
    Element(u32),
    /// All of it, and of all that it holds by value; of what pointers lead to the names.
    Whole,
}

/// Cuts BTF down to the types and members that are needed.
///
/// Offsets and sizes stay as they are. A pointer to what nobody needs becomes a pointer to `void`.
///
/// ```
/// use skep_btf::{Btf, Builder, IntEncoding, KindTag, Minimizer, Need, NewMember};
///
/// # fn main() -> skep_btf::Result<()> {
/// let mut types = Builder::new();
/// let int = types.int("int", 4, IntEncoding::SIGNED);
/// let members = [NewMember::new("x", int, 0), NewMember::new("y", int, 32)];
/// let point = types.structure("point", 8, &members);
/// types.structure("line", 16, &[NewMember::new("from", point, 0)]);
/// let all = Btf::parse(types.build()?)?;
///
/// let mut minimizer = Minimizer::new(&all);
/// minimizer.keep(point, Need::Element(1))?;
/// let small = Btf::parse(minimizer.build()?)?;
/// assert!(small.find("line", KindTag::Struct).is_none());
/// let point = small.find("point", KindTag::Struct).expect("the point was kept");
/// assert_eq!(small.declaration(point)?.matches(" y;").count(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Minimizer<'a> {
    btf: &'a Btf,
    /// How each type is kept.
    kept: BTreeMap<TypeId, Kept>,
    elements: BTreeSet<(TypeId, u32)>,
    /// Types that are kept in more ways than those that they refer to know yet.
    waiting: Vec<(TypeId, Kept)>,
}

/// Ways to keep a type, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Kept(u8);

impl Kept {
    /// With its size; not what pointers lead to.
    const VALUE: Self = Self(1);
    /// With what pointers lead to, without members and values.
    const TYPE: Self = Self(2);
    /// As before, with the values of enumerations: what is needed of a type behind a pointer of a
    /// whole one.
    const BEHIND: Self = Self(4);
    /// With all there is.
    const WHOLE: Self = Self(8);

    fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl<'a> Minimizer<'a> {
    /// Nothing of this BTF is needed yet, but the type that tells the size of pointers.
    pub fn new(btf: &'a Btf) -> Self {
        let mut minimizer = Self {
            btf,
            kept: BTreeMap::new(),
            elements: BTreeSet::new(),
            waiting: Vec::new(),
        };
        if let Some(long) = btf.long() {
            minimizer.add(long, Kept::VALUE);
        }
        minimizer
    }

    /// Keeps a type, or an element of it. What it refers to is kept as far as it must.
    ///
    /// # Errors
    /// [`Error::NoSuchType`](crate::Error::NoSuchType), and
    /// [`Error::WrongKind`](crate::Error::WrongKind) for an element of what has none with this
    /// index.
    pub fn keep(&mut self, id: TypeId, need: Need) -> Result<()> {
        let found = self.btf.type_by_id(id)?;
        match need {
            Need::Type => self.add(id, Kept::TYPE),
            Need::Whole => self.add(id, Kept::WHOLE),
            Need::Element(index) => {
                self.add(id, Kept::VALUE);
                self.add_element(found, index)?;
            }
        }
        self.follow()
    }

    fn add(&mut self, id: TypeId, way: Kept) {
        if id == TypeId::VOID {
            return;
        }
        let kept = self.kept.entry(id).or_default();
        if !kept.has(way) {
            kept.0 |= way.0;
            self.waiting.push((id, way));
        }
    }

    fn add_element(&mut self, outer: Type<'a>, index: u32) -> Result<()> {
        let missing = || crate::Error::WrongKind {
            id: outer.id(),
            expected: "a type with such an element",
        };
        match outer.kind() {
            Kind::Struct(composite) | Kind::Union(composite) => {
                let members = composite.members();
                let member = members.get(index as usize).ok_or_else(missing)?;
                if !self.elements.insert((outer.id(), index)) {
                    return Ok(());
                }
                self.add(member.type_id, Kept::VALUE);
                // An array without elements is a flexible one only at the end: one that is
                // somewhere else must not come to stand there.
                let of = self.btf.skip_modifiers(member.type_id)?;
                let last = (members.len() as u32).saturating_sub(1);
                if matches!(of.kind(), Kind::Array(Array { len: 0, .. })) && index != last {
                    return self.add_element(outer, last);
                }
                Ok(())
            }
            Kind::Enum(values) | Kind::Enum64(values) => {
                let missing = ((index as usize) >= values.values().len()).then(missing);
                missing.map_or(Ok(()), Err)?;
                self.elements.insert((outer.id(), index));
                Ok(())
            }
            _ => Err(missing()),
        }
    }

    /// Tells what the waiting types refer to. Each type waits at most once in each way.
    fn follow(&mut self) -> Result<()> {
        while let Some((id, way)) = self.waiting.pop() {
            let found = self.btf.type_by_id(id)?;
            match found.kind() {
                Kind::Struct(composite) | Kind::Union(composite) => {
                    if way == Kept::WHOLE {
                        for member in composite.members() {
                            self.add(member.type_id, way);
                        }
                    }
                }
                Kind::Pointer { target } => match way {
                    Kept::VALUE => {}
                    Kept::WHOLE => self.add(target, Kept::BEHIND),
                    _ => self.add(target, way),
                },
                Kind::Array(array) => {
                    self.add(array.element, way);
                    self.add(array.index, Kept::VALUE);
                }
                Kind::FunctionPrototype(prototype) => {
                    self.add(prototype.return_type, way);
                    for parameter in prototype.params() {
                        self.add(parameter.type_id, way);
                    }
                }
                Kind::DataSection(section) => {
                    for entry in section.entries() {
                        self.add(entry.type_id, way);
                    }
                }
                Kind::Function(function) => self.add(function.prototype, way),
                Kind::Variable(variable) => self.add(variable.type_id, way),
                Kind::DeclTag(tag) => self.add(tag.target, way),
                other => {
                    if let Some(target) = other.modified() {
                        self.add(target, way);
                    }
                }
            }
        }
        Ok(())
    }

    /// The BTF of what is kept, in the byte order that it was in, without a base.
    ///
    /// # Errors
    /// [`Error::UnwritableKind`](crate::Error::UnwritableKind) for a kind that this crate does not know;
    /// of BTF that was parsed as trusted, also what [`Btf::parse`] would have given.
    pub fn build(&self) -> Result<Vec<u8>> {
        let btf = self.btf;
        let mut new_ids = BTreeMap::new();
        for id in self.kept.keys() {
            let next = (new_ids.len() as u32).saturating_add(1);
            new_ids.insert(id.0, next);
        }
        let mut builder = Builder::new();
        builder.set_endianness(btf.endianness());
        for id in new_ids.keys() {
            let mut words = self.words(btf.type_by_id(TypeId(*id))?)?;
            each_reference(&mut words, |_, what, word| {
                *word = match what {
                    Reference::Type => new_ids.get(word).copied().unwrap_or(0),
                    Reference::Name => {
                        let text = btf.string_bytes(StringOffset(*word));
                        builder.strings.intern(text.unwrap_or_default()).0
                    }
                };
                Ok(())
            })?;
            builder.strings.check_length(TypeId(*id))?;
            builder.types.push(words);
        }
        // What differed in members that are gone is the same now.
        Ok(dedup(&Btf::parse(builder.build()?)?)?.btf.bytes().to_vec())
    }

    /// The words of a type without the elements that nobody needs.
    fn words(&self, found: Type<'a>) -> Result<Vec<u32>> {
        let id = found.id();
        let kept = self.kept.get(&id).copied().unwrap_or_default();
        let mut words = Vec::new();
        self.btf.checked_words(found, &mut words)?;
        let (element, all) = match found.tag() {
            Some(KindTag::Struct | KindTag::Union) => (3, kept.has(Kept::WHOLE)),
            Some(KindTag::Enum) => (2, kept.has(Kept::WHOLE) || kept.has(Kept::BEHIND)),
            Some(KindTag::Enum64) => (3, kept.has(Kept::WHOLE) || kept.has(Kept::BEHIND)),
            _ => return Ok(words),
        };
        if all {
            return Ok(words);
        }
        let mut left = words.get(..3).unwrap_or_default().to_vec();
        let elements = words.get(3..).unwrap_or_default().chunks_exact(element);
        let mut count = 0_u32;
        for (index, words) in (0..).zip(elements) {
            if self.elements.contains(&(id, index)) {
                left.extend(words);
                count = count.saturating_add(1);
            }
        }
        if let Some(info) = left.get_mut(1) {
            let (_, before, _) = split_info(*info);
            *info ^= before ^ count;
        }
        Ok(left)
    }
}
