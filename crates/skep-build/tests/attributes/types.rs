//! Types that do not fit: said by rustc, in the words of the library.
#![no_std]
#![no_main]
use skep_ebpf::prelude::*;

license!("GPL");

#[xdp]
fn of_another_hook(_: &TcContext) -> XdpAction {
    XdpAction::PASS
}

#[xdp]
fn another_verdict(_: &XdpContext) -> TcAction {
    TcAction::OK
}

#[kprobe("do_unlinkat")]
fn a_number(_: &KprobeContext) -> u64 {
    7
}

#[lsm("file_open")]
fn a_bool() -> bool {
    true
}

#[fentry("do_unlinkat")]
fn a_text(_: [u8; 16]) {}
