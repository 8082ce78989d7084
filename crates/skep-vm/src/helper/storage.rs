//! Helpers on local storage of tasks, inodes, sockets and cgroups.

use std::sync::Arc;

use skep_abi::MapType;
use skep_host::Errno;

use super::{Arguments, Outcome, Table, errno, shim, status};
use crate::{
    FaultKind,
    machine::{
        Storage,
        net::Socket,
        objects::{Object, ObjectKind},
    },
    map::LocalStorage,
    run::Run,
};

pub(super) static TABLE: Table = &[
    (107, shim!(sk_storage_get)),
    (108, shim!(sk_storage_delete)),
    (145, shim!(inode_storage_get)),
    (146, shim!(inode_storage_delete)),
    (156, shim!(task_storage_get)),
    (157, shim!(task_storage_delete)),
    (210, shim!(cgrp_storage_get)),
    (211, shim!(cgrp_storage_delete)),
];

/// `BPF_LOCAL_STORAGE_GET_F_CREATE`
const CREATE: u64 = 1;

/// Owners of one kind: the map's type, and how programs name them.
#[derive(Clone, Copy)]
struct Of {
    map_type: MapType,
    owner: fn(&Run<'_>, u64, &'static str) -> Result<Owner, FaultKind>,
    get: &'static str,
    delete: &'static str,
}

/// Who has values.
enum Owner {
    Object(Arc<Object>),
    Socket(Arc<Socket>),
}

impl Owner {
    fn storage(&self) -> &Storage {
        match self {
            Self::Object(object) => &object.storage,
            Self::Socket(socket) => &socket.storage,
        }
    }
}

const TASKS: Of = Of {
    map_type: MapType::TaskStorage,
    owner: |run, address, function| {
        let object = run.object(address, ObjectKind::Task, function);
        object.map(Owner::Object)
    },
    get: "bpf_task_storage_get",
    delete: "bpf_task_storage_delete",
};

const CGROUPS: Of = Of {
    map_type: MapType::CgrpStorage,
    owner: |run, address, function| {
        let object = run.object(address, ObjectKind::Cgroup, function);
        object.map(Owner::Object)
    },
    get: "bpf_cgrp_storage_get",
    delete: "bpf_cgrp_storage_delete",
};

const SOCKETS: Of = Of {
    map_type: MapType::SkStorage,
    owner: |run, address, function| {
        let reason = "this is no socket";
        let socket = run.socket(address);
        let socket = socket.ok_or(FaultKind::Argument { function, reason });
        socket.map(Owner::Socket)
    },
    get: "bpf_sk_storage_get",
    delete: "bpf_sk_storage_delete",
};

const INODES: Of = Of {
    map_type: MapType::InodeStorage,
    owner: |_, _, function| {
        let reason = "the vm has no inodes";
        Err(FaultKind::Argument { function, reason })
    },
    get: "bpf_inode_storage_get",
    delete: "bpf_inode_storage_delete",
};

fn map_of<'r>(
    run: &'r Run<'_>,
    map: u64,
    of: Of,
    function: &'static str,
) -> Result<&'r LocalStorage, FaultKind> {
    let storage = run.map(map)?.of::<LocalStorage>();
    let storage = storage.filter(|storage| storage.map_type() == of.map_type);
    let reason = "the map is no storage of such owners";
    storage.ok_or(FaultKind::Argument { function, reason })
}

fn get(run: &Run<'_>, [map, owner, value, flags, _]: Arguments, of: Of) -> Outcome {
    let map = map_of(run, map, of, of.get)?;
    if flags & !CREATE != 0 || owner == 0 {
        return Ok(0);
    }
    let owner = (of.owner)(run, owner, of.get)?;
    let init = match (flags & CREATE, value) {
        (0, _) => None,
        (_, 0) => Some(None),
        (_, from) => Some(Some(run.view(from, map.size(), false)?)),
    };
    let found = map.value(owner.storage(), init);
    Ok(found.map_or(0, |value| run.lend(value)))
}

fn delete(run: &Run<'_>, [map, owner, ..]: Arguments, of: Of) -> Outcome {
    let map = map_of(run, map, of, of.delete)?;
    if owner == 0 {
        return Ok(errno(Errno::EINVAL));
    }
    let owner = (of.owner)(run, owner, of.delete)?;
    Ok(status(map.remove(owner.storage())))
}

/// `bpf_task_storage_get(map, task, value, flags)`
fn task_storage_get(run: &Run<'_>, arguments: Arguments) -> Outcome {
    get(run, arguments, TASKS)
}

/// `bpf_task_storage_delete(map, task)`
fn task_storage_delete(run: &Run<'_>, arguments: Arguments) -> Outcome {
    delete(run, arguments, TASKS)
}

/// `bpf_cgrp_storage_get(map, cgroup, value, flags)`
fn cgrp_storage_get(run: &Run<'_>, arguments: Arguments) -> Outcome {
    get(run, arguments, CGROUPS)
}

/// `bpf_cgrp_storage_delete(map, cgroup)`
fn cgrp_storage_delete(run: &Run<'_>, arguments: Arguments) -> Outcome {
    delete(run, arguments, CGROUPS)
}

/// `bpf_sk_storage_get(map, sk, value, flags)`
fn sk_storage_get(run: &Run<'_>, arguments: Arguments) -> Outcome {
    get(run, arguments, SOCKETS)
}

/// `bpf_sk_storage_delete(map, sk)`
fn sk_storage_delete(run: &Run<'_>, arguments: Arguments) -> Outcome {
    delete(run, arguments, SOCKETS)
}

/// `bpf_inode_storage_get(map, inode, value, flags)`
fn inode_storage_get(run: &Run<'_>, arguments: Arguments) -> Outcome {
    get(run, arguments, INODES)
}

/// `bpf_inode_storage_delete(map, inode)`
fn inode_storage_delete(run: &Run<'_>, arguments: Arguments) -> Outcome {
    delete(run, arguments, INODES)
}
