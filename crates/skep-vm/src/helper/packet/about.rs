//! Helpers that say or set something about an `sk_buff`: hash, cookies, cgroup, time.

use skep_host::Errno;

use super::{Arguments, Outcome, errno, expect, kind};
use crate::run::{
    Run,
    packet::{PacketKind, SkbField, Sum, ether, skb::protocol, sum},
};

/// The user of packets that have no socket: `overflowuid`.
const NOBODY: u64 = 65534;

/// `bpf_get_cgroup_classid`, `bpf_get_route_realm`: there are none.
pub(super) fn zero(run: &Run<'_>, [context, ..]: Arguments) -> Outcome {
    expect(run, context, PacketKind::Skb, "a helper of packets")?;
    Ok(0)
}

/// `bpf_get_hash_recalc(skb)`
pub(super) fn hash_recalc(run: &Run<'_>, [context, ..]: Arguments) -> Outcome {
    expect(run, context, PacketKind::Skb, "bpf_get_hash_recalc")?;
    let mut skb = run.packet.skb.get();
    if skb.hash == 0 && !skb.hash_set {
        skb.hash = flow_hash(run);
        run.set_skb(skb);
    }
    Ok(u64::from(skb.hash))
}

/// A number that packets of one flow share, and most others do not have; never 0.
fn flow_hash(run: &Run<'_>) -> u32 {
    let skb = run.packet.skb.get();
    let network = skb.network.wrapping_sub(run.packet.place.get().data);
    let part = |offset, len| run.packet_bytes(network.wrapping_add(offset), len);
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut mix = |offset, len| {
        for byte in part(offset, len)
            .map(|bytes| bytes.to_vec())
            .unwrap_or_default()
        {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    match skb.protocol {
        ether::IPV4 => {
            let first = part(0, 1).and_then(|byte| byte.u8_at(0)).unwrap_or(0x45);
            mix(9, 1);
            mix(12, 8);
            mix(u64::from(first & 0xf) * 4, 4);
        }
        ether::IPV6 => {
            mix(6, 1);
            mix(8, 32);
            mix(40, 4);
        }
        _ => mix(0, 16),
    }
    ((hash >> 32) as u32 ^ hash as u32).max(1)
}

/// `bpf_set_hash_invalid(skb)`
pub(super) fn set_hash_invalid(run: &Run<'_>, [context, ..]: Arguments) -> Outcome {
    expect(run, context, PacketKind::Skb, "bpf_set_hash_invalid")?;
    run.set_skb(run.packet.skb.get().without_hash());
    Ok(0)
}

/// `bpf_set_hash(skb, hash)`
pub(super) fn set_hash(run: &Run<'_>, [context, hash, ..]: Arguments) -> Outcome {
    expect(run, context, PacketKind::Skb, "bpf_set_hash")?;
    let mut skb = run.packet.skb.get();
    skb.hash = hash as u32;
    skb.hash_set = true;
    run.set_skb(skb);
    Ok(0)
}

/// `bpf_get_socket_cookie(skb)`
pub(super) fn socket_cookie(run: &Run<'_>, [context, ..]: Arguments) -> Outcome {
    kind(run, context, "bpf_get_socket_cookie")?;
    Ok(run.packet_socket().map_or(0, |socket| socket.info.cookie))
}

/// `bpf_get_socket_uid(skb)`
pub(super) fn socket_uid(run: &Run<'_>, [context, ..]: Arguments) -> Outcome {
    kind(run, context, "bpf_get_socket_uid")?;
    let socket = run.packet_socket();
    Ok(socket.map_or(NOBODY, |socket| u64::from(socket.info.uid)))
}

/// `bpf_get_netns_cookie(ctx)`
pub(super) fn netns_cookie(run: &Run<'_>, _: Arguments) -> Outcome {
    Ok(run.vm.net.now().network.cookie)
}

/// `bpf_skb_cgroup_id(skb)`
pub(super) fn skb_cgroup_id(run: &Run<'_>, [context, ..]: Arguments) -> Outcome {
    kind(run, context, "bpf_skb_cgroup_id")?;
    Ok(run.packet_socket().map_or(0, |socket| socket.info.cgroup))
}

/// `bpf_skb_ancestor_cgroup_id(skb, level)`: the machine's sockets are in groups without parents.
pub(super) fn skb_ancestor_cgroup_id(run: &Run<'_>, [context, level, ..]: Arguments) -> Outcome {
    kind(run, context, "bpf_skb_ancestor_cgroup_id")?;
    let socket = run.packet_socket().filter(|_| level as u32 == 0);
    Ok(socket.map_or(0, |socket| socket.info.cgroup))
}

/// `bpf_sk_cgroup_id(sk)`
pub(super) fn sk_cgroup_id(run: &Run<'_>, [socket, ..]: Arguments) -> Outcome {
    Ok(run.socket(socket).map_or(0, |socket| socket.info.cgroup))
}

/// `bpf_sk_ancestor_cgroup_id(sk, level)`
pub(super) fn sk_ancestor_cgroup_id(run: &Run<'_>, [socket, level, ..]: Arguments) -> Outcome {
    let socket = run.socket(socket).filter(|_| level as u32 == 0);
    Ok(socket.map_or(0, |socket| socket.info.cgroup))
}

/// `bpf_skb_set_tstamp(skb, tstamp, tstamp_type)`
pub(super) fn set_tstamp(run: &Run<'_>, [context, stamp, clock, ..]: Arguments) -> Outcome {
    expect(run, context, PacketKind::Skb, "bpf_skb_set_tstamp")?;
    let proto = run.packet.skb.get().protocol;
    if !matches!(proto, ether::IPV4 | ether::IPV6) {
        return Ok(errno(Errno::EOPNOTSUPP));
    }
    let clock = clock as u32;
    match clock {
        // BPF_SKB_CLOCK_REALTIME, _MONOTONIC, _TAI
        0 => {}
        1 | 2 if stamp != 0 => {}
        _ => return Ok(errno(Errno::EINVAL)),
    }
    let fields = run.fields();
    fields.set_u64(SkbField::TSTAMP, stamp);
    fields.set_u8(SkbField::TSTAMP_TYPE, clock as u8);
    Ok(0)
}

/// `bpf_skb_ecn_set_ce(skb)`: whether the mark is there now.
pub(super) fn ecn_set_ce(run: &Run<'_>, [context, ..]: Arguments) -> Outcome {
    expect(run, context, PacketKind::Skb, "bpf_skb_ecn_set_ce")?;
    let (skb, place) = (run.packet.skb.get(), run.packet.place.get());
    let proto = behind_tags(run);
    let len = match proto {
        ether::IPV4 => 20,
        ether::IPV6 => 40,
        _ => return Ok(0),
    };
    if place.end.saturating_sub(place.data) < len || skb.network + len > place.end {
        return Ok(0);
    }
    let Some(header) = run.packet_at(skb.network, len) else {
        return Ok(0);
    };
    if proto == ether::IPV4 {
        let tos = header.u8_at(1).unwrap_or_default();
        // 1: not capable; 2, 3: capable; 0: marked already.
        let ecn = tos.wrapping_add(1) & 3;
        if ecn & 2 == 0 {
            return Ok(u64::from(ecn == 0));
        }
        let more = 0xfffb_u16.to_be().wrapping_add(u16::from(ecn).to_be());
        let old = header.u16_at(10).unwrap_or_default();
        let (check, carry) = old.overflowing_add(more);
        header.set_u16(10, check.wrapping_add(u16::from(carry)));
        header.set_u8(1, tos | 3);
        return Ok(1);
    }
    let old = header.u32_at(0).unwrap_or_default();
    let mark = (3_u32 << 20).to_be();
    if old & mark == 0 {
        return Ok(0);
    }
    header.set_u32(0, old | mark);
    let mut skb = skb;
    if skb.sum == Sum::Complete {
        skb.total = sum::add(sum::sub(skb.total, old), old | mark);
        run.packet.skb.set(skb);
    }
    Ok(1)
}

/// The protocol behind VLAN tags in the packet.
fn behind_tags(run: &Run<'_>) -> u16 {
    let skb = run.packet.skb.get();
    let mut proto = skb.protocol;
    let mut at = skb.mac + 14;
    while ether::is_vlan(proto) {
        let Some(tag) = run
            .packet_at(at, 4)
            .filter(|_| at + 4 <= run.packet.place.get().tail)
        else {
            break;
        };
        proto = protocol(u16::from_be(tag.u16_at(2).unwrap_or_default()), None);
        at += 4;
    }
    proto
}
