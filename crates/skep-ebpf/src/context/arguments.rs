//! Arguments of what is hooked: what they can be taken as, and the contexts that are an array of
//! them, a word each.

use super::access::Word;
use super::{
    FentryContext, FexitContext, FmodRetContext, FsessionContext, IterContext, LsmCgroupContext,
    LsmContext, RawTracepointContext, StructOpsContext, TpBtfContext,
};
use crate::co_re::Kernel;

/// A context that has the arguments of what is hooked.
pub trait Arguments {
    /// The argument of a place, as a register holds it.
    #[doc(hidden)]
    fn raw_argument(&self, index: usize) -> u64;
}

/// What an argument can be taken as.
#[diagnostic::on_unimplemented(
    message = "an argument is a number or a pointer, not `{Self}`",
    label = "no type of an argument",
    note = "of a kernel type, where the verifier knows it, `Option<&T>` is one, too"
)]
pub trait Argument: Sized {
    /// The argument out of a register.
    fn from_raw(raw: u64) -> Self;
}

macro_rules! arguments {
    ($($number:ty)*) => {$(
        impl Argument for $number {
            #[inline(always)]
            fn from_raw(raw: u64) -> Self {
                raw as Self
            }
        }
    )*};
}

arguments! { u8 u16 u32 u64 usize i8 i16 i32 i64 isize }

impl Argument for bool {
    #[inline(always)]
    fn from_raw(raw: u64) -> Self {
        raw as u8 != 0
    }
}

impl<T> Argument for *const T {
    #[inline(always)]
    fn from_raw(raw: u64) -> Self {
        core::ptr::with_exposed_provenance(raw as usize)
    }
}

impl<T> Argument for *mut T {
    #[inline(always)]
    fn from_raw(raw: u64) -> Self {
        core::ptr::with_exposed_provenance_mut(raw as usize)
    }
}

/// A pointer whose type the verifier knows: its fields are loaded by
/// [`core_load!`](crate::core_load).
impl<T: Kernel> Argument for Option<&T> {
    #[inline(always)]
    fn from_raw(raw: u64) -> Self {
        // SAFETY: a kernel type has no size: the reference is an address, which the verifier
        // follows.
        unsafe { <*const T>::from_raw(raw).as_ref() }
    }
}

/// Contexts that are an array of 64-bit arguments, the first of them `$first` bytes behind the start.
macro_rules! arrays {
    ($($Context:ident $first:literal;)*) => {$(
        impl Arguments for $Context {
            #[inline(always)]
            fn raw_argument(&self, index: usize) -> u64 {
                let base = self.as_ptr();
                // SAFETY: the verifier knows how many arguments there are.
                unsafe {
                    match index {
                        0 => u64::load::<{ $first }>(base),
                        1 => u64::load::<{ $first + 8 }>(base),
                        2 => u64::load::<{ $first + 16 }>(base),
                        3 => u64::load::<{ $first + 24 }>(base),
                        4 => u64::load::<{ $first + 32 }>(base),
                        5 => u64::load::<{ $first + 40 }>(base),
                        6 => u64::load::<{ $first + 48 }>(base),
                        7 => u64::load::<{ $first + 56 }>(base),
                        8 => u64::load::<{ $first + 64 }>(base),
                        9 => u64::load::<{ $first + 72 }>(base),
                        10 => u64::load::<{ $first + 80 }>(base),
                        11 => u64::load::<{ $first + 88 }>(base),
                        12 => u64::load::<{ $first + 96 }>(base),
                        _ => panic!("no kernel hands over so many arguments"),
                    }
                }
            }
        }

        impl $Context {
            /// The argument of a place, from 0, as a type that the caller knows it has.
            ///
            /// Kernel types come as `Option<&T>` where the verifier knows them. A place beyond the
            /// last is refused: by `skep build` if no kernel has so many, else by the verifier.
            #[inline(always)]
            #[must_use]
            pub fn argument<T: Argument>(&self, index: usize) -> T {
                T::from_raw(self.raw_argument(index))
            }
        }
    )*};
}

arrays! {
    RawTracepointContext 0;
    TpBtfContext 0;
    FentryContext 0;
    FexitContext 0;
    FmodRetContext 0;
    FsessionContext 0;
    LsmContext 0;
    LsmCgroupContext 0;
    StructOpsContext 0;
    // Behind what all iterators have in common.
    IterContext 8;
}
