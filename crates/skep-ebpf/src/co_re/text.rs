//! What a record says, as text that is made while the program is compiled.
//!
//! A type is one of
//!
//! | text | type |
//! |---|---|
//! | `i4` `u8` `b1` `f8` | signed or unsigned integer, `bool`, floating-point number of so many bytes |
//! | `v` | nothing (`void`) |
//! | `*` type | pointer |
//! | `[16]` type | array |
//! | `sNAME;` `nNAME;` | structure, union |
//! | `tNAME;` `yNAME;` | typedef of a structure, of a union without a name |
//! | `e4NAME;` `E4NAME;` | enumeration of so many bytes, signed if `E` |
//! | `SNAME@7;` `NNAME@7;` `TNAME@7;` `YNAME@7;` | one of which all is declared, and which declaration |
//! | `lNAME;` | a type of the program's own |
//! | `(` type types `)` | function: what it returns, what it takes |
//!
//! A path is a type, then fields `.name=` type, elements `#3`, or an enumerator `:NAME=3`.
//! `skep-build` reads it (`rust/finish/record`).

/// Bytes of the longest text.
pub(super) const CAPACITY: usize = 256;

/// A text of at most 256 bytes.
#[derive(Clone, Copy)]
pub struct Text {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Text {
    /// No text yet.
    pub const fn new() -> Self {
        Self {
            bytes: [0; CAPACITY],
            len: 0,
        }
    }

    /// This, then `text`.
    pub const fn str(self, text: &str) -> Self {
        self.slice(text.as_bytes(), text.len())
    }

    /// This, then `other`.
    pub const fn text(self, other: Self) -> Self {
        self.slice(&other.bytes, other.len)
    }

    /// This, then `number`.
    pub const fn number(self, number: usize) -> Self {
        let mut digits = [0; 20];
        let (mut left, mut at) = (number, digits.len());
        loop {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        let (_, digits) = digits.split_at(at);
        self.slice(digits, digits.len())
    }

    /// This, then `number`, which may be negative.
    pub const fn signed(self, number: i128) -> Self {
        let signed = if number < 0 { self.str("-") } else { self };
        signed.number(number.unsigned_abs() as usize)
    }

    /// A number for this text after others, whose number is `seed`: FNV-1a.
    pub const fn hash(self, seed: u64) -> u64 {
        let (mut hash, mut at) = (seed, 0);
        while at < self.len {
            hash = (hash ^ self.bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        hash
    }

    const fn slice(mut self, bytes: &[u8], len: usize) -> Self {
        assert!(
            self.len + len <= CAPACITY,
            "the path of fields is longer than 256 bytes: split it"
        );
        let mut at = 0;
        while at < len {
            self.bytes[self.len] = bytes[at];
            self.len += 1;
            at += 1;
        }
        self
    }

    /// The bytes of it, and more behind them.
    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of it.
    pub(crate) const fn len(self) -> usize {
        self.len
    }

    /// Eight bytes of it, as the number that has them in memory.
    pub(super) const fn word(self, index: usize) -> u64 {
        let mut word = [0; 8];
        let mut at = 0;
        while at < word.len() {
            word[at] = self.bytes[index * 8 + at];
            at += 1;
        }
        u64::from_ne_bytes(word)
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::new()
    }
}
