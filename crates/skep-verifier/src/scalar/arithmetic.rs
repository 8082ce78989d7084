//! What operations make of scalars.

use skep_isa::{AluOp, Width};

use super::{
    Scalar, Tnum,
    range::{half, wide},
};

impl Scalar {
    /// What an operation makes of two numbers. Of 32 bits: the upper half becomes zero.
    ///
    /// Division by zero gives zero, and the remainder of it is the number itself. Shifts by the
    /// width and more are different on different machines: nothing is known about what they give.
    #[must_use]
    pub fn alu(op: AluOp, width: Width, left: &Self, right: &Self) -> Self {
        if left.is_empty() || right.is_empty() {
            return Self::EMPTY;
        }
        if let (Some(a), Some(b)) = (left.constant_in(width), right.constant_in(width))
            && let Some(result) = evaluate(op, width, a, b)
        {
            return Self::constant(result);
        }
        match width {
            Width::W64 => alu64(op, left, right),
            Width::W32 => alu32(op, left, right),
        }
    }

    /// Zero minus it. Of 32 bits: the upper half becomes zero.
    #[must_use]
    pub fn neg(&self, width: Width) -> Self {
        Self::alu(AluOp::Sub, width, &Self::ZERO, self)
    }

    /// The lowest `bits` bits (8, 16, 32 or 64), with zeroes above: what a load of so many bits of it
    /// gives.
    #[must_use]
    pub fn truncate(&self, bits: u32) -> Self {
        if bits >= 64 || self.is_empty() {
            return *self;
        }
        let kept = u64::MAX >> (64 - bits);
        let mut wide = wide::Range::unsigned(0, kept);
        for (least, most) in self.spans() {
            let (low, high) = (least & kept, most & kept);
            if most.wrapping_sub(least) <= kept && low <= high {
                wide.umin = wide.umin.max(low);
                wide.umax = wide.umax.min(high);
            }
        }
        Self::from_parts(self.bits.truncate(bits), wide, half::Range::FULL).settle()
    }

    /// The lower 32 bits, with zeroes above.
    #[must_use]
    pub fn zero_extend(&self) -> Self {
        if self.umax <= u32::MAX.into() {
            return *self;
        }
        self.truncate(32)
    }

    /// The lowest `bits` bits (8, 16, 32 or 64), with copies of the highest of them above, up to a
    /// width, and zeroes above that.
    #[must_use]
    pub fn sign_extend(&self, bits: u32, width: Width) -> Self {
        if self.is_empty() {
            return *self;
        }
        let extended = self.sign_extend64(bits);
        match width {
            Width::W64 => extended,
            Width::W32 => extended.zero_extend(),
        }
    }

    fn sign_extend64(&self, bits: u32) -> Self {
        if bits >= 64 {
            return *self;
        }
        let up = 64 - bits;
        let extend = |number: u64| (number << up).cast_signed() >> up;
        let mut wide = wide::Range::signed(i64::MIN >> up, i64::MAX >> up);
        for (least, most) in self.spans() {
            let (low, high) = (extend(least), extend(most));
            if most.wrapping_sub(least) <= u64::MAX >> up && low <= high {
                wide.smin = wide.smin.max(low);
                wide.smax = wide.smax.min(high);
            }
        }
        Self::from_parts(self.bits.sign_extend(bits), wide, half::Range::FULL).settle()
    }

    /// The lowest `bits` bits (16, 32 or 64) with their bytes in reversed order, and zeroes above.
    #[must_use]
    pub fn swap_bytes(&self, bits: u32) -> Self {
        if self.is_empty() {
            return *self;
        }
        Self::of_bits(self.bits.swap_bytes(bits))
    }

    /// The ranges of numbers, going up from the first to the second and perhaps over the top, of
    /// which each has all values, as far as the lower half is concerned for the latter two.
    fn spans(&self) -> [(u64, u64); 4] {
        [
            (self.umin, self.umax),
            (self.smin.cast_unsigned(), self.smax.cast_unsigned()),
            (self.u32_min.into(), self.u32_max.into()),
            (
                i64::from(self.s32_min).cast_unsigned(),
                i64::from(self.s32_max).cast_unsigned(),
            ),
        ]
    }

    fn constant_in(&self, width: Width) -> Option<u64> {
        match width {
            Width::W64 => self.as_constant(),
            Width::W32 => self.as_constant32().map(u64::from),
        }
    }

    /// A number below 2^32, from what is known about its lower half.
    fn of_half(bits: Tnum, half: half::Range) -> Self {
        let wide = wide::Range::unsigned(half.umin.into(), half.umax.into());
        Self::from_parts(bits.low(), wide, half).settle()
    }
}

/// What an operation makes of two numbers; `None` for shifts that are not the same on all machines.
pub(super) fn evaluate(op: AluOp, width: Width, left: u64, right: u64) -> Option<u64> {
    let (a, b) = (left as u32, right as u32);
    let (sa, sb) = (a.cast_signed(), b.cast_signed());
    let (sleft, sright) = (left.cast_signed(), right.cast_signed());
    if width == Width::W32 {
        let result = match op {
            AluOp::Add => a.wrapping_add(b),
            AluOp::Sub => a.wrapping_sub(b),
            AluOp::Mul => a.wrapping_mul(b),
            AluOp::Div => a.checked_div(b).unwrap_or(0),
            AluOp::SDiv if b == 0 => 0,
            AluOp::SDiv => sa.wrapping_div(sb).cast_unsigned(),
            AluOp::Mod => a.checked_rem(b).unwrap_or(a),
            AluOp::SMod if b == 0 => a,
            AluOp::SMod => sa.wrapping_rem(sb).cast_unsigned(),
            AluOp::Or => a | b,
            AluOp::And => a & b,
            AluOp::Xor => a ^ b,
            AluOp::Lsh => a.checked_shl(b)?,
            AluOp::Rsh => a.checked_shr(b)?,
            AluOp::Arsh => sa.checked_shr(b)?.cast_unsigned(),
        };
        return Some(result.into());
    }
    let amount = u32::try_from(right).ok();
    Some(match op {
        AluOp::Add => left.wrapping_add(right),
        AluOp::Sub => left.wrapping_sub(right),
        AluOp::Mul => left.wrapping_mul(right),
        AluOp::Div => left.checked_div(right).unwrap_or(0),
        AluOp::SDiv if right == 0 => 0,
        AluOp::SDiv => sleft.wrapping_div(sright).cast_unsigned(),
        AluOp::Mod => left.checked_rem(right).unwrap_or(left),
        AluOp::SMod if right == 0 => left,
        AluOp::SMod => sleft.wrapping_rem(sright).cast_unsigned(),
        AluOp::Or => left | right,
        AluOp::And => left & right,
        AluOp::Xor => left ^ right,
        AluOp::Lsh => left.checked_shl(amount?)?,
        AluOp::Rsh => left.checked_shr(amount?)?,
        AluOp::Arsh => sleft.checked_shr(amount?)?.cast_unsigned(),
    })
}

fn alu64(op: AluOp, left: &Scalar, right: &Scalar) -> Scalar {
    let (l, r) = (left.wide(), right.wide());
    let (low, other) = (left.half(), right.half());
    let (a, b) = (left.bits, right.bits);
    let unknown = Tnum::UNKNOWN;
    // The lower half of the result is the operation on the lower halves, where no bit comes down.
    let (bits, wide, half) = match op {
        AluOp::Add => (a.add(b), l.add(r), low.add(other)),
        AluOp::Sub => (a.sub(b), l.sub(r), low.sub(other)),
        AluOp::Mul => (a.mul(b), l.mul(r), low.mul(other)),
        AluOp::And => (a.and(b), l.and(r), low.and(other)),
        AluOp::Or => (a.or(b), l.or(r), low.or(other)),
        AluOp::Xor => (a.xor(b), l.xor(r), low.xor(other)),
        AluOp::Div => (unknown, l.div(r), half::Range::FULL),
        AluOp::Mod => (remainder(a, b), l.rem(r), half::Range::FULL),
        AluOp::SDiv => (unknown, l.sdiv(r), half::Range::FULL),
        AluOp::SMod => (unknown, l.srem(r), half::Range::FULL),
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => {
            let (Ok(least), Ok(most)) = (u32::try_from(right.umin), u32::try_from(right.umax))
            else {
                return Scalar::UNKNOWN;
            };
            if most >= 64 {
                return Scalar::UNKNOWN;
            }
            let bits = shift(op, 64, a, b, least, most);
            match op {
                AluOp::Lsh if most < 32 => (bits, l.shl(least, most), low.shl(least, most)),
                AluOp::Lsh => (bits, l.shl(least, most), half::Range::FULL),
                AluOp::Rsh => (bits, l.shr(least, most), half::Range::FULL),
                _ => (bits, l.sar(least, most), half::Range::FULL),
            }
        }
    };
    Scalar::from_parts(bits, wide, half).settle()
}

fn alu32(op: AluOp, left: &Scalar, right: &Scalar) -> Scalar {
    let (l, r) = (left.half(), right.half());
    let (a, b) = (left.bits.low(), right.bits.low());
    let unknown = Tnum::UNKNOWN;
    let (bits, half) = match op {
        AluOp::Add => (a.add(b), l.add(r)),
        AluOp::Sub => (a.sub(b), l.sub(r)),
        AluOp::Mul => (a.mul(b), l.mul(r)),
        AluOp::And => (a.and(b), l.and(r)),
        AluOp::Or => (a.or(b), l.or(r)),
        AluOp::Xor => (a.xor(b), l.xor(r)),
        AluOp::Div => (unknown, l.div(r)),
        AluOp::Mod => (remainder(a, b), l.rem(r)),
        AluOp::SDiv => (unknown, l.sdiv(r)),
        AluOp::SMod => (unknown, l.srem(r)),
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => {
            let (least, most) = (right.u32_min, right.u32_max);
            if most >= 32 {
                return Scalar::of_half(unknown, half::Range::FULL);
            }
            let bits = shift(op, 32, a, b, least, most);
            match op {
                AluOp::Lsh => (bits, l.shl(least, most)),
                AluOp::Rsh => (bits, l.shr(least, most)),
                _ => (bits, l.sar(least, most)),
            }
        }
    };
    Scalar::of_half(bits, half)
}

/// The bits of a number shifted by one of the amounts from `least` to `most` that `amounts` has.
fn shift(op: AluOp, width: u32, bits: Tnum, amounts: Tnum, least: u32, most: u32) -> Tnum {
    let by = |amount: u32| match op {
        AluOp::Lsh => bits.shl(amount),
        AluOp::Rsh => bits.shr(amount),
        _ => bits.sar(amount, width),
    };
    let mut result: Option<Tnum> = None;
    for amount in least..=most {
        if amounts.truncate(width).contains(amount.into()) {
            let shifted = by(amount);
            result = Some(result.map_or(shifted, |result| result.union(shifted)));
        }
    }
    result.unwrap_or(Tnum::UNKNOWN)
}

/// The bits of a remainder: by a power of two, they are the number's lowest.
fn remainder(bits: Tnum, divisor: Tnum) -> Tnum {
    if divisor.is_constant() && divisor.value.is_power_of_two() {
        bits.and(Tnum::constant(divisor.value - 1))
    } else {
        Tnum::UNKNOWN
    }
}
