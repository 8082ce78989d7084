//! Helpers that change an `sk_buff`'s length, headers and VLAN tags.

use skep_abi::ProgramType;
use skep_host::Errno;

use super::{Arguments, Outcome, bytes::mac_len, errno, expect};
use crate::{
    helper::status,
    run::{
        Run,
        packet::{
            PacketKind, Skb, Sum, ether,
            skb::{OTHER_HOST, SKB_LONGEST, protocol},
        },
    },
};

/// Bytes of headers.
const IPV4_LEN: u64 = 20;
const IPV6_LEN: u64 = 40;
const VLAN_LEN: u64 = 4;
/// Where a frame's type, or its VLAN tag, is.
const TYPE: u64 = 12;

fn skb(run: &Run<'_>, context: u64, function: &'static str) -> Result<Skb, crate::FaultKind> {
    expect(run, context, PacketKind::Skb, function)?;
    Ok(run.packet.skb.get())
}

/// `bpf_skb_vlan_push(skb, vlan_proto, vlan_tci)`
pub(super) fn vlan_push(run: &Run<'_>, [context, proto, tci, ..]: Arguments) -> Outcome {
    skb(run, context, "bpf_skb_vlan_push")?;
    let proto = u16::from_be(proto as u16);
    let proto = if ether::is_vlan(proto) {
        proto
    } else {
        ether::VLAN
    };
    Ok(status(push_tag(run, proto, tci as u16)))
}

fn push_tag(run: &Run<'_>, proto: u16, tci: u16) -> Result<(), Errno> {
    if let Some((old, old_tci)) = run.packet.skb.get().vlan {
        // The tag that is beside the packet goes into it.
        at_link_layer(run)?;
        run.insert(TYPE, VLAN_LEN)?;
        let tag = run.packet_bytes(TYPE, VLAN_LEN).ok_or(Errno::EFAULT)?;
        tag.set_u16(0, old.to_be());
        tag.set_u16(2, old_tci.to_be());
        run.remember_sum(TYPE, VLAN_LEN);
        let mut skb = run.packet.skb.get();
        skb.mac -= VLAN_LEN;
        skb.network -= VLAN_LEN;
        skb.protocol = old;
        run.packet.skb.set(skb);
    }
    let mut skb = run.packet.skb.get();
    skb.vlan = Some((proto, tci));
    run.set_skb(skb);
    Ok(())
}

/// `bpf_skb_vlan_pop(skb)`
pub(super) fn vlan_pop(run: &Run<'_>, [context, ..]: Arguments) -> Outcome {
    let before = skb(run, context, "bpf_skb_vlan_pop")?;
    let done = if before.vlan.is_some() {
        let mut skb = before;
        skb.vlan = None;
        run.set_skb(skb);
        Ok(())
    } else if ether::is_vlan(before.protocol) {
        take_tag(run).map(drop)
    } else {
        Ok(())
    };
    let done = done.and_then(|()| next_tag(run));
    run.moved();
    Ok(status(done))
}

/// The next tag in the packet goes beside it.
fn next_tag(run: &Run<'_>) -> Result<(), Errno> {
    let proto = run.packet.skb.get().protocol;
    if !ether::is_vlan(proto) {
        return Ok(());
    }
    let tci = take_tag(run)?;
    let mut skb = run.packet.skb.get();
    skb.vlan = Some((proto, tci));
    run.set_skb(skb);
    Ok(())
}

fn at_link_layer(run: &Run<'_>) -> Result<(), Errno> {
    let (skb, place) = (run.packet.skb.get(), run.packet.place.get());
    if skb.mac == place.data {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// Takes a VLAN tag out of the packet; answers its control information.
fn take_tag(run: &Run<'_>) -> Result<u16, Errno> {
    at_link_layer(run)?;
    run.make_linear(TYPE + VLAN_LEN + 2)?;
    let tag = run.packet_bytes(TYPE + 2, 4).ok_or(Errno::ENOMEM)?;
    let tci = u16::from_be(tag.u16_at(0).ok_or(Errno::ENOMEM)?);
    let inner = u16::from_be(tag.u16_at(2).ok_or(Errno::ENOMEM)?);
    let behind = run.packet_bytes(TYPE + 6, 2).map(|bytes| bytes.to_vec());
    run.remove(TYPE, VLAN_LEN)?;
    let mut skb = run.packet.skb.get();
    skb.protocol = protocol(inner, behind.as_deref());
    skb.mac += VLAN_LEN;
    skb.network = skb.network.max(skb.mac + TYPE + 2);
    run.packet.skb.set(skb);
    Ok(tci)
}

/// `bpf_skb_change_proto(skb, proto, flags)`
pub(super) fn change_proto(run: &Run<'_>, [context, proto, flags, ..]: Arguments) -> Outcome {
    let from = skb(run, context, "bpf_skb_change_proto")?.protocol;
    if flags != 0 {
        return Ok(errno(Errno::EINVAL));
    }
    let difference = IPV6_LEN - IPV4_LEN;
    let to = u16::from_be(proto as u16);
    let done = match (from, to) {
        (ether::IPV4, ether::IPV6) => grow(run, mac_len(run), difference),
        (ether::IPV6, ether::IPV4) => shrink(run, mac_len(run), difference),
        _ => Err(Errno::ENOTSUPP),
    };
    if done.is_ok() {
        let mut skb = run.packet.skb.get().without_hash();
        skb.protocol = to;
        run.packet.skb.set(skb);
    }
    run.moved();
    Ok(status(done))
}

/// Puts zeroes behind the first `offset` bytes; link-layer and network header go before them.
fn grow(run: &Run<'_>, offset: u64, len: u64) -> Result<(), Errno> {
    run.insert(offset, len)?;
    let mut skb = run.packet.skb.get();
    skb.mac -= len;
    skb.network -= len;
    run.packet.skb.set(skb);
    Ok(())
}

/// Takes bytes out behind the first `offset`.
fn shrink(run: &Run<'_>, offset: u64, len: u64) -> Result<(), Errno> {
    run.remove(offset, len)?;
    let mut skb = run.packet.skb.get();
    skb.mac += len;
    skb.network += len;
    run.packet.skb.set(skb);
    Ok(())
}

/// `bpf_skb_change_type(skb, type)`
pub(super) fn change_type(run: &Run<'_>, [context, new, ..]: Arguments) -> Outcome {
    let mut skb = skb(run, context, "bpf_skb_change_type")?;
    let new = new as u32;
    if skb.packet_type > OTHER_HOST || new > u32::from(OTHER_HOST) {
        return Ok(errno(Errno::EINVAL));
    }
    skb.packet_type = new as u8;
    run.set_skb(skb);
    Ok(0)
}

/// `bpf_skb_change_tail(skb, len, flags)`
pub(super) fn change_tail(run: &Run<'_>, [context, new, flags, ..]: Arguments) -> Outcome {
    let mut skb = skb(run, context, "bpf_skb_change_tail")?;
    let new = u64::from(new as u32);
    let mut place = run.packet.place.get();
    let least = if skb.transport != 0 {
        skb.transport
    } else {
        skb.network
    };
    let least = least.saturating_sub(place.data);
    if flags != 0 || new > SKB_LONGEST || new < least {
        return Ok(errno(Errno::EINVAL));
    }
    if skb.encapsulated {
        return Ok(errno(Errno::ENOTSUPP));
    }
    let old = place.tail - place.data;
    if new != old && skb.sum == Sum::Complete {
        skb.sum = Sum::None;
    }
    if let Some(more) = new
        .checked_sub(old)
        .and_then(|len| run.packet_at(place.tail, len))
    {
        more.fill(0);
    }
    // A packet of segments is none any more.
    skb.gso_size = 0;
    skb.gso_segments = 0;
    run.packet.skb.set(skb);
    place.tail = place.data + new;
    place.end = place.tail;
    run.move_packet(place);
    Ok(0)
}

/// `bpf_skb_change_head(skb, len, flags)`
pub(super) fn change_head(run: &Run<'_>, [context, len, flags, ..]: Arguments) -> Outcome {
    let gso = skb(run, context, "bpf_skb_change_head")?.gso_size != 0;
    let len = u64::from(len as u32);
    let new = run.packet_len() + len;
    if flags != 0 || (!gso && new > SKB_LONGEST) || new > u64::from(u32::MAX) {
        return Ok(errno(Errno::EINVAL));
    }
    if let Err(refused) = run.insert(0, len) {
        return Ok(errno(refused));
    }
    let mut skb = run.packet.skb.get();
    skb.mac = run.packet.place.get().data;
    run.set_skb(skb);
    Ok(0)
}

/// The flags of `bpf_skb_adjust_room`.
mod room {
    pub(super) const FIXED_GSO: u64 = 1;
    pub(super) const ENCAP_IPV4: u64 = 1 << 1;
    pub(super) const ENCAP_IPV6: u64 = 1 << 2;
    pub(super) const ENCAP_GRE: u64 = 1 << 3;
    pub(super) const ENCAP_UDP: u64 = 1 << 4;
    pub(super) const NO_SUM_RESET: u64 = 1 << 5;
    pub(super) const ENCAP_ETH: u64 = 1 << 6;
    pub(super) const DECAP_IPV4: u64 = 1 << 7;
    pub(super) const DECAP_IPV6: u64 = 1 << 8;
    pub(super) const L2_SHIFT: u32 = 56;
    pub(super) const ENCAP: u64 = ENCAP_IPV4 | ENCAP_IPV6;
    pub(super) const DECAP: u64 = DECAP_IPV4 | DECAP_IPV6;
    pub(super) const SHRINK: u64 = FIXED_GSO | DECAP | NO_SUM_RESET;
    pub(super) const ALL: u64 =
        SHRINK | ENCAP | ENCAP_GRE | ENCAP_UDP | ENCAP_ETH | 0xff << L2_SHIFT;
}

/// `bpf_skb_adjust_room(skb, len_diff, mode, flags)`
pub(super) fn adjust_room(run: &Run<'_>, [context, by, mode, flags, _]: Arguments) -> Outcome {
    skb(run, context, "bpf_skb_adjust_room")?;
    let by = by as i32;
    let done = if run.program().program_type == ProgramType::SkSkb {
        adjust_stream(run, by, mode as u32, flags)
    } else {
        adjust(run, by, mode as u32, flags)
    };
    run.moved();
    Ok(status(done))
}

fn adjust(run: &Run<'_>, by: i32, mode: u32, flags: u64) -> Result<(), Errno> {
    let skb = run.packet.skb.get();
    let (len, shrinks) = (u64::from(by.unsigned_abs()), by < 0);
    if flags & !room::ALL != 0 {
        return Err(Errno::EINVAL);
    }
    if len > 0xfff {
        return Err(Errno::EFAULT);
    }
    let base = match skb.protocol {
        ether::IPV4 => IPV4_LEN,
        ether::IPV6 => IPV6_LEN,
        _ => return Err(Errno::ENOTSUPP),
    };
    let offset = match mode {
        0 => mac_len(run) + base,
        1 => mac_len(run),
        _ => return Err(Errno::ENOTSUPP),
    };
    let least = match flags & room::DECAP {
        0 => base,
        _ if !shrinks => return Err(Errno::EINVAL),
        room::DECAP_IPV4 => IPV4_LEN,
        room::DECAP_IPV6 => IPV6_LEN,
        _ => return Err(Errno::EINVAL),
    };
    let place = run.packet.place.get();
    let whole = run.packet_len();
    let behind = place.tail.saturating_sub(skb.network);
    if shrinks {
        if len >= behind || behind - len < least {
            return Err(Errno::ENOTSUPP);
        }
        if flags & !room::SHRINK != 0 {
            return Err(Errno::EINVAL);
        }
        refuse_segments(&skb)?;
        shrink(run, offset, len)?;
        let mut skb = run.packet.skb.get();
        match (skb.protocol, flags & room::DECAP) {
            (ether::IPV4, room::DECAP_IPV6) => skb.protocol = ether::IPV6,
            (ether::IPV6, room::DECAP_IPV4) => skb.protocol = ether::IPV4,
            _ => {}
        }
        run.packet.skb.set(skb);
    } else {
        if whole + len > SKB_LONGEST && skb.gso_size == 0 {
            return Err(Errno::ENOTSUPP);
        }
        refuse_segments(&skb)?;
        if flags & room::ENCAP != 0 {
            may_encapsulate(&skb, len, flags)?;
        }
        let header = mac_len(run);
        grow(run, offset, len)?;
        if flags & room::ENCAP != 0 {
            encapsulated(run, header, flags);
        }
    }
    let mut skb = run.packet.skb.get();
    if let (Sum::Unnecessary(_), 0) = (skb.sum, flags & room::NO_SUM_RESET) {
        skb.sum = Sum::None;
    }
    run.packet.skb.set(skb);
    Ok(())
}

/// Packets of segments have no type here, and only those of TCP could change.
fn refuse_segments(skb: &Skb) -> Result<(), Errno> {
    if skb.gso_size == 0 {
        Ok(())
    } else {
        Err(Errno::ENOTSUPP)
    }
}

fn may_encapsulate(skb: &Skb, len: u64, flags: u64) -> Result<(), Errno> {
    let both = |flag| flags & flag == flag;
    let inner = flags >> room::L2_SHIFT;
    if both(room::ENCAP)
        || both(room::ENCAP_GRE | room::ENCAP_UDP)
        || (both(room::ENCAP_ETH) && inner < super::super::super::run::packet::skb::ETH_LEN)
    {
        return Err(Errno::EINVAL);
    }
    if skb.encapsulated {
        return Err(Errno::EALREADY);
    }
    if inner > len {
        Err(Errno::EINVAL)
    } else {
        Ok(())
    }
}

/// What the headers are after a packet went into another.
fn encapsulated(run: &Run<'_>, header: u64, flags: u64) {
    let mut skb = run.packet.skb.get();
    let data = run.packet.place.get().data;
    skb.encapsulated = true;
    skb.network = data + header;
    let v6 = flags & room::ENCAP_IPV6 != 0;
    if flags & (room::ENCAP_GRE | room::ENCAP_UDP) != 0 {
        skb.transport = skb.network + if v6 { IPV6_LEN } else { IPV4_LEN };
    }
    skb.protocol = if v6 { ether::IPV6 } else { ether::IPV4 };
    run.packet.skb.set(skb);
}

/// The same for messages of streams, which have no headers.
fn adjust_stream(run: &Run<'_>, by: i32, mode: u32, flags: u64) -> Result<(), Errno> {
    let len = u64::from(by.unsigned_abs());
    if flags != 0 || mode != 0 {
        return Err(Errno::EINVAL);
    }
    if len > 0xfff {
        return Err(Errno::EFAULT);
    }
    if by >= 0 {
        run.insert(0, len)
    } else {
        run.remove(0, len)
    }
}
