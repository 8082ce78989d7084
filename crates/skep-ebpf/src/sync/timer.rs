//! A timer in a value, which calls a function of the program.

use core::ffi::c_void;

use crate::error::{Error, Result};
use crate::helper::{done, raw};
use crate::map::{Keyed, Value};
use crate::plain::Plain;

/// A timer in the value of a hash or array, one at most. Linux 5.15.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
/// use skep_ebpf::sync::{Clock, Timed, Timer};
///
/// license!("GPL");
///
/// #[repr(C)]
/// #[derive(Plain)]
/// struct Watch {
///     timer: Timer,
///     rounds: u64,
/// }
///
/// #[map]
/// static WATCHES: Array<Watch, 1> = Array::new();
///
/// struct Tick;
///
/// impl Timed<Array<Watch, 1>> for Tick {
///     fn fire(_: &Array<Watch, 1>, _: &u32, watch: Value<'_, Watch>) {
///         field!(watch.rounds).add(1);
///         let _ = field!(watch.timer).start_at(ktime_ns() + 1_000_000);
///     }
/// }
///
/// #[tc]
/// fn begin(_: &TcContext) -> Result<TcAction> {
///     let watch = WATCHES.get(0).ok_or(Error::ENOENT)?;
///     let timer = field!(watch.timer);
///     if timer.init(&WATCHES, Clock::Monotonic) == Err(Error::EBUSY) {
///         // It runs already.
///         timer.cancel()?;
///     }
///     timer.set_callback::<_, Tick>(&WATCHES)?;
///     timer.start(1_000_000)?;
///     Ok(TcAction::OK)
/// }
/// ```
#[allow(non_camel_case_types, reason = "the kernel finds it by this name")]
#[derive(Debug)]
#[repr(C)]
pub struct bpf_timer {
    __opaque: [u64; 2],
}

// SAFETY: numbers, which are only the kernel's.
unsafe impl Plain for bpf_timer {}

impl bpf_timer {
    /// A timer that was not initialised: what is inserted with a new value.
    #[must_use]
    #[inline(always)]
    pub const fn new() -> Self {
        Self { __opaque: [0; 2] }
    }
}

impl Default for bpf_timer {
    #[inline(always)]
    fn default() -> Self {
        Self::new()
    }
}

/// The clock that a timer goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Clock {
    /// The time of day (`CLOCK_REALTIME`).
    Realtime = 0,
    /// Without the time that the machine was suspended (`CLOCK_MONOTONIC`).
    Monotonic = 1,
    /// With it (`CLOCK_BOOTTIME`).
    Boottime = 7,
}

/// What a timer of a map `M` does. A type rather than a closure: it runs when the program that set
/// it is long over, so there is nothing that it could hold on to.
pub trait Timed<M: Keyed> {
    /// Called with the entry that the timer is in.
    fn fire(map: &M, key: &M::Key, value: Value<'_, M::Value>);
}

extern "C" fn fire<M: Keyed, T: Timed<M>>(
    map: *const M,
    key: *const M::Key,
    value: *mut M::Value,
) -> i64 {
    // SAFETY: the kernel calls with the map, of which only the address matters.
    let map = unsafe { &*map };
    // SAFETY: and with a key of it, copied since others may change it. Plain data.
    let key = core::mem::ManuallyDrop::new(unsafe { core::ptr::read(key) });
    // SAFETY: and a value, never null.
    T::fire(map, &key, unsafe { Value::new_unchecked(value) });
    // The verifier wants 0.
    0
}

impl Value<'_, bpf_timer> {
    /// Prepares the timer; `map` is the one that it lies in. `EBUSY` where it was prepared already,
    /// `EPERM` where no user space holds the map.
    #[doc(alias = "bpf_timer_init")]
    #[inline(always)]
    pub fn init(self, map: &impl Keyed, clock: Clock) -> Result {
        // SAFETY: a timer in a value; the verifier checks that it is one of this map.
        done(unsafe { raw::bpf_timer_init(self.as_ptr().cast(), map.as_raw(), clock as u64) })
    }

    /// Says what it does when the time comes. `EINVAL` where it was not prepared.
    #[doc(alias = "bpf_timer_set_callback")]
    #[inline(always)]
    pub fn set_callback<M: Keyed, T: Timed<M>>(self, _map: &M) -> Result {
        let callback: extern "C" fn(*const M, *const M::Key, *mut M::Value) -> i64 = fire::<M, T>;
        // SAFETY: a timer in a value of such a map, with whose entries it will be called.
        done(unsafe { raw::bpf_timer_set_callback(self.as_ptr().cast(), callback as *mut c_void) })
    }

    /// Starts it, for once: in so many nanoseconds.
    #[doc(alias = "bpf_timer_start")]
    #[inline(always)]
    pub fn start(self, nanoseconds: u64) -> Result {
        // SAFETY: a timer in a value.
        done(unsafe { raw::bpf_timer_start(self.as_ptr().cast(), nanoseconds, 0) })
    }

    /// Starts it, for once: when its clock shows a time. Linux 6.4.
    #[inline(always)]
    pub fn start_at(self, time: u64) -> Result {
        const ABSOLUTE: u64 = 1;
        // SAFETY: a timer in a value.
        done(unsafe { raw::bpf_timer_start(self.as_ptr().cast(), time, ABSOLUTE) })
    }

    /// Stops it and waits if it is running now; tells whether it was started. `EDEADLK` inside of
    /// its own function.
    #[doc(alias = "bpf_timer_cancel")]
    #[inline(always)]
    pub fn cancel(self) -> Result<bool> {
        // SAFETY: a timer in a value.
        Error::check(unsafe { raw::bpf_timer_cancel(self.as_ptr().cast()) }).map(|was| was != 0)
    }
}
