//! A function of six arguments.
use skep_ebpf::prelude::*;

license!("GPL");

#[inline(never)]
fn sum(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> u64 {
    a ^ b ^ c ^ d ^ e ^ f ^ ktime_ns()
}

#[xdp]
fn add(_: &XdpContext) -> XdpAction {
    let number = || u64::from(random());
    match sum(number(), number(), number(), number(), number(), number()) {
        0 => XdpAction::DROP,
        _ => XdpAction::PASS,
    }
}
