//! Records of what is declared: texts, each with a zero byte behind it.
//!
//! | text | says |
//! |---|---|
//! | `kfunc`, `ksym` or `kconfig` | what it is |
//! | `weak` or nothing | whether it may be missing |
//! | a name | the kernel's |
//! | a type | as in the records of CO-RE (`co_re/text.rs`); of a function, what it gives |
//! | a name and a type, for each parameter | of a function |
//! | nothing | the end |
//!
//! They are in the section `.skep.extern`, which `skep build` (`rust/finish/record`) makes BTF of.

use crate::co_re::hidden::KernelType;

/// Bytes of the longest record: a function has at most 12 parameters or so.
const CAPACITY: usize = 2048;

/// A record in the making.
#[derive(Clone, Copy)]
pub struct Record {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Record {
    /// No text yet.
    #[allow(clippy::new_without_default)]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; CAPACITY],
            len: 0,
        }
    }

    /// This, then a text.
    #[must_use]
    pub const fn text(self, text: &str) -> Self {
        self.bytes_of(text.as_bytes(), text.len())
    }

    /// This, then a type.
    #[must_use]
    pub const fn of<T: KernelType>(self) -> Self {
        self.bytes_of(T::TEXT.as_bytes(), T::TEXT.len())
    }

    const fn bytes_of(mut self, bytes: &[u8], len: usize) -> Self {
        assert!(
            self.len + len + 2 <= CAPACITY,
            "the declaration is too long for its record"
        );
        let mut at = 0;
        while at < len {
            self.bytes[self.len] = bytes[at];
            self.len += 1;
            at += 1;
        }
        self.len += 1;
        self
    }

    /// Bytes of it, with its end.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.len + 1
    }

    /// It, for a section.
    #[must_use]
    pub const fn bytes<const LEN: usize>(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        let mut at = 0;
        while at < LEN {
            bytes[at] = self.bytes[at];
            at += 1;
        }
        bytes
    }
}
