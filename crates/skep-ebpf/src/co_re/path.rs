//! Paths to fields as types, so that a whole path (`task.se.vruntime`) is one relocation.

use core::marker::PhantomData;

use super::{
    text::Text,
    types::{Enter, Enumeration, Kernel, KernelType},
};

/// A way from a kernel type to a part of it.
pub trait Path {
    /// What is at its end.
    type Type: KernelType;
    /// As a record has it.
    const TEXT: Text;
}

/// The whole of a type.
pub struct Root<T>(PhantomData<T>);

impl<T: KernelType> Path for Root<T> {
    type Type = T;
    const TEXT: Text = T::TEXT;
}

/// The field number `INDEX` of the structure at the end of `P`, which is a `T`.
pub struct Field<P, T, const INDEX: usize>(PhantomData<(P, T)>);

impl<P, T, const INDEX: usize> Path for Field<P, T, INDEX>
where
    P: Path<Type: Kernel>,
    T: KernelType,
{
    type Type = T;
    const TEXT: Text = P::TEXT
        .str(".")
        .str(<P::Type as Kernel>::FIELDS[INDEX])
        .str("=")
        .text(T::TEXT);
}

/// An element of the array at the end of `P`.
pub struct Element<P, const INDEX: usize>(PhantomData<P>);

impl<T, P, const LEN: usize, const INDEX: usize> Path for Element<P, INDEX>
where
    P: Path<Type = [T; LEN]>,
    T: KernelType,
{
    type Type = T;
    const TEXT: Text = {
        // An array of no elements is one of unknown length at a structure's end.
        assert!(INDEX < LEN || LEN == 0, "the array has fewer elements");
        P::TEXT.str("#").number(INDEX)
    };
}

/// The enumerator number `INDEX` of `T`.
pub struct Enumerator<T, const INDEX: usize>(PhantomData<T>);

impl<T: Enumeration, const INDEX: usize> Path for Enumerator<T, INDEX> {
    type Type = T;
    const TEXT: Text = {
        let (name, value) = T::ENUMERATORS[INDEX];
        T::TEXT.str(":").str(name).str("=").signed(value)
    };
}

impl<T, const INDEX: usize> Enumerator<T, INDEX> {
    /// What stands for it in programs.
    #[allow(clippy::new_without_default)]
    #[inline(always)]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// The field number `INDEX` of a `T`, which is an `F`, where all of `T` is declared.
pub struct DeclaredField<T, F, const INDEX: usize>(PhantomData<(T, F)>);

impl<T: Kernel, F: KernelType, const INDEX: usize> Path for DeclaredField<T, F, INDEX> {
    type Type = F;
    const TEXT: Text = T::DECLARED
        .str(".")
        .str(T::FIELDS[INDEX])
        .str("=")
        .text(F::DECLARED);
}

/// The whole of a type, all of which is declared.
pub(super) struct Declared<T>(PhantomData<T>);

impl<T: KernelType> Path for Declared<T> {
    type Type = T;
    const TEXT: Text = T::DECLARED;
}

/// An address, and the path that is still to be added to it.
pub struct Cursor<P> {
    pub(super) base: *const u8,
    path: PhantomData<P>,
}

impl<P> Clone for Cursor<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Cursor<P> {}

impl<P> Cursor<P> {
    /// `P`, from `base`.
    #[inline(always)]
    pub fn new(base: *const u8) -> Self {
        Self {
            base,
            path: PhantomData,
        }
    }

    /// Another path from the same place.
    #[inline(always)]
    pub fn to<Q>(self) -> Cursor<Q> {
        Cursor::new(self.base)
    }
}

/// An element of an array.
#[inline(always)]
pub fn element<const INDEX: usize, P>(at: Cursor<P>) -> Cursor<Element<P, INDEX>>
where
    Element<P, INDEX>: Path,
{
    at.to()
}

/// The fields that follow the end of a path, also behind a pointer there.
pub(super) type FieldsAfter<P> =
    <<<P as Path>::Type as Enter>::Kernel as Kernel>::Fields<<<P as Path>::Type as Enter>::Path<P>>;
