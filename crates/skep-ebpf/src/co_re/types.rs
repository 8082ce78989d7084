//! What types of Rust mean in kernel types: integers, pointers, arrays, and other kernel types.

use core::ffi::c_void;

use super::{
    access,
    load::{self, Load},
    path::{Cursor, Path, Root},
    read::{Memory, Read},
    text::Text,
};
use crate::Result;

/// A type that fields can have.
///
/// # Safety
/// The text is that of a type with which a value in the kernel's memory is read.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type of the kernel",
    note = "fields are integers, `bool`, pointers, arrays and types declared with `#[kernel]`"
)]
pub unsafe trait KernelType {
    /// As a record has it.
    #[doc(hidden)]
    const TEXT: Text;
    /// As a record has it where the whole declaration counts.
    #[doc(hidden)]
    const DECLARED: Text = Self::TEXT;
    /// Records the whole declaration.
    #[doc(hidden)]
    #[inline(always)]
    fn declare() {}
}

/// A structure or union of the kernel: what `#[kernel]` makes.
///
/// # Safety
/// The type has no size, since the kernel's may have any.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no fields that are known to be the kernel's",
    note = "declare it with `#[kernel]`"
)]
pub unsafe trait Kernel: KernelType + Sized {
    /// The kernel's names of its fields.
    #[doc(hidden)]
    const FIELDS: &'static [&'static str];
    /// Has a method a field.
    #[doc(hidden)]
    type Fields<P: Path<Type = Self>>;
    /// The fields of one at a place.
    #[doc(hidden)]
    fn fields<P: Path<Type = Self>>(at: Cursor<P>) -> Self::Fields<P>;
}

/// An enumeration of the kernel: what `#[kernel]` makes of an `enum`.
///
/// # Safety
/// The type is a number of the size that its text says.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no enumeration of the kernel",
    note = "declare it with `#[kernel]`"
)]
pub unsafe trait Enumeration: KernelType + Sized {
    /// The kernel's names of its values, and what they are where the program is compiled.
    #[doc(hidden)]
    const ENUMERATORS: &'static [(&'static str, i128)];
    /// The value of a number.
    #[doc(hidden)]
    fn of(number: u64) -> Self;
}

/// A type with a name of the kernel's: what `#[kernel]` makes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no name in the kernel",
    note = "declare it with `#[kernel]`"
)]
pub trait Named: KernelType {}

/// What can be gone on from with `.field`: a kernel type, or a pointer to one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no fields that are known to be the kernel's",
    note = "fields follow a type declared with `#[kernel]`, or a pointer to one"
)]
pub trait Enter: KernelType + Sized {
    /// Whose fields follow.
    type Kernel: Kernel;
    /// The way to it.
    type Path<P: Path<Type = Self>>: Path<Type = Self::Kernel>;
    /// Follows a pointer by a load.
    fn load<P: Path<Type = Self>>(at: Cursor<P>) -> Cursor<Self::Path<P>>;
    /// Follows a pointer by a helper.
    fn read<P: Path<Type = Self>, M: Memory>(at: Cursor<P>) -> Result<Cursor<Self::Path<P>>>;
    /// Goes on without following.
    fn name<P: Path<Type = Self>>(at: Cursor<P>) -> Cursor<Self::Path<P>>;
    /// Goes on without following, and notes whether what is left behind exists.
    fn probe<P: Path<Type = Self>>(at: Cursor<P>) -> Cursor<Self::Path<P>>;
}

/// What a place can begin with: a pointer or reference to a kernel type, or what stands for one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no pointer to a type of the kernel",
    note = "a place begins with `&T`, `*const T` or `*mut T`, where `T` is declared with `#[kernel]`"
)]
pub trait Base {
    /// What it points to.
    type Kernel: KernelType;
    /// Where.
    fn address(&self) -> *const u8;
}

/// A bit field of the kernel, whose value is a `T`: what `#[bits]` makes of a field.
pub struct Bits<T>(core::marker::PhantomData<T>);

macro_rules! numbers {
    ($($text:literal $type:ty,)*) => { $(
        // SAFETY: this is the type's size and sign.
        unsafe impl KernelType for $type {
            const TEXT: Text = Text::new().str($text);
        }
    )* };
}

numbers! {
    "i1" i8, "i2" i16, "i4" i32, "i8" i64, "i16" i128, "i8" isize,
    "u1" u8, "u2" u16, "u4" u32, "u8" u64, "u16" u128, "u8" usize,
    "b1" bool, "f4" f32, "f8" f64, "v" (), "v" c_void,
}

// SAFETY: pointers have eight bytes in the kernel as here.
unsafe impl<T: KernelType> KernelType for *const T {
    const TEXT: Text = Text::new().str("*").text(T::TEXT);
}

// SAFETY: as `*const T`.
unsafe impl<T: KernelType> KernelType for *mut T {
    const TEXT: Text = <*const T>::TEXT;
}

macro_rules! functions {
    ($(($($parameter:ident)*))*) => { $(
        // SAFETY: pointers have eight bytes in the kernel as here.
        unsafe impl<R: KernelType, $($parameter: KernelType),*> KernelType
            for extern "C" fn($($parameter),*) -> R
        {
            const TEXT: Text =
                Text::new().str("*(").text(R::TEXT)$(.text($parameter::TEXT))*.str(")");
        }

        // SAFETY: as above.
        unsafe impl<R: KernelType, $($parameter: KernelType),*> KernelType
            for unsafe extern "C" fn($($parameter),*) -> R
        {
            const TEXT: Text = <extern "C" fn($($parameter),*) -> R>::TEXT;
        }

        impl<R, $($parameter),*> NonNull for extern "C" fn($($parameter),*) -> R {}
        impl<R, $($parameter),*> NonNull for unsafe extern "C" fn($($parameter),*) -> R {}
    )* };
}

functions! { () (A) (A B) (A B C) (A B C D) (A B C D E) }

// SAFETY: null stands for none, of functions as of references.
unsafe impl<T: KernelType + NonNull> KernelType for Option<T> {
    const TEXT: Text = T::TEXT;
}

/// A pointer that is never null.
pub trait NonNull {}

// SAFETY: elements follow each other.
unsafe impl<T: KernelType, const LEN: usize> KernelType for [T; LEN] {
    const TEXT: Text = Text::new().str("[").number(LEN).str("]").text(T::TEXT);
    const DECLARED: Text = Text::new().str("[").number(LEN).str("]").text(T::DECLARED);
    #[inline(always)]
    fn declare() {
        T::declare();
    }
}

// SAFETY: the field is found by its name; it is extracted by what the relocations say.
unsafe impl<T: KernelType> KernelType for Bits<T> {
    const TEXT: Text = T::TEXT;
    const DECLARED: Text = T::DECLARED;
}

macro_rules! pointers {
    ($($type:ty),*) => { $(
        impl<T: Kernel> Enter for $type {
            type Kernel = T;
            type Path<P: Path<Type = Self>> = Root<T>;
            #[inline(always)]
            fn load<P: Path<Type = Self>>(at: Cursor<P>) -> Cursor<Root<T>> {
                Cursor::new(<Self as Load>::load(at).cast())
            }
            #[inline(always)]
            fn read<P: Path<Type = Self>, M: Memory>(at: Cursor<P>) -> Result<Cursor<Root<T>>> {
                Ok(Cursor::new(<Self as Read>::read::<P, M>(at)?.cast()))
            }
            #[inline(always)]
            fn name<P: Path<Type = Self>>(at: Cursor<P>) -> Cursor<Root<T>> {
                at.to()
            }
            #[inline(always)]
            fn probe<P: Path<Type = Self>>(at: Cursor<P>) -> Cursor<Root<T>> {
                access::noted(at).to()
            }
        }

        impl<T: KernelType> Base for $type {
            type Kernel = T;
            #[inline(always)]
            fn address(&self) -> *const u8 {
                (*self).cast()
            }
        }

        impl<T: KernelType> Load for $type {
            type Value = Self;
            #[inline(always)]
            fn load<P: Path<Type = Self>>(at: Cursor<P>) -> Self {
                load::word::<P>(at) as Self
            }
        }
    )* };
}

pointers!(*const T, *mut T);

impl<T: KernelType> Base for &T {
    type Kernel = T;
    #[inline(always)]
    fn address(&self) -> *const u8 {
        core::ptr::from_ref::<T>(self).cast()
    }
}

impl<T: KernelType> Base for &mut T {
    type Kernel = T;
    #[inline(always)]
    fn address(&self) -> *const u8 {
        core::ptr::from_ref::<T>(self).cast()
    }
}
