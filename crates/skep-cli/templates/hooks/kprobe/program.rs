//! {{name}}, the kernel side: each call of the kernel's that opens a file.

#![no_std]

use skep_ebpf::prelude::*;

use {{module}}_common::Open;

license!("Dual MIT/GPL");

#[map(event = Open)]
static EVENTS: RingBuf<{ 256 * 1024 }> = RingBuf::new();

/// Its parameters are those of the kernel's function: they may change from one version to the next.
#[kprobe("do_sys_openat2")]
fn open(_: i32, path: *const u8) -> Result {
    // A full ring is counted.
    let mut event = EVENTS.reserve::<Open>()?;
    event.pid = current_pid_tgid().tgid;
    let _ = read_current_comm(&mut event.comm);
    if read_user_str(&mut event.path, path).is_err() {
        event.path[0] = 0;
    }
    event.submit();
    Ok(())
}
