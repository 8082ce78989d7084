//! `BPF_MAP_TYPE_CGROUP_STORAGE`, `_PERCPU_CGROUP_STORAGE`: a value for each cgroup that a program
//! with the map is attached to, and with the longer key for each attach type.
//!
//! Attaching makes the values; they stay until the map goes.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use skep_abi::{AttachType, MapCreateFlags, MapType};
use skep_host::Errno;

use super::{EXIST, F_ALL_CPUS, F_CPU, FieldKind, Kind, LOCK, Map, Shape, create::NEITHER};
use crate::{
    machine::{Owned, Value, lock},
    memory::View,
    program::Program,
};

/// Most bytes of a value, and of a CPU's.
const MOST: u32 = 0xffff - 96;
const MOST_PER_CPU: u32 = 32 << 10;
/// `sizeof(struct bpf_cgroup_storage_key)`: the cgroup's id and the attach type.
const LONG: u32 = 16;

/// Values of cgroups.
#[derive(Debug)]
pub(crate) struct CgroupStorage {
    owned: Owned,
    shape: Shape,
    /// 1, or how many CPUs there are.
    cpus: u32,
    /// The newest first. Readers see the list as it was when they looked.
    entries: ArcSwap<Vec<Arc<Entry>>>,
    changing: Mutex<()>,
}

/// What a cgroup has, or a run that is for none.
#[derive(Debug)]
pub(crate) struct Entry {
    cgroup: u64,
    /// 0 where attach types share it.
    attach: u32,
    /// One, or one of each CPU.
    values: Vec<Arc<Value>>,
}

impl Entry {
    /// The value of a CPU.
    pub(crate) fn value(&self, cpu: u32) -> Option<&Arc<Value>> {
        match &self.values[..] {
            [only] => Some(only),
            all => all.get(cpu as usize),
        }
    }
}

impl CgroupStorage {
    /// # Errors
    /// `E2BIG`: a value has too many bytes; `EINVAL` for any other shape that is none.
    pub(super) fn check(shape: &Shape) -> Result<(), Errno> {
        let per_cpu = shape.map_type == MapType::PercpuCgroupStorage;
        if !matches!(shape.key_size, 8 | LONG) || shape.value_size == 0 {
            return Err(Errno::EINVAL);
        }
        if shape.value_size > if per_cpu { MOST_PER_CPU } else { MOST } {
            return Err(Errno::E2BIG);
        }
        let known =
            NEITHER | MapCreateFlags::NUMA_NODE | MapCreateFlags::RDONLY | MapCreateFlags::WRONLY;
        let fits =
            known.contains(shape.flags) && !shape.flags.contains(NEITHER) && shape.max_entries == 0;
        match fits {
            true => Ok(()),
            false => Err(Errno::EINVAL),
        }
    }

    pub(crate) fn new(shape: &Shape) -> Self {
        let per_cpu = shape.map_type == MapType::PercpuCgroupStorage;
        Self {
            owned: Owned::new(shape.value_size, shape.fields.clone(), shape.memory()),
            shape: shape.clone(),
            cpus: if per_cpu { shape.cpus } else { 1 },
            entries: ArcSwap::default(),
            changing: Mutex::new(()),
        }
    }

    fn attach_of(&self, attach: u32) -> u32 {
        if self.shape.key_size == LONG {
            attach
        } else {
            0
        }
    }

    fn find(&self, cgroup: u64, attach: u32) -> Option<Arc<Entry>> {
        let entries = self.entries.load();
        let mut entries = entries.iter();
        let found = entries.find(|entry| entry.cgroup == cgroup && entry.attach == attach);
        found.cloned()
    }

    /// New values, which the map does not know of.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn make(&self, cgroup: u64, attach: u32) -> Result<Arc<Entry>, Errno> {
        let values = (0..self.cpus).map(|_| self.owned.make());
        Ok(Arc::new(Entry {
            cgroup,
            attach: self.attach_of(attach),
            values: values.collect::<Result<_, _>>()?,
        }))
    }

    fn insert(&self, entry: Arc<Entry>) {
        let _changing = lock(&self.changing);
        let mut entries = Vec::clone(&self.entries.load());
        let same =
            |known: &Arc<Entry>| known.cgroup == entry.cgroup && known.attach == entry.attach;
        if !entries.iter().any(same) {
            entries.insert(0, entry);
            self.entries.store(Arc::new(entries));
        }
    }

    /// The entry that a user names.
    fn by_key(&self, key: &[u8]) -> Option<Arc<Entry>> {
        let cgroup = u64::from_ne_bytes(*key.first_chunk()?);
        let attach = key.get(8..).and_then(|rest| rest.first_chunk());
        self.find(cgroup, attach.map_or(0, |bytes| u32::from_ne_bytes(*bytes)))
    }

    /// Bytes of a value, as users see one of several.
    fn stride(&self) -> usize {
        match self.shape.map_type {
            MapType::PercpuCgroupStorage => self.shape.value_stride(),
            _ => self.shape.value_size as usize,
        }
    }
}

/// Values that a program's attachment to a cgroup needs: made before, known to maps after it.
pub(crate) struct Prepared(Vec<(Arc<Map>, Arc<Entry>)>);

impl Prepared {
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new(program: &Program, cgroup: u64, attach: AttachType) -> Result<Self, Errno> {
        let mut all = Vec::new();
        for map in &program.maps {
            if let Some(storage) = map.of::<CgroupStorage>() {
                all.push((Arc::clone(map), storage.make(cgroup, attach.raw())?));
            }
        }
        Ok(Self(all))
    }

    /// The program is attached.
    pub(crate) fn keep(self) {
        for (map, entry) in self.0 {
            if let Some(storage) = map.of::<CgroupStorage>() {
                storage.insert(entry);
            }
        }
    }
}

impl Kind for CgroupStorage {
    fn update(&self, _: u32, _: View<'_>, _: View<'_>, _: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// Values are regions of the runs that were given them.
    fn user_lookup(&self, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno> {
        let entry = self.by_key(key).ok_or(Errno::ENOENT)?;
        let fields = self.owned.fields();
        if let Some(cpu) = Shape::single_cpu(flags) {
            let of_cpu = entry.value(cpu).ok_or(Errno::ERANGE)?;
            return fields.read(of_cpu.view(), value, 0);
        }
        let size = self.shape.value_size as usize;
        for (part, of_cpu) in value.chunks_mut(self.stride()).zip(&entry.values) {
            let part = part.get_mut(..size).unwrap_or_default();
            fields.read(of_cpu.view(), part, flags & LOCK)?;
        }
        Ok(())
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let per_cpu = self.shape.map_type == MapType::PercpuCgroupStorage;
        let known = match per_cpu {
            true => EXIST | F_CPU | F_ALL_CPUS | !u64::from(u32::MAX),
            false => EXIST | LOCK,
        };
        let fields = self.owned.fields();
        let no_lock = flags & LOCK != 0 && fields.find(FieldKind::SpinLock).is_none();
        if flags & !known != 0 || no_lock {
            return Err(Errno::EINVAL);
        }
        let entry = self.by_key(key).ok_or(Errno::ENOENT)?;
        if let Some(cpu) = Shape::single_cpu(flags) {
            let of_cpu = entry.value(cpu).ok_or(Errno::ERANGE)?;
            return fields.write(of_cpu.view(), value, 0);
        }
        let size = self.shape.value_size as usize;
        for (index, of_cpu) in entry.values.iter().enumerate() {
            let start = match flags & F_ALL_CPUS {
                0 => index.saturating_mul(self.stride()),
                _ => 0,
            };
            let part = value.get(start..).and_then(|rest| rest.get(..size));
            fields.write(of_cpu.view(), part.ok_or(Errno::EINVAL)?, flags & LOCK)?;
        }
        Ok(())
    }

    fn user_delete(&self, _key: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn user_next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        let after = match key {
            Some(key) => Some(self.by_key(key).ok_or(Errno::ENOENT)?),
            None => None,
        };
        let entries = self.entries.load();
        let index = match after {
            Some(after) => entries
                .iter()
                .position(|entry| Arc::ptr_eq(entry, &after))
                .map_or(0, |index| index.saturating_add(1)),
            None => 0,
        };
        let entry = entries.get(index).ok_or(Errno::ENOENT)?;
        let (cgroup, attach) = (entry.cgroup.to_ne_bytes(), entry.attach.to_ne_bytes());
        let bytes = cgroup.iter().chain(&attach).chain(&[0; 4]);
        for (to, from) in next.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(())
    }

    fn user_value_size(&self) -> usize {
        match self.shape.map_type {
            MapType::PercpuCgroupStorage => self.stride() * self.cpus as usize,
            _ => self.stride(),
        }
    }

    fn memory_used(&self) -> u64 {
        size_of::<Self>() as u64
    }
}
