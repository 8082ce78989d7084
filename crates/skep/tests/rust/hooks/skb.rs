//! What programs do with packets of the network stack, by hook.
#![no_std]
#![no_main]
use skep_ebpf::prelude::*;

license!("GPL");

/// Network address translation of UDP: to port 7 becomes to 10.0.0.2, port 9.
#[tc]
fn translate(context: &mut TcContext) -> TcAction {
    match translated(context) {
        Ok(()) => TcAction::OK,
        Err(_) => TcAction::SHOT,
    }
}

const IP: u32 = Ethernet::LEN as u32;
const UDP: u32 = IP + Ipv4::LEN as u32;

fn translated(context: &mut TcContext) -> Result {
    const TO: [u8; 4] = [10, 0, 0, 2];
    context.pull_data(UDP + Udp::LEN as u32)?;
    let Some((old, port)) = destination(context) else {
        return Ok(());
    };
    if port != 7 {
        return Ok(());
    }
    context.replace_l4_address(UDP + 6, old, TO)?;
    context.replace_l4_checksum(UDP + 6, [0, 7], [0, 9])?;
    context.replace_l3_address(IP + 10, old, TO)?;
    context.store(IP + 16, &TO)?;
    context.store(UDP + 2, &[0_u8, 9])
}

fn destination(context: &TcContext) -> Option<([u8; 4], u16)> {
    let mut cursor = context.packet().cursor();
    if cursor.next::<Ethernet>()?.ethertype() != ethertype::IPV4 {
        return None;
    }
    let ip = cursor.next::<Ipv4>()?;
    if ip.protocol() != protocol::UDP || ip.header_len() != Ipv4::LEN {
        return None;
    }
    Some((ip.destination(), cursor.next::<Udp>()?.destination()))
}

#[tc]
fn everything(context: &mut TcContext) -> Result<TcAction> {
    if context.len() > 9000 {
        context.push_vlan(ethertype::VLAN, 7)?;
        context.pop_vlan()?;
        context.change_type(0)?;
        context.change_protocol(ethertype::IPV6)?;
        context.adjust_room(8, Room::BehindNetwork)?;
        context.change_tail(100)?;
        context.change_head(14)?;
        context.store_and_sum(0, &[0_u8; 6])?;
        let sum = Checksum::difference(&[], &[1, 2, 3, 4], 0)?;
        context.update_checksum(sum)?;
        context.clone_to(1, Way::Out)?;
    }
    context.set_mark(context.flow_hash() | 1);
    context.set_cb(2, context.mark());
    let kind: [u8; 2] = context.load(12)?;
    let version: u8 = context.load_from(Header::Network, 0)?;
    if context.mark_congestion() || context.cgroup_id() == 7 || context.socket_uid() == 7 {
        return Ok(TcAction::SHOT);
    }
    if context.socket_cookie() == 1 {
        return Ok(context.redirect_peer(1));
    }
    match context.sk() {
        Some(socket) if socket.src_port() == 9 => return Ok(context.redirect_neighbour(1)),
        _ => {}
    }
    Ok(match (kind, version >> 4) {
        ([8, 0], 4) => TcAction::OK,
        _ => context.redirect(1, Way::In),
    })
}

#[tc]
fn elsewhere(context: &TcContext) -> TcAction {
    match context.netns_cookie() {
        7 => TcAction::SHOT,
        _ => TcAction::OK,
    }
}

#[tc]
fn known(context: &TcContext) -> Result<TcAction> {
    let tuple = Tuple4 {
        source: [127, 0, 0, 1],
        destination: [127, 0, 0, 1],
        source_port: [0, 80],
        destination_port: [0x12, 0x34],
    };
    if let Some(socket) = context.find_tcp(&tuple) {
        context.assign(&socket)?;
    }
    Ok(TcAction::OK)
}

#[action]
fn act(context: &TcContext) -> TcAction {
    match context.packet().is_empty() {
        true => TcAction::SHOT,
        false => TcAction::PIPE,
    }
}

/// Lets the first bytes of IPv4 through.
#[socket_filter]
fn filter(context: &SocketFilterContext) -> Result<Keep> {
    let version: u8 = context.load_from(Header::Network, 0)?;
    let first: [u8; 2] = context.load(0)?;
    Ok(match (version >> 4, first) {
        (4, _) => Keep::bytes(128),
        _ => Keep::NOTHING,
    })
}

#[cgroup_skb(egress)]
fn leaving(context: &CgroupSkbContext) -> Access {
    let mut cursor = context.packet().cursor();
    let Some(ip) = cursor.ipv4() else {
        return Access::ALLOW;
    };
    (ip.destination() != [10, 9, 9, 9]).into()
}

#[lwt_in]
fn tunnel_in(context: &LwtContext) -> LwtAction {
    match context.packet().len() {
        0 => LwtAction::DROP,
        _ => LwtAction::OK,
    }
}

#[lwt_out]
fn tunnel_out(_: &LwtContext) -> LwtAction {
    LwtAction::OK
}

#[lwt_xmit]
fn tunnel_xmit(context: &mut LwtContext) -> Result<LwtAction> {
    context.change_head(14)?;
    context.store(0, &[2_u8; 12])?;
    Ok(context.redirect(1, Way::Out))
}

#[lwt_seg6local]
fn segment(_: &LwtContext) -> LwtAction {
    LwtAction::OK
}

#[sk_skb_parser]
fn length(context: &SkSkbContext) -> Parsed {
    match context.load::<[u8; 2]>(0) {
        Ok(length) => Parsed::message(u16::from_be_bytes(length).into()),
        Err(_) => Parsed::MORE,
    }
}

#[sk_skb(stream_verdict)]
fn verdict(context: &mut SkSkbContext) -> SkAction {
    if context.pull_data(1).is_err() || context.local_port() == 7 {
        return SkAction::DROP;
    }
    match context.packet_mut().write::<[u8; 1]>(0) {
        Some([first]) => {
            *first = b'*';
            SkAction::PASS
        }
        None => SkAction::DROP,
    }
}

#[flow_dissector]
fn dissect(context: &FlowDissectorContext) -> Dissected {
    let keys = context.flow_keys();
    let Some(ip) = context.packet().read::<[u8; 20]>(14) else {
        return Dissected::DROP;
    };
    keys.set_n_proto(ethertype::IPV4.to_be());
    keys.set_ip_proto(ip[9]);
    keys.set_nhoff(14);
    keys.set_thoff(34);
    Dissected::OK
}
