// SPDX-License-Identifier: MIT OR Apache-2.0
//! syscount: how many system calls each process makes. The same as syscount.bpf.c, in Rust.
//!
//! Teaches: counting in the kernel, so that nothing is copied out until the end. A hash map that
//! no event fills is printed as a table when the run ends.
//!
//!   skep run examples/syscount.bpf.rs --duration 5s
//!   skep run examples/syscount.bpf.rs -- ls -R /etc
#![no_std]
#![no_main]

use skep_ebpf::prelude::*;

license!("Dual MIT/GPL");

/// -p: only this process
#[setting(name = "target_pid")]
static TARGET_PID: u32 = 0;

#[repr(C)]
#[derive(Clone, Copy, Plain)]
struct Process {
    #[show(pid)]
    pid: u32,
    #[show(text)]
    comm: [u8; 16],
}

#[map(name = "calls", title = "system calls by process")]
static CALLS: HashMap<Process, u64, 10240> = HashMap::new();

#[raw_tracepoint("sys_enter")]
fn count(_: &RawTracepointContext) -> Result {
    let pid = current_pid_tgid().tgid;
    if TARGET_PID.get() != 0 && pid != TARGET_PID.get() {
        return Ok(());
    }
    let mut process = Process { pid, comm: [0; 16] };
    read_current_comm(&mut process.comm)?;
    match CALLS.get(&process) {
        Some(calls) => calls.add(1),
        None => CALLS
            .insert_with(&process, &1, UpdateFlags::NO_EXIST)
            .inspect_err(|_| count_lost())?,
    }
    Ok(())
}
