//! Helpers on arrays of cgroups: what is below one of them.

use skep_host::Errno;

use super::{Arguments, Outcome, Table, errno, shim};
use crate::{FaultKind, map::CgroupArray, run::Run};

pub(super) static TABLE: Table = &[
    (33, shim!(skb_under_cgroup)),
    (37, shim!(current_task_under_cgroup)),
];

/// Whether one of the cgroups with these numbers, or one above it, is that of an entry.
fn under(run: &Run<'_>, map: u64, index: u64, cgroups: &[u64], function: &'static str) -> Outcome {
    let reason = "the map is no array of cgroups";
    let wrong = FaultKind::Argument { function, reason };
    let map = run.map(map)?.of::<CgroupArray>().ok_or(wrong)?;
    let cgroup = match map.cgroup(index as u32) {
        Ok(cgroup) => cgroup,
        Err(failed) => return Ok(errno(failed)),
    };
    let below = cgroups.iter().any(|id| {
        *id == cgroup.id
            || run
                .vm
                .cgroups
                .by_id(*id)
                .is_some_and(|own| own.ancestry().any(|above| above.id == cgroup.id))
    });
    Ok(below.into())
}

/// `bpf_current_task_under_cgroup(map, index)`
fn current_task_under_cgroup(run: &Run<'_>, [map, index, ..]: Arguments) -> Outcome {
    let cgroups = run.task().info().cgroups.clone();
    under(run, map, index, &cgroups, "bpf_current_task_under_cgroup")
}

/// `bpf_skb_under_cgroup(skb, map, index)`
fn skb_under_cgroup(run: &Run<'_>, [_, map, index, ..]: Arguments) -> Outcome {
    let Some(socket) = run.packet_socket() else {
        return Ok(errno(Errno::ENOENT));
    };
    under(
        run,
        map,
        index,
        &[socket.info.cgroup],
        "bpf_skb_under_cgroup",
    )
}
