//! Setting values: new elements in the place of old ones, values in place, eviction.

use std::sync::Arc;

use skep_abi::MapType;
use skep_host::Errno;

use super::{Hash, Supply};
use crate::{
    map::{
        EXIST, Fields, LOCK, Map, NOEXIST,
        lru::Lru,
        slab::Element,
        table::{Bucket, Key},
    },
    memory::View,
};

/// A value to set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) value: View<'a>,
    pub(super) target: Target,
    pub(super) flags: u64,
    pub(super) map: Option<&'a Arc<Map>>,
}

/// Whose value to set.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// This CPU's; where there is only one, that one.
    One(u32),
    /// Each CPU's, from one after the other.
    Each,
    /// All CPUs' to the same.
    Same,
}

impl Hash {
    pub(super) fn put(&self, key: View<'_>, source: Source<'_>) -> Result<(), Errno> {
        if !self.shape.fields.is_empty() && source.flags & LOCK != 0 {
            return self.put_locked(key, source);
        }
        let key = self.table.key(key);
        let bucket = self.table.hold(key.hash).ok_or(Errno::EINVAL)?;
        if let Some(old) = bucket.find(key) {
            return self.replace(bucket, key, old, source);
        }
        if source.flags & EXIST != 0 {
            return Err(Errno::ENOENT);
        }
        match &self.supply {
            Supply::Pool(pool) => {
                let index = pool.take(&self.table.slab)?;
                self.insert(&bucket, key, index, source);
                Ok(())
            }
            Supply::Lru(lru) => {
                // Eviction takes another bucket's lock.
                drop(bucket);
                self.put_evicting(lru, key, source)
            }
        }
    }

    /// The value of this CPU, which runs the program that asks, or of all, of a key that is
    /// there; `false`: it takes the bucket's lock.
    #[inline]
    pub(super) fn put_in_place(&self, cpu: u32, key: View<'_>, value: View<'_>) -> bool {
        if !self.in_place {
            return false;
        }
        let key = self.table.key(key);
        self.table.write_in_place(cpu, key, |element| {
            if let Some(place) = self.value(element, cpu) {
                match self.per_cpu {
                    true => place.copy_from(value),
                    false => set_word(place, value),
                }
            }
            if let Supply::Lru(lru) = &self.supply {
                lru.used(element);
            }
        })
    }

    /// A value under its own lock, in place where the key is there.
    #[cold]
    fn put_locked(&self, key: View<'_>, source: Source<'_>) -> Result<(), Errno> {
        let key = self.table.key(key);
        let bucket = self.table.hold(key.hash).ok_or(Errno::EINVAL)?;
        let Some(old) = bucket.find(key) else {
            drop(bucket);
            let flags = source.flags & !LOCK;
            return self.put(key.bytes(), Source { flags, ..source });
        };
        if source.flags & NOEXIST != 0 {
            return Err(Errno::EEXIST);
        }
        // Whoever has the value's lock may want the bucket's.
        drop(bucket);
        let place = self.table.slab.value(old, 0).ok_or(Errno::EINVAL)?;
        self.shape.fields.copy(place, source.value, LOCK)
    }

    /// Sets the value of a key that is there.
    fn replace(
        &self,
        bucket: Bucket<'_>,
        key: Key<'_>,
        old: Element<'_>,
        source: Source<'_>,
    ) -> Result<(), Errno> {
        if source.flags & NOEXIST != 0 {
            return Err(Errno::EEXIST);
        }
        bucket.alone();
        if self.per_cpu || self.shape.map_type == MapType::Rhash {
            self.write(old, source, false);
            if let Supply::Lru(lru) = &self.supply {
                lru.used(old);
            }
            return Ok(());
        }
        let (index, spare) = match &self.supply {
            Supply::Pool(pool) => pool.take_spare(),
            Supply::Lru(lru) => lru.take_spare(),
        };
        let new = self.insert(&bucket, key, index, source);
        if let (Supply::Lru(lru), Some(new)) = (&self.supply, new) {
            lru.replaced(old, new);
        }
        bucket.unlink(old);
        drop(bucket);
        self.free_fields(old);
        spare.give(old.index);
        Ok(())
    }

    /// Puts an element into a bucket, filled.
    fn insert<'a>(
        &'a self,
        bucket: &Bucket<'_>,
        key: Key<'_>,
        index: u32,
        source: Source<'_>,
    ) -> Option<Element<'a>> {
        let element = self.table.slab.element(index)?;
        self.table.set_key(element, key);
        self.write(element, source, true);
        bucket.link(element);
        Some(element)
    }

    #[cold]
    fn put_evicting(&self, lru: &Lru, key: Key<'_>, source: Source<'_>) -> Result<(), Errno> {
        let (index, evicted) = lru.take(&self.table)?;
        let element = self.table.slab.element(index).ok_or(Errno::ENOMEM)?;
        if evicted {
            self.free_fields(element);
        }
        let bucket = self.table.hold(key.hash).ok_or(Errno::EINVAL)?;
        match bucket.find(key) {
            Some(old) => {
                let done = self.replace(bucket, key, old, source);
                lru.give(&self.table.slab, index);
                done
            }
            None => {
                self.insert(&bucket, key, index, source);
                Ok(())
            }
        }
    }

    /// Writes an element's value or values; `new`: nothing of what it has counts.
    fn write(&self, element: Element<'_>, source: Source<'_>, new: bool) {
        if let Some(map) = source.map {
            if let Some(slot) = self.maps.get(element.index as usize) {
                slot.store(Some(Arc::clone(map)));
            }
            return;
        }
        let fields = &self.shape.fields;
        let stride = self.shape.value_stride();
        if !self.per_cpu {
            if let Some(place) = self.table.slab.value(element, 0) {
                set(fields, place, source.value, new);
            }
            return;
        }
        if let (Target::One(cpu), false) = (source.target, new) {
            if let Some(place) = self.table.slab.value(element, cpu) {
                set(fields, place, source.value, new);
            }
            return;
        }
        for cpu in self.cpus() {
            let Some(place) = self.table.slab.value(element, cpu) else {
                continue;
            };
            match source.target {
                Target::One(only) if only != cpu => place.fill(0),
                Target::One(_) | Target::Same => set(fields, place, source.value, new),
                Target::Each => {
                    if let Some(value) = source.value.part(cpu as usize * stride, place.len()) {
                        set(fields, place, value, new);
                    }
                }
            }
        }
    }

    /// Frees what an element's values hold, once it is in no bucket.
    pub(super) fn free_fields(&self, element: Element<'_>) {
        if let Some(slot) = self.maps.get(element.index as usize) {
            slot.store(None);
        }
        if self.shape.fields.is_empty() {
            return;
        }
        for cpu in self.cpus() {
            if let Some(place) = self.table.slab.value(element, cpu) {
                self.shape.fields.free(place);
            }
        }
    }
}

/// Sets a value of a size that is written at once.
#[inline]
fn set_word(place: View<'_>, value: View<'_>) {
    let _ = match place.len() {
        8 => value.u64_at(0).and_then(|word| place.set_u64(0, word)),
        4 => value.u32_at(0).and_then(|word| place.set_u32(0, word)),
        2 => value.u16_at(0).and_then(|word| place.set_u16(0, word)),
        _ => value.u8_at(0).and_then(|byte| place.set_u8(0, byte)),
    };
}

fn set(fields: &Fields, place: View<'_>, value: View<'_>, new: bool) {
    if fields.is_empty() {
        place.copy_from(value);
        return;
    }
    if new {
        fields.clear(place);
    }
    // Without flags there is nothing that can fail.
    let _ = fields.copy(place, value, 0);
    if !new {
        fields.free(place);
    }
}
