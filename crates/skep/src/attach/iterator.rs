//! Iterators: `iter/task`, `iter/bpf_map_elem`. The name says over what kind of thing; options say
//! over which of them.

use std::sync::Arc;

use skep_abi::CgroupIterOrder;
use skep_host::{AttachPoint, CgroupRoot, IterTarget};

use super::AttachOptions;
use crate::{Link, Program, Result};

/// Iterators that need a map.
const OF_MAPS: [&str; 3] = ["bpf_map_elem", "bpf_sk_storage_map", "sockmap"];

pub(super) fn attach(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let kind = program.needed_target("iter/task")?;
    // `module:kind`
    let kind = kind.rsplit(':').next().unwrap_or(kind);
    if OF_MAPS.contains(&kind) {
        let map = options.elements.as_ref().ok_or_else(|| {
            program.cannot_attach(
                "it walks over the elements of a map: say which (`AttachOptions::elements`)",
            )
        })?;
        return program.attach_to(&AttachPoint::Iterator(IterTarget::Map(map.fd())));
    }
    let of_tasks = program.section().takes_process();
    let target = match (options.pid, options.thread) {
        _ if kind == "cgroup" => return cgroups(program, options),
        (Some(_), Some(_)) => {
            return Err(program.cannot_attach(
                "it walks over the threads of a process, or over one thread: give only one",
            ));
        }
        (Some(process), None) if of_tasks => IterTarget::Process(process),
        (None, Some(thread)) if of_tasks => IterTarget::Thread(thread),
        _ => IterTarget::All,
    };
    program.attach_to(&AttachPoint::Iterator(target))
}

fn cgroups(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let order = options
        .cgroup_order
        .unwrap_or(CgroupIterOrder::DescendantsPre);
    let cgroup = match &options.cgroup {
        Some(path) => Some(program.host().cgroup_open(path)?),
        None => None,
    };
    let root = match &cgroup {
        Some(cgroup) => CgroupRoot::Directory(cgroup),
        None => CgroupRoot::Default,
    };
    program.attach_to(&AttachPoint::Iterator(IterTarget::Cgroup { root, order }))
}
