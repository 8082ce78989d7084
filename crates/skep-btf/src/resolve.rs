//! Questions that follow chains of types: what is behind the typedefs, how large is it, how is it
//! aligned. Chains come from anyone, so each has a budget.

use crate::{Array, Btf, Error, Kind, KindTag, Result, Type, TypeId};

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
        // A structure may have many members of deep types: the budget bounds the whole walk.
        let mut budget = 1_u32 << 16;
        self.align_within(id, DEPTH, &mut budget)
    }

    fn align_within(&self, id: TypeId, depth: u32, budget: &mut u32) -> Result<u64> {
        let mut now = self.type_by_id(id)?;
        let natural = |size: u64| size.clamp(1, 16).next_power_of_two().min(16);
        for _ in 0..DEPTH {
            *budget = budget.checked_sub(1).ok_or(Error::TypeLoop { id })?;
            let pointer = u64::from(self.pointer_size());
            match now.kind() {
                // 16-byte integers exist for 8-byte pointers only, aligned by 16 there.
                Kind::Int(int) => return Ok(natural(int.size.into())),
                Kind::Float { size } => return Ok(natural(size.into())),
                Kind::Enum(values) | Kind::Enum64(values) => {
                    return Ok(natural(values.size.into()));
                }
                Kind::Pointer { .. } => return Ok(pointer),
                Kind::Array(array) => now = self.type_by_id(array.element)?,
                Kind::Variable(variable) => now = self.type_by_id(variable.type_id)?,
                Kind::Struct(composite) | Kind::Union(composite) => {
                    let depth = depth.checked_sub(1).ok_or(Error::TypeLoop { id })?;
                    let mut align = 1_u64;
                    for member in composite.members() {
                        let one = self.align_within(member.type_id, depth, budget)?;
                        align = align.max(one);
                        let bits = one.wrapping_mul(8);
                        let misplaced = u64::from(member.bit_offset)
                            .checked_rem(bits)
                            .is_some_and(|rest| rest != 0);
                        if member.bitfield_size == 0 && misplaced {
                            return Ok(1);
                        }
                    }
                    let size = u64::from(composite.size);
                    // A size that is no multiple of the alignment: packed, as nothing else does it.
                    return Ok(if size.checked_rem(align) == Some(0) {
                        align
                    } else {
                        1
                    });
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
}
