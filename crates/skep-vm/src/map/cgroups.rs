//! `BPF_MAP_TYPE_CGROUP_ARRAY`: cgroups by index, which users name by descriptors.

use std::sync::Arc;

use skep_host::Errno;

use super::{Kind, Shape, slots::Slots};
use crate::{
    machine::{Cgroup, Files, Object},
    memory::View,
};

/// Cgroups by index.
#[derive(Debug)]
pub(crate) struct CgroupArray {
    cgroups: Slots<Cgroup>,
    files: Arc<Files>,
}

impl CgroupArray {
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new(shape: &Shape) -> Result<Self, Errno> {
        Ok(Self {
            cgroups: Slots::new(shape.max_entries)?,
            files: Arc::clone(&shape.files),
        })
    }

    /// The cgroup at an index.
    ///
    /// # Errors
    /// `E2BIG`: there is no such index; `EAGAIN`: none is there.
    pub(crate) fn cgroup(&self, index: u32) -> Result<Arc<Cgroup>, Errno> {
        if index >= self.cgroups.len() {
            return Err(Errno::E2BIG);
        }
        self.cgroups.get(index).ok_or(Errno::EAGAIN)
    }
}

impl Kind for CgroupArray {
    fn update(&self, _: u32, _: View<'_>, _: View<'_>, _: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn user_lookup(&self, _: &[u8], _: &mut [u8], _: u64) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let (index, number) = (super::index(key)?, super::index(value)?);
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        if index >= self.cgroups.len() {
            return Err(Errno::E2BIG);
        }
        match self.files.by_number(number.cast_signed()) {
            Ok(Object::Cgroup(cgroup)) => self.cgroups.set(index, cgroup),
            _ => Err(Errno::EBADF),
        }
    }

    fn user_delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.cgroups.take(super::index(key)?).map(drop)
    }

    fn user_next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        super::next_index(self.cgroups.len(), key, next)
    }

    fn user_value_size(&self) -> usize {
        4
    }

    fn memory_used(&self) -> u64 {
        self.cgroups.memory_used()
    }
}
