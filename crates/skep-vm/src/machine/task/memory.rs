//! `struct task_struct` and what it points to, as the machine's BTF lays them out.

use std::sync::{Arc, OnceLock};

use super::{COMM, TaskInfo};
use crate::{
    machine::{
        objects::{Layout, Object, ObjectKind},
        types::{offset_of, size_of},
    },
    map::Fields,
    memory::View,
    vm::Shared,
};

/// Members of `struct nsproxy`, and the structures that they point to.
const NAMESPACES: &[(&str, &str)] = &[
    ("pid_ns_for_children", "pid_namespace"),
    ("mnt_ns", "mnt_namespace"),
    ("net_ns", "net"),
    ("uts_ns", "uts_namespace"),
    ("ipc_ns", "ipc_namespace"),
    ("cgroup_ns", "cgroup_namespace"),
    ("time_ns", "time_namespace"),
];

/// Places structures one behind the other.
#[derive(Default)]
struct Plan(usize);

impl Plan {
    fn place(&mut self, structure: &str) -> usize {
        let start = self.0;
        self.0 += size_of(structure).next_multiple_of(8);
        start
    }
}

/// Sets members of a structure by their names. What the BTF does not have is left out.
struct Writer<'a> {
    memory: View<'a>,
    structure: &'static str,
    start: usize,
}

impl Writer<'_> {
    fn offset(&self, member: &str) -> Option<usize> {
        Some(self.start + offset_of(self.structure, member)?)
    }

    fn number(&self, member: &str, value: u32) {
        let at = self.offset(member);
        at.and_then(|at| self.memory.set_u32(at, value));
    }

    fn long(&self, member: &str, value: u64) {
        let at = self.offset(member);
        at.and_then(|at| self.memory.set_u64(at, value));
    }

    fn address(&self) -> u64 {
        self.memory.address() + self.start as u64
    }
}

/// Where `struct pt_regs` is, in the memory of every task.
pub(super) fn registers(memory: View<'_>) -> Option<View<'_>> {
    let size = size_of("pt_regs");
    memory.part(memory.len().checked_sub(size)?, size)
}

/// Where the structures of a task's memory are.
struct Places {
    cred: usize,
    css_set: usize,
    nsproxy: usize,
    mm: usize,
    namespaces: [usize; NAMESPACES.len()],
    size: usize,
}

impl Places {
    /// The first structure is `struct task_struct`, the last `struct pt_regs`.
    fn known() -> &'static Self {
        static KNOWN: OnceLock<Places> = OnceLock::new();
        KNOWN.get_or_init(|| {
            let mut plan = Plan::default();
            plan.place("task_struct");
            Self {
                cred: plan.place("cred"),
                css_set: plan.place("css_set"),
                nsproxy: plan.place("nsproxy"),
                mm: plan.place("mm_struct"),
                namespaces: std::array::from_fn(|index| plan.place(NAMESPACES[index].1)),
                size: plan.0 + size_of("pt_regs"),
            }
        })
    }
}

/// A task's memory.
pub(super) fn make(machine: &Shared, info: &TaskInfo, comm: &[u8; COMM]) -> Option<Arc<Object>> {
    let layout = Layout {
        size: Places::known().size as u32,
        fields: Fields::default(),
    };
    let objects = &machine.objects;
    let object = objects
        .allocate(ObjectKind::Task, Arc::new(layout), 1)
        .ok()?;
    update(machine, &object, info, comm);
    Some(object)
}

/// Writes what a task is into its memory.
pub(super) fn update(machine: &Shared, object: &Object, info: &TaskInfo, comm: &[u8; COMM]) {
    let places = Places::known();
    let memory = object.memory();
    let at = |structure, start| Writer {
        memory,
        structure,
        start,
    };

    let task = at("task_struct", 0);
    task.number("pid", info.pid);
    task.number("tgid", info.tgid);
    task.long("start_time", info.start_time);
    task.long("start_boottime", info.start_time);
    if let Some(place) = task.offset("comm").and_then(|at| memory.part(at, COMM)) {
        place.write(comm);
    }
    let other = |task: &Option<Arc<super::Task>>| {
        let address = task.as_ref().map_or(0, |task| task.address());
        match address {
            0 => memory.address(),
            address => address,
        }
    };
    task.long("real_parent", other(&info.parent));
    task.long("parent", other(&info.parent));
    task.long("group_leader", other(&info.leader));
    task.number("usage", 1);

    let cred = at("cred", places.cred);
    for uid in ["uid", "suid", "euid", "fsuid"] {
        cred.number(uid, info.uid);
    }
    for gid in ["gid", "sgid", "egid", "fsgid"] {
        cred.number(gid, info.gid);
    }
    task.long("cred", cred.address());
    task.long("real_cred", cred.address());

    let css_set = at("css_set", places.css_set);
    if let Some(cgroup) = machine.tasks.cgroup(machine, &info.cgroups) {
        css_set.long("dfl_cgrp", cgroup.address());
    }
    css_set.number("refcount", 1);
    task.long("cgroups", css_set.address());

    if let Some(space) = &info.address_space {
        let mm = at("mm_struct", places.mm);
        for (start, end, range) in [
            ("start_code", "end_code", &space.code),
            ("start_data", "end_data", &space.data),
            ("arg_start", "arg_end", &space.arguments),
            ("env_start", "env_end", &space.environment),
        ] {
            mm.long(start, range.start);
            mm.long(end, range.end);
        }
        mm.long("start_brk", space.heap);
        mm.long("start_stack", space.stack);
        task.long("mm", mm.address());
    }

    let nsproxy = at("nsproxy", places.nsproxy);
    nsproxy.number("count", 1);
    task.long("nsproxy", nsproxy.address());
    let ids = info.namespaces;
    let numbers = [
        ids.pid, ids.mnt, ids.net, ids.uts, ids.ipc, ids.cgroup, ids.time,
    ];
    for (((member, structure), start), number) in
        NAMESPACES.iter().zip(places.namespaces).zip(numbers)
    {
        let namespace = at(structure, start);
        let inum = offset_of("ns_common", "inum").unwrap_or_default();
        if let Some(ns) = namespace.offset("ns") {
            memory.set_u32(ns + inum, number as u32);
        }
        nsproxy.long(member, namespace.address());
    }
}

/// A cgroup's memory: `struct cgroup` with its ancestors, then its `struct kernfs_node`.
pub(super) fn cgroup(
    machine: &Shared,
    path: &[u64],
    parent: Option<&Object>,
) -> Option<Arc<Object>> {
    let mut plan = Plan::default();
    plan.place("cgroup");
    let ancestors = offset_of("cgroup", "ancestors").unwrap_or(plan.0);
    plan.0 = plan.0.max(ancestors + 8 * path.len()).next_multiple_of(8);
    let node = plan.place("kernfs_node");
    let name = plan.0;
    let layout = Layout {
        // One byte more: the name, which is empty.
        size: (plan.0 + 8) as u32,
        fields: Fields::default(),
    };
    let objects = &machine.objects;
    let object = objects
        .allocate(ObjectKind::Cgroup, Arc::new(layout), 1)
        .ok()?;
    let memory = object.memory();
    let cgroup = Writer {
        memory,
        structure: "cgroup",
        start: 0,
    };
    let node = Writer {
        memory,
        structure: "kernfs_node",
        start: node,
    };
    let level = path.len() - 1;
    cgroup.number("level", level as u32);
    cgroup.long("kn", node.address());
    node.long("id", path.last().copied().unwrap_or_default());
    node.long("name", memory.address() + name as u64);
    if let Some(own) = offset_of("cgroup_subsys_state", "cgroup")
        && let Some(css) = cgroup.offset("self")
    {
        memory.set_u64(css + own, memory.address());
    }
    memory.set_u64(ancestors + 8 * level, memory.address());
    if let Some(parent) = parent {
        let above = parent.memory();
        for step in 0..level {
            let address = above.u64_at(ancestors + 8 * step).unwrap_or_default();
            memory.set_u64(ancestors + 8 * step, address);
        }
        let its_node = offset_of("cgroup", "kn").and_then(|at| above.u64_at(at));
        node.long("__parent", its_node.unwrap_or_default());
    }
    Some(object)
}
