//! Perf event arrays: a ring for each CPU, as there was before ring buffers.

use super::definition::{Number, definition};
use super::socket::context;
use super::{Map, MapOptions, Options};
use crate::context::Context;
use crate::error::Result;
use crate::helper::{done, raw};
use crate::plain::Plain;

/// The CPU that the program runs on, among the flags of an output.
pub(super) const CURRENT_CPU: u64 = 0xffff_ffff;

definition! {
    /// Perf events by CPU, which records are sent through. Linux 4.3.
    ///
    /// Loaders make an entry for each CPU. What does not fit into its ring, the kernel counts there.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static EVENTS: PerfEventArray = PerfEventArray::new();
    ///
    /// #[xdp]
    /// fn send(context: &XdpContext) -> XdpAction {
    ///     let _ = EVENTS.output(context, &[1_u64, 2]);
    ///     XdpAction::PASS
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_PERF_EVENT_ARRAY")]
    PerfEventArray = 4, [], [], Options,
    { key_size: Number<4>, value_size: Number<4>, max_entries: Number<0> }
}

impl<O: MapOptions> PerfEventArray<O> {
    /// Sends a record through the ring of this CPU. `ENOENT` where nobody listens, `ENOSPC` where
    /// the ring is full.
    #[doc(alias = "bpf_perf_event_output")]
    #[inline(always)]
    pub fn output<C: Context, T: Plain>(&self, with: &C, record: &T) -> Result {
        super::address(record, |at| {
            // SAFETY: the context is the program's own, or the verifier says so.
            done(unsafe {
                raw::bpf_perf_event_output(
                    context(with),
                    self.as_raw(),
                    CURRENT_CPU,
                    at.cast_mut(),
                    size_of::<T>() as u64,
                )
            })
        })
    }
}
