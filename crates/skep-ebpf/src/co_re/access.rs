//! Places and numbers that need no memory: where a field is, how large, whether it is there.

use super::{
    path::{Cursor, Path, Root},
    record,
    types::{Base, Enter, Kernel, KernelType},
};

/// The place that a value points to.
#[inline(always)]
pub fn root<B: Base>(base: &B) -> Cursor<Root<B::Kernel>> {
    Cursor::new(base.address())
}

/// A type, of no value.
#[inline(always)]
pub fn type_root<T: KernelType>() -> Cursor<Root<T>> {
    Cursor::new(core::ptr::null())
}

/// The fields that follow a place, without following a pointer.
#[inline(always)]
pub fn walk<P: Path<Type: Enter>>(
    at: Cursor<P>,
) -> <<P::Type as Enter>::Kernel as Kernel>::Fields<<P::Type as Enter>::Path<P>> {
    Kernel::fields(P::Type::name(at))
}

/// Bytes from the structure's start.
#[inline(always)]
pub fn offset<P: Path>(_: Cursor<P>) -> u64 {
    record::value::<P, { record::BYTE_OFFSET }>()
}
