//! {{name}}, the kernel side: each environment variable that a process asks for.

#![no_std]

use skep_ebpf::prelude::*;

use {{module}}_common::Lookup;

license!("Dual MIT/GPL");

#[map(event = Lookup)]
static EVENTS: RingBuf<{ 256 * 1024 }> = RingBuf::new();

#[uprobe("libc.so.6:getenv")]
fn lookup(variable: *const u8) -> Result {
    // A full ring is counted.
    let mut event = EVENTS.reserve::<Lookup>()?;
    event.pid = current_pid_tgid().tgid;
    let _ = read_current_comm(&mut event.comm);
    if read_user_str(&mut event.variable, variable).is_err() {
        event.variable[0] = 0;
    }
    event.submit();
    Ok(())
}
