//! Accesses of programs to memory, as the machine makes them: atomic where they are aligned.

use std::sync::atomic::{
    AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering,
    Ordering::{Acquire, Relaxed, SeqCst},
    fence,
};

/// Loads and stores of one size. Loads acquire, which costs nothing on x86-64 and lets
/// load-acquire be the same.
pub(super) trait Plain: Sized {
    /// # Safety
    /// The program may read these bytes.
    unsafe fn load(address: u64) -> Self;

    /// # Safety
    /// The program may write these bytes.
    unsafe fn store(address: u64, value: Self);
}

/// Read-modify-writes.
pub(super) trait Atomics: Sized {
    /// # Safety
    /// The program may write these bytes, and they are aligned.
    unsafe fn fetch_add(address: u64, value: Self) -> Self;
    /// # Safety
    /// As above.
    unsafe fn fetch_or(address: u64, value: Self) -> Self;
    /// # Safety
    /// As above.
    unsafe fn fetch_and(address: u64, value: Self) -> Self;
    /// # Safety
    /// As above.
    unsafe fn fetch_xor(address: u64, value: Self) -> Self;
    /// # Safety
    /// As above.
    unsafe fn swap(address: u64, value: Self) -> Self;
    /// Answers what was there.
    ///
    /// # Safety
    /// As above.
    unsafe fn compare(address: u64, expected: Self, new: Self) -> Self;
}

/// What was stored before is seen by whoever sees what is stored after.
pub(super) fn release() {
    fence(Ordering::Release);
}

macro_rules! plain {
    ($($int:ident $atomic:ident $size:literal;)*) => {$(
        impl Plain for $int {
            #[inline(always)]
            unsafe fn load(address: u64) -> Self {
                let at = std::ptr::with_exposed_provenance::<Self>(address as usize);
                if at.is_aligned() {
                    // SAFETY: the caller's promise; aligned.
                    unsafe { (*at.cast::<$atomic>()).load(Acquire) }
                } else {
                    // SAFETY: the caller's promise. No processor makes it whole, nor do we.
                    unsafe { at.read_unaligned() }
                }
            }

            #[inline(always)]
            unsafe fn store(address: u64, value: Self) {
                let at = std::ptr::with_exposed_provenance_mut::<Self>(address as usize);
                if at.is_aligned() {
                    // SAFETY: the caller's promise; aligned.
                    unsafe { (*at.cast::<$atomic>()).store(value, Relaxed) }
                } else {
                    // SAFETY: the caller's promise. No processor makes it whole, nor do we.
                    unsafe { at.write_unaligned(value) }
                }
            }
        }
    )*};
}

plain! {
    u8 AtomicU8 1;
    u16 AtomicU16 2;
    u32 AtomicU32 4;
    u64 AtomicU64 8;
}

macro_rules! atomics {
    ($($int:ident $atomic:ident: $($method:ident)*;)*) => {$(
        impl Atomics for $int {
            $(#[inline]
            unsafe fn $method(address: u64, value: Self) -> Self {
                let at = std::ptr::with_exposed_provenance::<$atomic>(address as usize);
                // SAFETY: the caller's promise.
                unsafe { &*at }.$method(value, SeqCst)
            })*

            #[inline]
            unsafe fn compare(address: u64, expected: Self, new: Self) -> Self {
                let at = std::ptr::with_exposed_provenance::<$atomic>(address as usize);
                // SAFETY: the caller's promise.
                let done = unsafe { &*at }.compare_exchange(expected, new, SeqCst, SeqCst);
                done.unwrap_or_else(|found| found)
            }
        }
    )*};
}

atomics! {
    u32 AtomicU32: fetch_add fetch_or fetch_and fetch_xor swap;
    u64 AtomicU64: fetch_add fetch_or fetch_and fetch_xor swap;
}
