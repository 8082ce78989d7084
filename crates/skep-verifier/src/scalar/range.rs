//! Signed and unsigned ranges of numbers of one width, and what operations make of them.
//!
//! One macro writes them for 64 and 32 bits, and for 8 bits for the tests, which can then try all
//! members.

macro_rules! ranges {
    ($module:ident, $unsigned:ident, $signed:ident) => {
        pub(super) mod $module {
            pub(crate) const BITS: u32 = $unsigned::BITS;

            /// What is known about a number: its unsigned and its signed bounds.
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub(crate) struct Range {
                pub(crate) umin: $unsigned,
                pub(crate) umax: $unsigned,
                pub(crate) smin: $signed,
                pub(crate) smax: $signed,
            }

            impl Range {
                pub(crate) const FULL: Self = Self {
                    umin: 0,
                    umax: $unsigned::MAX,
                    smin: $signed::MIN,
                    smax: $signed::MAX,
                };

                pub(crate) const EMPTY: Self = Self {
                    umin: $unsigned::MAX,
                    umax: 0,
                    smin: $signed::MAX,
                    smax: $signed::MIN,
                };

                pub(crate) const fn constant(value: $unsigned) -> Self {
                    Self {
                        umin: value,
                        umax: value,
                        smin: value.cast_signed(),
                        smax: value.cast_signed(),
                    }
                }

                pub(crate) fn unsigned(umin: $unsigned, umax: $unsigned) -> Self {
                    Self {
                        umin,
                        umax,
                        ..Self::FULL
                    }
                }

                pub(crate) fn signed(smin: $signed, smax: $signed) -> Self {
                    Self {
                        smin,
                        smax,
                        ..Self::FULL
                    }
                }

                pub(crate) const fn is_empty(self) -> bool {
                    self.umin > self.umax || self.smin > self.smax
                }

                pub(crate) fn contains(self, number: $unsigned) -> bool {
                    (self.umin..=self.umax).contains(&number)
                        && (self.smin..=self.smax).contains(&number.cast_signed())
                }

                pub(crate) fn intersect(self, other: Self) -> Self {
                    Self {
                        umin: self.umin.max(other.umin),
                        umax: self.umax.min(other.umax),
                        smin: self.smin.max(other.smin),
                        smax: self.smax.min(other.smax),
                    }
                }

                pub(crate) fn union(self, other: Self) -> Self {
                    Self {
                        umin: self.umin.min(other.umin),
                        umax: self.umax.max(other.umax),
                        smin: self.smin.min(other.smin),
                        smax: self.smax.max(other.smax),
                    }
                }

                /// Makes the unsigned and the signed bounds agree. The result is empty if no number
                /// has both.
                #[inline]
                pub(crate) fn settle(self) -> Self {
                    // The unsigned bounds cut at the sign bit are two signed ranges, of numbers that
                    // are not negative and that are; each is met with the signed bounds.
                    const TOP: $unsigned = $unsigned::MAX >> 1;
                    if self.is_empty() {
                        return Self::EMPTY;
                    }
                    let positive = (
                        self.umin.max(self.smin.max(0).cast_unsigned()),
                        // Where `smax` is negative, there are none: the range is from 0 at the
                        // least to "-1".
                        self.umax.min(TOP),
                    );
                    let positive = if self.smax < 0 {
                        (1, 0)
                    } else {
                        (positive.0, positive.1.min(self.smax.cast_unsigned()))
                    };
                    let negative = if self.smin >= 0 {
                        (1, 0)
                    } else {
                        (
                            self.umin.max(self.smin.cast_unsigned()),
                            self.umax.min(self.smax.min(-1).cast_unsigned()),
                        )
                    };
                    match (positive.0 <= positive.1, negative.0 <= negative.1) {
                        (false, false) => Self::EMPTY,
                        (true, false) => Self {
                            umin: positive.0,
                            umax: positive.1,
                            smin: positive.0.cast_signed(),
                            smax: positive.1.cast_signed(),
                        },
                        (false, true) => Self {
                            umin: negative.0,
                            umax: negative.1,
                            smin: negative.0.cast_signed(),
                            smax: negative.1.cast_signed(),
                        },
                        (true, true) => Self {
                            umin: positive.0,
                            umax: negative.1,
                            smin: negative.0.cast_signed(),
                            smax: positive.1.cast_signed(),
                        },
                    }
                }

                pub(crate) fn add(self, other: Self) -> Self {
                    let (umin, low) = self.umin.overflowing_add(other.umin);
                    let (umax, high) = self.umax.overflowing_add(other.umax);
                    let mut result = Self::FULL;
                    // If both ends wrap around, or none, the numbers between them do the same.
                    if low == high {
                        (result.umin, result.umax) = (umin, umax);
                    }
                    let (smin, low) = self.smin.overflowing_add(other.smin);
                    let (smax, high) = self.smax.overflowing_add(other.smax);
                    if low == high && (!low || (self.smin < 0) == (self.smax < 0)) {
                        (result.smin, result.smax) = (smin, smax);
                    }
                    result
                }

                pub(crate) fn sub(self, other: Self) -> Self {
                    let (umin, low) = self.umin.overflowing_sub(other.umax);
                    let (umax, high) = self.umax.overflowing_sub(other.umin);
                    let mut result = Self::FULL;
                    if low == high {
                        (result.umin, result.umax) = (umin, umax);
                    }
                    let (smin, low) = self.smin.overflowing_sub(other.smax);
                    let (smax, high) = self.smax.overflowing_sub(other.smin);
                    if low == high && (!low || (self.smin < 0) == (self.smax < 0)) {
                        (result.smin, result.smax) = (smin, smax);
                    }
                    result
                }

                pub(crate) fn mul(self, other: Self) -> Self {
                    let mut result = Self::FULL;
                    if let Some(umax) = self.umax.checked_mul(other.umax) {
                        // The lower end is not above the upper one.
                        (result.umin, result.umax) = (self.umin.wrapping_mul(other.umin), umax);
                    }
                    let corners = [
                        self.smin.checked_mul(other.smin),
                        self.smin.checked_mul(other.smax),
                        self.smax.checked_mul(other.smin),
                        self.smax.checked_mul(other.smax),
                    ];
                    if let [Some(a), Some(b), Some(c), Some(d)] = corners {
                        result.smin = a.min(b).min(c).min(d);
                        result.smax = a.max(b).max(c).max(d);
                    }
                    result
                }

                /// What the signed bounds say about the bits that both have. (What the unsigned ones
                /// say is in the tnums.)
                pub(crate) fn and(self, other: Self) -> Self {
                    let mut result = Self::unsigned(0, self.umax.min(other.umax));
                    // With a number that is not negative, the result is between zero and it. Of two
                    // negative ones, leading ones that both have stay.
                    result.smax = self.smax.max(other.smax);
                    result.smin = if self.smin >= 0 || other.smin >= 0 {
                        0
                    } else {
                        negative_floor(self.smin.min(other.smin))
                    };
                    result
                }

                /// As [`and`](Self::and).
                pub(crate) fn or(self, other: Self) -> Self {
                    let mut result = Self::unsigned(self.umin.max(other.umin), $unsigned::MAX);
                    result.smin = self.smin.min(other.smin);
                    result.smax = if self.smax < 0 || other.smax < 0 {
                        -1
                    } else {
                        !negative_floor(!self.smax.max(other.smax))
                    };
                    result
                }

                /// As [`and`](Self::and).
                pub(crate) fn xor(self, other: Self) -> Self {
                    // Both lie in some -2^n to 2^n - 1, and so does what comes out.
                    let deep = !self.smin.min(other.smin).min(-1);
                    let high = self.smax.max(other.smax).max(0);
                    let floor = negative_floor(!deep.max(high));
                    Self::signed(floor, !floor)
                }

                /// Shifted up by one of the amounts from `least` to `most`, below the width.
                pub(crate) fn shl(self, least: u32, most: u32) -> Self {
                    let mut result = Self::FULL;
                    if self.umax <= $unsigned::MAX >> most {
                        (result.umin, result.umax) = (self.umin << least, self.umax << most);
                    }
                    if self.smin >= $signed::MIN >> most && self.smax <= $signed::MAX >> most {
                        result.smin = self.smin << if self.smin < 0 { most } else { least };
                        result.smax = self.smax << if self.smax < 0 { least } else { most };
                    }
                    result
                }

                /// Shifted down, as [`shl`](Self::shl).
                pub(crate) fn shr(self, least: u32, most: u32) -> Self {
                    Self::unsigned(self.umin >> most, self.umax >> least)
                }

                /// Shifted down with copies of the sign, as [`shl`](Self::shl).
                pub(crate) fn sar(self, least: u32, most: u32) -> Self {
                    Self::signed(
                        self.smin >> if self.smin < 0 { least } else { most },
                        self.smax >> if self.smax < 0 { most } else { least },
                    )
                }

                /// Quotients of unsigned numbers. Division by zero gives zero.
                pub(crate) fn div(self, other: Self) -> Self {
                    let umin = self.umin.checked_div(other.umax).unwrap_or(0);
                    let umax = if other.umax == 0 {
                        0
                    } else {
                        self.umax / other.umin.max(1)
                    };
                    Self::unsigned(if other.umin == 0 { 0 } else { umin }, umax)
                }

                /// Remainders of unsigned numbers. Division by zero leaves all of the number.
                pub(crate) fn rem(self, other: Self) -> Self {
                    if other.umax == 0 || self.umax < other.umin {
                        return self;
                    }
                    if other.umin == other.umax && self.umin / other.umin == self.umax / other.umin
                    {
                        return Self::unsigned(self.umin % other.umin, self.umax % other.umin);
                    }
                    let umax = if other.umin == 0 {
                        self.umax
                    } else {
                        self.umax.min(other.umax - 1)
                    };
                    Self::unsigned(0, umax)
                }

                /// Quotients of signed numbers, towards zero. Division by zero gives zero, and the
                /// least number divided by -1 itself.
                pub(crate) fn sdiv(self, other: Self) -> Self {
                    if self.smin == $signed::MIN && other.smin <= -1 && other.smax >= -1 {
                        return Self::FULL;
                    }
                    let mut result: Option<Self> = None;
                    let mut add = |smin: $signed, smax: $signed| {
                        let part = Self::signed(smin, smax);
                        result = Some(result.map_or(part, |result| result.union(part)));
                    };
                    if other.smin <= 0 && other.smax >= 0 {
                        add(0, 0);
                    }
                    for (from, to) in [
                        (other.smin, other.smax.min(-1)),
                        (other.smin.max(1), other.smax),
                    ] {
                        if from > to {
                            continue;
                        }
                        let corners = [
                            self.smin.wrapping_div(from),
                            self.smin.wrapping_div(to),
                            self.smax.wrapping_div(from),
                            self.smax.wrapping_div(to),
                        ];
                        let [a, b, c, d] = corners;
                        add(a.min(b).min(c).min(d), a.max(b).max(c).max(d));
                    }
                    result.unwrap_or(Self::FULL)
                }

                /// Remainders of signed numbers, with the sign of the number. Division by zero leaves
                /// all of it.
                pub(crate) fn srem(self, other: Self) -> Self {
                    if other.smin == 0 && other.smax == 0 {
                        return self;
                    }
                    // The remainder is nearer to zero than the divisor, and no farther from it than
                    // the number.
                    let zero = other.smin <= 0 && other.smax >= 0;
                    let farthest = other.smin.unsigned_abs().max(other.smax.unsigned_abs());
                    let most = if zero {
                        $signed::MAX
                    } else {
                        // The divisor is not zero: its size is at least one, and one less than its
                        // size fits.
                        (farthest - 1).cast_signed()
                    };
                    let nearest = other.smin.unsigned_abs().min(other.smax.unsigned_abs());
                    if !zero
                        && self.smin.unsigned_abs() < nearest
                        && self.smax.unsigned_abs() < nearest
                    {
                        return self;
                    }
                    let smin = if zero {
                        self.smin.min(0)
                    } else {
                        self.smin.clamp(-most, 0)
                    };
                    Self::signed(smin, self.smax.clamp(0, most))
                }
            }

            /// The greatest -2^n that is not above a number (as if it were negative).
            fn negative_floor(number: $signed) -> $signed {
                match (!number).checked_ilog2() {
                    _ if number >= 0 => 0,
                    None => -1,
                    Some(highest) => !($signed::MAX >> (BITS - 2 - highest)),
                }
            }
        }
    };
}

ranges!(wide, u64, i64);
ranges!(half, u32, i32);
#[cfg(test)]
ranges!(byte, u8, i8);
