//! The registers that programs name, and the places of arguments that don't fit in them.

use std::fmt;

/// A register that programs can name: `r0` (the result), `r1` to `r5` (arguments), `r6` to `r9`
/// (kept over calls), `r10` (the read-only frame pointer).
///
/// `r11`, the base of arguments on the stack, is no general register: see [`StackArg`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "r0 to r10, described above")]
#[doc(alias = "BPF_REG_0")]
pub enum Reg {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
}

impl Reg {
    /// The read-only frame pointer.
    #[doc(alias = "BPF_REG_FP")]
    pub const FP: Self = Self::R10;

    /// All registers, by number.
    pub const ALL: [Self; 11] = [
        Self::R0,
        Self::R1,
        Self::R2,
        Self::R3,
        Self::R4,
        Self::R5,
        Self::R6,
        Self::R7,
        Self::R8,
        Self::R9,
        Self::R10,
    ];

    /// The register of this number; `None` above 10.
    pub const fn new(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::R0,
            1 => Self::R1,
            2 => Self::R2,
            3 => Self::R3,
            4 => Self::R4,
            5 => Self::R5,
            6 => Self::R6,
            7 => Self::R7,
            8 => Self::R8,
            9 => Self::R9,
            10 => Self::R10,
            _ => return None,
        })
    }

    /// The register's number, 0 to 10.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.number())
    }
}

/// An argument beyond the fifth, passed on the stack (Linux 7.2): a caller stores it below `r11`
/// before the call, the callee loads it from above `r11`.
///
/// The kernel takes 12 arguments in all, so indices 0 to 6; encodings exist up to
/// [`StackArg::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[doc(alias = "BPF_REG_PARAMS")]
pub struct StackArg(u16);

impl StackArg {
    /// The last index that an offset can express.
    pub const MAX: u16 = 4094;

    /// The stack argument of this index: 0 is the sixth argument. `None` above [`StackArg::MAX`].
    pub const fn new(index: u16) -> Option<Self> {
        if index <= Self::MAX {
            Some(Self(index))
        } else {
            None
        }
    }

    /// Which stack argument: 0 is the sixth argument.
    pub const fn index(self) -> u16 {
        self.0
    }

    /// The offset from `r11` where the callee loads it: 8, 16, …
    pub const fn load_offset(self) -> i16 {
        self.0.saturating_add(1).saturating_mul(8).cast_signed()
    }

    /// The offset from `r11` where the caller stores it: -8, -16, …
    pub const fn store_offset(self) -> i16 {
        self.load_offset().saturating_neg()
    }

    /// The stack argument loaded from this offset, if it is a positive multiple of 8.
    pub const fn from_load_offset(offset: i16) -> Option<Self> {
        if offset > 0 && offset & 7 == 0 {
            Self::new((offset.cast_unsigned() >> 3).saturating_sub(1))
        } else {
            None
        }
    }

    /// The stack argument stored at this offset, if it is a negative multiple of 8.
    pub const fn from_store_offset(offset: i16) -> Option<Self> {
        match offset.checked_neg() {
            Some(offset) => Self::from_load_offset(offset),
            None => None,
        }
    }
}
