//! Taking entries out, and copying them to users: one by one and in batches.

use skep_host::Errno;

use super::{Hash, Supply};
use crate::{
    map::{Batch, Shape, held, slab::Element},
    memory::View,
};

impl Hash {
    /// Takes a key out, after `read` saw its element.
    pub(super) fn remove(
        &self,
        key: View<'_>,
        read: impl FnOnce(Element<'_>) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let key = self.table.key(key);
        let bucket = self.table.hold(key.hash).ok_or(Errno::EINVAL)?;
        let element = bucket.find(key).ok_or(Errno::ENOENT)?;
        bucket.alone();
        read(element)?;
        bucket.unlink(element);
        drop(bucket);
        self.give(element);
        Ok(())
    }

    /// Gives back an element that was taken out of its bucket.
    fn give(&self, element: Element<'_>) {
        self.free_fields(element);
        match &self.supply {
            Supply::Pool(pool) => pool.give(&self.table.slab, element.index),
            Supply::Lru(lru) => lru.give(&self.table.slab, element.index),
        }
    }

    /// Copies a bucket's entries out; `Ok(false)` if they are more than there is room for.
    pub(super) fn batch(&self, batch: &mut Batch<'_>) -> Result<bool, Errno> {
        // A bucket's number is the lower part of the hashes in it.
        let bucket = self.table.hold(batch.position).ok_or(Errno::EINVAL)?;
        let first = batch.count as usize;
        bucket.alone();
        let len = bucket.elements().count();
        if len > (batch.room as usize).saturating_sub(first) {
            return Ok(false);
        }
        let (key, value) = (self.shape.key_size as usize, batch.value_size);
        for (at, element) in (first..).zip(bucket.elements()) {
            let (Some(to), Some(from)) = (
                batch.keys.get_mut(at * key..(at + 1) * key),
                self.table.slab.key(element),
            ) else {
                return Err(Errno::EFAULT);
            };
            from.read(to);
            let to = batch.values.get_mut(at * value..(at + 1) * value);
            self.copy_user(element, to.ok_or(Errno::EFAULT)?, batch.flags)?;
        }
        batch.count += len as u32;
        if batch.take {
            let taken: Vec<_> = bucket.elements().collect();
            for element in &taken {
                bucket.unlink(*element);
            }
            drop(bucket);
            for element in taken {
                self.give(element);
            }
        }
        Ok(true)
    }

    /// Copies what a user sees of an element out: for a map of maps, the inner map's id.
    fn copy_user(&self, element: Element<'_>, value: &mut [u8], flags: u64) -> Result<(), Errno> {
        match self.maps.get(element.index as usize) {
            Some(slot) => {
                let id = slot.load().as_ref().map_or(0, |map| map.id);
                value.fill(0);
                held::show(id, value)
            }
            None => self.copy_out(element, value, flags),
        }
    }

    /// Copies an element's value or values out.
    pub(super) fn copy_out(
        &self,
        element: Element<'_>,
        value: &mut [u8],
        flags: u64,
    ) -> Result<(), Errno> {
        let fields = &self.shape.fields;
        let one = |cpu, out: &mut [u8], flags| {
            let place = self.table.slab.value(element, cpu).ok_or(Errno::ENOENT)?;
            fields.read(place, out, flags)
        };
        if !self.per_cpu {
            return one(0, value, flags);
        }
        if let Some(cpu) = Shape::single_cpu(flags) {
            return one(cpu, value, 0);
        }
        let size = self.shape.value_size as usize;
        for (cpu, out) in (0..).zip(value.chunks_mut(self.shape.value_stride())) {
            if let Some((out, rest)) = out.split_at_mut_checked(size) {
                one(cpu, out, 0)?;
                rest.fill(0);
            }
        }
        Ok(())
    }
}
