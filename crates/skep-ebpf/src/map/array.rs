//! Arrays of values, zero at first, and per CPU.

use super::definition::{Number, definition};
use super::{MapOptions, Options, UpdateFlags, Value, lookup, lookup_on, update};
use crate::error::Result;
use crate::plain::Plain;

macro_rules! array {
    ($($(#[$doc:meta])* $name:ident = $id:literal;)*) => { $(
        definition! {
            $(#[$doc])*
            $name = $id, [V: Plain, const MAX_ENTRIES: usize,], [V, MAX_ENTRIES,], Options,
            { key: *const u32, value: *const V, max_entries: Number<MAX_ENTRIES> }
        }

        impl<V: Plain, const MAX_ENTRIES: usize, O: MapOptions> $name<V, MAX_ENTRIES, O> {
            /// The value at an index, if it is inside. Of a per-CPU map: this CPU's.
            #[doc(alias = "bpf_map_lookup_elem")]
            #[inline(always)]
            #[must_use]
            pub fn get(&self, index: u32) -> Option<Value<'_, V>> {
                lookup(self, &index)
            }

            /// Writes the value at an index. `E2BIG` where that is outside.
            #[doc(alias = "bpf_map_update_elem")]
            #[inline(always)]
            pub fn set(&self, index: u32, value: &V) -> Result {
                update(self, &index, value, UpdateFlags::ANY)
            }
        }
    )* };
}

array! {
    /// Values by index. Linux 3.19.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static PACKETS: Array<u64, 1> = Array::new();
    ///
    /// #[xdp]
    /// fn count(_: &XdpContext) -> XdpAction {
    ///     if let Some(packets) = PACKETS.get(0) {
    ///         packets.add(1);
    ///     }
    ///     XdpAction::PASS
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_ARRAY")]
    Array = 2;

    /// Values by index, for each CPU. Linux 4.6.
    ///
    /// One element of a large type is the usual place for what does not fit on the stack.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static BUFFER: PerCpuArray<[u8; 4096], 1> = PerCpuArray::new();
    ///
    /// #[xdp]
    /// fn fill(_: &XdpContext) -> XdpAction {
    ///     if let Some(byte) = BUFFER.get(0).and_then(|buffer| buffer.at(4095)) {
    ///         byte.store(1);
    ///     }
    ///     let other = BUFFER.get_for_cpu(0, 1).and_then(|buffer| buffer.at(0));
    ///     match other.map(|byte| byte.load()) {
    ///         Some(0) => XdpAction::DROP,
    ///         _ => XdpAction::PASS,
    ///     }
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_PERCPU_ARRAY")]
    PerCpuArray = 6;
}

impl<V: Plain, const MAX_ENTRIES: usize, O: MapOptions> PerCpuArray<V, MAX_ENTRIES, O> {
    /// Another CPU's value at an index, if there are such an index and CPU. Linux 5.19.
    #[doc(alias = "bpf_map_lookup_percpu_elem")]
    #[inline(always)]
    #[must_use]
    pub fn get_for_cpu(&self, index: u32, cpu: u32) -> Option<Value<'_, V>> {
        lookup_on(self, &index, cpu)
    }
}
