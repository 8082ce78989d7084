//! A fence of memory.
use skep_ebpf::prelude::*;

license!("GPL");

use core::sync::atomic::{Ordering, fence};

#[xdp]
fn order(_: &XdpContext) -> XdpAction {
    fence(Ordering::SeqCst);
    XdpAction::PASS
}
