//! Numbers, and bits.

use core::ops::Range;

use super::{Each, OpenCoded, Slot};
use crate::external::kfunc;

#[crate::co_re::macros::kernel]
#[doc(hidden)]
pub struct bpf_iter_num {}

#[crate::co_re::macros::kernel]
#[doc(hidden)]
pub struct bpf_iter_bits {}

#[kfunc]
unsafe extern "C" {
    fn bpf_iter_num_new(it: *mut bpf_iter_num, start: i32, end: i32) -> i32;
    fn bpf_iter_num_next(it: *mut bpf_iter_num) -> *const i32;
    fn bpf_iter_num_destroy(it: *mut bpf_iter_num);
    fn bpf_iter_bits_new(it: *mut bpf_iter_bits, words: *const u64, count: u32) -> i32;
    fn bpf_iter_bits_next(it: *mut bpf_iter_bits) -> *const i32;
    fn bpf_iter_bits_destroy(it: *mut bpf_iter_bits);
}

/// Numbers of a range, in order: `for number in range!(0..1000)`.
///
/// Up to 8 million of them; none of a range that is longer, or ends before it begins. The verifier
/// knows nothing of the number but that it is one. Linux 6.4.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static SUM: Array<u64, 1> = Array::new();
///
/// #[xdp]
/// fn sum(_: &XdpContext) -> Result<XdpAction> {
///     let mut sum = 0;
///     for number in range!(0..1_000_000) {
///         if random() == 0 {
///             break;
///         }
///         sum += number as u64;
///     }
///     SUM.set(0, &sum)?;
///     Ok(XdpAction::PASS)
/// }
/// ```
#[doc(alias = "bpf_for")]
#[doc(alias = "bpf_iter_num")]
#[macro_export]
macro_rules! range {
    ($range:expr) => {
        $crate::iterate::numbers(&mut $crate::iterate::Slot::new(), $range)
    };
}

/// Bits that are set in words of memory, by number from the lowest: `for bit in bits!(&words)`.
///
/// At most 511 words; none where the memory can't be read. Linux 6.11.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::iterate::bits;
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[kernel]
/// struct cpumask {
///     bits: [u64; 1],
/// }
///
/// #[kernel]
/// struct task_struct {
///     cpus_ptr: *const cpumask,
/// }
///
/// #[tp_btf("sched_switch")]
/// fn switched(_: &TpBtfContext) {
///     let task: *const task_struct = current_task();
///     let words = [core_load!(task.cpus_ptr.bits[0])];
///     for cpu in bits!(&words) {
///         printk!("may run on %d", cpu);
///     }
/// }
/// ```
#[doc(alias = "bpf_iter_bits")]
#[macro_export]
macro_rules! bits {
    ($words:expr) => {
        $crate::iterate::bits(&mut $crate::iterate::Slot::new(), $words)
    };
}

/// What [`range!`](crate::range) begins.
pub enum Numbers {}

/// What [`bits!`](crate::bits) begins.
pub enum Bits {}

/// What [`range!`](crate::range) makes, with a place for its state.
#[doc(hidden)]
#[inline(always)]
pub fn numbers(slot: &mut Slot<bpf_iter_num, 1>, range: Range<i32>) -> Each<'_, Numbers> {
    // SAFETY: the state is given back by `Each`, also where it could not be begun, as the verifier
    // wants it.
    unsafe {
        bpf_iter_num_new(slot.as_mut_ptr(), range.start, range.end);
        Each::begun(slot.as_mut_ptr())
    }
}

/// What [`bits!`](crate::bits) makes, with a place for its state.
#[doc(hidden)]
#[inline(always)]
pub fn bits<'a, const WORDS: usize>(
    slot: &'a mut Slot<bpf_iter_bits, 2>,
    words: &[u64; WORDS],
) -> Each<'a, Bits> {
    // SAFETY: as in `numbers`; the words are copied.
    unsafe {
        bpf_iter_bits_new(slot.as_mut_ptr(), words.as_ptr(), WORDS as u32);
        Each::begun(slot.as_mut_ptr())
    }
}

// SAFETY: these are its functions.
unsafe impl OpenCoded for Numbers {
    type State = bpf_iter_num;
    type Item = i32;

    #[inline(always)]
    unsafe fn next(state: *mut bpf_iter_num) -> Option<i32> {
        // SAFETY: begun, says the caller; a number is there, or null.
        unsafe { bpf_iter_num_next(state).as_ref().copied() }
    }

    #[inline(always)]
    unsafe fn destroy(state: *mut bpf_iter_num) {
        // SAFETY: begun, says the caller.
        unsafe { bpf_iter_num_destroy(state) }
    }
}

// SAFETY: these are its functions.
unsafe impl OpenCoded for Bits {
    type State = bpf_iter_bits;
    type Item = i32;

    #[inline(always)]
    unsafe fn next(state: *mut bpf_iter_bits) -> Option<i32> {
        // SAFETY: begun, says the caller; a number is there, or null.
        unsafe { bpf_iter_bits_next(state).as_ref().copied() }
    }

    #[inline(always)]
    unsafe fn destroy(state: *mut bpf_iter_bits) {
        // SAFETY: begun, says the caller.
        unsafe { bpf_iter_bits_destroy(state) }
    }
}
