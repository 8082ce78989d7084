// SPDX-License-Identifier: MIT OR Apache-2.0
//! usdt_imports: the modules that Python imports, and how long each took. The same as
//! usdt_imports.bpf.c, in Rust.
//!
//! Teaches: static probe points of user space (USDT), which a program's authors put where things
//! happen and promise to keep: their arguments come by place, not by a function's signature. Here
//! one says that an import begins, one that it is done; imports within imports lie on a stack.
//! Needs a Python that was built with its points, as distributions build it.
//!
//!   skep run examples/usdt_imports.bpf.rs -- python3 -c 'import json'
#![no_std]
#![no_main]

use skep_ebpf::prelude::*;

license!("Dual MIT/GPL");

const DEEPEST: usize = 64;

/// -p: only this process
#[setting(name = "target_pid")]
static TARGET_PID: u32 = 0;

#[repr(C)]
#[derive(Clone, Copy, Plain)]
struct Import {
    #[show(time)]
    time: u64,
    #[show(pid)]
    pid: u32,
    depth: u32,
    #[show(span)]
    took: u64,
    #[show(bool)]
    found: u8,
    #[show(text)]
    name: [u8; 64],
    #[show(hidden)]
    padding: [u8; 7],
}

/// Where a thread is: how deep, and when each import that it is in began.
#[repr(C)]
#[derive(Clone, Copy, Plain)]
struct Imports {
    depth: u32,
    #[show(hidden)]
    padding: u32,
    began: [u64; DEEPEST],
}

#[map(name = "threads", hidden)]
static THREADS: HashMap<u32, Imports, 1024> = HashMap::new();

#[map(name = "events", event = Import)]
static EVENTS: RingBuf<{ 256 * 1024 }> = RingBuf::new();

/// What a thread's entry starts as: too large for a program's stack.
static NONE: Imports = Imports {
    depth: 0,
    padding: 0,
    began: [0; DEEPEST],
};

#[usdt("python3:python:import__find__load__start")]
fn begin() -> Result {
    let id = current_pid_tgid();
    if TARGET_PID.get() != 0 && id.tgid != TARGET_PID.get() {
        return Ok(());
    }
    let imports = THREADS.get_or_insert(&id.pid, &NONE)?;
    let depth = field!(imports.depth).load();
    field!(imports.depth).store(depth + 1);
    if let Some(began) = field!(imports.began).at(depth as usize) {
        began.store(ktime_ns());
    }
    Ok(())
}

#[usdt("python3:python:import__find__load__done")]
fn end(name: *const u8, found: i32) -> Result {
    let id = current_pid_tgid();
    let imports = THREADS.get(&id.pid).ok_or(Error::ENOENT)?;
    // One that began before this program did has no beginning here.
    let depth = field!(imports.depth).load();
    if depth == 0 {
        return Ok(());
    }
    let depth = depth - 1;
    field!(imports.depth).store(depth);
    let Some(began) = field!(imports.began).at(depth as usize) else {
        count_lost();
        return Ok(());
    };
    let mut event = EVENTS.reserve::<Import>()?;
    event.time = ktime_ns();
    event.pid = id.tgid;
    event.depth = depth;
    event.took = event.time - began.load();
    event.found = (found != 0).into();
    let _ = read_user_str(&mut event.name, name);
    event.submit();
    Ok(())
}
