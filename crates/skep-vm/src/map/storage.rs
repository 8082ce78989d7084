//! `BPF_MAP_TYPE_TASK_STORAGE`, `_CGRP_STORAGE`, `_SK_STORAGE`, `_INODE_STORAGE`: a value for each
//! task, cgroup or socket that has one.
//!
//! Users name the owner. A task: by a pidfd of this process or else by the number of the thread. A
//! cgroup: by a descriptor of the machine, or one of its directory. A socket: by its cookie. The
//! machine has no inodes.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    sync::{Arc, Weak},
};

use skep_abi::MapType;
use skep_host::Errno;

use super::{EXIST, Kind, NOEXIST, Shape, check_update_flags};
use crate::{
    machine::{Object, Owned, Storage, Value},
    memory::View,
    vm::Shared,
};

/// Values of owners of one kind.
#[derive(Debug)]
pub(crate) struct LocalStorage {
    owned: Owned,
    map_type: MapType,
    size: u32,
    machine: Weak<Shared>,
}

impl LocalStorage {
    /// Most bytes of a value: what the kernel's allocator and 16 bits leave.
    pub(super) const MOST: u32 = 0xffff - 96;

    /// Whether maps of a type are such.
    pub(super) fn is_one(map_type: MapType) -> bool {
        matches!(
            map_type,
            MapType::TaskStorage
                | MapType::CgrpStorage
                | MapType::SkStorage
                | MapType::InodeStorage
        )
    }

    pub(crate) fn new(shape: &Shape) -> Self {
        Self {
            owned: Owned::new(shape.value_size, shape.fields.clone(), shape.memory()),
            map_type: shape.map_type,
            size: shape.value_size,
            machine: Weak::clone(&shape.machine),
        }
    }

    /// Bytes of a value.
    pub(crate) fn size(&self) -> u64 {
        u64::from(self.size)
    }

    /// The type of map.
    pub(crate) fn map_type(&self) -> MapType {
        self.map_type
    }

    /// The value of an owner; with `init`, made of it where there is none.
    ///
    /// # Errors
    /// `ENOENT`, `ENOMEM`.
    pub(crate) fn value(
        &self,
        storage: &Storage,
        init: Option<Option<View<'_>>>,
    ) -> Result<Arc<Value>, Errno> {
        match init {
            None => storage.get(&self.owned).ok_or(Errno::ENOENT),
            Some(from) => {
                let made = storage.get_or_make(&self.owned, |place| match from {
                    Some(from) => self.owned.fields().copy(place, from, 0),
                    None => Ok(()),
                });
                made.map(|(value, _)| value)
            }
        }
    }

    /// Takes the value of an owner away.
    ///
    /// # Errors
    /// `ENOENT`.
    pub(crate) fn remove(&self, storage: &Storage) -> Result<(), Errno> {
        storage.delete(&self.owned)
    }

    /// Does something with what the owner has that a user names.
    fn with_owner<T>(
        &self,
        key: &[u8],
        each: impl FnOnce(&Storage) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let number = super::index(key)?;
        let machine = self.machine.upgrade().ok_or(Errno::EBADF)?;
        match self.map_type {
            MapType::TaskStorage => {
                let pid = pid_of(number).unwrap_or(number);
                let task = machine.tasks.by_pid(pid).ok_or(Errno::EBADF)?;
                each(&task.object().ok_or(Errno::ENOENT)?.storage)
            }
            MapType::CgrpStorage => {
                let id = match machine.registry.files.by_number(number.cast_signed()) {
                    Ok(Object::Cgroup(cgroup)) => Some(cgroup.id),
                    _ => folder_of(number),
                };
                let cgroup = id.and_then(|id| machine.tasks.any_cgroup(&machine, id));
                each(&cgroup.ok_or(Errno::EBADF)?.storage)
            }
            MapType::SkStorage => {
                let socket = machine.net.now().by_cookie(u64::from(number));
                each(&socket.ok_or(Errno::EBADF)?.storage)
            }
            _ => Err(Errno::EBADF),
        }
    }
}

/// The thread that a pidfd of this process is of.
fn pid_of(fd: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    line.trim().parse().ok()
}

/// The number of the file that is behind a descriptor of this process.
fn folder_of(fd: u32) -> Option<u64> {
    let metadata = fs::metadata(format!("/proc/self/fd/{fd}")).ok()?;
    metadata.is_dir().then(|| metadata.ino())
}

impl Kind for LocalStorage {
    fn update(&self, _: u32, _: View<'_>, _: View<'_>, _: u64) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn delete(&self, _key: View<'_>) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    /// Values are regions of the runs that were given them.
    fn user_lookup(&self, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno> {
        let found = self.with_owner(key, |storage| self.value(storage, None))?;
        self.owned.fields().read(found.view(), value, flags)
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.with_owner(key, |storage| {
            let fields = self.owned.fields();
            check_update_flags(flags, fields)?;
            if flags & EXIST != 0 {
                let found = self.value(storage, None)?;
                return fields.write(found.view(), value, flags);
            }
            let init = |place: View<'_>| fields.write(place, value, 0);
            let (found, made) = storage.get_or_make(&self.owned, init)?;
            match made {
                true => Ok(()),
                false if flags & NOEXIST != 0 => Err(Errno::EEXIST),
                false => fields.write(found.view(), value, flags),
            }
        })
    }

    fn user_delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.with_owner(key, |storage| self.remove(storage))
    }

    fn user_next_key(&self, _: Option<&[u8]>, _: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn user_value_size(&self) -> usize {
        self.size as usize
    }

    fn memory_used(&self) -> u64 {
        size_of::<Self>() as u64
    }
}
