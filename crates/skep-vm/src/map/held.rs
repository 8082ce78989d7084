//! Maps whose values are things of the machine: maps of maps, and arrays of programs.
//!
//! User space gives descriptors and reads ids; programs get the thing itself, and their runs keep
//! it alive.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use skep_abi::{AttachType, MapCreateFlags, MapType, ProgLoadFlags, ProgramType};
use skep_host::Errno;

use super::{Batch, Kind, Map, Shape, hash::Hash};
use crate::{engine::Mode, memory::View, program::Program};

/// A thing for each index.
#[derive(Debug)]
struct Slots<T>(Box<[ArcSwapOption<T>]>);

impl<T> Slots<T> {
    fn new(entries: u32) -> Result<Self, Errno> {
        let mut slots = Vec::new();
        let entries = entries as usize;
        slots
            .try_reserve_exact(entries)
            .map_err(|_| Errno::ENOMEM)?;
        slots.resize_with(entries, ArcSwapOption::empty);
        Ok(Self(slots.into_boxed_slice()))
    }

    fn slot(&self, index: u32) -> Option<&ArcSwapOption<T>> {
        self.0.get(index as usize)
    }

    fn at(&self, index: u32) -> Option<Arc<T>> {
        self.slot(index)?.load_full()
    }

    /// What every change of an array of descriptors asks first.
    fn for_update(&self, key: &[u8], flags: u64) -> Result<&ArcSwapOption<T>, Errno> {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        self.slot(super::index(key)?).ok_or(Errno::E2BIG)
    }

    fn remove(&self, index: u32) -> Result<(), Errno> {
        let slot = self.slot(index).ok_or(Errno::E2BIG)?;
        slot.swap(None).map(drop).ok_or(Errno::ENOENT)
    }

    fn clear(&self) {
        for slot in &self.0 {
            slot.store(None);
        }
    }

    fn memory_used(&self) -> u64 {
        size_of_val(&*self.0) as u64
    }
}

/// Gives an id to a user.
pub(super) fn show(id: u32, value: &mut [u8]) -> Result<(), Errno> {
    let place = value.first_chunk_mut().ok_or(Errno::EINVAL)?;
    *place = id.to_ne_bytes();
    Ok(())
}

/// The descriptor that a user gives.
fn descriptor(value: &[u8]) -> Result<i32, Errno> {
    let bytes = value.first_chunk().ok_or(Errno::EINVAL)?;
    Ok(i32::from_ne_bytes(*bytes))
}

/// The inner map of a user's value, if it is one as the outer map was created for.
pub(super) fn inner_map(shape: &Shape, value: &[u8]) -> Result<Arc<Map>, Errno> {
    let map = shape.files.map(descriptor(value)?)?;
    match shape
        .inner
        .as_deref()
        .is_some_and(|inner| same(inner, &map.shape))
    {
        true => Ok(map),
        false => Err(Errno::EINVAL),
    }
}

/// Whether a map may stand where one of this shape is expected.
fn same(inner: &Shape, map: &Shape) -> bool {
    // What user space may do is a matter of descriptors.
    let flags = |shape: &Shape| shape.flags - (MapCreateFlags::RDONLY | MapCreateFlags::WRONLY);
    let alike = inner.map_type == map.map_type
        && inner.key_size == map.key_size
        && inner.value_size == map.value_size
        && flags(inner) == flags(map)
        && inner.fields == map.fields;
    // Programs check indices of arrays, and of these types the size of all, when they are loaded.
    let sized = matches!(map.map_type, MapType::Array | MapType::Xskmap);
    let any_size = !sized || inner.flags.contains(MapCreateFlags::INNER_MAP);
    alike && (any_size || inner.max_entries == map.max_entries)
}

/// Whether maps of this shape can be inner maps, by `inner_map_fd`.
///
/// # Errors
/// `EINVAL`: it is a map of maps; `ENOTSUPP`: its type can't be one.
pub(super) fn check_inner(shape: &Shape) -> Result<(), Errno> {
    if shape.inner.is_some() {
        return Err(Errno::EINVAL);
    }
    match shape.map_type {
        MapType::ProgArray
        | MapType::StructOps
        | MapType::CgroupStorage
        | MapType::PercpuCgroupStorage
        | MapType::InsnArray => Err(Errno::ENOTSUPP),
        _ => Ok(()),
    }
}

/// `BPF_MAP_TYPE_ARRAY_OF_MAPS`
#[derive(Debug)]
pub(crate) struct ArrayOfMaps {
    shape: Shape,
    maps: Slots<Map>,
}

impl ArrayOfMaps {
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new(shape: Shape) -> Result<Self, Errno> {
        let maps = Slots::new(shape.max_entries)?;
        Ok(Self { shape, maps })
    }
}

impl Kind for ArrayOfMaps {
    fn inner(&self, key: View<'_>) -> Option<Arc<Map>> {
        self.maps.at(key.u32_at(0)?)
    }

    fn user_lookup(&self, key: &[u8], value: &mut [u8], _flags: u64) -> Result<(), Errno> {
        let map = self.maps.at(super::index(key)?).ok_or(Errno::ENOENT)?;
        show(map.id, value)
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let slot = self.maps.for_update(key, flags)?;
        slot.store(Some(inner_map(&self.shape, value)?));
        Ok(())
    }

    fn user_delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.maps.remove(super::index(key)?)
    }

    fn user_next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        super::next_index(self.shape.max_entries, key, next)
    }

    fn user_value_size(&self) -> usize {
        4
    }

    fn memory_used(&self) -> u64 {
        self.maps.memory_used()
    }
}

/// `BPF_MAP_TYPE_HASH_OF_MAPS`: a hash map whose elements have a slot each.
#[derive(Debug)]
pub(crate) struct HashOfMaps {
    shape: Shape,
    hash: Hash,
}

impl HashOfMaps {
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new(shape: Shape) -> Result<Self, Errno> {
        let hash = Hash::of_maps(shape.clone())?;
        Ok(Self { shape, hash })
    }
}

impl Kind for HashOfMaps {
    fn inner(&self, key: View<'_>) -> Option<Arc<Map>> {
        self.hash.map(key)
    }

    fn user_lookup(&self, key: &[u8], value: &mut [u8], _flags: u64) -> Result<(), Errno> {
        let found = super::with_view(key, |key| self.hash.map(key));
        show(found.ok_or(Errno::ENOENT)?.id, value)
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let map = inner_map(&self.shape, value)?;
        super::with_view(key, |key| self.hash.set_map(key, &map, flags))
    }

    fn user_delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.hash.user_delete(key)
    }

    fn user_next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        self.hash.user_next_key(key, next)
    }

    fn user_batch(&self, batch: &mut Batch<'_>) -> Option<Result<(), Errno>> {
        self.hash.user_batch(batch)
    }

    fn user_value_size(&self) -> usize {
        4
    }

    fn memory_used(&self) -> u64 {
        self.hash.memory_used()
    }
}

/// `BPF_MAP_TYPE_PROG_ARRAY`
#[derive(Debug)]
pub(crate) struct ProgArray {
    shape: Shape,
    programs: Slots<Program>,
    /// What its programs have in common: set by the first that uses it or is put into it.
    owner: OnceLock<Owner>,
}

/// What programs must have in common to call one another.
#[derive(Debug, PartialEq, Eq)]
struct Owner {
    program_type: ProgramType,
    expected_attach_type: Option<AttachType>,
    fragments: bool,
    sleepable: bool,
    mode: Mode,
    /// For types whose context is the attached function's arguments.
    function: u32,
}

impl Owner {
    fn of(program: &Program) -> Self {
        let by_function = matches!(
            program.program_type,
            ProgramType::Tracing | ProgramType::Lsm | ProgramType::Ext | ProgramType::StructOps
        );
        Self {
            program_type: program.program_type,
            expected_attach_type: program.meta.expected_attach_type,
            fragments: program.meta.flags.contains(ProgLoadFlags::XDP_HAS_FRAGS),
            sleepable: program.meta.sleepable(),
            mode: program.mode,
            function: if by_function {
                program.meta.attach_btf_id
            } else {
                0
            },
        }
    }
}

impl ProgArray {
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new(shape: Shape) -> Result<Self, Errno> {
        Ok(Self {
            programs: Slots::new(shape.max_entries)?,
            owner: OnceLock::new(),
            shape,
        })
    }

    /// The type of the programs that use it, once there is one.
    pub(crate) fn owner(&self) -> Option<ProgramType> {
        self.owner.get().map(|owner| owner.program_type)
    }

    /// Whether a program may use the array, or stand in it: if it is like the first that did.
    pub(crate) fn takes(&self, program: &Program) -> bool {
        // What is bound to a device is not called elsewhere, nor calls.
        if program.meta.ifindex != 0 {
            return false;
        }
        let owner = Owner::of(program);
        match self.owner.get() {
            Some(known) => *known == owner,
            None => *self.owner.get_or_init(|| Owner::of(program)) == owner,
        }
    }
}

impl Kind for ProgArray {
    fn program(&self, index: u32) -> Option<Arc<Program>> {
        self.programs.at(index)
    }

    fn user_lookup(&self, key: &[u8], value: &mut [u8], _flags: u64) -> Result<(), Errno> {
        let program = self.programs.at(super::index(key)?).ok_or(Errno::ENOENT)?;
        show(program.id, value)
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let slot = self.programs.for_update(key, flags)?;
        let program = self.shape.files.program(descriptor(value)?)?;
        if !self.takes(&program) {
            return Err(Errno::EINVAL);
        }
        slot.store(Some(program));
        Ok(())
    }

    fn user_delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.programs.remove(super::index(key)?)
    }

    fn user_next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        super::next_index(self.shape.max_entries, key, next)
    }

    fn user_value_size(&self) -> usize {
        4
    }

    /// Programs that use the array keep it, and it keeps them: somebody must begin to let go.
    fn users_gone(&self) {
        self.programs.clear();
    }

    fn memory_used(&self) -> u64 {
        self.programs.memory_used()
    }
}
