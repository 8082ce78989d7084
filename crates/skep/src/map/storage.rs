//! Local storage: a value that lives with a socket, task, inode or cgroup, which a descriptor
//! names.

use std::{
    marker::PhantomData,
    os::fd::{AsFd, AsRawFd as _},
};

use skep_abi::MapType;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Map, Update};
use crate::Result;

/// A local storage map seen through a plain type.
///
/// The owner of a value is named by a descriptor: of the socket (`SK_STORAGE`, 5.2), the file
/// (`INODE_STORAGE`, 5.10), the cgroup's directory (`CGRP_STORAGE`, 6.2), or by a pidfd
/// (`TASK_STORAGE`, 5.11; `pidfd_open(2)`). Values go away with their owner. User space can't
/// walk over such a map: an iterator program can (`iter/bpf_sk_storage_map`).
#[derive(Debug, Clone, Copy)]
#[doc(alias = "BPF_MAP_TYPE_SK_STORAGE")]
#[doc(alias = "BPF_MAP_TYPE_INODE_STORAGE")]
#[doc(alias = "BPF_MAP_TYPE_TASK_STORAGE")]
#[doc(alias = "BPF_MAP_TYPE_CGRP_STORAGE")]
pub struct Storage<'a, V> {
    map: &'a Map,
    types: PhantomData<fn() -> V>,
}

impl Map {
    /// A typed view of a local storage map.
    ///
    /// # Errors
    /// The map is of another type, or its values of another size.
    pub fn storage<V>(&self) -> Result<Storage<'_, V>>
    where
        V: IntoBytes + FromBytes + Immutable,
    {
        self.expect_type(&[
            MapType::SkStorage,
            MapType::TaskStorage,
            MapType::InodeStorage,
            MapType::CgrpStorage,
        ])?;
        self.check("value", size_of::<V>(), self.value_size())?;
        Ok(Storage {
            map: self,
            types: PhantomData,
        })
    }
}

impl<V> Storage<'_, V>
where
    V: IntoBytes + FromBytes + Immutable,
{
    /// The value of `owner`; `None` when it has none.
    ///
    /// # Errors
    /// The descriptor is not of what the map's values belong to.
    pub fn get(&self, owner: impl AsFd) -> Result<Option<V>> {
        let mut value = V::new_zeroed();
        let found = self.map.lookup_into(&key(owner), value.as_mut_bytes())?;
        Ok(found.then_some(value))
    }

    /// Gives `owner` a value.
    ///
    /// # Errors
    /// The descriptor is not of what the map's values belong to, or `update` forbids it.
    pub fn set(&self, owner: impl AsFd, value: &V, update: Update) -> Result<()> {
        self.map.update(&key(owner), value.as_bytes(), update)
    }

    /// Takes the value of `owner` away; `false` when it had none.
    ///
    /// # Errors
    /// The descriptor is not of what the map's values belong to.
    pub fn remove(&self, owner: impl AsFd) -> Result<bool> {
        self.map.delete(&key(owner))
    }
}

fn key(owner: impl AsFd) -> [u8; 4] {
    owner.as_fd().as_raw_fd().to_ne_bytes()
}
