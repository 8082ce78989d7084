// SPDX-License-Identifier: MIT OR Apache-2.0
//! xdp_echo: answers ARP and ping for every address of a network, before any stack sees them. The
//! same as xdp_echo.bpf.c, in Rust.
//!
//! Teaches: changing a packet where it lies and sending it back (XDP_TX), and a checksum that is
//! mended by what changed, not computed anew.
//!
//!   skep run examples/xdp_echo.bpf.rs --tap -- ping -c 3 10.7.0.9
#![no_std]
#![no_main]

use skep_ebpf::prelude::*;

license!("Dual MIT/GPL");

/// The address that whoever asks is told: of a device that there is nowhere.
const HERE: [u8; 6] = [0x02, 0, 0, 0, 0, 0x09];

const ARP_REQUEST: u16 = 1;
const ARP_REPLY: u16 = 2;
const ECHO: u8 = 8;
const ECHO_REPLY: u8 = 0;

#[derive(Clone, Copy, Plain)]
#[repr(transparent)]
#[show(ipv4)]
struct Address(u32);

#[map(name = "answered", title = "answered for")]
static ANSWERED: HashMap<Address, u64, 1024> = HashMap::new();

fn count(address: [u8; 4]) {
    let address = Address(u32::from_ne_bytes(address));
    match ANSWERED.get(&address) {
        Some(answers) => answers.add(1),
        None => ANSWERED
            .insert_with(&address, &1, UpdateFlags::NO_EXIST)
            .unwrap_or_else(|_| count_lost()),
    }
}

/// Back to where it came from.
fn answer(ethernet: &mut Ethernet) -> XdpAction {
    ethernet.set_destination(ethernet.source());
    ethernet.set_source(HERE);
    XdpAction::TX
}

fn answer_arp(ethernet: &mut Ethernet, arp: &mut Arp) -> Option<XdpAction> {
    if arp.operation() != ARP_REQUEST || arp.protocol() != ethertype::IPV4 {
        return None;
    }
    let asked = arp.target_ip();
    arp.set_operation(ARP_REPLY);
    arp.set_target_mac(arp.sender_mac());
    arp.set_target_ip(arp.sender_ip());
    arp.set_sender_mac(HERE);
    arp.set_sender_ip(asked);
    Some(answer(ethernet))
}

fn answer_ping(ethernet: &mut Ethernet, ip: &mut Ipv4, icmp: &mut Icmp) -> Option<XdpAction> {
    if icmp.kind() != ECHO {
        return None;
    }
    let asked = ip.destination();
    ip.swap(); // the sum of both addresses stays what it is
    let checksum = Checksum::new(icmp.checksum());
    let (old, new) = (u16::from(ECHO) << 8, u16::from(ECHO_REPLY) << 8);
    icmp.set_kind(ECHO_REPLY);
    icmp.set_checksum(checksum.replace(old, new).number());
    count(asked);
    Some(answer(ethernet))
}

fn answered(packet: PacketMut<'_>) -> Option<XdpAction> {
    let mut cursor = packet.cursor();
    let ethernet = cursor.next::<Ethernet>()?;
    match ethernet.ethertype() {
        ethertype::ARP => answer_arp(ethernet, cursor.next()?),
        ethertype::IPV4 => {
            let ip = cursor.next::<Ipv4>()?;
            if ip.header_len() != Ipv4::LEN || ip.protocol() != protocol::ICMP {
                return None;
            }
            answer_ping(ethernet, ip, cursor.next()?)
        }
        _ => None,
    }
}

#[xdp]
fn echo(context: &mut XdpContext) -> XdpAction {
    answered(context.packet_mut()).unwrap_or(XdpAction::PASS)
}
