//! A type as its words: all that BTF has is made of 32-bit numbers. Whatever copies types (the
//! builder, deduplication, minimisation) reads them so, and changes the references among them.

use crate::walk::{Shape, TYPE_LEN, split_info};
use crate::{Btf, Error, KindTag, Place, Result, Type};

/// What a word of a type is, when it is a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reference {
    /// A string's offset.
    Name,
    /// A type's id.
    Type,
}

/// Appends the words of a type.
pub(crate) fn read(found: Type<'_>, out: &mut Vec<u32>) -> Result<()> {
    let (btf, at) = (found.btf(), found.data_offset());
    let (number, count, _) = split_info(btf.word(at.wrapping_add(4)));
    let kind = found.tag().ok_or(Error::UnwritableKind {
        kind: number,
        place: Place {
            offset: at,
            type_id: Some(found.id()),
        },
    })?;
    let shape = Shape::of(kind);
    // Parsing has found all of these bytes in the data.
    let bytes = shape
        .element
        .wrapping_mul(if shape.element == 0 { 0 } else { count })
        .wrapping_add(shape.fixed)
        .wrapping_add(TYPE_LEN);
    out.extend((0..bytes / 4).map(|word| btf.word(at.wrapping_add(word.wrapping_mul(4)))));
    Ok(())
}

/// Calls `visit` with the index of each word that is a reference, in order.
pub(crate) fn each_reference(
    words: &mut [u32],
    mut visit: impl FnMut(usize, Reference, &mut u32) -> Result<()>,
) -> Result<()> {
    let Some((head, body)) = words.split_first_chunk_mut::<3>() else {
        return Ok(());
    };
    let [name, info, third] = head;
    visit(0, Reference::Name, name)?;
    let Some(kind) = KindTag::from_number(split_info(*info).0) else {
        return Ok(());
    };
    if kind.is_reference() {
        visit(2, Reference::Type, third)?;
    }
    // The references at the start of each element.
    let what: &[Reference] = match kind {
        KindTag::Array => &[Reference::Type, Reference::Type],
        KindTag::Struct | KindTag::Union | KindTag::FunctionPrototype => {
            &[Reference::Name, Reference::Type]
        }
        KindTag::Enum | KindTag::Enum64 => &[Reference::Name],
        KindTag::DataSection => &[Reference::Type],
        _ => return Ok(()),
    };
    let shape = Shape::of(kind);
    let step = shape.element.max(shape.fixed) as usize / 4;
    for (index, element) in body.chunks_exact_mut(step).enumerate() {
        let first = index.saturating_mul(step).saturating_add(3);
        for ((at, what), word) in (first..).zip(what).zip(element) {
            visit(at, *what, word)?;
        }
    }
    Ok(())
}

impl Btf {
    /// The words of a type, and a check that what they refer to exists.
    pub(crate) fn checked_words(&self, found: Type<'_>, out: &mut Vec<u32>) -> Result<()> {
        let start = out.len();
        read(found, out)?;
        let words = out.get_mut(start..).unwrap_or_default();
        each_reference(words, |index, what, word| {
            self.check_reference(found, index, what, *word)
        })
    }

    /// Whether the word at this index of a type refers to something that exists.
    pub(crate) fn check_reference(
        &self,
        found: Type<'_>,
        index: usize,
        what: Reference,
        word: u32,
    ) -> Result<()> {
        let place = || Place {
            offset: found
                .data_offset()
                .wrapping_add((index as u32).wrapping_mul(4)),
            type_id: Some(found.id()),
        };
        match what {
            Reference::Type if word > self.type_count() => Err(Error::TypeReference {
                id: crate::TypeId(word),
                last: crate::TypeId(self.type_count()),
                place: place(),
            }),
            Reference::Name if self.string(crate::StringOffset(word)).is_err() => {
                Err(Error::Name {
                    name: crate::StringOffset(word),
                    outside: word >= self.string_end(),
                    place: place(),
                })
            }
            _ => Ok(()),
        }
    }
}
