//! Every entry of a map, by a helper that calls a closure.

use core::ffi::c_void;

use super::{
    Array, HashMap, LruHashMap, LruPerCpuHashMap, Map, MapOptions, PerCpuArray, PerCpuHashMap,
    Value,
};
use crate::error::{Error, Result};
use crate::helper::{Step, raw};
use crate::plain::Plain;

/// A map of keys and values, for functions of any of them.
///
/// ```
/// #![no_std]
/// #![no_main]
/// use skep_ebpf::prelude::*;
///
/// license!("GPL");
///
/// #[map]
/// static SENT: HashMap<u32, u64, 1024> = HashMap::new();
///
/// #[map]
/// static RECEIVED: Array<u64, 16> = Array::new();
///
/// fn sum(map: &impl Keyed<Value = u64>) -> Result<u64> {
///     let mut sum = 0;
///     map.for_each(|_, value| sum += value.load())?;
///     Ok(sum)
/// }
///
/// #[xdp]
/// fn compare(_: &XdpContext) -> Result<XdpAction> {
///     match sum(&SENT)? > sum(&RECEIVED)? {
///         true => Ok(XdpAction::DROP),
///         false => Ok(XdpAction::PASS),
///     }
/// }
/// ```
pub trait Keyed: Map {
    /// The type of its keys.
    type Key: Plain;
    /// The type of its values.
    type Value: Plain;

    /// Calls a closure with each key and value; gives how often it was called. Of a per-CPU map:
    /// with this CPU's values.
    ///
    /// Entries may come and go meanwhile; the closure may remove the one that it was called with.
    /// The key is a copy. Linux 5.13.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use core::ops::ControlFlow;
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static COUNTS: HashMap<u32, u64, 1024> = HashMap::new();
    ///
    /// #[map]
    /// static SUMS: Array<u64, 1> = Array::new();
    ///
    /// #[xdp]
    /// fn sum(_: &XdpContext) -> Result<XdpAction> {
    ///     let mut sum = 0_u64;
    ///     COUNTS.for_each(|&key, count| {
    ///         if key == 0 {
    ///             return ControlFlow::Break(());
    ///         }
    ///         sum += count.load();
    ///         ControlFlow::Continue(())
    ///     })?;
    ///     SUMS.set(0, &sum)?;
    ///     Ok(XdpAction::PASS)
    /// }
    /// ```
    #[doc(alias = "bpf_for_each_map_elem")]
    #[inline(always)]
    fn for_each<F, S>(&self, mut step: F) -> Result<u32>
    where
        F: FnMut(&Self::Key, Value<'_, Self::Value>) -> S,
        S: Step,
    {
        let callback: extern "C" fn(
            *mut c_void,
            *const Self::Key,
            *mut Self::Value,
            *mut F,
        ) -> i64 = element::<Self, F, S>;
        // SAFETY: calls the function with keys and values of this map, and the address of the
        // closure while it is here.
        Error::check(unsafe {
            raw::bpf_for_each_map_elem(
                self.as_raw(),
                callback as *mut c_void,
                (&raw mut step).cast(),
                0,
            )
        })
        .map(|called| called as u32)
    }
}

extern "C" fn element<M, F, S>(
    _: *mut c_void,
    key: *const M::Key,
    value: *mut M::Value,
    step: *mut F,
) -> i64
where
    M: Keyed,
    F: FnMut(&M::Key, Value<'_, M::Value>) -> S,
    S: Step,
{
    // SAFETY: the kernel calls with a key of the map, which may change when the entry is used
    // anew: hence the copy, which is plain data.
    let key = core::mem::ManuallyDrop::new(unsafe { core::ptr::read(key) });
    // SAFETY: the closure of `for_each`, which nobody else uses meanwhile.
    let step = unsafe { &mut *step };
    // SAFETY: a value of the map, never null, that stays for the call.
    let value = unsafe { Value::new_unchecked(value) };
    i64::from(step(&key, value).stops())
}

macro_rules! keyed {
    ($($name:ident)*) => { $(
        impl<K: Plain, V: Plain, const MAX_ENTRIES: usize, O: MapOptions> Keyed
            for $name<K, V, MAX_ENTRIES, O>
        {
            type Key = K;
            type Value = V;
        }
    )* };
}

keyed! { HashMap LruHashMap PerCpuHashMap LruPerCpuHashMap }

macro_rules! indexed {
    ($($name:ident)*) => { $(
        impl<V: Plain, const MAX_ENTRIES: usize, O: MapOptions> Keyed for $name<V, MAX_ENTRIES, O> {
            type Key = u32;
            type Value = V;
        }
    )* };
}

indexed! { Array PerCpuArray }
