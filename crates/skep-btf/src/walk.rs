//! The one pass over the type section: where each type starts, and the proof that every type id and
//! name in it exists, so that all later reads are infallible.
//!
//! The fast pass keeps only the greatest id and name offset that it met. When those are out of range
//! (or names are not plain ASCII) a second, slow pass finds out where.

use crate::header::Header;
use crate::starts::Starts;
use crate::{Endian, Error, KindTag, Place, Result, TypeId};

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
}

/// What the fast pass found.
pub(crate) struct Walk {
    pub(crate) starts: Starts,
    pub(crate) max_name: u32,
    pub(crate) max_type: u32,
}

/// Walks the type section. With `check`, also finds the greatest name and type that it refers to;
/// without, fewer starts of types are kept.
pub(crate) fn walk(data: &[u8], header: &Header, first_id: u32, check: bool) -> Result<Walk> {
    match (header.endianness, check) {
        (Endian::Little, true) => walk_in::<false, true>(data, header, first_id),
        (Endian::Little, false) => walk_in::<false, false>(data, header, first_id),
        (Endian::Big, true) => walk_in::<true, true>(data, header, first_id),
        (Endian::Big, false) => walk_in::<true, false>(data, header, first_id),
    }
}

/// Stands for a kind that is not known in [`LENGTHS`].
const UNKNOWN: u32 = u32::MAX;

/// Bytes after a type's three words by kind: the fixed ones, and those of an element in the upper
/// half. One load and no branch: where the next type starts is a chain of dependent steps, and the
/// walk takes as long as that chain.
const LENGTHS: [u32; 128] = {
    let mut lengths = [UNKNOWN; 128];
    let mut number = 1_u8;
    while let Some(kind) = KindTag::from_number(number) {
        let shape = Shape::of(kind);
        if let Some(length) = lengths.split_at_mut(number as usize).1.first_mut() {
            *length = shape.fixed | shape.element << 16;
        }
        number = number.wrapping_add(1);
    }
    lengths
};

#[inline(always)]
fn word<const BIG: bool>(bytes: &[u8], index: usize) -> u32 {
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

/// Bytes after a type's three words; `None` for a kind that neither Skep nor the data knows.
#[inline(always)]
pub(crate) fn body_len(data: &[u8], header: &Header, number: u8, count: u32) -> Option<u32> {
    let mut lengths = LENGTHS.get(usize::from(number)).copied().unwrap_or(UNKNOWN);
    if lengths == UNKNOWN {
        // Kind 0 is `void`, which no type may have.
        let layout = header.kind_layout(data, number).filter(|_| number != 0);
        let (fixed, element) = layout?;
        lengths = u32::from(fixed) | u32::from(element) << 16;
    }
    // At most 255 + 255 * 2^24, which fits 32 bits.
    Some((lengths & 0xffff).wrapping_add((lengths >> 16).wrapping_mul(count)))
}

fn walk_in<const BIG: bool, const CHECK: bool>(
    data: &[u8],
    header: &Header,
    first_id: u32,
) -> Result<Walk> {
    let range = header.types.start as usize..header.types.end as usize;
    let mut rest = data.get(range).unwrap_or_default();
    // The kernel's BTF has a type in 25 to 30 bytes; the 12 that each has bound the growth.
    let expected = rest.len() / 25;
    let mut starts = if CHECK {
        Starts::dense(expected)
    } else {
        Starts::sparse(expected)
    };
    let (mut max_name, mut max_type) = (0_u32, 0_u32);
    while !rest.is_empty() {
        let offset = header.types.end.wrapping_sub(rest.len() as u32);
        let place = || Place {
            offset,
            type_id: Some(TypeId(first_id.wrapping_add(starts.count()))),
        };
        let end = || Error::UnexpectedEnd {
            part: "type section",
            place: place(),
        };
        let (head, body) = rest.split_first_chunk::<12>().ok_or_else(end)?;
        let (number, count, _) = split_info(word::<BIG>(head, 1));
        let length = body_len(data, header, number, count).ok_or_else(|| Error::UnknownKind {
            kind: number,
            place: place(),
        })?;
        let (body, next) = body.split_at_checked(length as usize).ok_or_else(end)?;
        if CHECK {
            max_name = max_name.max(word::<BIG>(head, 0));
            let (names, types) = greatest::<BIG>(number, word::<BIG>(head, 2), body);
            max_name = max_name.max(names);
            max_type = max_type.max(types);
        }
        starts.push(offset);
        rest = next;
    }
    Ok(Walk {
        starts,
        max_name,
        max_type,
    })
}

/// The greatest name and type that stand in a type after its name.
#[inline(always)]
fn greatest<const BIG: bool>(number: u8, third: u32, body: &[u8]) -> (u32, u32) {
    let (mut name, mut id) = (0, 0);
    match KindTag::from_number(number) {
        Some(KindTag::FunctionPrototype) => {
            id = third;
            for parameter in body.as_chunks::<8>().0 {
                name = word::<BIG>(parameter, 0).max(name);
                id = word::<BIG>(parameter, 1).max(id);
            }
        }
        Some(KindTag::Struct | KindTag::Union) => {
            for member in body.as_chunks::<12>().0 {
                name = word::<BIG>(member, 0).max(name);
                id = word::<BIG>(member, 1).max(id);
            }
        }
        Some(KindTag::Enum) => {
            for value in body.as_chunks::<8>().0 {
                name = word::<BIG>(value, 0).max(name);
            }
        }
        Some(KindTag::Enum64) => {
            for value in body.as_chunks::<12>().0 {
                name = word::<BIG>(value, 0).max(name);
            }
        }
        Some(KindTag::DataSection) => {
            for entry in body.as_chunks::<12>().0 {
                id = word::<BIG>(entry, 0).max(id);
            }
        }
        Some(KindTag::Array) => id = word::<BIG>(body, 0).max(word::<BIG>(body, 1)),
        Some(kind) if kind.is_reference() => id = third,
        _ => {}
    }
    (name, id)
}
