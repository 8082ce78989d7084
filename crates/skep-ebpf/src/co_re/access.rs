//! Places and numbers that need no memory: where a field is, how large, whether it is there.

use super::{
    path::{Cursor, Declared, Enumerator, FieldsAfter, Path, Root},
    record,
    types::{Base, Enter, Enumeration, Kernel, KernelType, Named},
};

/// The place that a value points to.
#[inline(always)]
pub fn root<B: Base>(base: &B) -> Cursor<Root<B::Kernel>> {
    Cursor::new(base.address())
}

/// A type, of no value. Where no memory is meant, a cursor's base says whether all exists that was
/// left behind.
#[inline(always)]
pub fn type_root<T: KernelType>() -> Cursor<Root<T>> {
    Cursor::new(core::ptr::without_provenance(1))
}

/// The type of what a value points to.
#[inline(always)]
pub fn type_of<B: Base>(_: &B) -> Cursor<Root<B::Kernel>> {
    type_root()
}

/// The fields that follow a place, without following a pointer.
#[inline(always)]
pub fn walk<P: Path<Type: Enter>>(at: Cursor<P>) -> FieldsAfter<P> {
    Kernel::fields(P::Type::name(at))
}

/// As [`walk`], and notes what exists.
#[inline(always)]
pub fn probe<P: Path<Type: Enter>>(at: Cursor<P>) -> FieldsAfter<P> {
    Kernel::fields(P::Type::probe(at))
}

/// Notes in a cursor whether a field exists.
#[inline(always)]
pub fn noted<P: Path>(at: Cursor<P>) -> Cursor<P> {
    let exists = record::flag::<P, { record::EXISTS }>() as usize;
    Cursor::new(core::ptr::without_provenance(at.base.addr() & exists))
}

/// Whether a field exists.
#[inline(always)]
pub fn exists<P: Path>(at: Cursor<P>) -> bool {
    !noted(at).base.is_null()
}

/// Bytes of a field.
#[inline(always)]
pub fn size<P: Path>(_: Cursor<P>) -> u64 {
    record::value::<P, { record::BYTE_SIZE }>()
}

/// Whether a field can be negative.
#[inline(always)]
pub fn signed<P: Path>(_: Cursor<P>) -> bool {
    record::flag::<P, { record::SIGNED }>() != 0
}

/// Whether there is such a type.
#[inline(always)]
pub fn type_exists<T: Named>() -> bool {
    record::flag::<Root<T>, { record::TYPE_EXISTS }>() != 0
}

/// Bytes of a type.
#[inline(always)]
pub fn type_size<T: Named>() -> u64 {
    record::value::<Root<T>, { record::TYPE_SIZE }>()
}

/// Whether a type is as it is declared.
#[inline(always)]
pub fn type_matches<T: Named>() -> bool {
    T::declare();
    record::flag::<Declared<T>, { record::TYPE_MATCHES }>() != 0
}

/// Records a declaration.
#[inline(always)]
pub fn declare<P: Path>() {
    record::declare::<P>();
}

/// A type's id in the kernel's BTF.
#[inline(always)]
pub fn type_id<T: Named>() -> u64 {
    record::value::<Root<T>, { record::TYPE_ID_TARGET }>()
}

/// A type's id in the object's BTF.
#[inline(always)]
pub fn type_id_local<T: KernelType>() -> u64 {
    record::value::<Root<T>, { record::TYPE_ID_LOCAL }>()
}

/// An enumerator's value.
#[inline(always)]
pub fn enumerator<T: Enumeration, const INDEX: usize>(_: Enumerator<T, INDEX>) -> T {
    T::of(if size_of::<T>() == 8 {
        record::value_wide::<Enumerator<T, INDEX>, { record::ENUMERATOR_VALUE }>()
    } else {
        record::value::<Enumerator<T, INDEX>, { record::ENUMERATOR_VALUE }>()
    })
}

/// Whether there is such an enumerator.
#[inline(always)]
pub fn enumerator_exists<T: Enumeration, const INDEX: usize>(_: Enumerator<T, INDEX>) -> bool {
    record::flag::<Enumerator<T, INDEX>, { record::ENUMERATOR_EXISTS }>() != 0
}

/// Bytes from the structure's start.
#[inline(always)]
pub fn offset<P: Path>(_: Cursor<P>) -> u64 {
    record::value::<P, { record::BYTE_OFFSET }>()
}
