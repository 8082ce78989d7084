//! What is known about a number: bits, and signed and unsigned ranges of all 64 and the lower 32.
//!
//! A [`Scalar`] is the set of numbers that satisfy all five descriptions. They are kept *settled*:
//! what one of them says about another is in the other already ([`Scalar::settle`]). A set without
//! members is [`Scalar::EMPTY`]: no run of the program gets there.
//!
//! `tnum` and `range` are the descriptions, `arithmetic` is what operations make of scalars,
//! `compare` what comparisons say about them.

mod arithmetic;
mod compare;
mod range;
mod tnum;

#[cfg(test)]
mod tests;

pub use tnum::Tnum;

use range::{half, wide};

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

    /// No number at all.
    pub const EMPTY: Self = Self {
        bits: Tnum::UNKNOWN,
        smin: i64::MAX,
        smax: i64::MIN,
        umin: u64::MAX,
        umax: 0,
        s32_min: i32::MAX,
        s32_max: i32::MIN,
        u32_min: u32::MAX,
        u32_max: 0,
    };

    /// Zero.
    pub const ZERO: Self = Self::constant(0);

    /// A constant.
    #[must_use]
    pub const fn constant(value: u64) -> Self {
        Self::from_parts(
            Tnum::constant(value),
            wide::Range::constant(value),
            half::Range::constant(value as u32),
        )
    }

    /// The numbers from `least` to `most`.
    #[must_use]
    pub fn unsigned(least: u64, most: u64) -> Self {
        Self::UNKNOWN.with_wide(wide::Range::unsigned(least, most))
    }

    /// The numbers from `least` to `most`, which are signed.
    #[must_use]
    pub fn signed(least: i64, most: i64) -> Self {
        Self::UNKNOWN.with_wide(wide::Range::signed(least, most))
    }

    /// The numbers that have bits.
    #[must_use]
    pub fn of_bits(bits: Tnum) -> Self {
        Self {
            bits,
            ..Self::UNKNOWN
        }
        .settle()
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

    /// The value of its lower half, if there is but one.
    #[must_use]
    pub const fn as_constant32(&self) -> Option<u32> {
        if self.u32_min == self.u32_max {
            Some(self.u32_min)
        } else {
            None
        }
    }

    /// Whether nothing at all is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::UNKNOWN
    }

    /// Whether it has no value: what is known contradicts itself, so no run gets there.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.umin > self.umax
    }

    /// Whether it may have a value.
    #[must_use]
    pub fn contains(&self, value: u64) -> bool {
        self.bits.contains(value)
            && self.wide().contains(value)
            && self.half().contains(value as u32)
    }

    /// Whether all its values are values of the other.
    #[must_use]
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.is_empty()
            || other.umin <= self.umin
                && self.umax <= other.umax
                && other.smin <= self.smin
                && self.smax <= other.smax
                && other.u32_min <= self.u32_min
                && self.u32_max <= other.u32_max
                && other.s32_min <= self.s32_min
                && self.s32_max <= other.s32_max
                && self.bits.is_subset_of(other.bits)
    }

    /// What is known if either is true.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        if self.is_empty() {
            return *other;
        }
        if other.is_empty() {
            return *self;
        }
        Self::from_parts(
            self.bits.union(other.bits),
            self.wide().union(other.wide()),
            self.half().union(other.half()),
        )
    }

    /// What is known if both are true.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        let Some(bits) = self.bits.intersect(other.bits) else {
            return Self::EMPTY;
        };
        Self::from_parts(
            bits,
            self.wide().intersect(other.wide()),
            self.half().intersect(other.half()),
        )
        .settle()
    }

    /// The same, known to be from `least` to `most` too.
    #[must_use]
    pub fn within_unsigned(&self, least: u64, most: u64) -> Self {
        self.with_wide(wide::Range::unsigned(least, most))
    }

    /// The same, known to be from `least` to `most`, signed, too.
    #[must_use]
    pub fn within_signed(&self, least: i64, most: i64) -> Self {
        self.with_wide(wide::Range::signed(least, most))
    }

    /// The same with a lower half that is known.
    #[must_use]
    pub fn with_constant_half(&self, low: u32) -> Self {
        let bits = self.bits.with_low(Tnum::constant(low.into()));
        Self::from_parts(bits, self.wide(), half::Range::constant(low)).settle()
    }

    const fn wide(&self) -> wide::Range {
        wide::Range {
            umin: self.umin,
            umax: self.umax,
            smin: self.smin,
            smax: self.smax,
        }
    }

    const fn half(&self) -> half::Range {
        half::Range {
            umin: self.u32_min,
            umax: self.u32_max,
            smin: self.s32_min,
            smax: self.s32_max,
        }
    }

    const fn from_parts(bits: Tnum, wide: wide::Range, half: half::Range) -> Self {
        Self {
            bits,
            smin: wide.smin,
            smax: wide.smax,
            umin: wide.umin,
            umax: wide.umax,
            s32_min: half.smin,
            s32_max: half.smax,
            u32_min: half.umin,
            u32_max: half.umax,
        }
    }

    fn with_wide(&self, range: wide::Range) -> Self {
        Self::from_parts(self.bits, self.wide().intersect(range), self.half()).settle()
    }

    fn with_half(&self, range: half::Range) -> Self {
        Self::from_parts(self.bits, self.wide(), self.half().intersect(range)).settle()
    }

    /// Tells each description what the others say, until nothing new comes of it or it is known
    /// well enough. The set stays the same; only its description gets tighter.
    #[must_use]
    pub fn settle(self) -> Self {
        const ROUNDS: usize = 4;
        let (mut bits, mut wide, mut half) = (self.bits, self.wide(), self.half());
        for _ in 0..ROUNDS {
            let before = (bits, wide, half);
            wide = wide_of_bits(wide, bits).settle();
            half = half_of_bits(half, bits).settle();
            if wide.is_empty() || half.is_empty() {
                return Self::EMPTY;
            }
            half = half_of_wide(half, wide).settle();
            wide = wide_of_half(wide, half).settle();
            if wide.is_empty() || half.is_empty() {
                return Self::EMPTY;
            }
            let low = Tnum::range(half.umin.into(), half.umax.into());
            let told = bits
                .intersect(Tnum::range(wide.umin, wide.umax))
                .and_then(|bits| bits.intersect(Tnum::UNKNOWN.with_low(low)));
            match told {
                Some(told) => bits = told,
                None => return Self::EMPTY,
            }
            if (bits, wide, half) == before {
                break;
            }
        }
        Self::from_parts(bits, wide, half)
    }
}

/// The ends of a range moved to the nearest numbers that have the bits.
fn wide_of_bits(range: wide::Range, bits: Tnum) -> wide::Range {
    const SIGN: u64 = 1 << 63;
    // Signed order is unsigned order with the sign bit inverted.
    let flipped = bits.xor(Tnum::constant(SIGN));
    let ends = (
        bits.at_least(range.umin),
        bits.at_most(range.umax),
        flipped.at_least(range.smin.cast_unsigned() ^ SIGN),
        flipped.at_most(range.smax.cast_unsigned() ^ SIGN),
    );
    let (Some(umin), Some(umax), Some(smin), Some(smax)) = ends else {
        return wide::Range::EMPTY;
    };
    wide::Range {
        umin,
        umax,
        smin: (smin ^ SIGN).cast_signed(),
        smax: (smax ^ SIGN).cast_signed(),
    }
}

/// As [`wide_of_bits`], for the lower half.
fn half_of_bits(range: half::Range, bits: Tnum) -> half::Range {
    const SIGN: u32 = 1 << 31;
    let bits = bits.low();
    let flipped = bits.xor(Tnum::constant(SIGN.into()));
    let ends = (
        bits.at_least(range.umin.into()),
        bits.at_most(range.umax.into()),
        flipped.at_least((range.smin.cast_unsigned() ^ SIGN).into()),
        flipped.at_most((range.smax.cast_unsigned() ^ SIGN).into()),
    );
    let (Some(umin), Some(umax), Some(smin), Some(smax)) = ends else {
        return half::Range::EMPTY;
    };
    // All of them lie below 2^32: no bit above is set in `bits`.
    half::Range {
        umin: umin as u32,
        umax: umax as u32,
        smin: (smin as u32 ^ SIGN).cast_signed(),
        smax: (smax as u32 ^ SIGN).cast_signed(),
    }
}

/// What a range of 64 bits says about the lower half: a range that is not as long as the half is
/// wide goes round it less than once.
fn half_of_wide(half: half::Range, wide: wide::Range) -> half::Range {
    let mut told = half;
    for (least, most) in [
        (wide.umin, wide.umax),
        (wide.smin.cast_unsigned(), wide.smax.cast_unsigned()),
    ] {
        if most.wrapping_sub(least) > u64::from(u32::MAX) {
            continue;
        }
        let (low, high) = (least as u32, most as u32);
        if low <= high {
            told.umin = told.umin.max(low);
            told.umax = told.umax.min(high);
        }
        if low.cast_signed() <= high.cast_signed() {
            told.smin = told.smin.max(low.cast_signed());
            told.smax = told.smax.min(high.cast_signed());
        }
    }
    told
}

/// What the lower half says about a range of 64 bits: its ends move to the nearest numbers with such
/// a lower half.
fn wide_of_half(wide: wide::Range, half: half::Range) -> wide::Range {
    const LOW: u64 = 0xffff_ffff;
    let (least, most) = (u64::from(half.umin), u64::from(half.umax));
    let mut told = wide;
    let up = |number: u64, above: Option<u64>| match number & LOW {
        low if low < least => Some(number & !LOW | least),
        low if low > most => above.map(|above| above & !LOW | least),
        _ => Some(number),
    };
    let down = |number: u64, below: Option<u64>| match number & LOW {
        low if low > most => Some(number & !LOW | most),
        low if low < least => below.map(|below| below & !LOW | most),
        _ => Some(number),
    };
    const STEP: u64 = LOW + 1;
    let signed = |number: Option<i64>| number.map(i64::cast_unsigned);
    let ends = (
        up(wide.umin, wide.umin.checked_add(STEP)),
        down(wide.umax, wide.umax.checked_sub(STEP)),
        up(
            wide.smin.cast_unsigned(),
            signed(wide.smin.checked_add(STEP.cast_signed())),
        ),
        down(
            wide.smax.cast_unsigned(),
            signed(wide.smax.checked_sub(STEP.cast_signed())),
        ),
    );
    let (Some(umin), Some(umax), Some(smin), Some(smax)) = ends else {
        return wide::Range::EMPTY;
    };
    told.umin = told.umin.max(umin);
    told.umax = told.umax.min(umax);
    told.smin = told.smin.max(smin.cast_signed());
    told.smax = told.smax.min(smax.cast_signed());
    // A number that is its sign-extended lower half has the signed bounds of that.
    if told.smin >= i32::MIN.into() && told.smax <= i32::MAX.into() {
        told.smin = told.smin.max(half.smin.into());
        told.smax = told.smax.min(half.smax.into());
    }
    told
}
