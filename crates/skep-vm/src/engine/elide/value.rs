//! What is known of a register: a number between bounds, or an address in the frame between
//! offsets. All operations give bounds that hold for every value of their operands.

use skep_isa::{AluOp, CompareOp, SignExtension, SwapWidth};

/// Low halves.
const MAX32: u64 = u32::MAX as u64;

/// Offsets from R10 that are kept; what goes further is any number.
const FAR: i64 = 1 << 20;

/// What a register may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    Number(Bounds),
    /// R10 plus an offset between these, both included.
    Frame(i64, i64),
}

/// A number's bounds, read as unsigned and as signed, all included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) min: u64,
    pub(super) max: u64,
    pub(super) smin: i64,
    pub(super) smax: i64,
}

impl Bounds {
    pub(super) const ANY: Self = Self {
        min: 0,
        max: u64::MAX,
        smin: i64::MIN,
        smax: i64::MAX,
    };

    pub(super) fn exact(value: u64) -> Self {
        Self::unsigned(value, value)
    }

    pub(super) fn unsigned(min: u64, max: u64) -> Self {
        let bounds = Self {
            min,
            max,
            ..Self::ANY
        };
        bounds.agreed().unwrap_or(Self::ANY)
    }

    fn signed(smin: i64, smax: i64) -> Self {
        let bounds = Self {
            smin,
            smax,
            ..Self::ANY
        };
        bounds.agreed().unwrap_or(Self::ANY)
    }

    /// What each reading says of the other; `None` if no number has these bounds.
    fn agreed(mut self) -> Option<Self> {
        // Twice, since what is learnt of one reading may say more of the other.
        for _ in 0..2 {
            if self.max <= i64::MAX as u64 || self.min > i64::MAX as u64 {
                self.smin = self.smin.max(self.min as i64);
                self.smax = self.smax.min(self.max as i64);
            }
            if self.smin >= 0 || self.smax < 0 {
                self.min = self.min.max(self.smin as u64);
                self.max = self.max.min(self.smax as u64);
            }
        }
        (self.min <= self.max && self.smin <= self.smax).then_some(self)
    }

    fn is_exact(self) -> Option<u64> {
        (self.min == self.max).then_some(self.min)
    }

    pub(super) fn fits32(self) -> bool {
        self.max <= MAX32
    }

    /// Of the low half.
    pub(super) fn low32(self) -> Self {
        if self.fits32() {
            self
        } else if self.min >> 32 == self.max >> 32 {
            Self::unsigned(self.min & MAX32, self.max & MAX32)
        } else {
            Self::unsigned(0, MAX32)
        }
    }

    fn union(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            smin: self.smin.min(other.smin),
            smax: self.smax.max(other.smax),
        }
    }

    fn add(self, other: Self) -> Self {
        let low = u128::from(self.min) + u128::from(other.min);
        let high = u128::from(self.max) + u128::from(other.max);
        let mut sum = Self::ANY;
        // Both ends wrap, or none.
        if low >> 64 == high >> 64 {
            (sum.min, sum.max) = (low as u64, high as u64);
        }
        let low = self.smin.checked_add(other.smin);
        let high = self.smax.checked_add(other.smax);
        if let (Some(low), Some(high)) = (low, high) {
            (sum.smin, sum.smax) = (low, high);
        }
        sum.agreed().unwrap_or(Self::ANY)
    }

    fn sub(self, other: Self) -> Self {
        let mut difference = Self::ANY;
        if self.min >= other.max {
            (difference.min, difference.max) = (self.min - other.max, self.max - other.min);
        }
        let low = self.smin.checked_sub(other.smax);
        let high = self.smax.checked_sub(other.smin);
        if let (Some(low), Some(high)) = (low, high) {
            (difference.smin, difference.smax) = (low, high);
        }
        difference.agreed().unwrap_or(Self::ANY)
    }

    /// An operation of 64 bits.
    pub(super) fn alu64(self, op: AluOp, other: Self) -> Self {
        match op {
            AluOp::Add => self.add(other),
            AluOp::Sub => self.sub(other),
            AluOp::SDiv | AluOp::SMod => Self::ANY,
            AluOp::Arsh => match other.is_exact() {
                Some(amount) => {
                    let amount = (amount & 63) as u32;
                    Self::signed(self.smin >> amount, self.smax >> amount)
                }
                None => Self::ANY,
            },
            _ => self.common(op, other, 63, u64::MAX),
        }
    }

    /// An operation of 32 bits, whose result is zero-extended.
    pub(super) fn alu32(self, op: AluOp, other: Self) -> Self {
        let (a, b) = (self.low32(), other.low32());
        let whole = Self::unsigned(0, MAX32);
        match op {
            AluOp::Add => {
                let (low, high) = (a.min + b.min, a.max + b.max);
                if low >> 32 == high >> 32 {
                    Self::unsigned(low & MAX32, high & MAX32)
                } else {
                    whole
                }
            }
            AluOp::Sub if a.min >= b.max => Self::unsigned(a.min - b.max, a.max - b.min),
            AluOp::Sub | AluOp::SDiv | AluOp::SMod | AluOp::Arsh => whole,
            _ => a.common(op, b, 31, MAX32),
        }
    }

    /// What is the same for both widths; `self` and `other` fit in `whole`.
    fn common(self, op: AluOp, other: Self, shift: u64, whole: u64) -> Self {
        let any = Self::unsigned(0, whole);
        match op {
            AluOp::Mul => {
                let high = u128::from(self.max) * u128::from(other.max);
                if high <= u128::from(whole) {
                    Self::unsigned(self.min * other.min, high as u64)
                } else {
                    any
                }
            }
            AluOp::Div if other.min > 0 => {
                Self::unsigned(self.min / other.max, self.max / other.min)
            }
            // Division by 0 gives 0.
            AluOp::Div => Self::unsigned(0, self.max),
            AluOp::Mod if other.min > 0 => Self::unsigned(0, self.max.min(other.max - 1)),
            // What is taken modulo 0 stays.
            AluOp::Mod => Self::unsigned(0, self.max),
            AluOp::And => Self::unsigned(0, self.max.min(other.max)),
            AluOp::Or => Self::unsigned(self.min.max(other.min), ones(self.max | other.max)),
            AluOp::Xor => Self::unsigned(0, ones(self.max | other.max)),
            AluOp::Lsh => match other.is_exact().map(|amount| amount & shift) {
                Some(amount) if self.max <= whole >> amount => {
                    Self::unsigned(self.min << amount, self.max << amount)
                }
                _ => any,
            },
            AluOp::Rsh => match other.is_exact().map(|amount| amount & shift) {
                Some(amount) => Self::unsigned(self.min >> amount, self.max >> amount),
                None => Self::unsigned(0, self.max),
            },
            _ => any,
        }
    }

    fn neg64(self) -> Self {
        Self::exact(0).sub(self)
    }
}

/// The least number of the form 2ⁿ-1 that is not less.
fn ones(value: u64) -> u64 {
    match value.leading_zeros() {
        64 => 0,
        zeros => u64::MAX >> zeros,
    }
}

impl Value {
    pub(super) const ANY: Self = Self::Number(Bounds::ANY);

    pub(super) fn exact(value: u64) -> Self {
        Self::Number(Bounds::exact(value))
    }

    pub(super) fn unsigned(max: u64) -> Self {
        Self::Number(Bounds::unsigned(0, max))
    }

    fn frame(min: i64, max: i64) -> Self {
        if min < -FAR || max > FAR || min > max {
            Self::ANY
        } else {
            Self::Frame(min, max)
        }
    }

    pub(super) fn bounds(self) -> Bounds {
        match self {
            Self::Number(bounds) => bounds,
            Self::Frame(..) => Bounds::ANY,
        }
    }

    pub(super) fn union(self, other: Self) -> Self {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => Self::Number(a.union(b)),
            (Self::Frame(a, b), Self::Frame(c, d)) => Self::frame(a.min(c), b.max(d)),
            _ => Self::ANY,
        }
    }

    pub(super) fn alu64(self, op: AluOp, other: Self) -> Self {
        match (op, self, other) {
            (_, Self::Number(a), Self::Number(b)) => Self::Number(a.alu64(op, b)),
            (AluOp::Add, Self::Frame(low, high), Self::Number(by))
            | (AluOp::Add, Self::Number(by), Self::Frame(low, high)) => {
                Self::frame(low.saturating_add(by.smin), high.saturating_add(by.smax))
            }
            (AluOp::Sub, Self::Frame(low, high), Self::Number(by)) => {
                Self::frame(low.saturating_sub(by.smax), high.saturating_sub(by.smin))
            }
            (AluOp::Sub, Self::Frame(a, b), Self::Frame(c, d)) => {
                Self::Number(Bounds::signed(a - d, b - c))
            }
            _ => Self::ANY,
        }
    }

    pub(super) fn alu32(self, op: AluOp, other: Self) -> Self {
        Self::Number(self.bounds().alu32(op, other.bounds()))
    }

    pub(super) fn neg(self, narrow: bool) -> Self {
        match narrow {
            true => Self::unsigned(MAX32),
            false => Self::Number(self.bounds().neg64()),
        }
    }

    pub(super) fn low32(self) -> Self {
        Self::Number(self.bounds().low32())
    }

    pub(super) fn extended(self, extension: SignExtension) -> Self {
        let bits = extension.bits();
        let last = (1_i64 << (bits - 1)) - 1;
        let bounds = self.bounds();
        // What is not negative in the narrow width stays as it is.
        let low = if bits == 32 { bounds.low32() } else { bounds };
        if low.max <= last as u64 {
            return Self::Number(low);
        }
        match extension.width() {
            skep_isa::Width::W32 => Self::unsigned(MAX32),
            skep_isa::Width::W64 => Self::Number(Bounds::signed(-last - 1, last)),
        }
    }

    pub(super) fn cut(self, width: SwapWidth, swapped: bool) -> Self {
        let whole = match width {
            SwapWidth::Bits16 => 0xffff,
            SwapWidth::Bits32 => MAX32,
            SwapWidth::Bits64 => u64::MAX,
        };
        match self {
            _ if swapped => Self::unsigned(whole),
            _ if self.bounds().max <= whole => self,
            _ => Self::unsigned(whole),
        }
    }

    /// Widens what has grown since `before` to the next of `steps`, which are sorted.
    pub(super) fn widen(self, before: Self, steps: &[i64]) -> Self {
        if self == before {
            return self;
        }
        let down = |to: i64| {
            let at = steps.partition_point(|step| *step <= to);
            at.checked_sub(1).and_then(|at| steps.get(at)).copied()
        };
        let up = |to: i64| {
            let at = steps.partition_point(|step| *step < to);
            steps.get(at).copied()
        };
        match (before, self) {
            (Self::Number(old), Self::Number(new)) => {
                let mut wide = new;
                if new.smin < old.smin {
                    wide.smin = down(new.smin).unwrap_or(i64::MIN);
                }
                if new.smax > old.smax {
                    wide.smax = up(new.smax).unwrap_or(i64::MAX);
                }
                if new.min < old.min {
                    let step = i64::try_from(new.min).ok().and_then(down);
                    wide.min = step.map_or(0, |step| step.max(0) as u64);
                }
                if new.max > old.max {
                    let step = i64::try_from(new.max).ok().and_then(up);
                    wide.max = step.map_or(u64::MAX, |step| step as u64);
                }
                Self::Number(wide)
            }
            (Self::Frame(a, b), Self::Frame(c, d)) => {
                let low = if c < a { down(c) } else { Some(c) };
                let high = if d > b { up(d) } else { Some(d) };
                match (low, high) {
                    (Some(low), Some(high)) => Self::frame(low, high),
                    _ => Self::ANY,
                }
            }
            _ => Self::ANY,
        }
    }
}

/// What two values are when a comparison of them holds; `None` if it never does.
pub(super) fn assume(op: CompareOp, narrow: bool, a: Value, b: Value) -> Option<(Value, Value)> {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            let signed = matches!(
                op,
                CompareOp::SGt | CompareOp::SGe | CompareOp::SLt | CompareOp::SLe
            );
            // Low halves compare as the registers do only where these are no wider.
            let limit = if signed { i32::MAX as u64 } else { MAX32 };
            if narrow && (x.max > limit || y.max > limit) {
                return Some((a, b));
            }
            let (x, y) = compare(op, x, y)?;
            Some((Value::Number(x), Value::Number(y)))
        }
        // Addresses in the frame and above compare as their offsets do: none wraps.
        (Value::Frame(c, d), Value::Frame(e, f)) if !narrow && c >= -512 && e >= -512 => {
            let op = match op {
                CompareOp::Gt => CompareOp::SGt,
                CompareOp::Ge => CompareOp::SGe,
                CompareOp::Lt => CompareOp::SLt,
                CompareOp::Le => CompareOp::SLe,
                CompareOp::Set => return Some((a, b)),
                other => other,
            };
            let (x, y) = compare(op, Bounds::signed(c, d), Bounds::signed(e, f))?;
            Some((Value::frame(x.smin, x.smax), Value::frame(y.smin, y.smax)))
        }
        _ => Some((a, b)),
    }
}

/// The same for numbers of 64 bits.
fn compare(op: CompareOp, mut a: Bounds, mut b: Bounds) -> Option<(Bounds, Bounds)> {
    match op {
        CompareOp::Eq => {
            a.min = a.min.max(b.min);
            a.max = a.max.min(b.max);
            a.smin = a.smin.max(b.smin);
            a.smax = a.smax.min(b.smax);
            b = a;
        }
        CompareOp::Ne => {
            (a, b) = (differs(a, b)?, differs(b, a)?);
        }
        CompareOp::Gt => {
            a.min = a.min.max(b.min.checked_add(1)?);
            b.max = b.max.min(a.max.checked_sub(1)?);
        }
        CompareOp::Ge => {
            a.min = a.min.max(b.min);
            b.max = b.max.min(a.max);
        }
        CompareOp::Lt => {
            a.max = a.max.min(b.max.checked_sub(1)?);
            b.min = b.min.max(a.min.checked_add(1)?);
        }
        CompareOp::Le => {
            a.max = a.max.min(b.max);
            b.min = b.min.max(a.min);
        }
        CompareOp::SGt => {
            a.smin = a.smin.max(b.smin.checked_add(1)?);
            b.smax = b.smax.min(a.smax.checked_sub(1)?);
        }
        CompareOp::SGe => {
            a.smin = a.smin.max(b.smin);
            b.smax = b.smax.min(a.smax);
        }
        CompareOp::SLt => {
            a.smax = a.smax.min(b.smax.checked_sub(1)?);
            b.smin = b.smin.max(a.smin.checked_add(1)?);
        }
        CompareOp::SLe => {
            a.smax = a.smax.min(b.smax);
            b.smin = b.smin.max(a.smin);
        }
        CompareOp::Set => {}
    }
    Some((a.agreed()?, b.agreed()?))
}

/// `a` without the one value of `b`, where that is at its edge.
fn differs(mut a: Bounds, b: Bounds) -> Option<Bounds> {
    let Some(other) = b.is_exact() else {
        return Some(a);
    };
    if a.is_exact() == Some(other) {
        return None;
    }
    let signed = other as i64;
    if a.min == other {
        a.min += 1;
    }
    if a.max == other {
        a.max -= 1;
    }
    if a.smin == signed {
        a.smin += 1;
    }
    if a.smax == signed {
        a.smax -= 1;
    }
    Some(a)
}

/// The comparison that holds when another does not; `None` for that of bits.
pub(in crate::engine) fn opposite(op: CompareOp) -> Option<CompareOp> {
    Some(match op {
        CompareOp::Eq => CompareOp::Ne,
        CompareOp::Ne => CompareOp::Eq,
        CompareOp::Gt => CompareOp::Le,
        CompareOp::Ge => CompareOp::Lt,
        CompareOp::Lt => CompareOp::Ge,
        CompareOp::Le => CompareOp::Gt,
        CompareOp::SGt => CompareOp::SLe,
        CompareOp::SGe => CompareOp::SLt,
        CompareOp::SLt => CompareOp::SGe,
        CompareOp::SLe => CompareOp::SGt,
        CompareOp::Set => return None,
    })
}
