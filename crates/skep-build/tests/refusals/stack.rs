//! More than the stack holds.
use skep_ebpf::prelude::*;

license!("GPL");

#[map]
static LATEST: Array<[u64; 100], 1> = Array::new();

#[xdp]
fn fill(_: &XdpContext) -> Result<XdpAction> {
    let mut numbers = [0_u64; 100];
    for number in &mut numbers {
        *number = ktime_ns();
    }
    LATEST.set(0, &numbers)?;
    Ok(XdpAction::PASS)
}
