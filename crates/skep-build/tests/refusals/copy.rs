//! A copy of more than is done in place.
use skep_ebpf::prelude::*;

license!("GPL");

#[map]
static PAGES: Array<[u8; 4096], 2> = Array::new();

#[xdp]
fn copy(_: &XdpContext) -> Result<XdpAction> {
    let from = PAGES.get(0).ok_or(Error::ENOENT)?;
    let to = PAGES.get(1).ok_or(Error::ENOENT)?;
    // SAFETY: two pages, which only this program uses.
    unsafe { to.as_mut().copy_from_slice(from.as_ref()) };
    Ok(XdpAction::PASS)
}
