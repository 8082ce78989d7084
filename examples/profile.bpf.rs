// SPDX-License-Identifier: MIT OR Apache-2.0
//! profile: what the CPUs are busy with, by sampling stacks. The same as profile.bpf.c, in Rust.
//!
//! Teaches: a perf event as a timer, and stack traces, which skep shows with names.
//!
//!   skep run examples/profile.bpf.rs --duration 5s
//!   skep run examples/profile.bpf.rs -- gzip -9 -k -c /usr/bin/clang-14
#![no_std]
#![no_main]

use skep_ebpf::prelude::*;

license!("Dual MIT/GPL");

/// -p: only this process
#[setting(name = "target_pid")]
static TARGET_PID: u32 = 0;

#[repr(C)]
#[derive(Clone, Copy, Plain)]
struct Place {
    #[show(pid)]
    pid: u32,
    #[show(text)]
    comm: [u8; 16],
    #[show(user_stack)]
    user_stack: i32,
    #[show(kernel_stack)]
    kernel_stack: i32,
}

#[map(name = "stacks")]
static STACKS: StackTrace<127, 16384> = StackTrace::new();

#[map(name = "samples", title = "samples by stack")]
static SAMPLES: HashMap<Place, u64, 10240> = HashMap::new();

/// 99 times a second on every CPU: -F
#[perf_event]
fn sample(context: &PerfEventContext) -> Result {
    let pid = current_pid_tgid().tgid;
    if pid == 0 || TARGET_PID.get() != 0 && pid != TARGET_PID.get() {
        return Ok(());
    }
    // Where there is no stack, its error is in the place of its number.
    let stack = |flags| match STACKS.id(context, flags) {
        Ok(id) => id as i32,
        Err(error) => error.number(),
    };
    let mut place = Place {
        pid,
        comm: [0; 16],
        user_stack: stack(StackFlags::USER),
        kernel_stack: stack(StackFlags::KERNEL),
    };
    read_current_comm(&mut place.comm)?;
    match SAMPLES.get(&place) {
        Some(seen) => seen.add(1),
        None => SAMPLES
            .insert_with(&place, &1, UpdateFlags::NO_EXIST)
            .inspect_err(|_| count_lost())?,
    }
    Ok(())
}
