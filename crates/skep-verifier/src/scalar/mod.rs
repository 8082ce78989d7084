//! What is known about a number: bits, and signed and unsigned ranges of all 64 and the lower 32.

mod tnum;

pub use tnum::Tnum;

use skep_isa::{AluOp, CompareOp, Width};

/// What is known about a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scalar {
    /// The bits that are known.
    pub bits: Tnum,
    /// The least it can be as a signed number.
    pub smin: i64,
    /// The most it can be as a signed number.
    pub smax: i64,
    /// The least it can be.
    pub umin: u64,
    /// The most it can be.
    pub umax: u64,
    /// The least its lower half can be as a signed number.
    pub s32_min: i32,
    /// The most its lower half can be as a signed number.
    pub s32_max: i32,
    /// The least its lower half can be.
    pub u32_min: u32,
    /// The most its lower half can be.
    pub u32_max: u32,
}

impl Scalar {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        bits: Tnum::UNKNOWN,
        smin: i64::MIN,
        smax: i64::MAX,
        umin: 0,
        umax: u64::MAX,
        s32_min: i32::MIN,
        s32_max: i32::MAX,
        u32_min: 0,
        u32_max: u32::MAX,
    };

    /// Zero.
    pub const ZERO: Self = Self::constant(0);

    /// A constant.
    #[must_use]
    pub const fn constant(value: u64) -> Self {
        Self {
            bits: Tnum::constant(value),
            smin: value.cast_signed(),
            smax: value.cast_signed(),
            umin: value,
            umax: value,
            s32_min: value as i32,
            s32_max: value as i32,
            u32_min: value as u32,
            u32_max: value as u32,
        }
    }

    /// The value, if there is but one.
    #[must_use]
    pub const fn as_constant(&self) -> Option<u64> {
        if self.bits.mask == 0 {
            Some(self.bits.value)
        } else {
            None
        }
    }

    /// Whether it may have a value.
    #[must_use]
    pub fn contains(&self, value: u64) -> bool {
        let (signed, low) = (value.cast_signed(), value as u32);
        self.bits.contains(value)
            && (self.umin..=self.umax).contains(&value)
            && (self.smin..=self.smax).contains(&signed)
            && (self.u32_min..=self.u32_max).contains(&low)
            && (self.s32_min..=self.s32_max).contains(&low.cast_signed())
    }

    /// What an operation makes of two numbers. Of 32 bits: the upper half becomes zero.
    #[must_use]
    pub fn alu(op: AluOp, width: Width, left: &Self, right: &Self) -> Self {
        let _ = (op, width, left, right);
        Self::UNKNOWN
    }

    /// Whether a comparison holds, if that is certain.
    #[must_use]
    pub fn compare(op: CompareOp, width: Width, left: &Self, right: &Self) -> Option<bool> {
        let _ = (op, width, left, right);
        None
    }
}
