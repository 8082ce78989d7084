//! Bytes of shared memory, copied by its 64-bit words: each is loaded and stored atomically, so
//! neighbours that someone else writes are never overwritten.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::LongWord;

const WORD: usize = 8;

/// Copies bytes out, from `offset` on.
///
/// # Panics
/// They are not inside the words.
pub fn read(words: &[LongWord], offset: usize, bytes: &mut [u8]) {
    for part in parts(offset, bytes.len()) {
        let word = words[part.word].acquire().to_ne_bytes();
        bytes[part.bytes].copy_from_slice(&word[part.within]);
    }
}

/// Writes bytes, from `offset` on.
///
/// # Panics
/// They are not inside the words.
pub fn write(words: &[AtomicU64], offset: usize, bytes: &[u8]) {
    for part in parts(offset, bytes.len()) {
        let word = &words[part.word];
        let new = &bytes[part.bytes];
        let with = |old: u64| {
            let mut all = old.to_ne_bytes();
            all[part.within.clone()].copy_from_slice(new);
            u64::from_ne_bytes(all)
        };
        if new.len() == WORD {
            word.store(with(0), Ordering::Release);
        } else {
            // Someone may write to the word's other bytes meanwhile.
            let _ = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| Some(with(old)));
        }
    }
}

/// Bytes that lie in one word.
struct Part {
    word: usize,
    within: Range<usize>,
    bytes: Range<usize>,
}

/// The words that `len` bytes at `offset` lie in.
fn parts(offset: usize, len: usize) -> impl Iterator<Item = Part> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let left = len - done;
        let start = (offset + done) % WORD;
        let size = left.min(WORD - start);
        let part = (size > 0).then(|| Part {
            word: (offset + done) / WORD,
            within: start..start + size,
            bytes: done..done + size,
        });
        done += size;
        part
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_all_bytes_once() {
        for offset in 0..20 {
            for len in 0..30 {
                let mut next = 0;
                for part in parts(offset, len) {
                    assert_eq!(part.bytes.start, next);
                    assert_eq!(part.bytes.len(), part.within.len());
                    assert_eq!(part.word * 8 + part.within.start, offset + next);
                    assert!(part.within.end <= 8);
                    next = part.bytes.end;
                }
                assert_eq!(next, len);
            }
        }
    }

    #[test]
    fn neighbours_keep_their_bytes() {
        let words = [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)];
        write(&words, 5, &[1, 2, 3, 4]);
        let bytes: Vec<u8> = words
            .iter()
            .flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes())
            .collect();
        let mut expected = [0xff; 16];
        expected[5..9].copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!(bytes, expected);
    }
}
