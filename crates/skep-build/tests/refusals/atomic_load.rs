//! An atomic load, which instruction set v3 lacks.
use skep_ebpf::prelude::*;

license!("GPL");

use core::sync::atomic::{AtomicU64, Ordering};

#[map]
static STATE: Array<AtomicU64, 1> = Array::new();

#[xdp]
fn look(_: &XdpContext) -> Result<XdpAction> {
    let state = STATE.get(0).ok_or(Error::ENOENT)?;
    match state.load(Ordering::Acquire) {
        0 => Ok(XdpAction::DROP),
        _ => Ok(XdpAction::PASS),
    }
}
