//! Helpers that take a packet or message and a map of sockets or cgroups.

use skep_host::Errno;

use super::{Arguments, Outcome, errno, expect};
use crate::{
    FaultKind,
    map::{CgroupArray, Map, Sockets},
    run::{
        Run,
        packet::{PacketKind, Redirect},
    },
};

/// `SK_DROP` and `SK_PASS`
const DROP: u64 = 0;
const PASS: u64 = 1;
/// `BPF_F_INGRESS`
const INGRESS: u64 = 1;

/// `bpf_skb_under_cgroup(skb, map, index)`
pub(super) fn under_cgroup(run: &Run<'_>, [context, map, index, ..]: Arguments) -> Outcome {
    let function = "bpf_skb_under_cgroup";
    expect(run, context, PacketKind::Skb, function)?;
    let reason = "the map is no array of cgroups";
    let wrong = FaultKind::Argument { function, reason };
    let cgroups = run.map(map)?.of::<CgroupArray>().ok_or(wrong)?;
    let Some(socket) = run.packet_socket() else {
        return Ok(errno(Errno::ENOENT));
    };
    let cgroup = match cgroups.cgroup(index as u32) {
        Ok(cgroup) => cgroup,
        Err(refused) => return Ok(errno(refused)),
    };
    Ok(run.is_under(&[socket.info.cgroup], &cgroup).into())
}

/// `bpf_sk_redirect_map(skb, map, key, flags)`
pub(super) fn redirect_map(run: &Run<'_>, [context, map, key, flags, _]: Arguments) -> Outcome {
    let function = "bpf_sk_redirect_map";
    expect(run, context, PacketKind::Skb, function)?;
    let key = (key as u32).to_ne_bytes();
    redirect(run, run.map(map)?, &key, flags, function)
}

/// `bpf_sk_redirect_hash(skb, map, key, flags)`
pub(super) fn redirect_hash(run: &Run<'_>, [context, map, key, flags, _]: Arguments) -> Outcome {
    let function = "bpf_sk_redirect_hash";
    expect(run, context, PacketKind::Skb, function)?;
    let map = run.map(map)?;
    let key = run.view(key, u64::from(map.shape.key_size), false)?;
    redirect(run, map, &key.to_vec(), flags, function)
}

fn redirect(run: &Run<'_>, map: &Map, key: &[u8], flags: u64, function: &'static str) -> Outcome {
    let reason = "the map is none of sockets";
    let wrong = FaultKind::Argument { function, reason };
    let sockets = map.of::<Sockets>().ok_or(wrong)?;
    let socket = sockets.socket(key).filter(|_| flags & !INGRESS == 0);
    let cookie = socket.map(|socket| socket.info.cookie);
    run.set_redirect(cookie.map(|cookie| Redirect::Socket { cookie }));
    Ok(if cookie.is_some() { PASS } else { DROP })
}
