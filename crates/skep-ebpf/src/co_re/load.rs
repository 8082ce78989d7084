//! Loads by instructions whose own offset is relocated: from contexts, and from pointers that the
//! verifier knows the type of.

use super::{
    path::{Cursor, FieldsAfter, Path},
    record,
    types::{Enter, Kernel, KernelType},
};

/// A field that one load instruction reads.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be loaded as a whole",
    note = "name a field or an element of it, or read it with `core_read!`"
)]
pub trait Load: KernelType + Sized {
    /// What comes of it.
    type Value;
    /// Loads it.
    #[doc(hidden)]
    fn load<P: Path<Type = Self>>(at: Cursor<P>) -> Self::Value;
}

/// Loads a field.
#[inline(always)]
pub fn load<P: Path<Type: Load>>(at: Cursor<P>) -> <P::Type as Load>::Value {
    P::Type::load(at)
}

/// The fields of what is at a place, or of what the pointer there points to.
#[inline(always)]
pub fn follow<P: Path<Type: Enter>>(at: Cursor<P>) -> FieldsAfter<P> {
    Kernel::fields(P::Type::load(at))
}

/// Where a field is.
#[inline(always)]
pub fn address<P: Path>(at: Cursor<P>) -> *const P::Type {
    record::address::<P>(at.base).cast()
}

/// The number of an enumeration `T`.
#[inline(always)]
pub fn number<P: Path>(at: Cursor<P>) -> u64 {
    match size_of::<P::Type>() {
        1 => record::load_1::<P>(at.base),
        2 => record::load_2::<P>(at.base),
        4 => record::load_4::<P>(at.base),
        _ => record::load_8::<P>(at.base),
    }
}

/// Eight bytes.
#[inline(always)]
pub(super) fn word<P: Path>(at: Cursor<P>) -> u64 {
    record::load_8::<P>(at.base)
}

macro_rules! loads {
    ($($load:ident: $($type:ty),*;)*) => { $($(
        impl Load for $type {
            type Value = Self;
            #[inline(always)]
            fn load<P: Path<Type = Self>>(at: Cursor<P>) -> Self {
                record::$load::<P>(at.base) as Self
            }
        }
    )*)* };
}

loads! {
    load_1: u8, i8;
    load_2: u16, i16;
    load_4: u32, i32;
    load_8: u64, i64, usize, isize;
}

impl Load for bool {
    type Value = Self;
    #[inline(always)]
    fn load<P: Path<Type = Self>>(at: Cursor<P>) -> Self {
        record::load_1::<P>(at.base) != 0
    }
}
