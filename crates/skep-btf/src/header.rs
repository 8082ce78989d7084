//! The header of BTF: byte order, the sections' places, and the layout section (Linux 7.1) that
//! tells how large the kinds are that this crate does not know.

use crate::{Endian, Error, Place, Result};
use std::ops::Range;

/// The `u32` at `offset`, if the bytes reach that far.
#[inline]
pub(crate) fn u32_at(endian: Endian, bytes: &[u8], offset: usize) -> Option<u32> {
    Some(endian.u32(*bytes.get(offset..)?.first_chunk()?))
}

pub(crate) const MAGIC: u16 = 0xeb9f;
/// `struct btf_header` up to Linux 7.0; later ones are longer, none is shorter.
pub(crate) const HEADER_LEN: u32 = 24;
/// The length from which the header has `layout_off` and `layout_len`.
const HEADER_LEN_LAYOUT: u32 = 32;

/// Where the sections are, in bytes from the start of the data.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) endianness: Endian,
    pub(crate) types: Range<u32>,
    pub(crate) strings: Range<u32>,
    pub(crate) layout: Range<u32>,
}

impl Header {
    pub(crate) fn parse(data: &[u8]) -> Result<Self> {
        if u32::try_from(data.len()).is_err() {
            return Err(Error::TooLarge { len: data.len() });
        }
        let end = Error::UnexpectedEnd {
            part: "header",
            place: Place {
                offset: data.len() as u32,
                type_id: None,
            },
        };
        let Some(magic) = data.first_chunk::<2>() else {
            return Err(end);
        };
        let endianness = match u16::from_le_bytes(*magic) {
            MAGIC => Endian::Little,
            found if found == MAGIC.swap_bytes() => Endian::Big,
            found => return Err(Error::Magic { found }),
        };
        let word = |offset| u32_at(endianness, data, offset).ok_or_else(|| end.clone());
        let version = *data.get(2).ok_or_else(|| end.clone())?;
        if version != 1 {
            return Err(Error::Version { found: version });
        }
        // Later kernels append fields: the length says how many there are, and what is not known
        // is passed over.
        let header_len = word(4)?;
        if header_len < HEADER_LEN || header_len as usize > data.len() {
            return Err(end);
        }
        let section = |part, offset: u32, len: u32| {
            let start = u64::from(header_len).wrapping_add(u64::from(offset));
            let stop = start.wrapping_add(u64::from(len));
            match (u32::try_from(start), u32::try_from(stop)) {
                (Ok(start), Ok(stop)) if stop as usize <= data.len() => Ok(start..stop),
                _ => Err(Error::SectionBounds {
                    part,
                    offset: start,
                    len,
                    available: data.len(),
                }),
            }
        };
        let types = section("type section", word(8)?, word(12)?)?;
        let strings = section("string section", word(16)?, word(20)?)?;
        let layout = if header_len >= HEADER_LEN_LAYOUT {
            section("layout section", word(24)?, word(28)?)?
        } else {
            0..0
        };
        Ok(Self {
            endianness,
            types,
            strings,
            layout,
        })
    }

    /// `(info_sz, elem_sz)` of a kind from the layout section, if there is one that reaches it.
    pub(crate) fn kind_layout(&self, data: &[u8], kind: u8) -> Option<(u8, u8)> {
        let section = data.get(self.layout.start as usize..self.layout.end as usize)?;
        match section
            .get(usize::from(kind).wrapping_mul(4)..)?
            .first_chunk::<4>()?
        {
            [info, element, ..] => Some((*info, *element)),
        }
    }
}
