//! How names may be spelt. Kernels judge bytes by Latin-1, whatever the text means.

use super::NameFault;

/// Most bytes of a name that is looked at (`KSYM_NAME_LEN`).
const MAX_LEN: usize = 512;

/// The strings that names lie in.
#[derive(Clone, Copy)]
pub(super) struct Names<'a>(pub(super) &'a [u8]);

impl<'a> Names<'a> {
    /// The name and what follows it: strings end with a NUL, so it ends inside.
    fn at(self, offset: u32) -> Result<&'a [u8], NameFault> {
        let tail = self.0.get(offset as usize..);
        tail.filter(|tail| !tail.is_empty())
            .ok_or(NameFault::Outside)
    }

    /// A name of any spelling, or none.
    pub(super) fn inside(self, offset: u32) -> Result<(), NameFault> {
        self.at(offset).map(drop)
    }

    /// No name.
    pub(super) fn none(self, offset: u32) -> Result<(), NameFault> {
        match offset {
            0 => Ok(()),
            _ => Err(NameFault::Unwanted),
        }
    }

    /// Text of any spelling, but some.
    pub(super) fn text(self, offset: u32) -> Result<(), NameFault> {
        match self.at(offset)? {
            [0, ..] => Err(NameFault::Missing),
            _ => Ok(()),
        }
    }

    /// A C identifier, in which dots may stand.
    pub(super) fn identifier(self, offset: u32) -> Result<(), NameFault> {
        if offset == 0 {
            return Err(NameFault::Missing);
        }
        self.spelt(offset, |first, byte| {
            is_letter(byte) || matches!(byte, b'_' | b'.') || (!first && byte.is_ascii_digit())
        })
    }

    /// None, or an identifier.
    pub(super) fn identifier_or_none(self, offset: u32) -> Result<(), NameFault> {
        match offset {
            0 => Ok(()),
            _ => self.identifier(offset),
        }
    }

    /// A section's name: whatever can be printed.
    pub(super) fn section(self, offset: u32) -> Result<(), NameFault> {
        if offset == 0 {
            return Err(NameFault::Missing);
        }
        self.spelt(offset, |_, byte| matches!(byte, 0x20..=0x7e | 0xa0..))
    }

    fn spelt(self, offset: u32, good: impl Fn(bool, u8) -> bool) -> Result<(), NameFault> {
        let mut bytes = self.at(offset)?.iter().copied().enumerate();
        match bytes.find(|(index, byte)| *index >= MAX_LEN || !good(*index == 0, *byte)) {
            // What ends a name ends the search, too, unless nothing stood before.
            Some((1.., 0)) => Ok(()),
            _ => Err(NameFault::Spelling),
        }
    }
}

/// Letters of Latin-1, without the signs of multiplication and division among them.
fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || (byte >= 0xc0 && byte != 0xd7 && byte != 0xf7)
}
