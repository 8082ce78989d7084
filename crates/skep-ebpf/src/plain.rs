//! Types that are nothing but their bytes: what may lie in maps and records, where the kernel,
//! user space and other programs read and write it.

use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64};

/// A type of which all bytes are data, and any bytes are a value: no padding, no references, no
/// `bool` or `enum` with gaps.
///
/// Keys and values of maps and records of rings are such types. `#[derive(Plain)]` does it for a
/// structure with `#[repr(C)]` whose fields are plain; where the compiler would put padding, it
/// says so, and a field of `[u8; N]` takes the place. Padding matters: a key is compared by all of
/// its bytes, and bytes that were never written are refused by the verifier, or would show user
/// space what the stack held before.
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
/// struct Flow {
///     address: u32,
///     port: u16,
///     padding: [u8; 2],
/// }
///
/// #[map]
/// static BYTES: HashMap<Flow, u64, 1024> = HashMap::new();
///
/// #[xdp]
/// fn count(_: &XdpContext) -> XdpAction {
///     let flow = Flow { address: 0x7f00_0001, port: 80, padding: [0; 2] };
///     if let Some(bytes) = BYTES.get(&flow) {
///         bytes.add(1);
///     }
///     XdpAction::PASS
/// }
/// ```
///
/// How fields are shown is said as of [`shared`](macro@crate::shared):
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// pub enum Direction {
///     Received = 1,
///     Sent = 2,
/// }
///
/// #[repr(C)]
/// #[derive(Clone, Copy, Plain)]
/// struct Key {
///     #[show(ipv4)]
///     address: u32,
///     #[show(named = Direction)]
///     direction: u32,
/// }
///
/// #[map]
/// static PACKETS: HashMap<Key, u64, 1024> = HashMap::new();
///
/// #[xdp]
/// fn count(_: &XdpContext) -> Result<XdpAction> {
///     let key = Key { address: 0x7f00_0001, direction: Direction::Received as u32 };
///     PACKETS.get_or_insert(&key, &0)?.add(1);
///     Ok(XdpAction::PASS)
/// }
/// ```
///
/// # Safety
///
/// As said: every byte of the type belongs to a field, and every pattern of bytes is a value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` may have padding, or bytes that are no value of it",
    label = "must be plain",
    note = "write `#[derive(Plain)]` and `#[repr(C)]` before it, with explicit padding"
)]
pub unsafe trait Plain: Sized {}

macro_rules! plain {
    ($($type:ty)*) => { $(
        // SAFETY: an integer: all bytes count, and all are allowed.
        unsafe impl Plain for $type {}
    )* };
}

plain! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize AtomicU32 AtomicU64 AtomicI32 AtomicI64 }

// SAFETY: has no bytes.
unsafe impl Plain for () {}
// SAFETY: elements follow each other without gaps.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}
// SAFETY: has the layout of what is in it.
unsafe impl<T: Plain> Plain for Cell<T> {}
// SAFETY: has the layout of what is in it.
unsafe impl<T: Plain> Plain for UnsafeCell<T> {}
// SAFETY: has the layout of what is in it.
unsafe impl<T: Plain> Plain for core::num::Wrapping<T> {}
// SAFETY: a pointer is a number to all but who follows it, which is unsafe.
unsafe impl<T> Plain for *const T {}
// SAFETY: as above.
unsafe impl<T> Plain for *mut T {}

/// A type that stays what it is while others write to it: its parts are atomics.
///
/// References to such values can be had safely, although they lie in memory that other CPUs and
/// user space see: a [`Value`](crate::map::Value) of one is what `&V` is.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use core::sync::atomic::{AtomicU64, Ordering};
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[repr(C)]
/// #[derive(Plain)]
/// struct Traffic {
///     packets: AtomicU64,
///     bytes: AtomicU64,
/// }
///
/// // SAFETY: both of its fields are atomics.
/// unsafe impl Interior for Traffic {}
///
/// #[map]
/// static TRAFFIC: Array<Traffic, 1> = Array::new();
///
/// #[xdp]
/// fn count(_: &XdpContext) -> XdpAction {
///     if let Some(traffic) = TRAFFIC.get(0) {
///         traffic.packets.fetch_add(1, Ordering::Relaxed);
///         traffic.bytes.fetch_add(64, Ordering::Relaxed);
///     }
///     XdpAction::PASS
/// }
/// ```
///
/// # Safety
///
/// All of the type is atomic: a [`Cell`] is not enough, since other CPUs write at the same time.
pub unsafe trait Interior: Plain {}

macro_rules! interior {
    ($($type:ty)*) => { $(
        // SAFETY: an atomic is an `UnsafeCell` inside.
        unsafe impl Interior for $type {}
    )* };
}

interior! { AtomicU32 AtomicU64 AtomicI32 AtomicI64 }
// SAFETY: as its elements are.
unsafe impl<T: Interior, const N: usize> Interior for [T; N] {}
