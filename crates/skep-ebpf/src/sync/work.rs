//! Work in a value: a function of the program that runs later, where it may sleep.

use core::ffi::c_void;

use crate::error::Result;
use crate::helper::done;
use crate::map::{Keyed, Value};
use crate::plain::Plain;
use crate::{kernel, kfunc, kfunc_exists};

/// Work in the value of a hash or array, one at most. Linux 6.10.
///
/// It runs soon after it is started, in a thread of the kernel's: there the program may sleep, and so
/// read memory of processes that is not there yet, which others can't.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
/// use skep_ebpf::sync::{Work, WorkQueue};
///
/// license!("GPL");
///
/// #[repr(C)]
/// #[derive(Plain)]
/// struct Job {
///     work: WorkQueue,
///     number: u64,
/// }
///
/// #[map]
/// static JOBS: Array<Job, 1> = Array::new();
///
/// struct Count;
///
/// impl Work<Array<Job, 1>> for Count {
///     fn run(_: &Array<Job, 1>, _: &u32, job: Value<'_, Job>) {
///         field!(job.number).add(1);
///     }
/// }
///
/// #[tc]
/// fn begin(_: &TcContext) -> Result<TcAction> {
///     let job = JOBS.get(0).ok_or(Error::ENOENT)?;
///     let work = field!(job.work);
///     work.init(&JOBS)?;
///     work.set_callback::<_, Count>(&JOBS)?;
///     work.start()?;
///     Ok(TcAction::OK)
/// }
/// ```
#[allow(non_camel_case_types, reason = "the kernel finds it by this name")]
#[derive(Debug)]
#[repr(C)]
pub struct bpf_wq {
    __opaque: [u64; 2],
}

// SAFETY: numbers, which are only the kernel's.
unsafe impl Plain for bpf_wq {}

impl bpf_wq {
    /// Work that was not initialised: what is inserted with a new value.
    #[must_use]
    #[inline(always)]
    pub const fn new() -> Self {
        Self { __opaque: [0; 2] }
    }
}

impl Default for bpf_wq {
    #[inline(always)]
    fn default() -> Self {
        Self::new()
    }
}

/// The kernel's type, as its functions take it.
#[kernel(name = "bpf_wq")]
struct Queue {}

type Callback = unsafe extern "C" fn(*mut c_void, *mut i32, *mut c_void) -> i32;

#[kfunc]
unsafe extern "C" {
    fn bpf_wq_init(wq: *mut Queue, map: *mut c_void, flags: u32) -> i32;
    #[weak]
    fn bpf_wq_set_callback(wq: *mut Queue, callback: Callback, flags: u32) -> i32;
    // Before Linux 7.0.
    #[weak]
    fn bpf_wq_set_callback_impl(
        wq: *mut Queue,
        callback: Callback,
        flags: u32,
        aux: *mut c_void,
    ) -> i32;
    fn bpf_wq_start(wq: *mut Queue, flags: u32) -> i32;
}

/// What work in a map `M` does. A type rather than a closure: it runs when the program that started
/// it is over, so there is nothing that it could hold on to.
pub trait Work<M: Keyed> {
    /// Called with the entry that the work is in.
    fn run(map: &M, key: &M::Key, value: Value<'_, M::Value>);
}

unsafe extern "C" fn run<M: Keyed, W: Work<M>>(
    map: *mut c_void,
    key: *mut i32,
    value: *mut c_void,
) -> i32 {
    // SAFETY: the kernel calls with the map, of which only the address matters.
    let map = unsafe { &*map.cast::<M>() };
    // SAFETY: and with a key of it, copied since others may change it. Plain data.
    let key = core::mem::ManuallyDrop::new(unsafe { core::ptr::read(key.cast::<M::Key>()) });
    // SAFETY: and a value, never null.
    W::run(map, &key, unsafe { Value::new_unchecked(value.cast()) });
    // The verifier wants 0.
    0
}

impl Value<'_, bpf_wq> {
    /// Prepares the work; `map` is the one that it lies in. `EBUSY` where it was prepared already,
    /// `EPERM` where no user space holds the map.
    #[doc(alias = "bpf_wq_init")]
    #[inline(always)]
    pub fn init(self, map: &impl Keyed) -> Result {
        // SAFETY: work in a value; the verifier checks that it is one of this map.
        done(unsafe { bpf_wq_init(self.as_ptr().cast(), map.as_raw(), 0) }.into())
    }

    /// Says what it does. `EINVAL` where it was not prepared.
    #[doc(alias = "bpf_wq_set_callback")]
    #[inline(always)]
    pub fn set_callback<M: Keyed, W: Work<M>>(self, _map: &M) -> Result {
        let wq = self.as_ptr().cast();
        // SAFETY: work in a value of such a map, with whose entries the function will be called. The
        // last argument of the older function is the verifier's.
        let set = unsafe {
            match kfunc_exists!(bpf_wq_set_callback) {
                true => bpf_wq_set_callback(wq, run::<M, W>, 0),
                false => bpf_wq_set_callback_impl(wq, run::<M, W>, 0, core::ptr::null_mut()),
            }
        };
        done(set.into())
    }

    /// Starts it, for once. `EINVAL` where it was not prepared.
    #[doc(alias = "bpf_wq_start")]
    #[inline(always)]
    pub fn start(self) -> Result {
        // SAFETY: work in a value.
        done(unsafe { bpf_wq_start(self.as_ptr().cast(), 0) }.into())
    }
}
