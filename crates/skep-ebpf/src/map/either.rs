//! Ring buffers that may become perf buffers, for kernels that have none of the former.

use super::definition::{Number, definition};
use super::perf::CURRENT_CPU;
use super::{Map, MapOptions, Options, context};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::helper::{done, raw};
use crate::lost::count_lost;
use crate::plain::Plain;
use crate::{core_enum_exists, kernel};

definition! {
    /// A ring of records for user space, which loading makes a perf buffer where the kernel is older
    /// than 5.8 and has no ring buffers.
    ///
    /// `BYTES` is the ring's size, as [`RingBuf`](super::RingBuf) has it; a perf buffer's is chosen by
    /// who reads. Records are copied, as there is no place in a perf buffer to fill them in, and need the
    /// context, which perf buffers are written by.
    ///
    /// Which it is, the kernel's types say, to the program and to the loader alike. `skep run` says
    /// where it is a perf buffer, and so does `Loaded::downgrades`; readers that take both are
    /// `skep::Readers`. Other loaders leave it a ring buffer.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[repr(C)]
    /// #[derive(Plain)]
    /// struct Event {
    ///     time: u64,
    ///     number: u64,
    /// }
    ///
    /// #[map(event = Event)]
    /// static EVENTS: RingOrPerfBuf<{ 256 * 1024 }> = RingOrPerfBuf::new();
    ///
    /// #[tracepoint("syscalls/sys_enter_getpid")]
    /// fn called(context: &TracepointContext) -> Result {
    ///     EVENTS.output(context, &Event { time: ktime_ns(), number: 2 })
    /// }
    /// ```
    #[doc(alias = "SKEP_OR_PERF_BUFFER")]
    RingOrPerfBuf = 27, [const BYTES: usize,], [BYTES,], Options,
    { max_entries: Number<BYTES>, or_perf_buffer: Number<1> }
}

/// The helpers of the kernel that is loaded into, of which older ones lack this.
#[kernel(name = "bpf_func_id")]
enum Helpers {
    BPF_FUNC_ringbuf_output = 130,
}

impl<const BYTES: usize, O: MapOptions> RingOrPerfBuf<BYTES, O> {
    /// Sends a record by whichever way there is.
    ///
    /// # Errors
    ///
    /// Of a ring buffer `EAGAIN`, of a perf buffer `ENOSPC` where there is no room, and `ENOENT` where
    /// nobody listens. The loss is counted, once: here, or by a perf buffer that is full.
    #[doc(alias = "skep_output")]
    #[inline(always)]
    pub fn output<C: Context, T: Plain>(&self, with: &C, record: &T) -> Result {
        let (map, size) = (self.as_raw(), size_of::<T>() as u64);
        let is_ring = core_enum_exists!(Helpers::BPF_FUNC_ringbuf_output);
        let sent = super::address(record, |at| {
            // SAFETY: the map is what the loader made of it by the same types, the record is readable,
            // and the context is the program's own, or the verifier says so.
            done(unsafe {
                match is_ring {
                    true => raw::bpf_ringbuf_output(map, at.cast_mut(), size, 0),
                    false => raw::bpf_perf_event_output(
                        context(with),
                        map,
                        CURRENT_CPU,
                        at.cast_mut(),
                        size,
                    ),
                }
            })
        });
        // What a full perf buffer has no room for, the kernel counts there.
        if sent.is_err_and(|error| is_ring || error != Error::ENOSPC) {
            count_lost();
        }
        sent
    }
}
