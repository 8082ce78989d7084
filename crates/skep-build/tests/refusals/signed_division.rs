//! A division of signed numbers, which instruction set v3 lacks.
use skep_ebpf::prelude::*;

license!("GPL");

#[map]
static MEANS: Array<i64, 1> = Array::new();

#[xdp]
fn mean(_: &XdpContext) -> Result<XdpAction> {
    let sum = ktime_ns() as i64;
    MEANS.set(0, &sum.checked_div(i64::from(random())).unwrap_or(0))?;
    Ok(XdpAction::PASS)
}
