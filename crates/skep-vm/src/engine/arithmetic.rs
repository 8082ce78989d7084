//! Arithmetic as RFC 9669 has it, where that is not Rust's own: a division by 0 gives 0, a remainder
//! by 0 the dividend, and the least number divided by -1 itself.

macro_rules! divisions {
    ($($div:ident $rem:ident $sdiv:ident $srem:ident $sar:ident $unsigned:ty, $signed:ty;)*) => {$(
        #[inline(always)]
        pub(super) fn $div(a: $unsigned, b: $unsigned) -> $unsigned {
            a.checked_div(b).unwrap_or(0)
        }

        #[inline(always)]
        pub(super) fn $rem(a: $unsigned, b: $unsigned) -> $unsigned {
            a.checked_rem(b).unwrap_or(a)
        }

        #[inline(always)]
        pub(super) fn $sdiv(a: $unsigned, b: $unsigned) -> $unsigned {
            match b {
                0 => 0,
                _ => (a as $signed).wrapping_div(b as $signed) as $unsigned,
            }
        }

        #[inline(always)]
        pub(super) fn $srem(a: $unsigned, b: $unsigned) -> $unsigned {
            match b {
                0 => a,
                _ => (a as $signed).wrapping_rem(b as $signed) as $unsigned,
            }
        }

        #[inline(always)]
        pub(super) fn $sar(a: $unsigned, b: $unsigned) -> $unsigned {
            (a as $signed).wrapping_shr(b as u32) as $unsigned
        }
    )*};
}

divisions! {
    div64 rem64 sdiv64 srem64 sar64 u64, i64;
    div32 rem32 sdiv32 srem32 sar32 u32, i32;
}

#[inline(always)]
pub(super) fn shl64(a: u64, b: u64) -> u64 {
    a.wrapping_shl(b as u32)
}

#[inline(always)]
pub(super) fn shr64(a: u64, b: u64) -> u64 {
    a.wrapping_shr(b as u32)
}
