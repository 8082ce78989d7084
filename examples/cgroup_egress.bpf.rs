// SPDX-License-Identifier: MIT OR Apache-2.0
//! cgroup_egress: what the processes of a cgroup send, by destination. The same as
//! cgroup_egress.bpf.c, in Rust.
//!
//! Teaches: a network hook that belongs to processes and not to a device, and addresses and ports
//! in network byte order, which skep prints as such by what `#[show]` says.
//!
//!   skep run examples/cgroup_egress.bpf.rs --cgroup /sys/fs/cgroup --duration 10s
#![no_std]
#![no_main]

use skep_ebpf::prelude::*;

license!("Dual MIT/GPL");

#[repr(C)]
#[derive(Clone, Copy, Plain)]
struct Destination {
    #[show(ipv4)]
    address: u32,
    #[show(port)]
    port: u16,
    protocol: u16,
}

#[repr(C)]
#[derive(Clone, Copy, Plain)]
struct Traffic {
    packets: u64,
    #[show(bytes)]
    bytes: u64,
}

#[map(name = "sent", title = "sent by destination")]
static SENT: LruHashMap<Destination, Traffic, 4096> = LruHashMap::new();

/// Where a packet goes, if it is IPv4; the port is 0 where there are none.
fn destination(packet: &CgroupSkbContext) -> Option<Destination> {
    if packet.protocol() != u32::from(ethertype::IPV4.to_be()) {
        return None;
    }
    let mut cursor = packet.packet().cursor();
    let ip = cursor.ipv4()?;
    let port = match ip.protocol() {
        // Both have their ports at the same place.
        protocol::TCP | protocol::UDP => cursor.peek::<Udp>().map(Udp::destination),
        _ => None,
    };
    Some(Destination {
        address: u32::from_ne_bytes(ip.destination()),
        port: port.unwrap_or(0).to_be(),
        protocol: ip.protocol().into(),
    })
}

#[cgroup_skb(egress)]
fn meter(packet: &CgroupSkbContext) -> Access {
    let Some(to) = destination(packet) else {
        return Access::ALLOW;
    };
    let bytes = packet.len().into();
    if let Some(traffic) = SENT.get(&to) {
        field!(traffic.packets).add(1);
        field!(traffic.bytes).add(bytes);
    } else {
        let first = Traffic { packets: 1, bytes };
        let added = SENT.insert_with(&to, &first, UpdateFlags::NO_EXIST);
        added.unwrap_or_else(|_| count_lost());
    }
    Access::ALLOW
}
