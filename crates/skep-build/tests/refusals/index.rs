//! An index that may be outside: a panic that stays.
use skep_ebpf::prelude::*;

license!("GPL");

#[map]
static NAMES: PerCpuArray<[u8; 64], 1> = PerCpuArray::new();

#[xdp]
fn pick(_: &XdpContext) -> Result<XdpAction> {
    let names = NAMES.get(0).ok_or(Error::ENOENT)?.load();
    match names[random() as usize] {
        0 => Ok(XdpAction::DROP),
        _ => Ok(XdpAction::PASS),
    }
}
