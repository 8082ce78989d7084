//! What XDP programs do, a program each.
#![no_std]
#![no_main]
use skep_ebpf::prelude::*;

license!("GPL");

/// Answers UDP to port 7 by sending it back.
#[xdp]
fn echo(context: &mut XdpContext) -> XdpAction {
    answer(context).unwrap_or(XdpAction::PASS)
}

fn answer(context: &mut XdpContext) -> Option<XdpAction> {
    let mut cursor = context.packet_mut().cursor();
    let ethernet = cursor.next::<Ethernet>()?;
    if ethernet.ethertype() != ethertype::IPV4 {
        return None;
    }
    // Its options are skipped.
    let ip = cursor.ipv4()?;
    if ip.protocol() != protocol::UDP || ip.is_fragment() {
        return None;
    }
    let udp = cursor.next::<Udp>()?;
    if udp.destination() != 7 {
        return None;
    }
    ethernet.swap();
    ip.swap();
    ip.decrement_ttl();
    udp.swap();
    Some(XdpAction::TX)
}

/// Drops pings of IPv6 behind up to two VLAN tags.
#[xdp]
fn vlans(context: &XdpContext) -> XdpAction {
    match ping(context) {
        Some(true) => XdpAction::DROP,
        _ => XdpAction::PASS,
    }
}

fn ping(context: &XdpContext) -> Option<bool> {
    let mut cursor = context.packet().cursor();
    let mut kind = cursor.next::<Ethernet>()?.ethertype();
    for _ in 0..2 {
        if kind == ethertype::VLAN {
            kind = cursor.next::<Vlan>()?.ethertype();
        }
    }
    if kind != ethertype::IPV6 || cursor.next::<Ipv6>()?.next_header() != protocol::ICMPV6 {
        return None;
    }
    Some(cursor.next::<Icmp>()?.kind() == 128)
}

/// Adds the byte where byte 14 points to the one behind it.
#[xdp]
fn pointed(context: &mut XdpContext) -> XdpAction {
    let mut packet = context.packet_mut();
    let Some(&[at]) = packet.read::<[u8; 1]>(14) else {
        return XdpAction::ABORTED;
    };
    let Some([one, other]) = packet.write::<[u8; 2]>(at.into()) else {
        return XdpAction::DROP;
    };
    *other = other.wrapping_add(*one);
    XdpAction::PASS
}

/// Puts four bytes before the packet, takes two off its end, and leaves metadata.
#[xdp]
fn shape(context: &mut XdpContext) -> Result<XdpAction> {
    context.adjust_head(-4)?;
    context.adjust_tail(-2)?;
    context.adjust_meta(-4)?;
    if let Some(mark) = context.metadata_mut().write::<[u8; 4]>(0) {
        *mark = [1, 2, 3, 4];
    }
    let Some(first) = context.packet_mut().write::<[u8; 4]>(0).map(|first| {
        *first = [9; 4];
        *first
    }) else {
        return Ok(XdpAction::ABORTED);
    };
    let marked = context.metadata().read::<[u8; 4]>(0).is_some_and(|mark| mark[3] == 4);
    Ok(if marked && first[0] == 9 { XdpAction::PASS } else { XdpAction::DROP })
}

/// Goes through copies of bytes.
#[xdp]
fn copied(context: &mut XdpContext) -> Result<XdpAction> {
    let mut bytes = [0_u8; 6];
    context.load_bytes(6, &mut bytes)?;
    let kind: [u8; 2] = context.load(12)?;
    context.store(0, &bytes)?;
    Ok(match (context.buffer_len(), kind) {
        (64.., [8, 0]) => XdpAction::TX,
        _ => XdpAction::PASS,
    })
}

#[xdp]
fn redirected(context: &XdpContext) -> XdpAction {
    context.redirect(context.ingress_ifindex())
}

#[xdp(frags)]
fn fragments(context: &XdpContext) -> XdpAction {
    match context.buffer_len() {
        0..4096 => XdpAction::PASS,
        _ => XdpAction::DROP,
    }
}

#[xdp(devmap)]
fn behind_devmap(context: &XdpContext) -> XdpAction {
    match context.egress_ifindex() {
        1 => XdpAction::DROP,
        _ => XdpAction::PASS,
    }
}

#[xdp(cpumap)]
fn behind_cpumap(context: &XdpContext) -> XdpAction {
    match context.packet().is_empty() {
        true => XdpAction::DROP,
        false => XdpAction::PASS,
    }
}

#[xdp]
fn owner(context: &XdpContext) -> XdpAction {
    let Some(tuple) = tuple(context) else {
        return XdpAction::PASS;
    };
    match context.find_udp(&tuple) {
        Some(socket) if socket.protocol() == 17 => XdpAction::DROP,
        _ => XdpAction::PASS,
    }
}

fn tuple(context: &XdpContext) -> Option<Tuple4> {
    let mut cursor = context.packet().cursor();
    cursor.next::<Ethernet>()?;
    let ip = cursor.ipv4()?;
    let udp = cursor.next::<Udp>()?;
    Some(Tuple4 {
        source: ip.source(),
        destination: ip.destination(),
        source_port: udp.source().to_be_bytes(),
        destination_port: udp.destination().to_be_bytes(),
    })
}
