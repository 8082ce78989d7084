//! Maps: BTF-defined, made by any loader, found by the name of their `static`.
//!
//! A map is a `static` with [`#[map]`](macro@crate::map), of a type that says all of it: keys, values,
//! how many, and seldom-needed [`Options`].
//!
//! ```
//! #![no_std]
//! #![no_main]
//! use skep_ebpf::prelude::*;
//!
//! license!("GPL");
//!
//! #[map]
//! static CALLS: HashMap<u32, u64, 1024> = HashMap::new();
//!
//! #[xdp]
//! fn count(_: &XdpContext) -> XdpAction {
//!     match CALLS.get(&7) {
//!         Some(calls) => calls.add(1),
//!         None => CALLS.insert(&7, &1).unwrap_or_default(),
//!     }
//!     XdpAction::PASS
//! }
//! ```
//!
//! The attribute takes what else there is to say of a map:
//!
//! | option | |
//! |---|---|
//! | `name = "hits"` | the map's name, if it is not the static's |
//! | `event = Event` | the records of a ring or perf buffer are of this type: `skep run` prints them by it |
//! | `title = "hits by address"` | the heading of what `skep run` prints of it at the end |
//! | `histogram = "us"` | an array of counts, in slot i of values from 2^i on; their unit |
//! | `hidden` | the program's own business: not printed |

mod arena;
mod array;
pub(crate) mod definition;
mod device;
mod each;
mod either;
mod hash;
mod kptr;
mod nested;
mod perf;
mod queue;
mod ring;
mod socket;
mod special;
mod storage;
mod trie;
mod value;

use core::ffi::c_void;

pub use arena::{Arena, ArenaPointer};
pub use array::{Array, PerCpuArray};
pub use definition::*;
pub use device::{Cpu, CpuMap, DevMap, DevMapHash, Device, XskMap};
pub use each::Keyed;
pub use either::RingOrPerfBuf;
pub use hash::{HashMap, LruHashMap, LruPerCpuHashMap, PerCpuHashMap};
pub use kptr::Kptr;
pub use nested::{ArrayOfMaps, HashOfMaps};
pub use perf::PerfEventArray;
pub use queue::{BloomFilter, Queue, Stack};
pub use ring::{Entry, RingBuf, UserRingBuf, Wakeup};
pub(crate) use socket::context;
pub use socket::{Direction, ReusePortSockArray, SockHash, SockMap};
pub use special::{CgroupArray, ProgramArray, StackFlags, StackTrace};
pub use storage::{CgroupStorage, InodeStorage, SocketStorage, TaskStorage};
pub use trie::{LpmTrie, Prefix};
pub use value::Value;

use crate::error::Result;
use crate::helper::{done, raw};
use crate::plain::Plain;

/// Whether a key may or must be there when it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct UpdateFlags(u64);

impl UpdateFlags {
    /// Whether it is there or not (`BPF_ANY`).
    pub const ANY: Self = Self(0);
    /// It must not be there: else `EEXIST` (`BPF_NOEXIST`).
    pub const NO_EXIST: Self = Self(1);
    /// It must be there: else `ENOENT` (`BPF_EXIST`).
    pub const EXIST: Self = Self(2);

    /// The kernel's number.
    #[must_use]
    #[inline(always)]
    pub const fn raw(self) -> u64 {
        self.0
    }
}

/// Calls with the address of a value as helpers want it. Small ones are copied to the stack: the
/// compiler would make a map of constants that it is given by reference.
#[inline(always)]
pub(crate) fn address<T: Plain, R>(value: &T, call: impl FnOnce(*const c_void) -> R) -> R {
    if const { size_of::<T>() <= 8 } {
        // SAFETY: plain: a copy is as good as the value, and forgotten without more.
        let copy = core::mem::ManuallyDrop::new(unsafe { core::ptr::read(value) });
        call((&raw const copy).cast())
    } else {
        call(core::ptr::from_ref(value).cast())
    }
}

#[inline(always)]
pub(crate) fn lookup<'a, K: Plain, V: Plain>(map: &'a impl Map, key: &K) -> Option<Value<'a, V>> {
    // SAFETY: the map has such keys and values, by its definition. They stay until the program ends.
    address(key, |key| unsafe {
        Value::new(raw::bpf_map_lookup_elem(map.as_raw(), key).cast())
    })
}

#[inline(always)]
pub(crate) fn lookup_on<'a, K: Plain, V: Plain>(
    map: &'a impl Map,
    key: &K,
    cpu: u32,
) -> Option<Value<'a, V>> {
    // SAFETY: as above.
    address(key, |key| unsafe {
        Value::new(raw::bpf_map_lookup_percpu_elem(map.as_raw(), key, cpu).cast())
    })
}

#[inline(always)]
pub(crate) fn update<K: Plain, V: Plain>(
    map: &impl Map,
    key: &K,
    value: &V,
    flags: UpdateFlags,
) -> Result {
    address(key, |key| {
        address(value, |value| {
            // SAFETY: the map has such keys and values, by its definition.
            done(unsafe { raw::bpf_map_update_elem(map.as_raw(), key, value, flags.raw()) })
        })
    })
}

#[inline(always)]
pub(crate) fn delete<K: Plain>(map: &impl Map, key: &K) -> Result {
    address(key, |key| {
        // SAFETY: the map has such keys, by its definition.
        done(unsafe { raw::bpf_map_delete_elem(map.as_raw(), key) })
    })
}
