//! `BPF_MAP_TYPE_ARRAY` and `BPF_MAP_TYPE_PERCPU_ARRAY`: values side by side, each always there.

use std::ops::ControlFlow;

use skep_abi::{MapCreateFlags, MapType};
use skep_host::{Access, Errno};

use super::{EXIST, F_ALL_CPUS, F_CPU, Kind, LOCK, NOEXIST, Range, Shape, Visit};
use crate::engine::ArrayValues;
use crate::memory::{Block, PAGE, View, round_up};

/// Values of an array, in one block that users can map; those of each CPU together.
#[derive(Debug)]
pub(crate) struct Array {
    shape: Shape,
    stride: usize,
    values: Block,
    per_cpu: bool,
    /// Bytes from a CPU's values to the next one's.
    area: usize,
}

impl Array {
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new(shape: Shape) -> Result<Self, Errno> {
        let stride = shape.value_stride();
        let per_cpu = shape.map_type == MapType::PercpuArray;
        let len = stride
            .checked_mul(shape.max_entries as usize)
            .ok_or(Errno::ENOMEM)?;
        let (area, len) = match per_cpu {
            true => {
                let area = round_up(len, 64).ok_or(Errno::ENOMEM)?;
                let all = area.checked_mul(shape.cpus as usize);
                (area, all.ok_or(Errno::ENOMEM)?)
            }
            false => (len, len),
        };
        let values = match shape.flags.contains(MapCreateFlags::MMAPABLE) {
            true => Block::apart(round_up(len, PAGE).ok_or(Errno::ENOMEM)?, PAGE)?,
            false => Block::apart(len, 64)?,
        };
        Ok(Self {
            shape,
            stride,
            values,
            per_cpu,
            area,
        })
    }

    /// A value, of `cpu` where each has one.
    #[inline]
    fn value(&self, cpu: u32, index: u32) -> Option<View<'_>> {
        if index >= self.shape.max_entries {
            return None;
        }
        let mut offset = index as usize * self.stride;
        if self.per_cpu {
            if cpu >= self.shape.cpus {
                return None;
            }
            offset += cpu as usize * self.area;
        }
        self.values.view(offset, self.shape.value_size as usize)
    }

    /// Whether an update of a value may be done. The order counts where several things are wrong.
    fn check(&self, index: u32, flags: u64) -> Result<(), Errno> {
        if flags & !LOCK > EXIST {
            return Err(Errno::EINVAL);
        }
        if index >= self.shape.max_entries {
            return Err(Errno::E2BIG);
        }
        if flags & NOEXIST != 0 {
            return Err(Errno::EEXIST);
        }
        super::check_update_flags(flags, &self.shape.fields)
    }

    /// Sets a value, and frees what its fields held.
    fn set(&self, place: View<'_>, value: &[u8], flags: u64) -> Result<(), Errno> {
        self.shape.fields.write(place, value, flags)?;
        self.shape.fields.free(place);
        Ok(())
    }
}

impl Kind for Array {
    #[inline]
    fn lookup(&self, cpu: u32, key: View<'_>) -> Option<View<'_>> {
        self.value(cpu, key.u32_at(0)?)
    }

    fn values(&self) -> Option<ArrayValues> {
        Some(ArrayValues {
            start: self.values.address(),
            count: self.shape.max_entries,
            stride: self.stride as u64,
            areas: self.per_cpu.then_some((self.shape.cpus, self.area as u64)),
        })
    }

    fn update(&self, cpu: u32, key: View<'_>, value: View<'_>, flags: u64) -> Result<(), Errno> {
        let index = key.u32_at(0).ok_or(Errno::EINVAL)?;
        self.check(index, flags)?;
        let place = self.value(cpu, index).ok_or(Errno::E2BIG)?;
        self.shape.fields.copy(place, value, flags)?;
        self.shape.fields.free(place);
        Ok(())
    }

    fn for_each(&self, cpu: u32, visit: Visit<'_>) -> Result<u32, Errno> {
        let mut seen = 0;
        for index in 0..self.shape.max_entries {
            let Some(value) = self.value(cpu, index) else {
                break;
            };
            let mut key = index.to_ne_bytes();
            seen += 1;
            if visit(View::of(&mut key), value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(seen)
    }

    fn direct_value(&self, offset: u32) -> Result<u64, Errno> {
        if self.per_cpu || self.shape.max_entries != 1 {
            return Err(Errno::EOPNOTSUPP);
        }
        if offset >= self.shape.value_size {
            return Err(Errno::EINVAL);
        }
        Ok(self.values.address() + u64::from(offset))
    }

    fn region(&self, address: u64) -> Option<Range> {
        let offset = usize::try_from(address.checked_sub(self.values.address())?).ok()?;
        let cpu = u32::try_from(offset / self.area.max(1)).ok()?;
        let index = u32::try_from(offset % self.area.max(1) / self.stride).ok()?;
        let value = self.value(cpu, index)?;
        if !self.per_cpu && cpu > 0 {
            return None;
        }
        Some(Range {
            start: value.address(),
            len: value.len() as u64,
            writable: self.shape.writable_by_programs(),
        })
    }

    fn user_lookup(&self, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno> {
        let index = super::index(key)?;
        let fields = &self.shape.fields;
        if !self.per_cpu {
            let place = self.value(0, index).ok_or(Errno::ENOENT)?;
            return fields.read(place, value, flags);
        }
        if let Some(cpu) = Shape::single_cpu(flags) {
            let place = self.value(cpu, index).ok_or(Errno::ENOENT)?;
            return fields.read(place, value, 0);
        }
        for (cpu, out) in (0..).zip(value.chunks_mut(self.stride)) {
            let place = self.value(cpu, index).ok_or(Errno::ENOENT)?;
            let size = place.len().min(out.len());
            let (out, rest) = out.split_at_mut(size);
            fields.read(place, out, 0)?;
            rest.fill(0);
        }
        Ok(())
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let index = super::index(key)?;
        if !self.per_cpu {
            self.check(index, flags)?;
            let place = self.value(0, index).ok_or(Errno::E2BIG)?;
            return self.set(place, value, flags);
        }
        if flags & LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        let kept = flags & u64::from(u32::MAX) & !(F_CPU | F_ALL_CPUS);
        self.check(index, kept)?;
        if let Some(cpu) = Shape::single_cpu(flags) {
            let place = self.value(cpu, index).ok_or(Errno::ERANGE)?;
            return self.set(place, value, 0);
        }
        for cpu in 0..self.shape.cpus {
            let place = self.value(cpu, index).ok_or(Errno::E2BIG)?;
            let value = match flags & F_ALL_CPUS {
                0 => value.get(cpu as usize * self.stride..),
                _ => Some(value),
            };
            self.set(place, value.unwrap_or_default(), 0)?;
        }
        Ok(())
    }

    fn user_delete(&self, _key: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn user_next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        super::next_index(self.shape.max_entries, key, next)
    }

    fn user_value_size(&self) -> usize {
        match self.per_cpu {
            true => self.stride * self.shape.cpus as usize,
            false => self.shape.value_size as usize,
        }
    }

    fn mappable(&self, offset: u64, len: usize, _access: Access) -> Result<View<'_>, Errno> {
        if !self.shape.flags.contains(MapCreateFlags::MMAPABLE) {
            return Err(Errno::EINVAL);
        }
        // More than the array's pages: as far as they go.
        let len = round_up(len, PAGE).ok_or(Errno::EINVAL)?;
        let offset = usize::try_from(offset).map_err(|_| Errno::EINVAL)?;
        self.values.view(offset, len).ok_or(Errno::EINVAL)
    }

    fn memory_used(&self) -> u64 {
        self.values.len() as u64
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        if self.shape.fields.is_empty() {
            return;
        }
        let cpus = if self.per_cpu { self.shape.cpus } else { 1 };
        for cpu in 0..cpus {
            for index in 0..self.shape.max_entries {
                if let Some(place) = self.value(cpu, index) {
                    self.shape.fields.free(place);
                }
            }
        }
    }
}
