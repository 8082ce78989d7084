//! A result that is unwrapped.
use skep_ebpf::prelude::*;

license!("GPL");

#[tracepoint("syscalls/sys_enter_getpid")]
fn called(_: &TracepointContext) {
    let name = current_comm().unwrap();
    printk!("%s", &name);
}
