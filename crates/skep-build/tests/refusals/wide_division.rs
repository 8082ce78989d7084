//! A division of 128 bits.
use skep_ebpf::prelude::*;

license!("GPL");

#[map]
static RATES: Array<u64, 1> = Array::new();

#[xdp]
fn rate(_: &XdpContext) -> Result<XdpAction> {
    let bits = u128::from(ktime_ns()) * 1_000_000_000;
    RATES.set(0, &((bits / u128::from(random() | 1)) as u64))?;
    Ok(XdpAction::PASS)
}
