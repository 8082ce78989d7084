// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbered records by a ring buffer, or by a perf buffer where there are none, as `outputs.bpf.c`: as
//! many as the first argument says.
#![no_std]
#![no_main]
use skep_ebpf::prelude::*;

license!("GPL");

#[repr(C)]
#[derive(Plain)]
struct Record {
    number: u64,
    check: u64,
}

#[map(name = "events")]
static EVENTS: RingOrPerfBuf<4096> = RingOrPerfBuf::new();

#[raw_tracepoint("sys_enter")]
fn produce(context: &RawTracepointContext, count: u64) {
    for number in 0..512 {
        if number >= count {
            break;
        }
        let check = number ^ 0x5555;
        // What is lost is counted.
        let _ = EVENTS.output(context, &Record { number, check });
    }
}
