//! Which build of the kernel runs: the number that its linker gave it.

use std::fs;

use crate::LinuxHost;

/// The kernel's notes, as they stand in its image.
const NOTES: &str = "/sys/kernel/notes";
/// `NT_GNU_BUILD_ID`
const BUILD_ID: u32 = 3;

impl LinuxHost {
    /// The running kernel's build id; `None` where it does not show it, or has none.
    #[doc(alias = "NT_GNU_BUILD_ID")]
    pub fn build_id(&self) -> Option<Vec<u8>> {
        find(&fs::read(NOTES).ok()?).map(<[u8]>::to_vec)
    }
}

/// The build id among notes: each has the lengths of its name and contents and its kind, then both,
/// each filled up to whole words.
fn find(mut notes: &[u8]) -> Option<&[u8]> {
    loop {
        let (head, rest) = notes.split_at_checked(12)?;
        let word = |at: usize| {
            head.get(at..)?
                .first_chunk()
                .map(|word| u32::from_ne_bytes(*word))
        };
        let (name_len, len, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
        let (name, rest) = rest.split_at_checked(name_len.checked_next_multiple_of(4)?)?;
        // The last one may not be filled up.
        let contents = rest.get(..len)?;
        if kind == BUILD_ID && name.starts_with(b"GNU\0") {
            return Some(contents);
        }
        notes = rest.get(len.checked_next_multiple_of(4)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::find;

    fn note(name: &[u8], kind: u32, contents: &[u8]) -> Vec<u8> {
        let mut note = Vec::new();
        for word in [name.len() as u32, contents.len() as u32, kind] {
            note.extend(word.to_ne_bytes());
        }
        for part in [name, contents] {
            note.extend(part);
            note.resize(note.len().next_multiple_of(4), 0);
        }
        note
    }

    #[test]
    fn the_build_id_among_others() {
        let mut notes = note(b"Xen\0", 3, b"12345");
        notes.extend(note(b"Linux\0", 0x101, b"x"));
        assert_eq!(find(&notes), None);
        notes.extend(note(b"GNU\0", 3, b"twenty bytes of hash"));
        assert_eq!(find(&notes), Some(&b"twenty bytes of hash"[..]));
        for len in 0..notes.len() {
            assert_eq!(find(&notes[..len]), None, "{len}");
        }
    }
}
