//! What helpers on arrays of cgroups ask: what is below one of them; and the helper on storages of
//! cgroups.

use std::sync::Arc;

use super::{Arguments, Outcome, Table, shim};
use crate::{FaultKind, machine::Cgroup, map::CgroupStorage, run::Run};

pub(super) static TABLE: Table = &[(81, shim!(local_storage))];

/// `bpf_get_local_storage(map, flags)`
fn local_storage(run: &Run<'_>, [map, flags, ..]: Arguments) -> Outcome {
    let function = "bpf_get_local_storage";
    let wrong = |reason| FaultKind::Argument { function, reason };
    let map = run.map(map)?;
    let storage = map.of::<CgroupStorage>();
    let storage = storage.ok_or(wrong("the map is no storage of cgroups"))?;
    if flags != 0 {
        return Err(wrong("it takes no flags").into());
    }
    let mut own = run.current.storages.borrow_mut();
    let known = own.iter().find(|(id, _)| *id == map.id);
    let entry = match known {
        Some((_, entry)) => Arc::clone(entry),
        None => {
            let made = storage
                .make(0, 0)
                .map_err(|_| wrong("there is no memory"))?;
            own.push((map.id, Arc::clone(&made)));
            made
        }
    };
    let value = entry.value(run.cpu).ok_or(wrong("this CPU has no value"))?;
    Ok(run.lend(Arc::clone(value)))
}

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
