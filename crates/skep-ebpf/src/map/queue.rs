//! Maps without keys: queues, stacks, and a filter that only knows whether.

use core::mem::MaybeUninit;

use super::definition::{Number, definition};
use super::{Map, MapOptions, Options};
use crate::error::Result;
use crate::helper::{done, raw};
use crate::plain::Plain;

/// Room is made for a new value by the oldest (`BPF_EXIST`).
const REPLACE: u64 = 2;

macro_rules! queue {
    ($($(#[$doc:meta])* $name:ident = $id:literal;)*) => { $(
        definition! {
            $(#[$doc])*
            $name = $id, [V: Plain, const MAX_ENTRIES: usize,], [V, MAX_ENTRIES,], Options,
            { value: *const V, max_entries: Number<MAX_ENTRIES> }
        }

        impl<V: Plain, const MAX_ENTRIES: usize, O: MapOptions> $name<V, MAX_ENTRIES, O> {
            /// Puts a value in. `E2BIG` where there is no room.
            #[doc(alias = "bpf_map_push_elem")]
            #[inline(always)]
            pub fn push(&self, value: &V) -> Result {
                push(self, value, 0)
            }

            /// Puts a value in, for which the oldest is thrown away if there is no room.
            #[inline(always)]
            pub fn push_over(&self, value: &V) -> Result {
                push(self, value, REPLACE)
            }

            /// Takes the next value out. `ENOENT` where there is none.
            #[doc(alias = "bpf_map_pop_elem")]
            #[inline(always)]
            pub fn pop(&self) -> Result<V> {
                let mut value = MaybeUninit::<V>::uninit();
                // SAFETY: the map has such values, and the helper fills what it is given.
                done(unsafe { raw::bpf_map_pop_elem(self.as_raw(), value.as_mut_ptr().cast()) })?;
                // SAFETY: filled.
                Ok(unsafe { value.assume_init() })
            }

            /// A copy of the next value. `ENOENT` where there is none.
            #[doc(alias = "bpf_map_peek_elem")]
            #[inline(always)]
            pub fn peek(&self) -> Result<V> {
                let mut value = MaybeUninit::<V>::uninit();
                // SAFETY: as above.
                done(unsafe { raw::bpf_map_peek_elem(self.as_raw(), value.as_mut_ptr().cast()) })?;
                // SAFETY: filled.
                Ok(unsafe { value.assume_init() })
            }
        }
    )* };
}

queue! {
    /// Values that come out in the order in which they went in. Linux 4.20.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static PORTS: Queue<u32, 128> = Queue::new();
    ///
    /// #[xdp]
    /// fn take(_: &XdpContext) -> XdpAction {
    ///     match PORTS.pop() {
    ///         Ok(port) if port > 1024 => XdpAction::PASS,
    ///         Ok(port) if PORTS.push(&port).is_ok() => XdpAction::TX,
    ///         _ => XdpAction::DROP,
    ///     }
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_QUEUE")]
    Queue = 22;

    /// Values of which the last that went in comes out first. Linux 4.20.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static LATEST: Stack<u64, 128> = Stack::new();
    ///
    /// #[xdp]
    /// fn put(_: &XdpContext) -> XdpAction {
    ///     let _ = LATEST.push_over(&1);
    ///     match LATEST.peek() {
    ///         Ok(1) => XdpAction::PASS,
    ///         _ => XdpAction::DROP,
    ///     }
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_STACK")]
    Stack = 23;
}

definition! {
    /// Tells of a value that it was never put in, or that it perhaps was. Linux 5.16.
    ///
    /// How many hash functions there are is the fourth of the [`Options`]; 5 if it is 0.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static SEEN: BloomFilter<u32, 4096> = BloomFilter::new();
    ///
    /// #[xdp]
    /// fn first(_: &XdpContext) -> XdpAction {
    ///     if SEEN.may_contain(&0x7f00_0001) {
    ///         return XdpAction::DROP;
    ///     }
    ///     let _ = SEEN.add(&0x7f00_0001);
    ///     XdpAction::PASS
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_BLOOM_FILTER")]
    BloomFilter = 30, [V: Plain, const MAX_ENTRIES: usize,], [V, MAX_ENTRIES,], Options,
    { value: *const V, max_entries: Number<MAX_ENTRIES> }
}

impl<V: Plain, const MAX_ENTRIES: usize, O: MapOptions> BloomFilter<V, MAX_ENTRIES, O> {
    /// Puts a value in.
    #[doc(alias = "bpf_map_push_elem")]
    #[inline(always)]
    pub fn add(&self, value: &V) -> Result {
        push(self, value, 0)
    }

    /// Whether a value was perhaps put in. If not, it surely was not.
    #[doc(alias = "bpf_map_peek_elem")]
    #[inline(always)]
    #[must_use]
    pub fn may_contain(&self, value: &V) -> bool {
        super::address(value, |value| {
            // SAFETY: the map has such values; a filter only reads them.
            unsafe { raw::bpf_map_peek_elem(self.as_raw(), value.cast_mut()) == 0 }
        })
    }
}

#[inline(always)]
fn push<V: Plain>(map: &impl Map, value: &V, flags: u64) -> Result {
    super::address(value, |value| {
        // SAFETY: the map has such values.
        done(unsafe { raw::bpf_map_push_elem(map.as_raw(), value, flags) })
    })
}
