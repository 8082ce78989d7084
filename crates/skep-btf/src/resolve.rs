//! Questions that follow chains of types: what is behind the typedefs, how large is it, how is it
//! aligned. Chains come from anyone, so each has a budget.

use crate::{Array, Btf, Composite, Error, Kind, KindTag, Member, Result, Type, TypeId};
use std::collections::HashMap;

/// How many links a chain of modifiers and arrays, or a nesting of structures, may have. The
/// kernel allows 32 (`MAX_RESOLVE_DEPTH`).
pub(crate) const DEPTH: u32 = 64;

impl Btf {
    /// The type behind typedefs, qualifiers and type tags.
    ///
    /// # Errors
    /// [`Error::TypeLoop`] when the chain does not end, [`Error::NoSuchType`] when `id` does not
    /// exist.
    pub fn skip_modifiers(&self, id: TypeId) -> Result<Type<'_>> {
        let mut now = self.type_by_id(id)?;
        for _ in 0..DEPTH {
            if !now.tag().is_some_and(KindTag::is_modifier) {
                return Ok(now);
            }
            now = self.type_by_id(TypeId(now.third()))?;
        }
        Err(Error::TypeLoop { id })
    }

    /// The bytes that a value of the type takes: `sizeof`. For a variable, its type's; for a data
    /// section, its own.
    ///
    /// # Errors
    /// [`Error::NoSize`] for `void`, functions, forward declarations, tags and unknown kinds;
    /// [`Error::TypeLoop`] and [`Error::SizeOverflow`] for types that make no sense.
    pub fn size_of(&self, id: TypeId) -> Result<u64> {
        let mut now = self.type_by_id(id)?;
        let mut factor = 1_u64;
        for _ in 0..DEPTH {
            let size = match now.kind() {
                Kind::Int(int) => int.size.into(),
                Kind::Pointer { .. } => self.pointer_size().into(),
                Kind::Struct(composite) | Kind::Union(composite) => composite.size.into(),
                Kind::Enum(values) | Kind::Enum64(values) => values.size.into(),
                Kind::Float { size } => size.into(),
                Kind::DataSection(section) => section.size.into(),
                Kind::Array(Array { element, len, .. }) => {
                    factor = factor
                        .checked_mul(u64::from(len))
                        .ok_or(Error::SizeOverflow { id })?;
                    now = self.type_by_id(element)?;
                    continue;
                }
                Kind::Variable(variable) => {
                    now = self.type_by_id(variable.type_id)?;
                    continue;
                }
                other => match other.modified() {
                    Some(target) => {
                        now = self.type_by_id(target)?;
                        continue;
                    }
                    None => {
                        let kind = now.tag().map_or("unknown", KindTag::kernel_name);
                        return Err(Error::NoSize { id: now.id(), kind });
                    }
                },
            };
            return factor.checked_mul(size).ok_or(Error::SizeOverflow { id });
        }
        Err(Error::TypeLoop { id })
    }

    /// The bytes that the type's address is a multiple of, judged by its contents: `_Alignof`,
    /// unless attributes of the source changed it, which BTF does not record. A packed structure
    /// is recognised by a member that its natural alignment would not allow.
    ///
    /// # Errors
    /// As [`Btf::size_of`].
    pub fn align_of(&self, id: TypeId) -> Result<u64> {
        self.align_within(id, DEPTH, &mut Aligns::default())
    }

    /// [`Btf::align_of`] that remembers structures and unions: each is looked into once.
    pub(crate) fn align_within(&self, id: TypeId, depth: u32, known: &mut Aligns) -> Result<u64> {
        let mut now = self.type_by_id(id)?;
        for _ in 0..DEPTH {
            match now.kind() {
                // 16-byte integers exist for 8-byte pointers only, aligned by 16 there.
                Kind::Int(int) => return Ok(natural_align(int.size)),
                Kind::Float { size } => return Ok(natural_align(size)),
                Kind::Enum(values) | Kind::Enum64(values) => {
                    return Ok(natural_align(values.size));
                }
                Kind::Pointer { .. } => return Ok(self.pointer_size().into()),
                Kind::Array(array) => now = self.type_by_id(array.element)?,
                Kind::Variable(variable) => now = self.type_by_id(variable.type_id)?,
                Kind::Struct(composite) | Kind::Union(composite) => {
                    if let Some(align) = known.get(&now.id()) {
                        return Ok(*align);
                    }
                    let depth = depth.checked_sub(1).ok_or(Error::TypeLoop { id })?;
                    let align = self.composite_align(composite, depth, known)?;
                    known.insert(now.id(), align);
                    return Ok(align);
                }
                other => match other.modified() {
                    Some(target) => now = self.type_by_id(target)?,
                    None => {
                        let kind = now.tag().map_or("unknown", KindTag::kernel_name);
                        return Err(Error::NoSize { id: now.id(), kind });
                    }
                },
            }
        }
        Err(Error::TypeLoop { id })
    }

    fn composite_align(
        &self,
        composite: Composite<'_>,
        depth: u32,
        known: &mut Aligns,
    ) -> Result<u64> {
        let mut align = 1_u64;
        for member in composite.members() {
            let one = self.align_within(member.type_id, depth, known)?;
            align = align.max(one);
            let place = self.member_bits(&member)?;
            let unit = if place.bitfield {
                self.size_of(member.type_id)?
            } else {
                one
            };
            let rest = place
                .offset
                .checked_rem(unit.saturating_mul(8))
                .unwrap_or(0);
            let misplaced = if place.bitfield {
                rest.saturating_add(place.bits) > unit.saturating_mul(8)
            } else {
                rest != 0
            };
            if misplaced {
                return Ok(1);
            }
        }
        // A size that is no multiple of the alignment: packed, as nothing else does it.
        let size = u64::from(composite.size);
        Ok(if size.checked_rem(align) == Some(0) {
            align
        } else {
            1
        })
    }

    /// Where a member is and how large, in bits: the same for bit fields old and new.
    pub(crate) fn member_bits(&self, member: &Member<'_>) -> Result<MemberBits> {
        let offset = u64::from(member.bit_offset);
        if member.bitfield_size != 0 {
            let bits = member.bitfield_size.into();
            return Ok(MemberBits {
                offset,
                bits,
                bitfield: true,
            });
        }
        if let Kind::Int(int) = self.skip_modifiers(member.type_id)?.kind() {
            let whole = int.size.saturating_mul(8);
            if int.offset != 0 || u32::from(int.bits) < whole.min(128) {
                let offset = offset.saturating_add(int.offset.into());
                return Ok(MemberBits {
                    offset,
                    bits: int.bits.into(),
                    bitfield: true,
                });
            }
        }
        let bits = self.size_of(member.type_id)?.saturating_mul(8);
        Ok(MemberBits {
            offset,
            bits,
            bitfield: false,
        })
    }
}

/// Alignments of structures and unions that are known.
pub(crate) type Aligns = HashMap<TypeId, u64>;

/// Where a member is, in bits from the start of its structure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemberBits {
    pub(crate) offset: u64,
    pub(crate) bits: u64,
    pub(crate) bitfield: bool,
}

fn natural_align(size: u32) -> u64 {
    u64::from(size).clamp(1, 16).next_power_of_two()
}
