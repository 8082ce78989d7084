//! One note of `.note.stapsdt`: three addresses, then three texts that each end with a zero byte.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use std::ops::Range;

/// The name of the section, of the notes in it, and their type.
pub(super) const SECTION: &str = ".note.stapsdt";
pub(super) const OWNER: &[u8] = b"stapsdt";
pub(super) const KIND: u32 = 3;

/// A section that the linker moves with the code, so that notes, which it does not adjust when a
/// file is prelinked, can be.
pub(super) const BASE_SECTION: &str = ".stapsdt.base";

/// What a note says, as it says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note<'n> {
    /// The point's address.
    pub(super) location: u64,
    /// Where `.stapsdt.base` was when the note was made; 0 if there is none.
    pub(super) base: u64,
    /// The address of a counter of those who watch; 0 if there is none.
    pub(super) semaphore: u64,
    pub(super) provider: &'n [u8],
    pub(super) name: &'n [u8],
    pub(super) arguments: &'n [u8],
}

impl<'n> Note<'n> {
    /// Reads a note's content, of a 64-bit file.
    pub(super) fn parse(content: &'n [u8], big_endian: bool) -> Option<Self> {
        let word = |range: Range<usize>| {
            let bytes: [u8; 8] = content.get(range)?.try_into().ok()?;
            Some(match big_endian {
                true => u64::from_be_bytes(bytes),
                false => u64::from_le_bytes(bytes),
            })
        };
        let mut rest = content.get(24..)?;
        let mut text = || {
            let end = rest.iter().position(|byte| *byte == 0)?;
            let text = rest.get(..end)?;
            rest = rest.get(end.saturating_add(1)..)?;
            Some(text)
        };
        Some(Self {
            location: word(0..8)?,
            base: word(8..16)?,
            semaphore: word(16..24)?,
            provider: text()?,
            name: text()?,
            arguments: text()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_texts() {
        let mut content = Vec::new();
        for word in [0x1000_u64, 0x2000, 0] {
            content.extend(word.to_be_bytes());
        }
        content.extend(b"app\0start\08@%rax\0");
        let note = Note::parse(&content, true).unwrap();
        assert_eq!(
            (note.location, note.base, note.semaphore),
            (0x1000, 0x2000, 0)
        );
        assert_eq!(
            (note.provider, note.name, note.arguments),
            (&b"app"[..], &b"start"[..], &b"8@%rax"[..])
        );
        for length in 0..content.len() {
            assert_eq!(Note::parse(&content[..length], true), None, "{length}");
        }
    }
}
