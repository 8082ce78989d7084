//! Tristate numbers: each bit is zero, one, or not known.

/// A number of which some bits are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tnum {
    /// The bits that are known to be one.
    pub value: u64,
    /// The bits that are not known.
    pub mask: u64,
}

impl Tnum {
    /// No bit is known.
    pub const UNKNOWN: Self = Self {
        value: 0,
        mask: u64::MAX,
    };

    /// All bits are known.
    #[must_use]
    pub const fn constant(value: u64) -> Self {
        Self { value, mask: 0 }
    }

    /// Whether it may be a number.
    #[must_use]
    pub const fn contains(self, number: u64) -> bool {
        number & !self.mask == self.value
    }
}
