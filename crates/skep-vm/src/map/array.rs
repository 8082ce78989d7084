//! `BPF_MAP_TYPE_ARRAY`: values side by side, each always there.

use std::ops::ControlFlow;

use skep_abi::MapCreateFlags;
use skep_host::{Access, Errno};

use super::{Kind, Range, Shape, Visit};
use crate::memory::{Block, PAGE, View};

/// Values of an array, in one block that users can map.
#[derive(Debug)]
pub(crate) struct Array {
    shape: Shape,
    stride: usize,
    values: Block,
}

impl Array {
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new(shape: Shape) -> Result<Self, Errno> {
        let stride = shape.value_stride();
        let len = stride
            .checked_mul(shape.max_entries as usize)
            .ok_or(Errno::E2BIG)?;
        let values = match shape.flags.contains(MapCreateFlags::MMAPABLE) {
            true => Block::pages(len)?,
            false => Block::new(len)?,
        };
        Ok(Self {
            shape,
            stride,
            values,
        })
    }

    fn value(&self, index: u32) -> Option<View<'_>> {
        if index >= self.shape.max_entries {
            return None;
        }
        let size = self.shape.value_size as usize;
        self.values.view(index as usize * self.stride, size)
    }

    fn writable(&self) -> bool {
        !self.shape.flags.contains(MapCreateFlags::RDONLY_PROG)
    }
}

impl Kind for Array {
    #[inline]
    fn lookup(&self, _cpu: u32, key: View<'_>) -> Option<View<'_>> {
        self.value(key.u32_at(0)?)
    }

    fn update(&self, _cpu: u32, key: View<'_>, value: View<'_>, flags: u64) -> Result<(), Errno> {
        let index = key.u32_at(0).ok_or(Errno::EINVAL)?;
        let place = self.for_update(index, flags)?;
        self.shape.fields.copy(place, value, flags)
    }

    fn delete(&self, _key: View<'_>) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn for_each(&self, _cpu: u32, visit: Visit<'_>) -> Result<u32, Errno> {
        let mut seen = 0;
        for index in 0..self.shape.max_entries {
            let Some(value) = self.value(index) else {
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
        if self.shape.max_entries != 1 {
            return Err(Errno::EOPNOTSUPP);
        }
        if offset >= self.shape.value_size {
            return Err(Errno::EINVAL);
        }
        Ok(self.values.address() + u64::from(offset))
    }

    fn region(&self, address: u64) -> Option<Range> {
        let offset = usize::try_from(address.checked_sub(self.values.address())?).ok()?;
        let index = u32::try_from(offset / self.stride).ok()?;
        let value = self.value(index)?;
        Some(Range {
            start: value.address(),
            len: value.len() as u64,
            writable: self.writable(),
        })
    }

    fn user_lookup(&self, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno> {
        let place = self.value(super::index(key)?).ok_or(Errno::ENOENT)?;
        self.shape.fields.read(place, value, flags)
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let place = self.for_update(super::index(key)?, flags)?;
        self.shape.fields.write(place, value, flags)
    }

    fn user_delete(&self, _key: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn user_next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        super::next_index(self.shape.max_entries, key, next)
    }

    fn mappable(&self, offset: u64, len: usize, _access: Access) -> Result<View<'_>, Errno> {
        if !self.shape.flags.contains(MapCreateFlags::MMAPABLE) {
            return Err(Errno::EINVAL);
        }
        let offset = usize::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let len = crate::memory::round_up(len, PAGE).ok_or(Errno::EINVAL)?;
        self.values.view(offset, len).ok_or(Errno::EINVAL)
    }

    fn user_value_size(&self) -> usize {
        self.shape.value_size as usize
    }

    fn memory_used(&self) -> u64 {
        self.values.len() as u64
    }
}

impl Array {
    /// The value that an update sets, once its flags are right.
    fn for_update(&self, index: u32, flags: u64) -> Result<View<'_>, Errno> {
        super::check_update_flags(flags, &self.shape.fields)?;
        let place = self.value(index).ok_or(Errno::E2BIG)?;
        if flags & super::NOEXIST != 0 {
            return Err(Errno::EEXIST);
        }
        Ok(place)
    }
}
