//! The header, and that types and strings are all that follows it.

use super::{Fault, MAX_SIZE, Refused};
use crate::Endian;
use crate::header::{HEADER_LEN, MAGIC, u32_at};

/// What follows the header.
pub(super) struct Sections<'a> {
    pub(super) types: &'a [u8],
    /// Where types start, from the start of the data.
    pub(super) types_start: u32,
    pub(super) strings: &'a [u8],
}

pub(super) fn sections(data: &[u8], endian: Endian) -> Result<Sections<'_>, Refused> {
    if data.len() > MAX_SIZE {
        return Err(Fault::TooLarge { len: data.len() }.into());
    }
    let len = u32_at(endian, data, 4).ok_or(Fault::HeaderCut)?;
    let (given, rest) = data
        .split_at_checked(len as usize)
        .ok_or(Fault::HeaderCut)?;
    if given
        .iter()
        .skip(HEADER_LEN as usize)
        .any(|byte| *byte != 0)
    {
        return Err(Fault::HeaderFields.into());
    }
    // What a shorter header does not have reads as zero.
    let mut header = [0; HEADER_LEN as usize];
    for (to, from) in header.iter_mut().zip(given) {
        *to = *from;
    }
    let [first, second, version, flags, ..] = header;
    let found = match endian {
        Endian::Little => u16::from_le_bytes([first, second]),
        Endian::Big => u16::from_be_bytes([first, second]),
    };
    if found != MAGIC {
        return Err(Fault::Magic { found }.into());
    }
    if version != 1 {
        return Err(Fault::Version { found: version }.into());
    }
    if flags != 0 {
        return Err(Fault::Flags { found: flags }.into());
    }
    let word = |at| u32_at(endian, &header, at).unwrap_or(0) as usize;
    let (types_at, types_len) = (word(8), word(12));
    let (strings_at, strings_len) = (word(16), word(20));
    if types_at != 0 || strings_at != types_len {
        return Err(Fault::Sections.into());
    }
    let (types, strings) = rest.split_at_checked(types_len).ok_or(Fault::Sections)?;
    if strings.len() != strings_len {
        return Err(Fault::Sections.into());
    }
    if !matches!(strings, [0] | [0, .., 0]) {
        return Err(Fault::Strings.into());
    }
    if types.is_empty() {
        return Err(Fault::NoTypes.into());
    }
    Ok(Sections {
        types,
        types_start: len,
        strings,
    })
}
