//! What comparisons say about scalars: whether they hold, and what is known where they do.

use skep_isa::{CompareOp, Width};

use super::{
    Scalar, Tnum,
    range::{half, wide},
};

/// A comparison with two sides and a direction, out of which all others are made.
#[derive(Clone, Copy)]
enum Order {
    Equal,
    Less { signed: bool },
    CommonBits,
}

/// A comparison as an order: whether its sides are exchanged, and whether it is the contrary.
const fn order(op: CompareOp) -> (Order, bool, bool) {
    let unsigned = Order::Less { signed: false };
    let signed = Order::Less { signed: true };
    match op {
        CompareOp::Eq => (Order::Equal, false, false),
        CompareOp::Ne => (Order::Equal, false, true),
        CompareOp::Lt => (unsigned, false, false),
        CompareOp::Gt => (unsigned, true, false),
        CompareOp::Ge => (unsigned, false, true),
        CompareOp::Le => (unsigned, true, true),
        CompareOp::SLt => (signed, false, false),
        CompareOp::SGt => (signed, true, false),
        CompareOp::SGe => (signed, false, true),
        CompareOp::SLe => (signed, true, true),
        CompareOp::Set => (Order::CommonBits, false, false),
    }
}

impl Scalar {
    /// Whether a comparison holds, if that is certain.
    #[must_use]
    pub fn compare(op: CompareOp, width: Width, left: &Self, right: &Self) -> Option<bool> {
        let (order, exchanged, contrary) = order(op);
        let (left, right) = if exchanged {
            (right, left)
        } else {
            (left, right)
        };
        let holds = match order {
            Order::Equal => left.equals(right, width),
            Order::Less { signed } => left.is_less(right, width, signed),
            Order::CommonBits => left.has_common_bits(right, width),
        };
        holds.map(|holds| holds != contrary)
    }

    /// What is known about two numbers where a comparison of them holds. [`EMPTY`](Self::EMPTY) if
    /// it can't.
    #[must_use]
    pub fn refine(op: CompareOp, width: Width, left: &Self, right: &Self) -> (Self, Self) {
        Self::refined(op, width, left, right, true)
    }

    /// What is known about two numbers where a comparison of them does not hold.
    #[must_use]
    pub fn refine_not(op: CompareOp, width: Width, left: &Self, right: &Self) -> (Self, Self) {
        Self::refined(op, width, left, right, false)
    }

    fn refined(
        op: CompareOp,
        width: Width,
        left: &Self,
        right: &Self,
        holds: bool,
    ) -> (Self, Self) {
        let (order, exchanged, contrary) = order(op);
        let (a, b) = if exchanged {
            (right, left)
        } else {
            (left, right)
        };
        let (a, b) = match (order, holds != contrary) {
            (Order::Equal, true) => {
                let both = a.where_equal(b, width);
                (both, b.where_equal(a, width))
            }
            (Order::Equal, false) => (a.where_unequal(b, width), b.where_unequal(a, width)),
            (Order::Less { signed }, true) => where_ordered(a, b, width, signed, true),
            // Not less: the other is less or equal.
            (Order::Less { signed }, false) => {
                let (b, a) = where_ordered(b, a, width, signed, false);
                (a, b)
            }
            (Order::CommonBits, true) => (a.where_common(b, width), b.where_common(a, width)),
            (Order::CommonBits, false) => (a.where_disjoint(b, width), b.where_disjoint(a, width)),
        };
        if a.is_empty() || b.is_empty() {
            return (Self::EMPTY, Self::EMPTY);
        }
        if exchanged { (b, a) } else { (a, b) }
    }

    fn bits_in(&self, width: Width) -> Tnum {
        match width {
            Width::W64 => self.bits,
            Width::W32 => self.bits.low(),
        }
    }

    fn equals(&self, other: &Self, width: Width) -> Option<bool> {
        let half = self.half().intersect(other.half()).settle();
        let wide = self.wide().intersect(other.wide()).settle();
        let apart = half.is_empty() || width == Width::W64 && wide.is_empty();
        let (a, b) = (self.bits_in(width), other.bits_in(width));
        if apart || !a.overlaps(b) {
            return Some(false);
        }
        (a.is_constant() && b.is_constant()).then_some(true)
    }

    fn is_less(&self, other: &Self, width: Width, signed: bool) -> Option<bool> {
        let (surely, never) = match (width, signed) {
            (Width::W64, false) => (self.umax < other.umin, self.umin >= other.umax),
            (Width::W64, true) => (self.smax < other.smin, self.smin >= other.smax),
            (Width::W32, false) => (self.u32_max < other.u32_min, self.u32_min >= other.u32_max),
            (Width::W32, true) => (self.s32_max < other.s32_min, self.s32_min >= other.s32_max),
        };
        match (surely, never) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }

    fn has_common_bits(&self, other: &Self, width: Width) -> Option<bool> {
        let (a, b) = (self.bits_in(width), other.bits_in(width));
        if a.value & b.value != 0 {
            return Some(true);
        }
        if a.most() & b.most() == 0 {
            return Some(false);
        }
        // All bits of the other that it has: it is zero or has one of them.
        let nonzero = match width {
            Width::W64 => self.umin > 0,
            Width::W32 => self.u32_min > 0,
        };
        (nonzero && a.most() & !b.value == 0).then_some(true)
    }

    fn where_equal(&self, other: &Self, width: Width) -> Self {
        match width {
            Width::W64 => self.intersect(other),
            Width::W32 => {
                let told = Tnum::UNKNOWN.with_low(other.bits.low());
                let Some(bits) = self.bits.intersect(told) else {
                    return Self::EMPTY;
                };
                Self::from_parts(bits, self.wide(), self.half().intersect(other.half())).settle()
            }
        }
    }

    /// A range loses an end if that is what it does not equal.
    fn where_unequal(&self, other: &Self, width: Width) -> Self {
        let (mut wide, mut half) = (self.wide(), self.half());
        match width {
            Width::W64 => {
                let Some(value) = other.as_constant() else {
                    return *self;
                };
                if self.as_constant() == Some(value) {
                    return Self::EMPTY;
                }
                // A range that ends where it begins becomes empty.
                wide.umin = wide.umin.saturating_add((wide.umin == value).into());
                wide.umax = wide.umax.saturating_sub((wide.umax == value).into());
                wide.smin = wide
                    .smin
                    .saturating_add((wide.smin == value.cast_signed()).into());
                wide.smax = wide
                    .smax
                    .saturating_sub((wide.smax == value.cast_signed()).into());
            }
            Width::W32 => {
                let Some(value) = other.as_constant32() else {
                    return *self;
                };
                if self.as_constant32() == Some(value) {
                    return Self::EMPTY;
                }
                half.umin = half.umin.saturating_add((half.umin == value).into());
                half.umax = half.umax.saturating_sub((half.umax == value).into());
                half.smin = half
                    .smin
                    .saturating_add((half.smin == value.cast_signed()).into());
                half.smax = half
                    .smax
                    .saturating_sub((half.smax == value.cast_signed()).into());
            }
        }
        Self::from_parts(self.bits, wide, half).settle()
    }

    /// Where it has a bit in common with the other.
    fn where_common(&self, other: &Self, width: Width) -> Self {
        let candidates = self.bits_in(width).most() & other.bits_in(width).most();
        if candidates == 0 {
            return Self::EMPTY;
        }
        let bits = if candidates.is_power_of_two() {
            Tnum {
                value: self.bits.value | candidates,
                mask: self.bits.mask & !candidates,
            }
        } else {
            self.bits
        };
        // At any rate, it is at least the lowest of them.
        let least = 1_u64 << candidates.trailing_zeros();
        let (mut wide, mut half) = (self.wide(), self.half());
        match width {
            Width::W64 => wide.umin = wide.umin.max(least),
            Width::W32 => half.umin = half.umin.max(least as u32),
        }
        Self::from_parts(bits, wide, half).settle()
    }

    /// Where it has no bit in common with the other.
    fn where_disjoint(&self, other: &Self, width: Width) -> Self {
        let cleared = other.bits_in(width).value;
        if self.bits.value & cleared != 0 {
            return Self::EMPTY;
        }
        let bits = Tnum {
            value: self.bits.value,
            mask: self.bits.mask & !cleared,
        };
        Self::from_parts(bits, self.wide(), self.half()).settle()
    }
}

/// What is known where the first is less than the second (`strict`), or less or equal.
fn where_ordered(
    less: &Scalar,
    more: &Scalar,
    width: Width,
    signed: bool,
    strict: bool,
) -> (Scalar, Scalar) {
    macro_rules! ordered {
        ($module:ident, $range:ident, $with:ident, $min:ident, $max:ident, $one:expr) => {{
            let (l, m) = (less.$range(), more.$range());
            let ends = if strict {
                (m.$max.checked_sub($one), l.$min.checked_add($one))
            } else {
                (Some(m.$max), Some(l.$min))
            };
            let (Some(most), Some(least)) = ends else {
                return (Scalar::EMPTY, Scalar::EMPTY);
            };
            let (mut below, mut above) = ($module::Range::FULL, $module::Range::FULL);
            below.$max = most;
            above.$min = least;
            (less.$with(below), more.$with(above))
        }};
    }
    match (width, signed) {
        (Width::W64, false) => ordered!(wide, wide, with_wide, umin, umax, 1),
        (Width::W64, true) => ordered!(wide, wide, with_wide, smin, smax, 1),
        (Width::W32, false) => ordered!(half, half, with_half, umin, umax, 1),
        (Width::W32, true) => ordered!(half, half, with_half, smin, smax, 1),
    }
}
