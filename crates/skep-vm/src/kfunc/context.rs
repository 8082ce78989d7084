//! Contexts as the kernel has them: a program that asks for its `struct sk_buff` or `struct
//! xdp_buff` gets one, made of its packet as it is at the call, to be read only.

use super::Table;
use crate::{
    helper::{Arguments, Outcome, shim},
    machine::types::{offset_of, size_of},
    memory::View,
    run::{
        Ours, Region, Run,
        packet::{PacketKind, SkbField, XdpField},
    },
};

pub(super) static TABLE: Table = &[
    ("bpf_cast_to_kern_ctx", shim!(cast_to_kern_ctx)),
    ("bpf_rdonly_cast", shim!(rdonly_cast)),
];

/// Where the structures are in the memory of a CPU's packets, behind `BUFFER`.
const START: usize = 2048;
const LEN: usize = 2048;

/// Bytes before a packet that its `struct sk_buff` shows (`NET_SKB_PAD` and more).
const HEADROOM: u64 = 256;

/// Sets members of a structure by their names.
struct Writer<'a> {
    memory: View<'a>,
    structure: &'static str,
    start: usize,
}

impl Writer<'_> {
    fn at(&self, member: &str) -> Option<usize> {
        Some(self.start + offset_of(self.structure, member)?)
    }

    fn short(&self, member: &str, value: u16) {
        let at = self.at(member);
        at.and_then(|at| self.memory.set_u16(at, value));
    }

    fn number(&self, member: &str, value: u32) {
        let at = self.at(member);
        at.and_then(|at| self.memory.set_u32(at, value));
    }

    fn long(&self, member: &str, value: u64) {
        let at = self.at(member);
        at.and_then(|at| self.memory.set_u64(at, value));
    }

    fn address(&self) -> u64 {
        self.memory.address() + self.start as u64
    }
}

/// `bpf_cast_to_kern_ctx(obj)`
fn cast_to_kern_ctx(run: &Run<'_>, [context, ..]: Arguments) -> Outcome {
    let kind = run.packet.place.get().kind;
    if context != run.context() || !matches!(kind, PacketKind::Skb | PacketKind::Xdp) {
        return Ok(context);
    }
    let Some(memory) = run.packet_part(START, LEN) else {
        return Ok(context);
    };
    memory.fill(0);
    let first = if kind == PacketKind::Skb {
        "sk_buff"
    } else {
        "xdp_buff"
    };
    let device = Writer {
        memory,
        structure: "net_device",
        start: size_of(first).next_multiple_of(8),
    };
    let first = Writer {
        memory,
        structure: first,
        start: 0,
    };
    match kind {
        PacketKind::Skb => sk_buff(run, &first, &device),
        _ => xdp_buff(run, &first, &device),
    }
    if run.check(memory.address(), 8, false) != Region::Ours {
        run.grant(Ours {
            start: memory.address(),
            len: LEN as u64,
            writable: false,
        });
    }
    Ok(memory.address())
}

fn sk_buff(run: &Run<'_>, skb: &Writer<'_>, device: &Writer<'_>) {
    let (place, packet) = (run.packet.place.get(), run.packet.skb.get());
    let fields = run.fields();
    let field = |offset| fields.u32_at(offset).unwrap_or_default();
    // Headers are counted in 16 bits from the head, before which much room may lie.
    let first = place.data.min(packet.mac);
    let head = place.low.max(first.saturating_sub(HEADROOM));
    let from_head = |address: u64| address.saturating_sub(head);
    skb.long("dev", device.address());
    skb.number("len", run.packet_len() as u32);
    skb.number("data_len", place.tail.saturating_sub(place.end) as u32);
    skb.number("priority", field(SkbField::PRIORITY));
    skb.number("skb_iif", field(SkbField::INGRESS_IFINDEX));
    skb.number("hash", packet.hash);
    skb.number("mark", field(SkbField::MARK));
    skb.short("protocol", packet.protocol.to_be());
    skb.short("queue_mapping", field(SkbField::QUEUE_MAPPING) as u16);
    if let Some((kind, control)) = packet.vlan {
        skb.short("vlan_proto", kind.to_be());
        skb.short("vlan_tci", control);
    }
    skb.short("network_header", from_head(packet.network) as u16);
    skb.short("mac_header", from_head(packet.mac) as u16);
    let transport = match packet.transport {
        0 => u16::MAX,
        set => from_head(set) as u16,
    };
    skb.short("transport_header", transport);
    skb.number("tail", from_head(place.end) as u32);
    skb.number("end", from_head(place.high) as u32);
    skb.long("head", head);
    skb.long("data", place.data);
    device.number("ifindex", field(SkbField::IFINDEX));
}

fn xdp_buff(run: &Run<'_>, xdp: &Writer<'_>, device: &Writer<'_>) {
    let place = run.packet.place.get();
    let fields = run.fields();
    let field = |offset| fields.u32_at(offset).unwrap_or_default();
    let queue = Writer {
        memory: xdp.memory,
        structure: "xdp_rxq_info",
        start: (device.start + size_of("net_device")).next_multiple_of(8),
    };
    xdp.long("data", place.data);
    xdp.long("data_end", place.end);
    xdp.long("data_meta", place.meta);
    xdp.long("data_hard_start", place.low);
    xdp.long("rxq", queue.address());
    xdp.number("frame_sz", place.high.saturating_sub(place.low) as u32);
    queue.long("dev", device.address());
    queue.number("queue_index", field(XdpField::RX_QUEUE_INDEX));
    device.number("ifindex", field(XdpField::INGRESS_IFINDEX));
}

/// `bpf_rdonly_cast(obj, btf_id)`: accesses are checked by their address alone.
fn rdonly_cast(_: &Run<'_>, [object, ..]: Arguments) -> Outcome {
    Ok(object)
}
