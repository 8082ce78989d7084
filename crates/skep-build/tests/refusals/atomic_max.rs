//! An atomic operation that no instruction set has.
use skep_ebpf::prelude::*;

license!("GPL");

use core::sync::atomic::{AtomicU64, Ordering};

#[map]
static LONGEST: Array<AtomicU64, 1> = Array::new();

#[xdp]
fn measure(_: &XdpContext) -> Result<XdpAction> {
    let longest = LONGEST.get(0).ok_or(Error::ENOENT)?;
    longest.fetch_max(ktime_ns(), Ordering::Relaxed);
    Ok(XdpAction::PASS)
}
