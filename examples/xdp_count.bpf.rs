// SPDX-License-Identifier: MIT OR Apache-2.0
//! xdp_count: packets and bytes by protocol, as a network device receives them. The same as
//! xdp_count.bpf.c, in Rust.
//!
//! Teaches: parsing a packet header by header, numbers that are shown by name, and per-CPU values,
//! which skep adds up.
//!
//!   skep run examples/xdp_count.bpf.rs --device lo -- ping -c 3 127.0.0.1
#![no_std]
#![no_main]

use skep_ebpf::prelude::*;

license!("Dual MIT/GPL");

/// As they are shown. A packet may have any other number.
#[allow(dead_code, non_camel_case_types)]
enum protocol_name {
    other = 0,
    icmp = 1,
    tcp = 6,
    udp = 17,
    icmp6 = 58,
}

#[repr(C)]
#[derive(Clone, Copy, Plain)]
struct Traffic {
    packets: u64,
    #[show(bytes)]
    bytes: u64,
}

#[map(name = "received", title = "received by protocol")]
static RECEIVED: PerCpuHashMap<Named<protocol_name>, Traffic, 256> = PerCpuHashMap::new();

/// Each header is only there if the packet is long enough: `?` is the check that the verifier asks
/// for.
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
    let protocol = Named::new(protocol_of(packet).unwrap_or(0).into());
    let bytes = packet.len() as u64;
    if let Some(traffic) = RECEIVED.get(&protocol) {
        field!(traffic.packets).update(|packets| packets + 1);
        field!(traffic.bytes).update(|sum| sum + bytes);
    } else {
        let first = Traffic { packets: 1, bytes };
        let added = RECEIVED.insert_with(&protocol, &first, UpdateFlags::NO_EXIST);
        added.unwrap_or_else(|_| count_lost());
    }
    XdpAction::PASS
}
