//! What the kernel provides by name: its functions, variables and configuration.
//!
//! `#[kfunc]`, `#[ksym]` and `#[kconfig]` declare it. What a program uses of it stands in the object
//! as clang would put it there, so that every loader finds it; what is declared and not used is not
//! in the object. One that is *weak* may be missing from a kernel, which programs can ask for: the
//! verifier knows the answer, and leaves out what is only there for other kernels.

use core::ops::Deref;

use crate::{co_re::hidden::Base, co_re::hidden::KernelType, plain::Plain};

mod macros;
mod record;

pub use macros::*;

/// What the macros expand to; no interface.
#[doc(hidden)]
pub mod hidden {
    pub use super::{exists, not_here, record::Record};
}

/// A variable of the kernel, or what has no type but an address: what `#[ksym]` makes.
///
/// [`core_load!`](crate::core_load) and its siblings take it as the structure that it is.
#[derive(Debug)]
pub struct Ksym<T: 'static>(*const T);

impl<T> Clone for Ksym<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ksym<T> {}

impl<T: KernelType> Ksym<T> {
    /// What is there.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(place: *const T) -> Self {
        Self(place)
    }

    /// Where it is; null if the kernel does not have it.
    ///
    /// The verifier knows the type of what is there, and lets programs read it by loads; of what was
    /// declared without a type (`()`), it is a number.
    #[inline(always)]
    #[must_use]
    pub fn address(self) -> *const T {
        known_at_load(self.0)
    }

    /// Whether the kernel has it: it may be missing if it is declared weak.
    #[inline(always)]
    #[must_use]
    pub fn exists(self) -> bool {
        !self.address().is_null()
    }
}

impl<T: KernelType + Plain> Ksym<T> {
    /// Its value, where there is one of it and not one a CPU.
    #[inline(always)]
    #[must_use]
    pub fn get(self) -> T {
        // SAFETY: a plain type of the kernel's, which the verifier allows or refuses to read; the
        // kernel may change it meanwhile.
        unsafe { core::ptr::read_volatile(self.0) }
    }
}

impl<T: KernelType> Ksym<T> {
    /// Where this CPU's is, of a variable that each CPU has: `bpf_this_cpu_ptr`. Linux 5.10.
    #[doc(alias = "bpf_this_cpu_ptr")]
    #[inline(always)]
    #[must_use]
    pub fn this_cpu(self) -> *const T {
        // SAFETY: gives an address.
        unsafe { crate::helper::raw::bpf_this_cpu_ptr(self.0.cast()) as *const T }
    }

    /// Where that of a CPU is, of a variable that each CPU has; `None` for a CPU that is not there:
    /// `bpf_per_cpu_ptr`. Linux 5.10.
    #[doc(alias = "bpf_per_cpu_ptr")]
    #[inline(always)]
    #[must_use]
    pub fn on_cpu(self, cpu: u32) -> Option<*const T> {
        // SAFETY: gives an address, or null.
        let place = unsafe { crate::helper::raw::bpf_per_cpu_ptr(self.0.cast(), cpu) as *const T };
        (!place.is_null()).then_some(place)
    }
}

impl<T: KernelType> Base for Ksym<T> {
    type Kernel = T;
    #[inline(always)]
    fn address(&self) -> *const u8 {
        self.0.cast()
    }
}

/// A value of the kernel's configuration: what `#[kconfig]` makes.
///
/// It is that of the kernel into which the program is loaded, and the verifier knows it.
#[derive(Debug)]
pub struct Kconfig<T: 'static>(*const T);

impl<T> Clone for Kconfig<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Kconfig<T> {}

impl<T: Configured> Kconfig<T> {
    /// What is there.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(place: *const T) -> Self {
        Self(place)
    }

    /// The value; zeroes if it is weak and the kernel does not have it.
    #[inline(always)]
    #[must_use]
    pub fn get(self) -> T {
        *self
    }
}

impl<T: Configured> Deref for Kconfig<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        #[cfg(target_arch = "bpf")]
        // SAFETY: the loader gives it memory of its size, fills it with a value of its type, and
        // freezes it.
        unsafe {
            &*self.0
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            let _ = self.0;
            not_here("the kernel's configuration")
        }
    }
}

/// A type of configuration: `bool` for `y` and `n`, [`Tristate`], an integer, or text in an array of
/// bytes, which ends with a zero byte unless it was cut. In a `u8` or `i8` is a letter or a number.
///
/// # Safety
/// All bytes that a loader writes for the type's text are a value of it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type of the kernel's configuration",
    note = "it can be `bool`, `Tristate`, an integer of up to 64 bits, or `[u8; N]`"
)]
pub unsafe trait Configured: KernelType + Copy {}

macro_rules! configured {
    ($($type:ty)*) => { $(
        // SAFETY: any bytes are an integer, and loaders write 0 or 1 for a bool.
        unsafe impl Configured for $type {}
    )* };
}

configured!(bool u8 i8 u16 i16 u32 i32 u64 i64);

// SAFETY: loaders write bytes.
unsafe impl<const LEN: usize> Configured for [u8; LEN] {}

/// An option that can be in the kernel or in a module.
#[doc(alias = "libbpf_tristate")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Tristate(pub u32);

impl Tristate {
    /// `n`, or not set.
    pub const NO: Self = Self(0);
    /// `y`: in the kernel.
    pub const YES: Self = Self(1);
    /// `m`: in a module.
    pub const MODULE: Self = Self(2);
}

// SAFETY: the type by which loaders know it, of four bytes.
unsafe impl KernelType for Tristate {
    const TEXT: crate::co_re::hidden::Text =
        crate::co_re::hidden::Text::new().str("e4libbpf_tristate;");
}

// SAFETY: a number.
unsafe impl Configured for Tristate {}

/// An address as the loader fills it in, of which the compiler must not think that it is none that
/// is null.
#[inline(always)]
fn known_at_load<T>(place: *const T) -> *const T {
    #[cfg(target_arch = "bpf")]
    {
        let known: *const T;
        // SAFETY: no instruction; the register holds the address before and after.
        unsafe {
            core::arch::asm!(
                "/* {known} */",
                known = inlateout(reg) place => known,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        known
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        let _ = place;
        not_here("a symbol of the kernel")
    }
}

/// Whether the kernel has a function.
#[inline(always)]
pub fn exists(function: *const ()) -> bool {
    !known_at_load(function).is_null()
}

/// What a program would do that runs on this machine instead of in a kernel.
#[cfg(not(target_arch = "bpf"))]
#[doc(hidden)]
pub fn not_here(what: &str) -> ! {
    crate::helper::call::not_here(what)
}

/// Nothing calls it where there is a kernel.
#[cfg(target_arch = "bpf")]
#[doc(hidden)]
pub fn not_here(_: &str) -> ! {
    unreachable!()
}
