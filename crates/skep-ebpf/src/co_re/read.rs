//! Reads by helpers, of memory that a program can't load from by itself.

use core::mem::MaybeUninit;

use super::{
    bits::{FromBits, extract},
    path::{Cursor, FieldsAfter, Path},
    record,
    types::{Bits, Enter, Kernel, KernelType},
};
use crate::{Error, Result, helper::raw};

/// Which memory is read: the kernel's, or the current process's.
pub trait Memory {
    /// Reads bytes.
    fn read(to: *mut u8, size: u32, from: *const u8) -> i64;
    /// Reads bytes up to a NUL; says how many, with it.
    fn read_text(to: *mut u8, size: u32, from: *const u8) -> i64;
}

/// The kernel's.
pub struct KernelMemory;

/// The current process's.
pub struct UserMemory;

macro_rules! memory {
    ($($of:ty: $read:ident, $read_text:ident;)*) => { $(
        impl Memory for $of {
            #[inline(always)]
            fn read(to: *mut u8, size: u32, from: *const u8) -> i64 {
                // SAFETY: callers have `size` bytes there, and the helper looks at what it reads.
                unsafe { raw::$read(to.cast(), size, from.cast()) }
            }
            #[inline(always)]
            fn read_text(to: *mut u8, size: u32, from: *const u8) -> i64 {
                // SAFETY: as `read`.
                unsafe { raw::$read_text(to.cast(), size, from.cast()) }
            }
        }
    )* };
}

memory! {
    KernelMemory: bpf_probe_read_kernel, bpf_probe_read_kernel_str;
    UserMemory: bpf_probe_read_user, bpf_probe_read_user_str;
}

/// A field that a helper reads.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be read as a whole",
    note = "name a field or an element of it"
)]
pub trait Read: KernelType + Sized {
    /// What comes of it.
    type Value;
    /// Reads it.
    #[doc(hidden)]
    fn read<P: Path<Type = Self>, M: Memory>(at: Cursor<P>) -> Result<Self::Value>;
}

/// A field whose bytes are its value, so that it can be read to a place.
///
/// # Safety
/// Any bytes are a value.
pub unsafe trait Whole: KernelType + Sized {}

macro_rules! whole {
    ($($type:ty),*) => { $(
        // SAFETY: a number.
        unsafe impl Whole for $type {}
    )* };
}

whole!(
    u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64
);
// SAFETY: a pointer is a number to all but who follows it.
unsafe impl<T: KernelType> Whole for *const T {}
// SAFETY: as above.
unsafe impl<T: KernelType> Whole for *mut T {}
// SAFETY: elements follow each other.
unsafe impl<T: Whole, const LEN: usize> Whole for [T; LEN] {}

impl<T: Whole> Read for T {
    type Value = T;
    #[inline(always)]
    fn read<P: Path<Type = Self>, M: Memory>(at: Cursor<P>) -> Result<T> {
        let mut value = MaybeUninit::uninit();
        read_to::<P, M>(at, value.as_mut_ptr())?;
        // SAFETY: the helper wrote all bytes, and any are a value.
        Ok(unsafe { value.assume_init() })
    }
}

impl Read for bool {
    type Value = Self;
    #[inline(always)]
    fn read<P: Path<Type = Self>, M: Memory>(at: Cursor<P>) -> Result<Self> {
        let mut value = 0_u8;
        let place = record::address::<P>(at.base);
        Error::check(M::read(&raw mut value, 1, place))?;
        Ok(value != 0)
    }
}

impl<T: FromBits> Read for Bits<T> {
    type Value = T;
    #[inline(always)]
    fn read<P: Path<Type = Self>, M: Memory>(at: Cursor<P>) -> Result<T> {
        let mut value = 0_u64;
        let to = (&raw mut value).cast::<u8>();
        let size = record::value::<P, { record::BYTE_SIZE }>();
        let to = match cfg!(target_endian = "big") {
            true => to.wrapping_add(8).wrapping_sub(size as usize),
            false => to,
        };
        let place = record::address::<P>(at.base);
        Error::check(M::read(to, size as u32, place))?;
        Ok(T::of(extract::<P>(value)))
    }
}

#[inline(always)]
fn read_to<P: Path<Type: Sized>, M: Memory>(at: Cursor<P>, to: *mut P::Type) -> Result {
    let place = record::address::<P>(at.base);
    Error::check(M::read(to.cast(), size_of::<P::Type>() as u32, place))?;
    Ok(())
}

/// Reads a field.
#[inline(always)]
pub fn read<M: Memory, P: Path<Type: Read>>(
    at: Result<Cursor<P>>,
) -> Result<<P::Type as Read>::Value> {
    P::Type::read::<P, M>(at?)
}

/// The fields of what is at a place, or of what the pointer there points to.
#[inline(always)]
pub fn enter<M: Memory, P: Path<Type: Enter>>(at: Result<Cursor<P>>) -> Result<FieldsAfter<P>> {
    Ok(Kernel::fields(P::Type::read::<P, M>(at?)?))
}

/// Where a field of type `T` is read to: a variable of that type, that may not have a value yet.
pub trait Destination<T> {
    /// Where it is.
    #[doc(hidden)]
    fn place(self) -> *mut T;
}

impl<T> Destination<T> for &mut T {
    #[inline(always)]
    fn place(self) -> *mut T {
        self
    }
}

impl<T> Destination<T> for &mut MaybeUninit<T> {
    #[inline(always)]
    fn place(self) -> *mut T {
        self.as_mut_ptr()
    }
}

/// Reads a field to a place.
#[inline(always)]
pub fn read_into<M: Memory, P: Path<Type: Whole>>(
    at: Result<Cursor<P>>,
    to: impl Destination<P::Type>,
) -> Result {
    read_to::<P, M>(at?, to.place())
}

/// A field that is text, up to a NUL: an array of characters, or a pointer to the first.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no text",
    note = "text is `[u8; N]`, `*const u8` or the same of `i8`"
)]
pub trait ReadText: KernelType + Sized {
    /// Where it begins.
    #[doc(hidden)]
    fn start<P: Path<Type = Self>, M: Memory>(at: Cursor<P>) -> Result<*const u8>;
}

macro_rules! text {
    ($($type:ty),*) => { $(
        impl<const LEN: usize> ReadText for [$type; LEN] {
            #[inline(always)]
            fn start<P: Path<Type = Self>, M: Memory>(at: Cursor<P>) -> Result<*const u8> {
                Ok(record::address::<P>(at.base))
            }
        }

        impl ReadText for *const $type {
            #[inline(always)]
            fn start<P: Path<Type = Self>, M: Memory>(at: Cursor<P>) -> Result<*const u8> {
                Ok(<Self as Read>::read::<P, M>(at)?.cast())
            }
        }

        impl ReadText for *mut $type {
            #[inline(always)]
            fn start<P: Path<Type = Self>, M: Memory>(at: Cursor<P>) -> Result<*const u8> {
                Ok(<Self as Read>::read::<P, M>(at)?.cast::<u8>().cast_const())
            }
        }
    )* };
}

text!(u8, i8);

/// Reads text to a buffer; gives what was read, without its NUL.
#[inline(always)]
pub fn read_text<M: Memory, P: Path<Type: ReadText>>(
    at: Result<Cursor<P>>,
    to: &mut [u8],
) -> Result<&[u8]> {
    let start = P::Type::start::<P, M>(at?)?;
    let read = Error::check(M::read_text(to.as_mut_ptr(), to.len() as u32, start))?;
    // SAFETY: the helper wrote so many bytes, one of which is the NUL; of none it wrote nothing.
    Ok(unsafe { core::slice::from_raw_parts(to.as_ptr(), (read as usize).saturating_sub(1)) })
}
