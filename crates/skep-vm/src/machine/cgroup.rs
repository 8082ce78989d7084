//! The cgroups of a machine: a tree in memory, and which programs of it apply where.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex},
};

use skep_abi::{AttachFlags, AttachType};
use skep_host::Errno;

use super::{Attached, HookKey, Hooks, lock};
use crate::map::CgroupEntries;

/// A cgroup.
#[derive(Debug)]
pub(crate) struct Cgroup {
    /// As `bpf_get_current_cgroup_id` returns it; 1 for the root.
    pub(crate) id: u64,
    /// From the root.
    pub(crate) path: PathBuf,
    pub(crate) parent: Option<Arc<Cgroup>>,
}

impl Cgroup {
    /// It and all above it.
    pub(crate) fn ancestry(&self) -> impl Iterator<Item = &Cgroup> {
        std::iter::successors(Some(self), |cgroup| cgroup.parent.as_deref())
    }
}

/// All of a machine.
#[derive(Debug)]
pub(crate) struct Cgroups(Mutex<BTreeMap<PathBuf, Arc<Cgroup>>>);

impl Default for Cgroups {
    fn default() -> Self {
        let root = Cgroup {
            id: 1,
            path: PathBuf::from("/"),
            parent: None,
        };
        Self(Mutex::new(BTreeMap::from([(
            root.path.clone(),
            Arc::new(root),
        )])))
    }
}

/// A path from the root of the tree; where Linux mounts it is left out.
fn clean(path: &Path) -> PathBuf {
    let path = path.strip_prefix("/sys/fs/cgroup").unwrap_or(path);
    let names = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_)));
    std::iter::once(Component::RootDir).chain(names).collect()
}

impl Cgroups {
    /// The cgroup at a path.
    pub(crate) fn find(&self, path: &Path) -> Option<Arc<Cgroup>> {
        lock(&self.0).get(&clean(path)).cloned()
    }

    /// The cgroup with an id.
    pub(crate) fn by_id(&self, id: u64) -> Option<Arc<Cgroup>> {
        lock(&self.0)
            .values()
            .find(|cgroup| cgroup.id == id)
            .cloned()
    }

    /// The ids of all.
    pub(crate) fn ids(&self) -> Vec<u64> {
        lock(&self.0).values().map(|cgroup| cgroup.id).collect()
    }

    /// Makes the cgroup at a path, and those above it, where they are not there.
    pub(crate) fn make(&self, path: &Path) -> Option<Arc<Cgroup>> {
        let path = clean(path);
        let mut all = lock(&self.0);
        let mut above: Vec<&Path> = path.ancestors().collect();
        above.reverse();
        let mut last: Option<Arc<Cgroup>> = None;
        for path in above {
            let known = all.get(path).cloned();
            last = Some(known.unwrap_or_else(|| {
                let made = Arc::new(Cgroup {
                    id: all.len() as u64 + 1,
                    path: path.to_owned(),
                    parent: last.take(),
                });
                all.insert(path.to_owned(), Arc::clone(&made));
                made
            }));
        }
        last
    }
}

/// What says how a cgroup's programs stand to those below.
pub(crate) const MODE: AttachFlags = AttachFlags::ALLOW_OVERRIDE.union(AttachFlags::ALLOW_MULTI);

impl Hooks {
    /// Whether what is attached above a cgroup lets it have programs of its own.
    pub(crate) fn allows(&self, cgroup: &Cgroup, attach: AttachType) -> bool {
        for above in cgroup.ancestry().skip(1) {
            let key = HookKey::Cgroup {
                id: above.id,
                attach,
            };
            let Some(programs) = self.programs(&key) else {
                continue;
            };
            let flags = AttachFlags::from_bits_retain(programs.flags);
            if flags.contains(AttachFlags::ALLOW_MULTI) {
                return true;
            }
            if !programs.list.is_empty() {
                return flags.contains(AttachFlags::ALLOW_OVERRIDE);
            }
        }
        true
    }

    /// The programs that run for a cgroup: its own, then those of the cgroups above it that let
    /// others be beside them. Those that asked to go before all go before, from the root on.
    pub(crate) fn effective(&self, cgroup: &Cgroup, attach: AttachType) -> Vec<Attached> {
        let (mut first, mut rest): (Vec<Vec<Attached>>, Vec<Attached>) = Default::default();
        for at in cgroup.ancestry() {
            let key = HookKey::Cgroup { id: at.id, attach };
            let Some(programs) = self.programs(&key) else {
                continue;
            };
            let flags = AttachFlags::from_bits_retain(programs.flags);
            let so_far = rest.len() + first.iter().map(Vec::len).sum::<usize>();
            if so_far > 0 && !flags.contains(AttachFlags::ALLOW_MULTI) {
                continue;
            }
            let is_first = |entry: &&Attached| {
                AttachFlags::from_bits_retain(entry.flags).contains(AttachFlags::PREORDER)
            };
            first.push(programs.list.iter().filter(is_first).cloned().collect());
            rest.extend(
                programs
                    .list
                    .iter()
                    .filter(|entry| !is_first(entry))
                    .cloned(),
            );
        }
        first.into_iter().rev().flatten().chain(rest).collect()
    }

    /// Attaches to a cgroup.
    ///
    /// # Errors
    /// `EPERM`: what is there, or above, does not allow it. `EINVAL`, `ENOENT`, `E2BIG`, `ESTALE`
    /// as the kernel's.
    pub(crate) fn attach_cgroup(
        &self,
        cgroup: &Cgroup,
        attach: AttachType,
        entry: Attached,
        order: &super::Order,
        replaced: Option<&Arc<crate::program::Program>>,
    ) -> Result<(), Errno> {
        let flags = order.flags;
        let mode = flags & MODE;
        let replaces = flags.contains(AttachFlags::REPLACE);
        if mode == MODE || (replaces && !mode.contains(AttachFlags::ALLOW_MULTI)) {
            return Err(Errno::EINVAL);
        }
        if replaces && flags.intersects(AttachFlags::BEFORE | AttachFlags::AFTER) {
            return Err(Errno::EINVAL);
        }
        if replaces != replaced.is_some() {
            return Err(Errno::EINVAL);
        }
        let key = HookKey::Cgroup {
            id: cgroup.id,
            attach,
        };
        let storages = CgroupEntries::new(&entry.program, cgroup.id, attach)?;
        self.point(key).change(|programs| {
            order.check(programs)?;
            if !self.allows(cgroup, attach) {
                return Err(Errno::EPERM);
            }
            if !programs.list.is_empty() && programs.flags != mode.bits() {
                return Err(Errno::EPERM);
            }
            if programs.list.len() >= super::order::MOST {
                return Err(Errno::E2BIG);
            }
            let same = |known: &Attached| {
                known.link == 0
                    && entry.link == 0
                    && Arc::ptr_eq(&known.program, &entry.program)
                    && replaced.is_none_or(|old| !Arc::ptr_eq(old, &known.program))
            };
            if !mode.contains(AttachFlags::ALLOW_MULTI) && !programs.list.is_empty() {
                programs.list = vec![entry];
            } else if programs.list.iter().any(same) {
                return Err(Errno::EINVAL);
            } else if let Some(old) = replaced {
                let place = programs
                    .list
                    .iter()
                    .position(|known| known.link == 0 && Arc::ptr_eq(&known.program, old))
                    .ok_or(Errno::ENOENT)?;
                programs.list[place] = entry;
            } else {
                let index = order.index_in_cgroup(programs, entry.link != 0)?;
                programs.list.insert(index, entry);
            }
            programs.flags = mode.bits();
            Ok(())
        })?;
        storages.keep();
        Ok(())
    }

    /// Takes a program without a link off a cgroup.
    ///
    /// # Errors
    /// `ENOENT`: it is not there; `EINVAL`: there may be several, and none is named.
    pub(crate) fn detach_cgroup(
        &self,
        id: u64,
        attach: AttachType,
        program: Option<&Arc<crate::program::Program>>,
        revision: u64,
    ) -> Result<(), Errno> {
        self.point(HookKey::Cgroup { id, attach })
            .change(|programs| {
                let flags = AttachFlags::from_bits_retain(programs.flags);
                if revision != 0 && revision != programs.revision {
                    return Err(Errno::ESTALE);
                }
                let place = match (flags.contains(AttachFlags::ALLOW_MULTI), program) {
                    (true, None) => return Err(Errno::EINVAL),
                    (true, Some(program)) => programs
                        .list
                        .iter()
                        .position(|known| known.link == 0 && Arc::ptr_eq(&known.program, program)),
                    (false, _) => (!programs.list.is_empty()).then_some(0),
                };
                programs.list.remove(place.ok_or(Errno::ENOENT)?);
                if programs.list.is_empty() {
                    programs.flags = 0;
                }
                Ok(())
            })
    }
}
