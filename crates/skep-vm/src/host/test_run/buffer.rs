//! Test runs of programs on an `sk_buff`.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use skep_abi::TestRunFlags;
use skep_host::{Errno, TestRun};

use super::{Answer, Around, context_in, finish, with_packet};
use crate::{
    Vm,
    machine::net::{INET, INET6, Socket, SocketInfo, UDP},
    memory::View,
    program::Program,
    run::{
        Run,
        packet::{SkbField, Sum, ether, shape, skb::ETH_LEN, sum},
    },
};

/// The longest packet: a page without what is around it.
const LONGEST: usize = 4096 - 64 - 320;
/// The most that `wire_len` and `gso_segs` may say.
const WIRE_LONGEST: u32 = 65536;
const MOST_SEGMENTS: u32 = 65535;

/// Fields that users may set; all others must be zero. Offset and length.
const SETTABLE: [(usize, usize); 10] = [
    (SkbField::MARK, 4),
    (SkbField::PRIORITY, 4),
    (SkbField::INGRESS_IFINDEX, 4),
    (SkbField::IFINDEX, 4),
    (SkbField::CB, SkbField::CB_LEN),
    (SkbField::TSTAMP, 8),
    (SkbField::WIRE_LEN, 4),
    (SkbField::GSO_SEGS, 4),
    (SkbField::GSO_SIZE, 4),
    (SkbField::HWTSTAMP, 8),
];

pub(super) fn run(
    vm: &Vm,
    program: &Arc<Program>,
    run: &mut TestRun<'_>,
    around: &Around<'_>,
) -> Answer {
    let summed = run.flags.contains(TestRunFlags::SKB_CHECKSUM_COMPLETE);
    let other = run.flags - TestRunFlags::SKB_CHECKSUM_COMPLETE;
    if !other.is_empty() || run.cpu != 0 || run.batch_size != 0 {
        return Err(Errno::EINVAL.into());
    }
    if !(ETH_LEN as usize..=LONGEST).contains(&run.data_in.len()) {
        return Err(Errno::EINVAL.into());
    }
    let kind = u16::from_be_bytes([run.data_in[12], run.data_in[13]]);
    let header = match kind {
        ether::IPV4 => 20,
        ether::IPV6 => 40,
        _ => 0,
    };
    let given = context_in::<{ SkbField::LEN }>(run)?;
    let mut fields = given.unwrap_or([0; SkbField::LEN]);
    let device = word(&mut fields, SkbField::IFINDEX).max(1);
    let (l2, direct) = shape(program.program_type).ok_or(Errno::ENOTSUPP)?;
    let net = vm.0.net.now();
    let mac = net.device(device).ok_or(Errno::ENODEV)?.mac;
    if run.data_in.len() < ETH_LEN as usize + header {
        return Err(Errno::EINVAL.into());
    }
    check(&mut fields, given.is_some(), run.data_in.len(), l2)?;
    let prepare = |inner: &Run<'_>| {
        let context = inner.receive_skb(run.data_in, run.data_in.len(), l2, direct, mac)?;
        show(inner, &mut fields, device)?;
        if summed {
            let mut skb = inner.packet.skb.get();
            skb.sum = Sum::Complete;
            skb.total = behind_header(inner);
            inner.packet.skb.set(skb);
        }
        Ok(context)
    };
    let (done, data, context, right) =
        with_packet(vm, program, around, run.repeat, prepare, |inner, done| {
            let place = inner.packet.place.get();
            // Also of a packet whose sum does not count any more.
            let total = inner.packet.skb.get().total;
            let right = sum::fold(total) == sum::fold(behind_header(inner));
            let bytes = inner.packet_at(place.data, place.tail - place.data);
            let mut data = bytes.map(View::to_vec).unwrap_or_default();
            if !l2 {
                // The place of the header that the program did not see.
                data.splice(0..0, [0; ETH_LEN as usize]);
            }
            (*done, data, read_back(inner, given), right)
        })?;
    if summed && !right {
        return Err(Errno::EBADMSG.into());
    }
    let context = context.as_ref().map(|bytes| &bytes[..]);
    finish(run, &done, &data, data.len(), context)
}

fn word(fields: &mut [u8; SkbField::LEN], at: usize) -> u32 {
    View::of(fields).u32_at(at).unwrap_or_default()
}

/// The sum over the packet from its network header on.
fn behind_header(run: &Run<'_>) -> u32 {
    let (skb, place) = (run.packet.skb.get(), run.packet.place.get());
    let bytes = run.packet_at(skb.network, place.tail.saturating_sub(skb.network));
    bytes.map_or(0, |bytes| sum::partial(bytes, 0))
}

/// What users may say of a packet.
fn check(fields: &mut [u8; SkbField::LEN], given: bool, len: usize, l2: bool) -> Result<(), Errno> {
    let settable = |at: usize| {
        let mut fields = SETTABLE.iter();
        fields.any(|(offset, len)| (*offset..offset + len).contains(&at))
    };
    let bytes = fields.iter().enumerate();
    if bytes
        .into_iter()
        .any(|(at, byte)| *byte != 0 && !settable(at))
    {
        return Err(Errno::EINVAL);
    }
    let seen = if l2 { len } else { len - ETH_LEN as usize } as u32;
    match word(fields, SkbField::WIRE_LEN) {
        0 if given => View::of(fields).set_u32(SkbField::WIRE_LEN, seen),
        0 => None,
        wire if wire < seen || wire > WIRE_LONGEST => return Err(Errno::EINVAL),
        _ => None,
    };
    if word(fields, SkbField::GSO_SEGS) > MOST_SEGMENTS {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// Shows the program what the user set, and a socket of the packet's addresses.
fn show(run: &Run<'_>, given: &mut [u8; SkbField::LEN], device: u32) -> Result<(), Errno> {
    let segments = word(given, SkbField::GSO_SEGS);
    let size = word(given, SkbField::GSO_SIZE);
    let fields = run.fields();
    for (at, len) in SETTABLE {
        if let (Some(place), Some(bytes)) = (fields.part(at, len), given.get(at..at + len)) {
            place.write(bytes);
        }
    }
    fields.set_u32(SkbField::IFINDEX, device);
    let mut skb = run.packet.skb.get();
    skb.gso_segments = segments;
    skb.gso_size = u32::from(size as u16);
    run.packet.skb.set(skb);
    let socket = Socket::of_packet(owner(run))?;
    let address = run.set_packet_socket(Arc::new(socket));
    fields.set_u64(SkbField::SK, address);
    show_addresses(run, fields);
    run.moved();
    Ok(())
}

/// The socket of a test's packet: its addresses are the packet's.
fn owner(run: &Run<'_>) -> SocketInfo {
    let skb = run.packet.skb.get();
    let part = |offset: u64, len| run.packet_at(skb.network + offset, len);
    let v4 = |offset| {
        let mut octets = [0; 4];
        part(offset, 4).map(|part| part.read(&mut octets));
        IpAddr::from(octets)
    };
    let v6 = |offset| {
        let mut octets = [0; 16];
        part(offset, 16).map(|part| part.read(&mut octets));
        IpAddr::from(octets)
    };
    let (source, destination) = match skb.protocol {
        ether::IPV6 => (v6(8), v6(24)),
        ether::IPV4 => (v4(12), v4(16)),
        _ => (IpAddr::from([0; 4]), IpAddr::from([0; 4])),
    };
    let mut info = SocketInfo::listening(1, UDP, SocketAddr::new(source, 0));
    info.remote = Some(SocketAddr::new(destination, 0));
    info
}

/// Fills in the fields that come from the socket.
fn show_addresses(run: &Run<'_>, fields: View<'_>) {
    let skb = run.packet.skb.get();
    let copy = |to, from: u64, len: usize| {
        let from = run.packet_at(skb.network + from, len as u64);
        if let (Some(to), Some(from)) = (fields.part(to, len), from) {
            to.copy_from(from);
        }
    };
    let family = match skb.protocol {
        ether::IPV4 => {
            copy(SkbField::LOCAL_IP4, 12, 4);
            copy(SkbField::REMOTE_IP4, 16, 4);
            INET
        }
        ether::IPV6 => {
            copy(SkbField::LOCAL_IP6, 8, 16);
            copy(SkbField::REMOTE_IP6, 24, 16);
            INET6
        }
        _ => 0,
    };
    fields.set_u32(SkbField::FAMILY, family);
}

/// The context for the user: what was given, with what programs may have changed.
fn read_back(run: &Run<'_>, given: Option<[u8; SkbField::LEN]>) -> Option<[u8; SkbField::LEN]> {
    let mut context = given?;
    let fields = run.fields();
    for (at, len) in SETTABLE {
        // The kernel does not write this one back.
        if at == SkbField::GSO_SIZE {
            continue;
        }
        if let (Some(from), Some(to)) = (fields.part(at, len), context.get_mut(at..at + len)) {
            from.read(to);
        }
    }
    Some(context)
}
