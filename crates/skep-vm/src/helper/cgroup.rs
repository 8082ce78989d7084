//! Helpers on arrays of cgroups: what is below one of them.

use super::{Arguments, Outcome, Table, errno, shim};
use crate::{FaultKind, machine::Cgroup, map::CgroupArray, run::Run};

pub(super) static TABLE: Table = &[(37, shim!(current_task_under_cgroup))];

impl Run<'_> {
    /// Whether a cgroup with one of these numbers is this one, or below it.
    pub(super) fn is_under(&self, cgroups: &[u64], cgroup: &Cgroup) -> bool {
        cgroups.iter().any(|id| {
            let own = self.vm.cgroups.by_id(*id);
            let below = |own: &Cgroup| own.ancestry().any(|above| above.id == cgroup.id);
            *id == cgroup.id || own.is_some_and(|own| below(&own))
        })
    }
}

/// `bpf_current_task_under_cgroup(map, index)`
fn current_task_under_cgroup(run: &Run<'_>, [map, index, ..]: Arguments) -> Outcome {
    let function = "bpf_current_task_under_cgroup";
    let reason = "the map is no array of cgroups";
    let wrong = FaultKind::Argument { function, reason };
    let map = run.map(map)?.of::<CgroupArray>().ok_or(wrong)?;
    Ok(match map.cgroup(index as u32) {
        Ok(cgroup) => run.is_under(&run.task().info().cgroups, &cgroup).into(),
        Err(failed) => errno(failed),
    })
}
