//! Helpers that copy bytes of an `sk_buff`, or make them linear.

use skep_host::Errno;

use super::{Arguments, Outcome, errno, expect, kind};
use crate::{
    memory::View,
    run::{
        Run,
        packet::{Header, PacketKind},
    },
};

/// `BPF_F_RECOMPUTE_CSUM`
const RECOMPUTE: u64 = 1;
/// `BPF_F_INVALIDATE_HASH`
const INVALIDATE_HASH: u64 = 2;

/// Copies bytes of the packet; where it has not so many, the buffer is zeroed.
///
/// # Errors
/// `EFAULT`
pub(crate) fn load(run: &Run<'_>, offset: u32, to: View<'_>) -> Result<(), Errno> {
    let bytes = run.packet_bytes(offset.into(), to.len() as u64);
    match bytes.filter(|_| offset <= i32::MAX as u32) {
        Some(from) => {
            to.copy_from(from);
            Ok(())
        }
        None => {
            to.fill(0);
            Err(Errno::EFAULT)
        }
    }
}

/// Copies bytes into the packet, with the flags of `bpf_skb_store_bytes`.
///
/// # Errors
/// `EINVAL`: flags; `EFAULT`: the packet has not so many.
pub(crate) fn store(run: &Run<'_>, offset: u32, from: View<'_>, flags: u64) -> Result<(), Errno> {
    if flags & !(RECOMPUTE | INVALIDATE_HASH) != 0 {
        return Err(Errno::EINVAL);
    }
    let (offset, len) = (u64::from(offset), from.len() as u64);
    if offset > i32::MAX as u64 {
        return Err(Errno::EFAULT);
    }
    run.make_linear(offset + len).map_err(|_| Errno::EFAULT)?;
    let to = run.packet_bytes(offset, len).ok_or(Errno::EFAULT)?;
    if flags & RECOMPUTE != 0 {
        run.forget_sum(offset, len);
    }
    to.copy_from(from);
    if flags & RECOMPUTE != 0 {
        run.remember_sum(offset, len);
    }
    if flags & INVALIDATE_HASH != 0 {
        run.set_skb(run.packet.skb.get().without_hash());
    }
    Ok(())
}

/// `bpf_skb_store_bytes(skb, offset, from, len, flags)`
pub(super) fn skb_store_bytes(
    run: &Run<'_>,
    [context, offset, from, len, flags]: Arguments,
) -> Outcome {
    expect(run, context, PacketKind::Skb, "bpf_skb_store_bytes")?;
    let from = run.view(from, u64::from(len as u32), false)?;
    Ok(super::super::status(store(run, offset as u32, from, flags)))
}

/// `bpf_skb_load_bytes(skb, offset, to, len)`
pub(super) fn skb_load_bytes(run: &Run<'_>, [context, offset, to, len, _]: Arguments) -> Outcome {
    let kind = kind(run, context, "bpf_skb_load_bytes")?;
    let to = run.view(to, u64::from(len as u32), true)?;
    if kind == PacketKind::Skb {
        return Ok(super::super::status(load(run, offset as u32, to)));
    }
    // A flow dissector without an `sk_buff`, as in the kernel's test runs.
    to.fill(0);
    Ok(errno(Errno::EFAULT))
}

/// `bpf_skb_load_bytes_relative(skb, offset, to, len, start_header)`
pub(super) fn skb_load_bytes_relative(
    run: &Run<'_>,
    [context, offset, to, len, header]: Arguments,
) -> Outcome {
    expect(run, context, PacketKind::Skb, "bpf_skb_load_bytes_relative")?;
    let to = run.view(to, u64::from(len as u32), true)?;
    let skb = run.packet.skb.get();
    let start = match header as u32 {
        0 => Some(skb.mac),
        1 => Some(skb.network),
        _ => None,
    };
    let offset = u64::from(offset as u32);
    let len = to.len() as u64;
    let end = run.packet.place.get().end;
    let from = start
        .filter(|_| offset <= 0xffff)
        .map(|start| start + offset)
        .filter(|from| from + len <= end)
        .and_then(|from| run.packet_at(from, len));
    match from {
        Some(from) => {
            to.copy_from(from);
            Ok(0)
        }
        None => {
            to.fill(0);
            Ok(errno(Errno::EFAULT))
        }
    }
}

/// `bpf_skb_pull_data(skb, len)`
pub(super) fn skb_pull_data(run: &Run<'_>, [context, len, ..]: Arguments) -> Outcome {
    expect(run, context, PacketKind::Skb, "bpf_skb_pull_data")?;
    Ok(super::super::status(run.make_linear(u64::from(len as u32))))
}

/// The length of the link-layer header, as far as the packet's headers say.
pub(super) fn mac_len(run: &Run<'_>) -> u64 {
    let [mac, network] = [Header::Mac, Header::Network].map(|header| run.header_offset(header));
    u64::try_from(network - mac).unwrap_or_default()
}
