//! A function that is nowhere.
use skep_ebpf::prelude::*;

license!("GPL");

unsafe extern "C" {
    fn elsewhere(number: u64) -> u64;
}

#[xdp]
fn call(_: &XdpContext) -> XdpAction {
    // SAFETY: it is never linked.
    match unsafe { elsewhere(1) } {
        0 => XdpAction::DROP,
        _ => XdpAction::PASS,
    }
}
