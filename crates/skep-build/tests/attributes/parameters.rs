//! What a program can ask for.
#![no_std]
#![no_main]
use skep_ebpf::prelude::*;

license!("GPL");

#[kernel]
struct file {
    f_flags: u32,
}

#[xdp]
fn by_value(_: XdpContext) -> XdpAction {
    XdpAction::PASS
}

#[xdp]
fn with_an_argument(_: &XdpContext, _length: u32) -> XdpAction {
    XdpAction::PASS
}

#[kprobe("do_unlinkat")]
fn with_a_reference(_directory: i32, _name: &file) {}

#[kprobe("do_unlinkat")]
fn with_seven(_: u64, _: u64, _: u64, _: u64, _: u64, _: u64, _: u64) {}

#[kretprobe("do_unlinkat")]
fn with_both(_returned: i32, _directory: i32) {}

#[lsm("file_open")]
fn that_changes(_file: &mut file) -> Result {
    Ok(())
}

#[tracepoint("syscalls/sys_exit_openat")]
fn at_the_exit(_returned: i64, _flags: u32) {}
