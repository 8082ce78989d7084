//! What helpers on arrays of cgroups ask: what is below one of them.

use crate::{machine::Cgroup, run::Run};

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
