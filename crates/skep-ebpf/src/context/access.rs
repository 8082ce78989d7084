//! Loads and stores that stay what they are: one instruction, of this width, at this offset.
//!
//! The verifier wants accesses of a context to be of a field's width and at a constant offset of
//! the pointer that the program got. A compiler that sees memory there may split, merge or narrow
//! them, or add the offset to the pointer first; of an instruction of assembly it changes nothing.
//! A load that is `pure` may still be made once for two, moved, or left away.

use core::ffi::c_void;

/// A number that one instruction loads and stores.
pub(crate) trait Word: Copy {
    /// What is `OFFSET` bytes behind an address.
    ///
    /// # Safety
    /// The kernel lets the program read it by this width.
    unsafe fn load<const OFFSET: i16>(base: *const c_void) -> Self;

    /// Puts a number `OFFSET` bytes behind an address.
    ///
    /// # Safety
    /// The kernel lets the program write it by this width.
    unsafe fn store<const OFFSET: i16>(self, base: *mut c_void);
}

macro_rules! words {
    ($($type:ident $register:ident $class:ident $width:literal;)*) => {$(
        impl Word for $type {
            #[inline(always)]
            unsafe fn load<const OFFSET: i16>(base: *const c_void) -> Self {
                #[cfg(target_arch = "bpf")]
                {
                    let value: $register;
                    // SAFETY: the caller's promise; it reads memory and nothing else. What is
                    // narrower than the register fills it with zeros.
                    unsafe {
                        core::arch::asm!(
                            concat!("{value} = *(", $width, " *)({base} + {offset})"),
                            value = lateout($class) value,
                            base = in(reg) base,
                            offset = const OFFSET,
                            options(pure, readonly, nostack, preserves_flags),
                        );
                        if size_of::<Self>() < size_of::<$register>() {
                            core::hint::assert_unchecked(value >> (size_of::<Self>() * 8) == 0);
                        }
                    }
                    value as Self
                }
                #[cfg(not(target_arch = "bpf"))]
                {
                    let _ = base;
                    panic!("a context is read in a program only")
                }
            }

            #[inline(always)]
            unsafe fn store<const OFFSET: i16>(self, base: *mut c_void) {
                #[cfg(target_arch = "bpf")]
                // SAFETY: the caller's promise; it writes memory and nothing else.
                unsafe {
                    core::arch::asm!(
                        concat!("*(", $width, " *)({base} + {offset}) = {value}"),
                        value = in($class) self,
                        base = in(reg) base,
                        offset = const OFFSET,
                        options(nostack, preserves_flags),
                    );
                }
                #[cfg(not(target_arch = "bpf"))]
                {
                    let _ = base;
                    panic!("a context is written in a program only")
                }
            }
        }
    )*};
}

// A half register is all of the number: what loads it clears the other half.
#[cfg(target_feature = "alu32")]
words! {
    u8 u32 wreg "u8";
    u16 u32 wreg "u16";
    u32 u32 wreg "u32";
    i32 u32 wreg "u32";
    u64 u64 reg "u64";
}

#[cfg(not(target_feature = "alu32"))]
words! {
    u8 u64 reg "u8";
    u16 u64 reg "u16";
    u32 u64 reg "u32";
    i32 u64 reg "u32";
    u64 u64 reg "u64";
}

/// The pointer that a field of a context stands for, by a load of the field's own width: of 32 bits
/// for a packet's pointers in most contexts, which the kernel makes whole.
///
/// # Safety
/// As [`Word::load`].
#[inline(always)]
pub(crate) unsafe fn load_pointer<T: Pointer, const OFFSET: i16>(base: *const c_void) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { T::pointer::<OFFSET>(base) }
}

/// The widths of fields that are pointers.
pub(crate) trait Pointer {
    /// See [`load_pointer`].
    ///
    /// # Safety
    /// As [`Word::load`].
    unsafe fn pointer<const OFFSET: i16>(base: *const c_void) -> *mut u8;
}

macro_rules! pointers {
    ($($type:ident $width:literal;)*) => {$(
        impl Pointer for $type {
            #[inline(always)]
            unsafe fn pointer<const OFFSET: i16>(base: *const c_void) -> *mut u8 {
                #[cfg(target_arch = "bpf")]
                {
                    let value: *mut u8;
                    // SAFETY: the caller's promise; it reads memory and nothing else.
                    unsafe {
                        core::arch::asm!(
                            concat!("{value} = *(", $width, " *)({base} + {offset})"),
                            value = lateout(reg) value,
                            base = in(reg) base,
                            offset = const OFFSET,
                            options(pure, readonly, nostack, preserves_flags),
                        );
                    }
                    value
                }
                #[cfg(not(target_arch = "bpf"))]
                {
                    let _ = base;
                    panic!("a context is read in a program only")
                }
            }
        }
    )*};
}

pointers! {
    u32 "u32";
    u64 "u64";
}
