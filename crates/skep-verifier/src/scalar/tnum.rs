//! Tristate numbers: each bit is zero, one, or not known.
//!
//! A set of numbers is described by the bits that all of them share. Each operation gives a tnum
//! that has all results of the operation on members of its operands, and for most of them the
//! smallest such tnum.

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

    /// The bits that are the same in all numbers from `least` to `most`.
    #[must_use]
    pub const fn range(least: u64, most: u64) -> Self {
        let mask = match (least ^ most).checked_ilog2() {
            None => 0,
            Some(highest) => u64::MAX >> (63 - highest),
        };
        Self {
            value: least & !mask,
            mask,
        }
    }

    /// Whether it may be a number.
    #[must_use]
    pub const fn contains(self, number: u64) -> bool {
        number & !self.mask == self.value
    }

    /// Whether it is known entirely.
    #[must_use]
    pub const fn is_constant(self) -> bool {
        self.mask == 0
    }

    /// The least member.
    #[must_use]
    pub const fn least(self) -> u64 {
        self.value
    }

    /// The greatest member.
    #[must_use]
    pub const fn most(self) -> u64 {
        self.value | self.mask
    }

    /// The least member that is at least `floor`.
    #[must_use]
    pub const fn at_least(self, floor: u64) -> Option<u64> {
        let wrong = (floor & !self.mask) ^ self.value;
        let Some(place) = wrong.checked_ilog2() else {
            return Some(floor);
        };
        // The bits above the first wrong one are as in `floor`, if the member has a one there; else
        // some zero above it must become a one for the member to be greater.
        let below = u64::MAX >> (63 - place);
        if self.value >> place & 1 == 1 {
            return Some(floor & !below | self.value & below);
        }
        let free = !floor & self.mask & !below;
        if free == 0 {
            return None;
        }
        let raised = 1 << free.trailing_zeros();
        Some(floor & !(raised - 1) | raised | self.value & (raised - 1))
    }

    /// The greatest member that is at most `ceiling`.
    #[must_use]
    pub const fn at_most(self, ceiling: u64) -> Option<u64> {
        // The order is reversed by inversion.
        match self.not().at_least(!ceiling) {
            Some(member) => Some(!member),
            None => None,
        }
    }

    /// Of each member, the inverse.
    #[must_use]
    pub const fn not(self) -> Self {
        Self {
            value: !self.value & !self.mask,
            mask: self.mask,
        }
    }

    /// Sums, modulo 2^64.
    #[must_use]
    pub const fn add(self, other: Self) -> Self {
        // Bits in which the sum of the least and of the greatest members differ are those that
        // carries can reach.
        let least = self.value.wrapping_add(other.value);
        let most = least.wrapping_add(self.mask).wrapping_add(other.mask);
        let mask = (least ^ most) | self.mask | other.mask;
        Self {
            value: least & !mask,
            mask,
        }
    }

    /// Differences, modulo 2^64.
    #[must_use]
    pub const fn sub(self, other: Self) -> Self {
        let middle = self.value.wrapping_sub(other.value);
        let most = middle.wrapping_add(self.mask);
        let least = middle.wrapping_sub(other.mask);
        let mask = (least ^ most) | self.mask | other.mask;
        Self {
            value: middle & !mask,
            mask,
        }
    }

    /// Zero minus it.
    #[must_use]
    pub const fn neg(self) -> Self {
        Self::constant(0).sub(self)
    }

    /// Products, modulo 2^64.
    #[must_use]
    pub const fn mul(self, other: Self) -> Self {
        // Fewer unknown bits on the left are fewer unions.
        let (mut left, mut right) = if self.mask.count_ones() > other.mask.count_ones() {
            (other, self)
        } else {
            (self, other)
        };
        let mut product = Self::constant(0);
        while left.most() != 0 && right.most() != 0 {
            if left.value & 1 == 1 {
                product = product.add(right);
            } else if left.mask & 1 == 1 {
                product = product.union(product.add(right));
            }
            left = left.shr(1);
            right = right.shl(1);
        }
        product
    }

    /// The bits that are one in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        let value = self.value & other.value;
        Self {
            value,
            mask: self.most() & other.most() & !value,
        }
    }

    /// The bits that are one in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        let value = self.value | other.value;
        Self {
            value,
            mask: (self.mask | other.mask) & !value,
        }
    }

    /// The bits that are one in just one of them.
    #[must_use]
    pub const fn xor(self, other: Self) -> Self {
        let mask = self.mask | other.mask;
        Self {
            value: (self.value ^ other.value) & !mask,
            mask,
        }
    }

    /// Shifted up. A shift of 64 and more gives zero.
    #[must_use]
    pub const fn shl(self, bits: u32) -> Self {
        if bits >= 64 {
            return Self::constant(0);
        }
        Self {
            value: self.value << bits,
            mask: self.mask << bits,
        }
    }

    /// Shifted down, with zeroes above. A shift of 64 and more gives zero.
    #[must_use]
    pub const fn shr(self, bits: u32) -> Self {
        if bits >= 64 {
            return Self::constant(0);
        }
        Self {
            value: self.value >> bits,
            mask: self.mask >> bits,
        }
    }

    /// Shifted down, with copies of the highest of its `width` bits above them (`width` is 1 to 64,
    /// higher bits of the result are those copies too).
    #[must_use]
    pub const fn sar(self, bits: u32, width: u32) -> Self {
        let up = 64 - width;
        let down = if up + bits > 63 { 63 } else { up + bits };
        Self {
            value: (((self.value << up).cast_signed()) >> down).cast_unsigned(),
            mask: (((self.mask << up).cast_signed()) >> down).cast_unsigned(),
        }
    }

    /// The lowest `width` bits (1 to 64), with zeroes above.
    #[must_use]
    pub const fn truncate(self, width: u32) -> Self {
        let kept = u64::MAX >> (64 - width);
        Self {
            value: self.value & kept,
            mask: self.mask & kept,
        }
    }

    /// The lowest `width` bits (1 to 64), with copies of the highest of them above.
    #[must_use]
    pub const fn sign_extend(self, width: u32) -> Self {
        self.sar(0, width)
    }

    /// The lower 32 bits, with zeroes above.
    #[must_use]
    pub const fn low(self) -> Self {
        self.truncate(32)
    }

    /// The same with other lower 32 bits: those of `low`.
    #[must_use]
    pub const fn with_low(self, low: Self) -> Self {
        const HIGH: u64 = !0 << 32;
        Self {
            value: self.value & HIGH | low.value & !HIGH,
            mask: self.mask & HIGH | low.mask & !HIGH,
        }
    }

    /// The lowest `width` bits (16, 32 or 64) with their bytes in reversed order, and zeroes above.
    #[must_use]
    pub const fn swap_bytes(self, width: u32) -> Self {
        let down = 64 - width;
        Self {
            value: self.value.swap_bytes() >> down,
            mask: self.mask.swap_bytes() >> down,
        }
    }

    /// What is known if both are true of a number; `None` if they contradict each other.
    #[must_use]
    pub const fn intersect(self, other: Self) -> Option<Self> {
        if !self.overlaps(other) {
            return None;
        }
        Some(Self {
            value: self.value | other.value,
            mask: self.mask & other.mask,
        })
    }

    /// Whether some number is a member of both.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        (self.value ^ other.value) & !(self.mask | other.mask) == 0
    }

    /// What is known if one of them is true of a number.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        let mask = self.mask | other.mask | (self.value ^ other.value);
        Self {
            value: self.value & !mask,
            mask,
        }
    }

    /// Whether all its members are members of the other.
    #[must_use]
    pub const fn is_subset_of(self, other: Self) -> bool {
        self.mask & !other.mask == 0 && other.contains(self.value)
    }

    /// Whether all its members are multiples of `size`, a power of two.
    #[must_use]
    pub const fn is_aligned(self, size: u64) -> bool {
        self.most() & size.wrapping_sub(1) == 0
    }
}
