//! The one pass over the type section: where each type starts, and the proof that every type id and
//! name in it exists, so that all later reads are infallible.
//!
//! The fast pass keeps only the greatest id and name offset that it met. When those are out of range
//! (or names are not plain ASCII) a second, slow pass finds out where.

use crate::header::{Endianness, Header};
use crate::{Error, KindTag, Place, Result, StringOffset, TypeId};

/// `struct btf_type`: name, info, size or type.
pub(crate) const TYPE_LEN: u32 = 12;

/// The fields of `info`.
///
/// Linux 7.1 widened the count of elements from 16 to 24 bits and the kind from 5 to 7. The bits
/// that it took had to be zero before (the kernel refuses anything else), so that the wide reading
/// is right for every valid BTF, old or new, and no version needs to be known.
#[inline]
pub(crate) const fn split_info(info: u32) -> (u8, u32, bool) {
    (
        (info >> 24 & 0x7f) as u8,
        info & 0x00ff_ffff,
        info >> 31 != 0,
    )
}

/// How the bytes after a type's three words are made up: a fixed part, then elements.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) fixed: u32,
    pub(crate) element: u32,
}

impl Shape {
    #[inline]
    pub(crate) const fn of(kind: KindTag) -> Self {
        let (fixed, element) = match kind {
            KindTag::Int | KindTag::Variable | KindTag::DeclTag => (4, 0),
            KindTag::Array => (12, 0),
            KindTag::Struct | KindTag::Union | KindTag::DataSection | KindTag::Enum64 => (0, 12),
            KindTag::Enum | KindTag::FunctionPrototype => (0, 8),
            _ => (0, 0),
        };
        Self { fixed, element }
    }

    #[inline]
    pub(crate) const fn len(self, count: u32) -> u64 {
        (self.fixed as u64).wrapping_add((self.element as u64).wrapping_mul(count as u64))
    }
}

/// What the fast pass found.
pub(crate) struct Walk {
    /// Of each type, bytes from the start of the data.
    pub(crate) offsets: Vec<u32>,
    pub(crate) max_name: u32,
    pub(crate) max_type: u32,
}

pub(crate) fn walk(data: &[u8], header: &Header, first_id: u32) -> Result<Walk> {
    match header.endianness {
        Endianness::Little => walk_in::<false>(data, header, first_id),
        Endianness::Big => walk_in::<true>(data, header, first_id),
    }
}

#[inline(always)]
fn word<const BIG: bool, const N: usize>(bytes: &[u8; N], index: usize) -> u32 {
    let raw = bytes
        .as_chunks::<4>()
        .0
        .get(index)
        .copied()
        .unwrap_or_default();
    if BIG {
        u32::from_be_bytes(raw)
    } else {
        u32::from_le_bytes(raw)
    }
}

fn walk_in<const BIG: bool>(data: &[u8], header: &Header, first_id: u32) -> Result<Walk> {
    let types = data.get(..header.types.end as usize).unwrap_or_default();
    let mut position = header.types.start as usize;
    // The kernel's BTF has one type in 33 bytes; at least 12 bytes a type bound the growth.
    let mut offsets: Vec<u32> = Vec::with_capacity(header.types.len() / 32);
    let (mut max_name, mut max_type) = (0_u32, 0_u32);
    while position < types.len() {
        let id = TypeId(first_id.wrapping_add(offsets.len() as u32));
        let place = Place {
            offset: position as u32,
            type_id: Some(id),
        };
        let end = Error::UnexpectedEnd {
            part: "type section",
            place,
        };
        let rest = types.get(position..).unwrap_or_default();
        let Some((head, body)) = rest.split_first_chunk::<12>() else {
            return Err(end);
        };
        let (number, count, _) = split_info(word::<BIG, 12>(head, 1));
        let third = word::<BIG, 12>(head, 2);
        max_name = max_name.max(word::<BIG, 12>(head, 0));

        let known = KindTag::from_number(number).filter(|kind| *kind != KindTag::Void);
        let shape = match known {
            Some(kind) => Shape::of(kind),
            None => match header.kind_layout(data, number) {
                Some((fixed, element)) if number != 0 => Shape {
                    fixed: fixed.into(),
                    element: element.into(),
                },
                _ => {
                    return Err(Error::UnknownKind {
                        kind: number,
                        place,
                    });
                }
            },
        };
        let body_len = shape.len(count);
        if body_len > body.len() as u64 {
            return Err(end);
        }
        let body = body.get(..body_len as usize).unwrap_or_default();
        match known {
            Some(KindTag::Struct | KindTag::Union) => {
                for member in body.as_chunks::<12>().0 {
                    max_name = max_name.max(word::<BIG, 12>(member, 0));
                    max_type = max_type.max(word::<BIG, 12>(member, 1));
                }
            }
            Some(KindTag::Enum) => {
                for value in body.as_chunks::<8>().0 {
                    max_name = max_name.max(word::<BIG, 8>(value, 0));
                }
            }
            Some(KindTag::Enum64) => {
                for value in body.as_chunks::<12>().0 {
                    max_name = max_name.max(word::<BIG, 12>(value, 0));
                }
            }
            Some(KindTag::FunctionPrototype) => {
                max_type = max_type.max(third);
                for parameter in body.as_chunks::<8>().0 {
                    max_name = max_name.max(word::<BIG, 8>(parameter, 0));
                    max_type = max_type.max(word::<BIG, 8>(parameter, 1));
                }
            }
            Some(KindTag::DataSection) => {
                for entry in body.as_chunks::<12>().0 {
                    max_type = max_type.max(word::<BIG, 12>(entry, 0));
                }
            }
            Some(KindTag::Array) => {
                if let Some(array) = body.first_chunk::<12>() {
                    max_type = max_type.max(word::<BIG, 12>(array, 0));
                    max_type = max_type.max(word::<BIG, 12>(array, 1));
                }
            }
            Some(kind) if kind.is_reference() => max_type = max_type.max(third),
            _ => {}
        }
        offsets.push(position as u32);
        position = position.wrapping_add(12).wrapping_add(body_len as usize);
    }
    Ok(Walk {
        offsets,
        max_name,
        max_type,
    })
}

/// One reference that a type makes, with its place from the start of the data.
pub(crate) enum Reference {
    Name(StringOffset),
    Type(TypeId),
}

/// Calls `visit` with each name and type that the type at `offset` refers to.
pub(crate) fn references(
    data: &[u8],
    endianness: Endianness,
    offset: u32,
    mut visit: impl FnMut(u32, Reference) -> Result<()>,
) -> Result<()> {
    let at = |place: u32| endianness.u32_at(data, place as usize).unwrap_or(0);
    let name = |place| (place, Reference::Name(StringOffset(at(place))));
    let id = |place| (place, Reference::Type(TypeId(at(place))));
    let mut emit = |(place, reference)| visit(place, reference);

    emit(name(offset))?;
    let (number, count, _) = split_info(at(offset.wrapping_add(4)));
    let Some(kind) = KindTag::from_number(number) else {
        return Ok(());
    };
    if kind.is_reference() {
        emit(id(offset.wrapping_add(8)))?;
    }
    let body = offset.wrapping_add(TYPE_LEN);
    if kind == KindTag::Array {
        emit(id(body))?;
        emit(id(body.wrapping_add(4)))?;
    }
    let step = Shape::of(kind).element;
    for element in (0..count).map(|index| body.wrapping_add(index.wrapping_mul(step))) {
        match kind {
            KindTag::Struct | KindTag::Union | KindTag::FunctionPrototype => {
                emit(name(element))?;
                emit(id(element.wrapping_add(4)))?;
            }
            KindTag::Enum | KindTag::Enum64 => emit(name(element))?,
            KindTag::DataSection => emit(id(element))?,
            _ => break,
        }
    }
    Ok(())
}
