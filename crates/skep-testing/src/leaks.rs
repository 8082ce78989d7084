//! What a test left behind: descriptors, programs, maps, links, types, mounts and cgroups that were
//! not there before it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use skep_abi::ObjectFlags;
use skep_host::{Host, HostKind, ObjectId};

use crate::bpffs;

/// The kernel frees things a little after their last user is gone: what a test's end waits for.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// What there is at one moment.
#[derive(Debug)]
pub struct Snapshot {
    descriptors: BTreeMap<i32, String>,
    objects: BTreeSet<Id>,
}

/// An [`ObjectId`] with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Id {
    Program(u32),
    Map(u32),
    Link(u32),
    Btf(u32),
}

impl Snapshot {
    /// Looks at what there is now.
    pub fn take(host: &dyn Host) -> Self {
        Self {
            descriptors: descriptors(),
            objects: objects(host),
        }
    }

    /// What there is more by now, in words, after waiting at most for `grace` for what may still
    /// go.
    ///
    /// A program, map, link or set of types counts only if no other process holds it: other tests may run on
    /// this machine.
    pub fn leaks(&self, host: &dyn Host, grace: Duration) -> Vec<String> {
        let mut leaks: Vec<String> = descriptors()
            .into_iter()
            .filter(|(number, target)| self.descriptors.get(number) != Some(target))
            .map(|(number, target)| format!("descriptor {number} of {target}"))
            .collect();
        leaks.extend(
            bpffs::own_mounts()
                .into_iter()
                .map(|path| format!("mount {path}")),
        );
        let mut suspects: BTreeSet<Id> = &objects(host) - &self.objects;
        // A module that was loaded again has its types by another id.
        suspects.retain(|id| !is_kernels(host, *id));
        suspects.retain(|id| !is_modules(host, *id));
        let deadline = Instant::now() + grace;
        while !suspects.is_empty() {
            suspects = &suspects & &objects(host);
            if host.info().kind == HostKind::Kernel {
                suspects = &suspects - &held_by_others(host);
            }
            if Instant::now() > deadline {
                leaks.extend(suspects.iter().map(|id| describe(host, *id)));
                break;
            }
            if !suspects.is_empty() {
                thread::sleep(Duration::from_millis(20));
            }
        }
        leaks
    }
}

/// The open descriptors of this process and what they are.
fn descriptors() -> BTreeMap<i32, String> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return BTreeMap::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            // The listing's own descriptor is gone by now, and has no target.
            let target = fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
            Some((number, target.display().to_string()))
        })
        .filter(|(_, target)| !target.ends_with("/fd"))
        .collect()
}

/// All programs, maps, links and sets of types of the host.
fn objects(host: &dyn Host) -> BTreeSet<Id> {
    let mut found = BTreeSet::new();
    for first in [
        ObjectId::Program(0),
        ObjectId::Map(0),
        ObjectId::Link(0),
        ObjectId::Btf(0),
    ] {
        let mut id = first;
        while let Ok(Some(next)) = host.next_id(id) {
            id = next;
            found.extend(match id {
                ObjectId::Program(number) => [Id::Program(number)],
                ObjectId::Map(number) => [Id::Map(number)],
                ObjectId::Link(number) => [Id::Link(number)],
                ObjectId::Btf(number) => [Id::Btf(number)],
            });
        }
    }
    found
}

/// The types of a module that was loaded since come and go with it: they are no program's.
fn is_modules(host: &dyn Host, id: Id) -> bool {
    let Id::Btf(number) = id else { return false };
    let types = host.btf_by_id(number, None).ok().flatten();
    types.is_some_and(|types| host.btf_info(&types).is_ok_and(|info| info.kernel))
}

/// Types of the kernel itself, or of a module.
fn is_kernels(host: &dyn Host, id: Id) -> bool {
    let Id::Btf(number) = id else { return false };
    let types = host.btf_by_id(number, None).ok().flatten();
    types.is_some_and(|types| host.btf_info(&types).is_ok_and(|info| info.kernel))
}

/// What other processes hold by descriptors, and what that holds: a link its program, a program
/// its maps, both their types.
fn held_by_others(host: &dyn Host) -> BTreeSet<Id> {
    let own = std::process::id().to_string();
    let mut held = BTreeSet::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name();
        let is_other = name
            .to_str()
            .is_some_and(|name| name != own && name.bytes().all(|byte| byte.is_ascii_digit()));
        if is_other {
            held.extend(held_in(&process.path().join("fdinfo")));
        }
    }
    let programs: Vec<u32> = held
        .iter()
        .filter_map(|id| match id {
            Id::Program(number) => Some(*number),
            _ => None,
        })
        .collect();
    for number in programs {
        if let Ok(Some(program)) = host.prog_by_id(number)
            && let Ok(info) = host.prog_info(&program)
        {
            held.insert(Id::Btf(info.btf_id));
            held.extend(info.maps.into_iter().map(Id::Map));
        }
    }
    let maps: Vec<u32> = held
        .iter()
        .filter_map(|id| match id {
            Id::Map(number) => Some(*number),
            _ => None,
        })
        .collect();
    for number in maps {
        if let Ok(Some(map)) = host.map_by_id(number, ObjectFlags::empty())
            && let Ok(info) = host.map_info(&map)
        {
            held.insert(Id::Btf(info.btf_id));
        }
    }
    held
}

/// The ids in the descriptions of a process' descriptors: `prog_id:\t12`.
fn held_in(folder: &Path) -> Vec<Id> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(text) = fs::read_to_string(entry.path()) else {
            continue;
        };
        for line in text.lines() {
            let Some((key, number)) = line.split_once(':') else {
                continue;
            };
            let Ok(number) = number.trim().parse() else {
                continue;
            };
            found.extend(match key {
                "prog_id" => Some(Id::Program(number)),
                "map_id" => Some(Id::Map(number)),
                "link_id" => Some(Id::Link(number)),
                "btf_id" => Some(Id::Btf(number)),
                _ => None,
            });
        }
    }
    found
}

fn describe(host: &dyn Host, id: Id) -> String {
    let name = match id {
        Id::Program(number) => host
            .prog_by_id(number)
            .ok()
            .flatten()
            .and_then(|program| Some(host.prog_info(&program).ok()?.name)),
        Id::Map(number) => host
            .map_by_id(number, ObjectFlags::empty())
            .ok()
            .flatten()
            .and_then(|map| Some(host.map_info(&map).ok()?.name)),
        Id::Link(_) | Id::Btf(_) => None,
    };
    match (id, name) {
        (Id::Program(number), name) => format!("program {number} `{}`", name.unwrap_or_default()),
        (Id::Map(number), name) => format!("map {number} `{}`", name.unwrap_or_default()),
        (Id::Link(number), _) => format!("link {number}"),
        (Id::Btf(number), _) => format!("types {number}"),
    }
}
