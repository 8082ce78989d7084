//! What an attribute goes before.
#![no_std]
#![no_main]
use skep_ebpf::prelude::*;

license!("GPL");

#[xdp]
struct Structure;

#[xdp]
async fn waiting(_: &XdpContext) -> XdpAction {
    XdpAction::PASS
}

#[xdp]
unsafe fn dangerous(_: &XdpContext) -> XdpAction {
    XdpAction::PASS
}

#[xdp]
extern "C" fn foreign(_: &XdpContext) -> XdpAction {
    XdpAction::PASS
}

#[xdp]
const fn constant(_: &XdpContext) -> XdpAction {
    XdpAction::PASS
}

#[xdp]
fn generic<T>(_: &XdpContext) -> XdpAction {
    XdpAction::PASS
}

#[xdp]
fn endless(_: &XdpContext) -> ! {
    loop {}
}

#[xdp]
fn hidden(_: &XdpContext) -> impl Into<XdpAction> {
    XdpAction::PASS
}

struct Firewall;

impl Firewall {
    #[xdp]
    fn method(&self) -> XdpAction {
        XdpAction::PASS
    }
}
