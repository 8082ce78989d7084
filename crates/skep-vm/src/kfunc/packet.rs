//! Kernel functions on packets: dynptrs of them, and XDP metadata.

use skep_abi::ProgramType;
use skep_host::Errno;

use super::Table;
use crate::{
    FaultKind,
    helper::{Arguments, Outcome, errno, packet, shim, status},
    run::{Dynptr, DynptrKind, Run},
};

pub(super) static TABLE: Table = &[
    ("bpf_dynptr_from_skb", shim!(dynptr_from_skb)),
    ("bpf_dynptr_from_skb_meta", shim!(dynptr_from_skb_meta)),
    ("bpf_dynptr_from_xdp", shim!(dynptr_from_xdp)),
    ("bpf_xdp_metadata_rx_hash", shim!(no_metadata)),
    ("bpf_xdp_metadata_rx_timestamp", shim!(no_metadata)),
    ("bpf_xdp_metadata_rx_vlan_tag", shim!(no_metadata)),
    ("bpf_xdp_pull_data", shim!(xdp_pull_data)),
];

/// Whether programs of a type may write to packets.
const fn writes(program_type: ProgramType) -> bool {
    matches!(
        program_type,
        ProgramType::SchedCls
            | ProgramType::SchedAct
            | ProgramType::Xdp
            | ProgramType::LwtXmit
            | ProgramType::SkSkb
            | ProgramType::SkMsg
    )
}

fn from_packet(
    run: &Run<'_>,
    [data, flags, place, ..]: Arguments,
    kind: DynptrKind,
    len: u64,
) -> Outcome {
    if !run.is_packet(data) {
        return Err(FaultKind::Argument {
            function: "a dynptr of a packet",
            reason: "this is no packet",
        }
        .into());
    }
    if flags != 0 {
        Dynptr::NULL.store(run, place)?;
        return Ok(errno(Errno::EINVAL));
    }
    let dynptr = Dynptr::new(kind, data, len as u32);
    let dynptr = match writes(run.program().program_type) {
        true => dynptr,
        false => dynptr.read_only(),
    };
    dynptr.store(run, place)?;
    Ok(0)
}

/// `bpf_dynptr_from_skb(s, flags, ptr)`
fn dynptr_from_skb(run: &Run<'_>, arguments: Arguments) -> Outcome {
    from_packet(run, arguments, DynptrKind::Skb, run.packet_len())
}

/// `bpf_dynptr_from_skb_meta(skb, flags, ptr)`
fn dynptr_from_skb_meta(run: &Run<'_>, arguments: Arguments) -> Outcome {
    let len = run.packet_meta().map_or(0, |meta| meta.len() as u64);
    from_packet(run, arguments, DynptrKind::SkbMeta, len)
}

/// `bpf_dynptr_from_xdp(x, flags, ptr)`
fn dynptr_from_xdp(run: &Run<'_>, arguments: Arguments) -> Outcome {
    from_packet(run, arguments, DynptrKind::Xdp, run.packet_len())
}

/// `bpf_xdp_metadata_rx_*(ctx, …)`: no device of the machine has any.
fn no_metadata(run: &Run<'_>, [context, ..]: Arguments) -> Outcome {
    packet::frame(run, context, "bpf_xdp_metadata_rx")?;
    Ok(errno(Errno::EOPNOTSUPP))
}

/// `bpf_xdp_pull_data(x, len)`
fn xdp_pull_data(run: &Run<'_>, [context, len, ..]: Arguments) -> Outcome {
    packet::frame(run, context, "bpf_xdp_pull_data")?;
    Ok(status(packet::pull(run, len as u32)))
}
