//! {{name}}, the kernel side: each open of a file, and what came of it.

#![no_std]

use skep_ebpf::prelude::*;

use {{module}}_common::Open;

license!("Dual MIT/GPL");

#[map(event = Open)]
static EVENTS: RingBuf<{ 256 * 1024 }> = RingBuf::new();

/// From entry to return: the file name's address, by thread.
#[map(hidden)]
static OPENING: HashMap<u32, *const u8, 10240> = HashMap::new();

#[tracepoint("syscalls/sys_enter_openat")]
fn enter(_: i32, path: *const u8) -> Result {
    let thread = current_pid_tgid().pid;
    OPENING.insert(&thread, &path).inspect_err(|_| count_lost())
}

#[tracepoint("syscalls/sys_exit_openat")]
fn leave(ret: i64) -> Result {
    let id = current_pid_tgid();
    let Some(path) = OPENING.get(&id.pid) else {
        return Ok(());
    };
    // A full ring is counted.
    if let Ok(mut event) = EVENTS.reserve::<Open>() {
        event.pid = id.tgid;
        event.ret = ret as i32;
        let _ = read_current_comm(&mut event.comm);
        // By now the kernel has read the name itself, so it is in memory.
        if read_user_str(&mut event.path, path.load()).is_err() {
            event.path[0] = 0;
        }
        event.submit();
    }
    OPENING.remove(&id.pid)
}
