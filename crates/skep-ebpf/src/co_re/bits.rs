//! Bit fields, and other integers whose size in the kernel changes: loaded by as many bytes as the
//! kernel's field lies in, then shifted.

use super::{
    load::Load,
    path::{Cursor, Path},
    record,
    types::{Bits, KernelType},
};

/// What a bit field's value can be.
pub trait FromBits: KernelType {
    /// The value of a number whose upper bits are zero, or the sign's.
    #[doc(hidden)]
    fn of(number: u64) -> Self;
}

macro_rules! from_bits {
    ($($type:ty),*) => { $(
        impl FromBits for $type {
            #[inline(always)]
            fn of(number: u64) -> Self {
                number as Self
            }
        }
    )* };
}

from_bits!(u8, u16, u32, u64, i8, i16, i32, i64);

impl FromBits for bool {
    #[inline(always)]
    fn of(number: u64) -> Self {
        number != 0
    }
}

impl<T: FromBits> Load for Bits<T> {
    type Value = T;
    #[inline(always)]
    fn load<P: Path<Type = Self>>(at: Cursor<P>) -> T {
        let place = record::address::<P>(at.base);
        // The verifier knows the size, and follows one of them.
        let loaded = match record::value::<P, { record::BYTE_SIZE }>() {
            1 => record::plain_1(place),
            2 => record::plain_2(place),
            4 => record::plain_4(place),
            _ => record::plain_8(place),
        };
        T::of(extract::<P>(loaded))
    }
}

/// The field's bits of the bytes that it lies in.
#[inline(always)]
pub(super) fn extract<P: Path>(loaded: u64) -> u64 {
    let shifted = record::shift_left::<P>(loaded);
    if record::flag::<P, { record::SIGNED }>() != 0 {
        record::shift_right_signed::<P>(shifted)
    } else {
        record::shift_right::<P>(shifted)
    }
}
