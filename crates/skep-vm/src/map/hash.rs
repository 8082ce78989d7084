//! `BPF_MAP_TYPE_HASH` and its kin: values of each CPU, and eviction of what was not used lately.
//!
//! An update of a key that is there writes a new element and puts it in the place of the old one,
//! so that readers see either value whole, and who was given the old value keeps that. Where
//! nobody can tell the difference, values are written in place, without a lock: those of each
//! CPU, and those of one word by programs that were given no value of the map.

use std::{ops::ControlFlow, sync::Arc};

use arc_swap::ArcSwapOption;
use skep_abi::{MapCreateFlags, MapType};
use skep_host::Errno;

use super::{
    Batch, EXIST, F_ALL_CPUS, F_CPU, Kind, LOCK, Map, NOEXIST, Range, Shape, Visit,
    lru::Lru,
    pool::{Pool, Spares},
    slab::{Element, Slab, Values},
    table::{Bucket, Key, Table},
};
use crate::memory::View;

/// A hash map.
#[derive(Debug)]
pub(crate) struct Hash {
    shape: Shape,
    table: Table,
    supply: Supply,
    per_cpu: bool,
    /// Values may be written in place beside others who do the same.
    in_place: bool,
    /// Of a map of maps: the elements' maps, by the elements' numbers.
    maps: Box<[ArcSwapOption<Map>]>,
}

/// Where elements come from.
#[derive(Debug)]
enum Supply {
    /// As many as the map may have, then no more.
    Pool(Pool),
    /// The same, then those that were not used lately.
    Lru(Lru),
}

/// A value to set.
#[derive(Debug, Clone, Copy)]
struct Source<'a> {
    value: View<'a>,
    target: Target,
    flags: u64,
    map: Option<&'a Arc<Map>>,
}

/// Whose value to set.
#[derive(Debug, Clone, Copy)]
enum Target {
    /// This CPU's; where there is only one, that one.
    One(u32),
    /// Each CPU's, from one after the other.
    Each,
    /// All CPUs' to the same.
    Same,
}

impl Hash {
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new(shape: Shape) -> Result<Self, Errno> {
        let per_cpu = matches!(shape.map_type, MapType::PercpuHash | MapType::LruPercpuHash);
        let lru = matches!(shape.map_type, MapType::LruHash | MapType::LruPercpuHash);
        let spares = Spares::count(shape.cpus);
        let capacity = shape.max_entries.checked_add(spares).ok_or(Errno::E2BIG)?;
        let grows = shape.flags.contains(MapCreateFlags::NO_PREALLOC);
        let header = if lru {
            super::lru::HEADER
        } else {
            super::table::HEADER
        };
        let in_place = per_cpu || is_word(&shape);
        let values = match (per_cpu, in_place) {
            (true, _) => Values::EachCpu,
            (false, true) => Values::Words,
            (false, false) => Values::Inside,
        };
        let slab = Slab::new(&shape, header, capacity, values, !grows)?;
        let supply = match lru {
            true => Supply::Lru(Lru::new(&shape, &slab)?),
            false => Supply::Pool(Pool::new(&slab, shape.max_entries, shape.cpus)?),
        };
        Ok(Self {
            // What a value refers to is freed by one at a time.
            table: Table::new(&shape, slab, in_place && shape.fields.is_empty())?,
            supply,
            per_cpu,
            in_place: in_place && shape.fields.is_empty(),
            maps: Box::default(),
            shape,
        })
    }

    /// A map of maps.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn of_maps(shape: Shape) -> Result<Self, Errno> {
        let mut hash = Self::new(shape)?;
        let count = hash.table.slab.capacity() as usize;
        let mut maps = Vec::new();
        maps.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        maps.resize_with(count, ArcSwapOption::empty);
        hash.maps = maps.into_boxed_slice();
        Ok(hash)
    }

    /// The inner map of a key.
    pub(super) fn map(&self, key: View<'_>) -> Option<Arc<Map>> {
        let load = |element: Element<'_>| self.maps.get(element.index as usize)?.load_full();
        self.table.read(self.table.key(key), load)?
    }

    /// Sets the inner map of a key.
    pub(super) fn set_map(&self, key: View<'_>, map: &Arc<Map>, flags: u64) -> Result<(), Errno> {
        self.check(flags)?;
        let source = Source {
            value: View::of(&mut []),
            target: Target::One(0),
            flags,
            map: Some(map),
        };
        self.put(key, source)
    }

    #[inline]
    fn find(&self, key: View<'_>) -> Option<Element<'_>> {
        self.table.find(self.table.key(key))
    }

    /// An element's value, as this CPU sees it.
    #[inline]
    fn value<'a>(&'a self, element: Element<'a>, cpu: u32) -> Option<View<'a>> {
        let area = if self.per_cpu { cpu } else { 0 };
        self.table.slab.value(element, area)
    }

    /// The CPUs whose values an element has.
    fn cpus(&self) -> std::ops::Range<u32> {
        0..if self.per_cpu { self.shape.cpus } else { 1 }
    }

    // ── updates ─────────────────────────────────────────────────────────────────────────────

    fn put(&self, key: View<'_>, source: Source<'_>) -> Result<(), Errno> {
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
    fn put_in_place(&self, cpu: u32, key: View<'_>, value: View<'_>) -> bool {
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
        if self.per_cpu {
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
    fn free_fields(&self, element: Element<'_>) {
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

    // ── deletion ────────────────────────────────────────────────────────────────────────────

    /// Takes a key out, after `read` saw its element.
    fn remove(
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
    fn batch(&self, batch: &mut Batch<'_>) -> Result<bool, Errno> {
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
                super::held::show(id, value)
            }
            None => self.copy_out(element, value, flags),
        }
    }

    /// Copies an element's value or values out.
    fn copy_out(&self, element: Element<'_>, value: &mut [u8], flags: u64) -> Result<(), Errno> {
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

    fn check(&self, flags: u64) -> Result<(), Errno> {
        if !self.per_cpu && !matches!(self.supply, Supply::Lru(_)) {
            return super::check_update_flags(flags, &self.shape.fields);
        }
        let single = if self.per_cpu { F_CPU | F_ALL_CPUS } else { 0 };
        let cpu = if flags & single & F_CPU != 0 {
            !0 << 32
        } else {
            0
        };
        match flags & !single & !cpu {
            0..=EXIST => Ok(()),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// Whether values are of a size that is written at once.
fn is_word(shape: &Shape) -> bool {
    matches!(shape.map_type, MapType::Hash | MapType::LruHash)
        && matches!(shape.value_size, 1 | 2 | 4 | 8)
}

/// Sets a value of such a size.
#[inline]
fn set_word(place: View<'_>, value: View<'_>) {
    let _ = match place.len() {
        8 => value.u64_at(0).and_then(|word| place.set_u64(0, word)),
        4 => value.u32_at(0).and_then(|word| place.set_u32(0, word)),
        2 => value.u16_at(0).and_then(|word| place.set_u16(0, word)),
        _ => value.u8_at(0).and_then(|byte| place.set_u8(0, byte)),
    };
}

fn set(fields: &super::Fields, place: View<'_>, value: View<'_>, new: bool) {
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

impl Kind for Hash {
    #[inline]
    fn lookup(&self, cpu: u32, key: View<'_>) -> Option<View<'_>> {
        let found = self.find(key)?;
        if let Supply::Lru(lru) = &self.supply {
            lru.used(found);
        }
        self.value(found, cpu)
    }

    fn update(&self, cpu: u32, key: View<'_>, value: View<'_>, flags: u64) -> Result<(), Errno> {
        // A program can't name another CPU.
        if flags > EXIST && (self.per_cpu || self.check(flags).is_err()) {
            return Err(Errno::EINVAL);
        }
        if self.per_cpu && flags & NOEXIST == 0 && self.put_in_place(cpu, key, value) {
            return Ok(());
        }
        let source = Source {
            value,
            target: Target::One(cpu),
            flags,
            map: None,
        };
        self.put(key, source)
    }

    fn update_unseen(
        &self,
        cpu: u32,
        key: View<'_>,
        value: View<'_>,
        flags: u64,
    ) -> Result<(), Errno> {
        if matches!(flags, 0 | EXIST) && self.put_in_place(cpu, key, value) {
            return Ok(());
        }
        self.update(cpu, key, value, flags)
    }

    fn delete(&self, key: View<'_>) -> Result<(), Errno> {
        self.remove(key, |_| Ok(()))
    }

    fn for_each(&self, cpu: u32, visit: Visit<'_>) -> Result<u32, Errno> {
        let mut seen = 0;
        for bucket in 0..self.table.buckets() {
            let flow = self.table.each_in(bucket, |element| {
                let parts = (self.table.slab.key(element), self.value(element, cpu));
                let (Some(key), Some(value)) = parts else {
                    return ControlFlow::Continue(());
                };
                seen += 1;
                visit(key, value)
            });
            if flow.is_break() {
                break;
            }
        }
        Ok(seen)
    }

    fn region(&self, address: u64) -> Option<Range> {
        self.table.slab.region(address)
    }

    fn user_lookup(&self, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno> {
        super::with_view(key, |key| {
            let key = self.table.key(key);
            if flags & LOCK != 0 {
                let found = self.table.find(key).ok_or(Errno::ENOENT)?;
                return self.copy_out(found, value, flags);
            }
            let read = |found| self.copy_out(found, value, flags);
            self.table.read(key, read).ok_or(Errno::ENOENT)?
        })
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.check(flags)?;
        let target = match Shape::single_cpu(flags) {
            Some(wanted) => Target::One(wanted),
            None if flags & F_ALL_CPUS != 0 => Target::Same,
            None => Target::Each,
        };
        super::with_view(key, |key| {
            super::with_view(value, |value| {
                let source = Source {
                    value,
                    target,
                    flags,
                    map: None,
                };
                self.put(key, source)
            })
        })
    }

    fn user_delete(&self, key: &[u8]) -> Result<(), Errno> {
        super::with_view(key, |key| self.remove(key, |_| Ok(())))
    }

    fn user_next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        let found = key.and_then(|key| {
            super::with_view(key, |key| {
                let key = self.table.key(key);
                self.table.find(key).map(|found| (found, key.hash))
            })
        });
        let following = match found {
            Some((found, hash)) => self.table.after(found, hash),
            None => self.table.first_from(0),
        };
        let element = following.ok_or(Errno::ENOENT)?;
        let key = self.table.slab.key(element).ok_or(Errno::ENOENT)?;
        key.read(next);
        Ok(())
    }

    fn user_take(&self, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno> {
        super::with_view(key, |key| {
            self.remove(key, |element| self.copy_out(element, value, flags))
        })
    }

    fn user_batch(&self, batch: &mut Batch<'_>) -> Option<Result<(), Errno>> {
        let buckets = self.table.buckets();
        batch.end = true;
        while batch.position < buckets {
            match self.batch(batch) {
                Ok(true) => batch.position += 1,
                Ok(false) => {
                    batch.end = false;
                    // Not even one bucket fits.
                    return Some(if batch.count > 0 {
                        Ok(())
                    } else {
                        Err(Errno::ENOSPC)
                    });
                }
                Err(errno) => return Some(Err(errno)),
            }
        }
        Some(Ok(()))
    }

    fn user_value_size(&self) -> usize {
        match self.per_cpu {
            true => self.shape.value_stride() * self.shape.cpus as usize,
            false => self.shape.value_size as usize,
        }
    }

    fn memory_used(&self) -> u64 {
        self.table.memory_used()
    }
}

impl Drop for Hash {
    fn drop(&mut self) {
        if self.shape.fields.is_empty() {
            return;
        }
        for bucket in 0..self.table.buckets() {
            let _ = self.table.each_in(bucket, |element| {
                self.free_fields(element);
                ControlFlow::<()>::Continue(())
            });
        }
    }
}
