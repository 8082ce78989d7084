//! A place in a map. Other CPUs, user space and other programs read and write it at any time, which
//! no reference of Rust allows; so there is a type of its own for it.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{
    AtomicI32, AtomicI64, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, SeqCst},
};

use crate::hidden::{hide, known};
use crate::plain::{Interior, Plain};

/// A value in a map, where it lies: to be read, written, or counted up.
///
/// It is not `&V`: others may write to it between any two reads. [`load`](Self::load) and
/// [`store`](Self::store) copy it as it is, whole numbers in one access; the atomic functions
/// of numbers are for counters that several CPUs share; [`field!`](crate::field) leads from a
/// structure to one of its fields. Where `V` is an atomic, it also is what `&V` is.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[repr(C)]
/// #[derive(Clone, Copy, Plain)]
/// struct Traffic {
///     packets: u64,
///     bytes: u64,
/// }
///
/// #[map]
/// static TRAFFIC: Array<Traffic, 1> = Array::new();
///
/// #[xdp]
/// fn count(_: &XdpContext) -> XdpAction {
///     if let Some(traffic) = TRAFFIC.get(0) {
///         field!(traffic.packets).add(1);
///         field!(traffic.bytes).add(64);
///     }
///     XdpAction::PASS
/// }
/// ```
///
/// Whole numbers can be changed atomically, with what was there before (CPU v3, Linux 5.12):
///
/// ```
/// #![no_std]
/// #![no_main]
/// use core::sync::atomic::{AtomicU64, Ordering};
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static TICKETS: Array<u64, 2> = Array::new();
///
/// #[map]
/// static FLAGS: Array<AtomicU64, 1> = Array::new();
///
/// #[xdp]
/// fn take(_: &XdpContext) -> Result<XdpAction> {
///     let tickets = TICKETS.get(0).ok_or(Error::ENOENT)?;
///     if tickets.fetch_add(1) > 100 {
///         tickets.fetch_sub(1);
///         return Ok(XdpAction::DROP);
///     }
///     let state = TICKETS.get(1).ok_or(Error::ENOENT)?;
///     if state.compare_exchange(0, 1).is_err() && state.swap(2) == 3 {
///         return Ok(XdpAction::ABORTED);
///     }
///     if state.fetch_or(4) & state.fetch_and(7) ^ state.fetch_xor(1) == 9 {
///         return Ok(XdpAction::TX);
///     }
///     FLAGS.get(0).ok_or(Error::ENOENT)?.fetch_or(1, Ordering::SeqCst);
///     Ok(XdpAction::PASS)
/// }
/// ```
pub struct Value<'a, V> {
    at: NonNull<V>,
    map: PhantomData<&'a V>,
}

impl<V> Clone for Value<'_, V> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Value<'_, V> {}

impl<V> fmt::Debug for Value<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Value").field(&self.at).finish()
    }
}

impl<'a, V> Value<'a, V> {
    /// What a helper returned: none if null.
    ///
    /// # Safety
    ///
    /// Where not null, it points to a `V` that stays for `'a`.
    #[inline(always)]
    pub unsafe fn new(at: *mut V) -> Option<Self> {
        NonNull::new(at).map(|at| Self {
            at,
            map: PhantomData,
        })
    }

    /// What a helper returned that is never null.
    ///
    /// # Safety
    ///
    /// It points to a `V` that stays for `'a`.
    #[inline(always)]
    pub(crate) const unsafe fn new_unchecked(at: *mut V) -> Self {
        Self {
            // SAFETY: as the caller says.
            at: unsafe { NonNull::new_unchecked(at) },
            map: PhantomData,
        }
    }

    /// Where it lies.
    #[inline(always)]
    #[must_use]
    pub const fn as_ptr(self) -> *mut V {
        self.at.as_ptr()
    }

    /// The value as a reference.
    ///
    /// # Safety
    ///
    /// Nobody writes to it meanwhile: as it is in a per-CPU map where only this program does, or
    /// under a lock.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static SCRATCH: PerCpuArray<[u64; 64], 1> = PerCpuArray::new();
    ///
    /// #[xdp]
    /// fn order(_: &XdpContext) -> Result<XdpAction> {
    ///     let scratch = SCRATCH.get(0).ok_or(Error::ENOENT)?;
    ///     // SAFETY: this CPU's own, and XDP programs don't interrupt each other.
    ///     let numbers = unsafe { scratch.as_mut() };
    ///     numbers[0] = ktime_ns();
    ///     numbers.swap(0, 63);
    ///     // SAFETY: as above, and `numbers` is not used any more.
    ///     match unsafe { scratch.as_ref() } {
    ///         [first, .., last] if first > last => Ok(XdpAction::DROP),
    ///         _ => Ok(XdpAction::PASS),
    ///     }
    /// }
    /// ```
    #[inline(always)]
    #[must_use]
    pub const unsafe fn as_ref(self) -> &'a V {
        // SAFETY: valid by construction, unchanged by what the caller says.
        unsafe { self.at.as_ref() }
    }

    /// The value as a reference to write through.
    ///
    /// # Safety
    ///
    /// Nobody reads or writes it meanwhile, not even through another copy of this.
    #[inline(always)]
    #[must_use]
    pub const unsafe fn as_mut(mut self) -> &'a mut V {
        // SAFETY: valid by construction, ours alone by what the caller says.
        unsafe { self.at.as_mut() }
    }

    /// A part of the value: what [`field!`](crate::field) is made of.
    ///
    /// # Safety
    ///
    /// `part` lies in this value.
    #[inline(always)]
    #[must_use]
    pub const unsafe fn part<F>(self, part: *mut F) -> Value<'a, F> {
        Value {
            // SAFETY: inside of something that is not null.
            at: unsafe { NonNull::new_unchecked(part) },
            map: PhantomData,
        }
    }
}

impl<V: Plain + Copy> Value<'_, V> {
    /// A copy. A number of up to 8 bytes is read at once; a larger value piece by piece, and others
    /// may write between.
    #[inline(always)]
    #[must_use]
    pub fn load(self) -> V {
        // SAFETY: valid by construction; volatile, since others write to it.
        unsafe { self.at.read_volatile() }
    }

    /// Writes it, with what [`load`](Self::load) says of others.
    #[inline(always)]
    pub fn store(self, value: V) {
        // SAFETY: valid by construction; volatile, since others read it.
        unsafe { self.at.write_volatile(value) }
    }

    /// Reads it, and writes what is made of it: two accesses, so what others write between is lost.
    #[inline(always)]
    pub fn update(self, change: impl FnOnce(V) -> V) {
        self.store(change(self.load()));
    }
}

impl<'a, T, const N: usize> Value<'a, [T; N]> {
    /// An element; none if there is none. The verifier follows the check.
    #[inline(always)]
    #[must_use]
    pub fn at(self, index: usize) -> Option<Value<'a, T>> {
        // The number that is compared is the one that is added: before CPU v3 a compiler may compare
        // half of it, of which the verifier learns nothing about the whole.
        let index = if known(index) { index } else { hide(index) };
        if index >= N {
            return None;
        }
        // SAFETY: inside the array.
        Some(unsafe { self.part(self.at.as_ptr().cast::<T>().add(index)) })
    }
}

impl<V: Interior> Deref for Value<'_, V> {
    type Target = V;

    #[inline(always)]
    fn deref(&self) -> &V {
        // SAFETY: all that others write lies behind `UnsafeCell`.
        unsafe { self.at.as_ref() }
    }
}

macro_rules! numbers {
    ($($number:ty, $atomic:ty;)*) => { $(
        impl Value<'_, $number> {
            #[inline(always)]
            fn atomic(&self) -> &$atomic {
                // SAFETY: valid by construction, and aligned: values of maps are to 8 bytes.
                unsafe { <$atomic>::from_ptr(self.at.as_ptr()) }
            }

            /// Adds to it, with all other CPUs doing the same. It wraps around.
            #[inline(always)]
            pub fn add(self, number: $number) {
                self.atomic().fetch_add(number, Relaxed);
            }

            /// Adds to it and gives what was there before. CPU v3.
            #[inline(always)]
            pub fn fetch_add(self, number: $number) -> $number {
                self.atomic().fetch_add(number, SeqCst)
            }

            /// Subtracts from it and gives what was there before. CPU v3.
            #[inline(always)]
            pub fn fetch_sub(self, number: $number) -> $number {
                self.atomic().fetch_add((0 as $number).wrapping_sub(number), SeqCst)
            }

            /// Keeps the bits that are in both and gives what was there before. CPU v3.
            #[inline(always)]
            pub fn fetch_and(self, bits: $number) -> $number {
                self.atomic().fetch_and(bits, SeqCst)
            }

            /// Sets bits and gives what was there before. CPU v3.
            #[inline(always)]
            pub fn fetch_or(self, bits: $number) -> $number {
                self.atomic().fetch_or(bits, SeqCst)
            }

            /// Flips bits and gives what was there before. CPU v3.
            #[inline(always)]
            pub fn fetch_xor(self, bits: $number) -> $number {
                self.atomic().fetch_xor(bits, SeqCst)
            }

            /// Puts a number in the place of another. CPU v3.
            #[inline(always)]
            pub fn swap(self, number: $number) -> $number {
                self.atomic().swap(number, SeqCst)
            }

            /// Puts `new` in if `current` was there; gives what was there, as an error if it was
            /// something else. CPU v3.
            #[inline(always)]
            pub fn compare_exchange(self, current: $number, new: $number) -> core::result::Result<$number, $number> {
                self.atomic().compare_exchange(current, new, SeqCst, Acquire)
            }
        }
    )* };
}

numbers! { u32, AtomicU32; u64, AtomicU64; i32, AtomicI32; i64, AtomicI64; }

/// The field of a [`Value`]: `field!(value.a.b)` is a [`Value`] too.
///
/// See [`Value`] for an example.
#[macro_export]
macro_rules! field {
    // Nothing but names and numbers of fields: what stands there is evaluated as unsafe code.
    ($value:ident $(. $field:tt)+) => {{
        let value: $crate::map::Value<'_, _> = $value;
        let at = value.as_ptr();
        // SAFETY: a field of what is there.
        unsafe { value.part(&raw mut (*at)$(.$field)+) }
    }};
}
