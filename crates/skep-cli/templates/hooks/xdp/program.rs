//! {{name}}, the kernel side: packets and bytes by protocol.

#![no_std]

use skep_ebpf::prelude::*;

use {{module}}_common::Traffic;

license!("Dual MIT/GPL");

/// By the number of the protocol over IP; 0 for all else.
#[map]
static RECEIVED: PerCpuArray<Traffic, 256> = PerCpuArray::new();

/// Each header is only there if the packet is long enough: `?` is the check that the verifier asks
/// for.
#[inline(always)]
fn protocol_of(packet: Packet<'_>) -> Option<u8> {
    let mut cursor = packet.cursor();
    match cursor.next::<Ethernet>()?.ethertype() {
        ethertype::IPV4 => Some(cursor.next::<Ipv4>()?.protocol()),
        ethertype::IPV6 => Some(cursor.next::<Ipv6>()?.next_header()),
        _ => None,
    }
}

#[xdp]
fn count(context: &XdpContext) -> XdpAction {
    let packet = context.packet();
    let protocol = protocol_of(packet).unwrap_or(0);
    if let Some(traffic) = RECEIVED.get(protocol.into()) {
        field!(traffic.packets).update(|packets| packets + 1);
        field!(traffic.bytes).update(|bytes| bytes + packet.len() as u64);
    }
    XdpAction::PASS
}
