//! A number with a fraction.
use skep_ebpf::prelude::*;

license!("GPL");

#[map]
static MEANS: Array<u64, 1> = Array::new();

#[xdp]
fn mean(_: &XdpContext) -> Result<XdpAction> {
    let mean = f64::from(random()) / 3.0;
    MEANS.set(0, &(mean as u64))?;
    Ok(XdpAction::PASS)
}
