//! Helpers that say where a packet goes: redirects, routes, the longest packet of a way.

use std::net::{IpAddr, Ipv6Addr};

use skep_host::Errno;

use super::{Arguments, Outcome, errno, expect, kind};
use crate::{
    machine::net::{Route, RouteKind, Table, v4},
    memory::View,
    run::{
        Run,
        packet::{PacketKind, Redirect, Sent, SkbField, XdpField, skb::ETH_LEN},
    },
};

/// `BPF_F_INGRESS`
const INGRESS: u64 = 1;
/// Flags that the kernel keeps for itself.
const INTERNAL: u64 = 0xe;
/// `TC_ACT_SHOT` and `TC_ACT_REDIRECT`
const SHOT: u64 = 2;
const TC_REDIRECT: u64 = 7;
/// `XDP_ABORTED` and `XDP_REDIRECT`
const ABORTED: u64 = 0;
const XDP_REDIRECT: u64 = 4;

/// `bpf_redirect(ifindex, flags)`
pub(super) fn redirect(run: &Run<'_>, [ifindex, flags, ..]: Arguments) -> Outcome {
    let ifindex = ifindex as u32;
    let frame = run.packet.place.get().kind == PacketKind::Xdp;
    if frame && flags != 0 {
        return Ok(ABORTED);
    }
    if !frame && flags & (!INGRESS | INTERNAL) != 0 {
        return Ok(SHOT);
    }
    run.set_redirect(Some(Redirect::Device {
        ifindex,
        ingress: flags & INGRESS != 0,
    }));
    Ok(if frame { XDP_REDIRECT } else { TC_REDIRECT })
}

/// `bpf_redirect_peer(ifindex, flags)`
pub(super) fn redirect_peer(run: &Run<'_>, [ifindex, flags, ..]: Arguments) -> Outcome {
    if flags != 0 {
        return Ok(SHOT);
    }
    let ifindex = ifindex as u32;
    run.set_redirect(Some(Redirect::Peer { ifindex }));
    Ok(TC_REDIRECT)
}

/// `bpf_redirect_neigh(ifindex, params, plen, flags)`
pub(super) fn redirect_neigh(
    run: &Run<'_>,
    [ifindex, params, len, flags, _]: Arguments,
) -> Outcome {
    /// Bytes of `struct bpf_redir_neigh`.
    const PARAMS: i32 = 20;
    let len = len as i32;
    if (len != 0 && len < PARAMS) || flags != 0 {
        return Ok(SHOT);
    }
    if len != 0 {
        run.view(params, len as u64, false)?;
    }
    let ifindex = ifindex as u32;
    run.set_redirect(Some(Redirect::Neighbour { ifindex }));
    Ok(TC_REDIRECT)
}

/// `bpf_redirect_map(map, key, flags)`
pub(super) fn redirect_map(run: &Run<'_>, [map, key, flags, ..]: Arguments) -> Outcome {
    /// What the program answers when there is no entry: one of the first four verdicts.
    const ACTION: u64 = 3;
    /// `BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS`
    const TO_ALL: u64 = 0x18;
    /// `BPF_F_BROADCAST`
    const BROADCAST: u64 = 8;
    let map = run.map(map)?;
    let devices = matches!(
        map.shape.map_type,
        skep_abi::MapType::Devmap | skep_abi::MapType::DevmapHash
    );
    let known = if devices { TO_ALL } else { 0 };
    if flags & !(ACTION | known) != 0 {
        return Ok(ABORTED);
    }
    let mut bytes = (key as u32).to_ne_bytes();
    let entry = u32::try_from(key)
        .ok()
        .and_then(|_| map.kind.lookup(run.cpu, View::of(&mut bytes)));
    let value = entry.and_then(|value| value.u32_at(0));
    if value.is_none() && flags & BROADCAST == 0 {
        run.set_redirect(None);
        return Ok(flags & ACTION);
    }
    run.set_redirect(Some(Redirect::Map {
        map: map.id,
        key: key as u32,
        value: value.unwrap_or_default(),
        flags: flags & known,
    }));
    Ok(XDP_REDIRECT)
}

/// `bpf_clone_redirect(skb, ifindex, flags)`
pub(super) fn clone_redirect(run: &Run<'_>, [context, ifindex, flags, ..]: Arguments) -> Outcome {
    /// Copies that a run may send.
    const MOST: usize = 1024;
    expect(run, context, PacketKind::Skb, "bpf_clone_redirect")?;
    let ifindex = ifindex as u32;
    if flags & (!INGRESS | INTERNAL) != 0 || run.vm.net.now().device(ifindex).is_none() {
        return Ok(errno(Errno::EINVAL));
    }
    if run.packet.skb.get().gso_size != 0 {
        return Ok(errno(Errno::EBADMSG));
    }
    let bytes = run.packet_bytes(0, run.packet_len());
    let mut sent = run.packet.clones.borrow_mut();
    if sent.len() >= MOST {
        return Ok(errno(Errno::ENOBUFS));
    }
    sent.push(Sent {
        to: Redirect::Device {
            ifindex,
            ingress: flags & INGRESS != 0,
        },
        bytes: bytes.map(View::to_vec).unwrap_or_default(),
        mark: run.fields().u32_at(SkbField::MARK).unwrap_or_default(),
    });
    Ok(0)
}

/// The device that the packet came by.
fn own_device(run: &Run<'_>) -> u32 {
    let fields = run.fields();
    let field = match run.packet.place.get().kind {
        PacketKind::Xdp => fields.u32_at(XdpField::INGRESS_IFINDEX),
        _ => fields.u32_at(SkbField::IFINDEX),
    };
    field.filter(|ifindex| *ifindex != 0).unwrap_or(1)
}

/// `bpf_check_mtu(ctx, ifindex, mtu_len, len_diff, flags)`
pub(super) fn check_mtu(
    run: &Run<'_>,
    [context, ifindex, result, difference, flags]: Arguments,
) -> Outcome {
    /// `BPF_MTU_CHK_SEGS`
    const SEGMENTS: u64 = 1;
    let frame = kind(run, context, "bpf_check_mtu")? == PacketKind::Xdp;
    let result = run.view(result, 4, true)?;
    let difference = difference as i32;
    let asked = result.u32_at(0).unwrap_or_default();
    let known = if frame { 0 } else { SEGMENTS };
    if flags & !known != 0 || (flags != 0 && (difference != 0 || asked != 0)) {
        return Ok(errno(Errno::EINVAL));
    }
    let ifindex = match ifindex as u32 {
        0 => own_device(run),
        ifindex => ifindex,
    };
    let net = run.vm.net.now();
    let Some(device) = net.device(ifindex) else {
        return Ok(errno(Errno::ENODEV));
    };
    let place = run.packet.place.get();
    let end = if frame { place.end } else { place.tail };
    let len = match asked {
        0 => (end - place.data) as i64,
        asked => i64::from(asked) + ETH_LEN as i64,
    };
    let longest = i64::from(device.mtu) + ETH_LEN as i64;
    let fits = len + i64::from(difference) <= longest;
    let segmented = !frame && run.packet.skb.get().gso_size != 0;
    result.set_u32(0, device.mtu);
    // BPF_MTU_CHK_RET_FRAG_NEEDED
    Ok(u64::from(!fits && !segmented))
}

/// The fields of `struct bpf_fib_lookup`.
mod fib {
    pub(super) const LEN: u64 = 64;
    pub(super) const FAMILY: usize = 0;
    pub(super) const TOTAL_LEN: usize = 6;
    pub(super) const IFINDEX: usize = 8;
    pub(super) const METRIC: usize = 12;
    pub(super) const SOURCE: usize = 16;
    pub(super) const DESTINATION: usize = 32;
    pub(super) const VLAN: usize = 48;
    pub(super) const TABLE: usize = 48;
    pub(super) const SOURCE_MAC: usize = 52;
    pub(super) const DESTINATION_MAC: usize = 58;

    /// `BPF_FIB_LOOKUP_*`
    pub(super) const DIRECT: u32 = 1;
    pub(super) const OUTPUT: u32 = 2;
    pub(super) const SKIP_NEIGH: u32 = 4;
    pub(super) const TBID: u32 = 8;
    pub(super) const SRC: u32 = 16;
    pub(super) const MARK: u32 = 32;

    /// `BPF_FIB_LKUP_RET_*`
    pub(super) const BLACKHOLE: u64 = 1;
    pub(super) const UNREACHABLE: u64 = 2;
    pub(super) const PROHIBIT: u64 = 3;
    pub(super) const NOT_FORWARDED: u64 = 4;
    pub(super) const FORWARDING_DISABLED: u64 = 5;
    pub(super) const NO_NEIGHBOUR: u64 = 7;
    pub(super) const FRAGMENT: u64 = 8;
    pub(super) const NO_SOURCE: u64 = 9;

    /// `AF_INET` and `AF_INET6`
    pub(super) const INET: u8 = 2;
    pub(super) const INET6: u8 = 10;
}

/// `bpf_fib_lookup(ctx, params, plen, flags)`
pub(super) fn fib_lookup(run: &Run<'_>, [context, params, len, flags, _]: Arguments) -> Outcome {
    const KNOWN: u32 =
        fib::DIRECT | fib::OUTPUT | fib::SKIP_NEIGH | fib::TBID | fib::SRC | fib::MARK;
    let frame = kind(run, context, "bpf_fib_lookup")? == PacketKind::Xdp;
    let (len, flags) = (u64::from(len as u32), flags as u32);
    let params = run.view(params, len, true)?;
    if len < fib::LEN || flags & !KNOWN != 0 {
        return Ok(errno(Errno::EINVAL));
    }
    let family = params.u8_at(fib::FAMILY).unwrap_or_default();
    if !matches!(family, fib::INET | fib::INET6) {
        return Ok(errno(Errno::EAFNOSUPPORT));
    }
    let net = run.vm.net.now();
    let asked = params.u16_at(fib::TOTAL_LEN).unwrap_or_default();
    let answer = match look_up(&net, params, flags) {
        Ok(()) => 0,
        Err(Refused::Errno(refused)) => return Ok(errno(refused)),
        Err(Refused::Verdict(verdict)) => return Ok(verdict),
    };
    if !frame && asked == 0 {
        // No length was given: that of the packet counts.
        let out = params.u32_at(fib::IFINDEX).unwrap_or_default();
        let mtu = net.device(out).map_or(0, |device| device.mtu);
        params.set_u16(fib::TOTAL_LEN, mtu as u16);
        let segmented = run.packet.skb.get().gso_size != 0;
        if run.packet_len() > u64::from(mtu) + ETH_LEN + 4 && !segmented {
            return Ok(fib::FRAGMENT);
        }
    }
    Ok(answer)
}

enum Refused {
    Errno(Errno),
    Verdict(u64),
}

fn address(params: View<'_>, at: usize, v6: bool) -> IpAddr {
    if v6 {
        let mut octets = [0; 16];
        params.part(at, 16).map(|part| part.read(&mut octets));
        return IpAddr::V6(Ipv6Addr::from(octets));
    }
    v4(params.u32_at(at).unwrap_or_default())
}

fn set_address(params: View<'_>, at: usize, address: IpAddr) {
    let part = params.part(at, 16);
    match (address, part) {
        (IpAddr::V4(address), Some(part)) => part.write(&address.octets()),
        (IpAddr::V6(address), Some(part)) => part.write(&address.octets()),
        _ => 0,
    };
}

fn look_up(net: &Table, params: View<'_>, flags: u32) -> Result<(), Refused> {
    let v6 = params.u8_at(fib::FAMILY) == Some(fib::INET6);
    let ifindex = params.u32_at(fib::IFINDEX).unwrap_or_default();
    let device = net.device(ifindex).ok_or(Refused::Errno(Errno::ENODEV))?;
    if !device.forwarding {
        return Err(Refused::Verdict(fib::FORWARDING_DISABLED));
    }
    let table = (flags & (fib::DIRECT | fib::TBID) == fib::DIRECT | fib::TBID)
        .then(|| params.u32_at(fib::TABLE).unwrap_or_default());
    let out = (flags & fib::OUTPUT != 0).then_some(ifindex);
    let destination = address(params, fib::DESTINATION, v6);
    let route = net.route(destination, table, out);
    let route = route.ok_or(Refused::Verdict(fib::NOT_FORWARDED))?;
    let verdict = match route.kind {
        RouteKind::Unicast => None,
        RouteKind::Blackhole => Some(fib::BLACKHOLE),
        RouteKind::Unreachable => Some(fib::UNREACHABLE),
        RouteKind::Prohibit => Some(fib::PROHIBIT),
        RouteKind::Local => Some(fib::NOT_FORWARDED),
    };
    if let Some(verdict) = verdict {
        return Err(Refused::Verdict(verdict));
    }
    take_route(net, params, flags, route, destination)
}

/// Fills in what the route says.
fn take_route(
    net: &Table,
    params: View<'_>,
    flags: u32,
    route: &Route,
    destination: IpAddr,
) -> Result<(), Refused> {
    let out = net
        .device(route.ifindex)
        .ok_or(Refused::Verdict(fib::NOT_FORWARDED))?;
    let mtu = route.mtu.unwrap_or(out.mtu).min(out.mtu);
    let asked = params.u16_at(fib::TOTAL_LEN).unwrap_or_default();
    if asked != 0 && u32::from(asked) > mtu {
        params.set_u16(fib::TOTAL_LEN, mtu as u16);
        return Err(Refused::Verdict(fib::FRAGMENT));
    }
    params.set_u32(fib::METRIC, route.metric);
    params.set_u32(fib::IFINDEX, route.ifindex);
    if flags & fib::SRC != 0 {
        let source = route.source.ok_or(Refused::Verdict(fib::NO_SOURCE))?;
        set_address(params, fib::SOURCE, source);
    }
    if let Some(gateway) = route.gateway {
        if gateway.is_ipv6() {
            params.set_u8(fib::FAMILY, fib::INET6);
        }
        set_address(params, fib::DESTINATION, gateway);
    }
    if flags & fib::SKIP_NEIGH == 0 {
        let next = route.gateway.unwrap_or(destination);
        let mac = net.neighbour(route.ifindex, next);
        let mac = mac.ok_or(Refused::Verdict(fib::NO_NEIGHBOUR))?;
        params
            .part(fib::DESTINATION_MAC, 6)
            .map(|part| part.write(&mac));
        params
            .part(fib::SOURCE_MAC, 6)
            .map(|part| part.write(&out.mac));
    }
    params.set_u32(fib::VLAN, 0);
    if asked != 0 {
        params.set_u16(fib::TOTAL_LEN, mtu as u16);
    }
    Ok(())
}
