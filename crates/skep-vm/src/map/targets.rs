//! Where packets are redirected to: `BPF_MAP_TYPE_DEVMAP`, `_DEVMAP_HASH` and `_CPUMAP`. A value is
//! a device or the length of a CPU's queue, and a program that runs there.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak},
};

use arc_swap::ArcSwap;
use skep_abi::{AttachType, MapType, ProgramType};
use skep_host::Errno;

use super::{EXIST, Kind, NOEXIST, Range, Shape, slots::Slots};
use crate::{
    machine::{Files, lock},
    memory::{Block, View},
    program::Program,
    vm::Shared,
};

/// Bytes that an entry takes: the device or length, and the program's number.
const ENTRY: usize = 8;
/// Most packets that wait for a CPU.
const LONGEST_QUEUE: u32 = 16_384;

/// Entries by index, or for `_HASH` by any key.
#[derive(Debug)]
pub(crate) struct Targets {
    map_type: MapType,
    entries: u32,
    value_size: usize,
    values: Block,
    programs: Slots<Program>,
    /// Which entry a key has; of the hash only.
    keys: ArcSwap<BTreeMap<u32, u32>>,
    changing: Mutex<()>,
    files: Arc<Files>,
    machine: Weak<Shared>,
}

/// An entry.
#[derive(Debug)]
pub(crate) struct Target {
    /// The device's index, or the length of the CPU's queue.
    pub(crate) to: u32,
    /// What runs on packets there.
    pub(crate) program: Option<Arc<Program>>,
}

impl Targets {
    /// # Errors
    /// `E2BIG`, `ENOMEM`.
    pub(crate) fn new(shape: &Shape) -> Result<Self, Errno> {
        let hash = shape.map_type == MapType::DevmapHash;
        if hash && shape.max_entries > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        let len = (shape.max_entries as usize).checked_mul(ENTRY);
        Ok(Self {
            map_type: shape.map_type,
            entries: shape.max_entries,
            value_size: shape.value_size as usize,
            values: Block::apart(len.ok_or(Errno::ENOMEM)?, 8)?,
            programs: Slots::new(shape.max_entries)?,
            keys: ArcSwap::default(),
            changing: Mutex::new(()),
            files: Arc::clone(&shape.files),
            machine: Weak::clone(&shape.machine),
        })
    }

    fn hashes(&self) -> bool {
        self.map_type == MapType::DevmapHash
    }

    fn place(&self, key: u32) -> Option<u32> {
        match self.hashes() {
            true => self.keys.load().get(&key).copied(),
            false => (key < self.entries).then_some(key),
        }
    }

    fn entry(&self, place: u32) -> Option<View<'_>> {
        self.values.view(place as usize * ENTRY, ENTRY)
    }

    /// The value of a key, if it has one.
    fn value(&self, key: u32) -> Option<View<'_>> {
        let entry = self.entry(self.place(key)?)?;
        let set = entry.u32_at(0) != Some(0);
        set.then(|| entry.part(0, self.value_size)).flatten()
    }

    /// It is of CPUs, not of devices.
    pub(crate) fn is_cpus(&self) -> bool {
        self.map_type == MapType::Cpumap
    }

    /// What packets that are sent to a key come to.
    pub(crate) fn target(&self, key: u32) -> Option<Target> {
        let place = self.place(key)?;
        let to = self.entry(place)?.u32_at(0).filter(|to| *to != 0)?;
        let program = self.programs.get(place);
        Some(Target { to, program })
    }

    /// All that there is, in the order of the map.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let keys: Vec<u32> = match self.hashes() {
            true => self.keys.load().keys().copied().collect(),
            false => (0..self.entries).collect(),
        };
        keys.iter().filter_map(|key| self.target(*key)).collect()
    }

    /// The program of a descriptor, if it is one for such maps.
    fn program_of(&self, fd: u32) -> Result<Option<Arc<Program>>, Errno> {
        let fd = fd.cast_signed();
        if fd <= 0 {
            return Ok(None);
        }
        let program = self.files.program(fd).map_err(|_| Errno::EINVAL)?;
        let wanted = match self.map_type {
            MapType::Cpumap => AttachType::XdpCpumap,
            _ => AttachType::XdpDevmap,
        };
        let fits = program.program_type == ProgramType::Xdp
            && program.meta.ifindex == 0
            && program.meta.expected_attach_type == Some(wanted);
        fits.then_some(Some(program)).ok_or(Errno::EINVAL)
    }

    /// What the value says: the device or length, and the program's descriptor.
    fn parts(&self, value: &[u8]) -> Result<(u32, u32), Errno> {
        let fd = match self.value_size {
            ENTRY => super::index(value.get(4..).unwrap_or_default())?,
            _ => 0,
        };
        Ok((super::index(value)?, fd))
    }

    fn set(&self, place: u32, target: u32, program: Option<Arc<Program>>) -> Result<(), Errno> {
        let entry = self.entry(place).ok_or(Errno::E2BIG)?;
        entry.set_u32(4, program.as_ref().map_or(0, |program| program.id));
        let before = self.programs.swap(place, program)?;
        entry.set_u32(0, target);
        drop(before);
        Ok(())
    }

    fn set_device(&self, key: u32, value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags > EXIST {
            return Err(Errno::EINVAL);
        }
        let (device, fd) = self.parts(value)?;
        let check = || {
            let machine = self.machine.upgrade().ok_or(Errno::EINVAL)?;
            let known = machine.net.now().device(device).is_some();
            known.then_some(()).ok_or(Errno::EINVAL)?;
            self.program_of(fd)
        };
        if self.hashes() {
            if device == 0 {
                return Err(Errno::EINVAL);
            }
            let _changing = lock(&self.changing);
            let known = self.place(key);
            if known.is_some() && flags & NOEXIST != 0 {
                return Err(Errno::EEXIST);
            }
            let program = check()?;
            if let Some(place) = known {
                return self.set(place, device, program);
            }
            let mut keys = BTreeMap::clone(&self.keys.load());
            let used: std::collections::BTreeSet<_> = keys.values().copied().collect();
            let free = (0..self.entries).find(|place| !used.contains(place));
            let place = free.ok_or(Errno::E2BIG)?;
            self.set(place, device, program)?;
            keys.insert(key, place);
            self.keys.store(Arc::new(keys));
            return Ok(());
        }
        if key >= self.entries {
            return Err(Errno::E2BIG);
        }
        if flags == NOEXIST {
            return Err(Errno::EEXIST);
        }
        if device == 0 {
            if fd.cast_signed() > 0 {
                return Err(Errno::EINVAL);
            }
            return self.set(key, 0, None);
        }
        self.set(key, device, check()?)
    }

    fn set_cpu(&self, key: u32, value: &[u8], flags: u64) -> Result<(), Errno> {
        let (length, fd) = self.parts(value)?;
        if flags > EXIST {
            return Err(Errno::EINVAL);
        }
        if key >= self.entries {
            return Err(Errno::E2BIG);
        }
        if flags == NOEXIST {
            return Err(Errno::EEXIST);
        }
        if length > LONGEST_QUEUE {
            return Err(Errno::EOVERFLOW);
        }
        let machine = self.machine.upgrade().ok_or(Errno::ENODEV)?;
        if key >= machine.cpus.count() {
            return Err(Errno::ENODEV);
        }
        if length == 0 {
            return self.set(key, 0, None);
        }
        // The kernel answers so, whatever is wrong with the program.
        let program = self.program_of(fd).map_err(|_| Errno::ENOMEM)?;
        self.set(key, length, program)
    }
}

impl Kind for Targets {
    fn lookup(&self, _cpu: u32, key: View<'_>) -> Option<View<'_>> {
        self.value(key.u32_at(0)?)
    }

    fn update(&self, _: u32, _: View<'_>, _: View<'_>, _: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn region(&self, address: u64) -> Option<Range> {
        let offset = usize::try_from(address.checked_sub(self.values.address())?).ok()?;
        let entry = self.values.view(offset / ENTRY * ENTRY, self.value_size)?;
        Some(Range {
            start: entry.address(),
            len: entry.len() as u64,
            writable: false,
        })
    }

    fn user_lookup(&self, key: &[u8], value: &mut [u8], _flags: u64) -> Result<(), Errno> {
        let found = self.value(super::index(key)?).ok_or(Errno::ENOENT)?;
        found.read(value);
        Ok(())
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let key = super::index(key)?;
        match self.map_type {
            MapType::Cpumap => self.set_cpu(key, value, flags),
            _ => self.set_device(key, value, flags),
        }
    }

    fn user_delete(&self, key: &[u8]) -> Result<(), Errno> {
        let key = super::index(key)?;
        if !self.hashes() {
            if key >= self.entries {
                return Err(Errno::EINVAL);
            }
            return self.set(key, 0, None);
        }
        let _changing = lock(&self.changing);
        let mut keys = BTreeMap::clone(&self.keys.load());
        let place = keys.remove(&key).ok_or(Errno::ENOENT)?;
        self.keys.store(Arc::new(keys));
        self.set(place, 0, None)
    }

    fn user_next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        if !self.hashes() {
            return super::next_index(self.entries, key, next);
        }
        let keys = self.keys.load();
        let after = match key.map(super::index).transpose()? {
            Some(key) if keys.contains_key(&key) => keys.range(key..).nth(1),
            _ => keys.first_key_value(),
        };
        let (found, _) = after.ok_or(Errno::ENOENT)?;
        next.copy_from_slice(&found.to_ne_bytes());
        Ok(())
    }

    fn user_value_size(&self) -> usize {
        self.value_size
    }

    fn memory_used(&self) -> u64 {
        self.values.len() as u64 + self.programs.memory_used()
    }
}
