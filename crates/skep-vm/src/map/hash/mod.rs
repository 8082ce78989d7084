//! `BPF_MAP_TYPE_HASH` and its kin: values of each CPU, and eviction of what was not used lately.
//!
//! An update of a key that is there writes a new element and puts it in the place of the old one,
//! so that readers see either value whole, and who was given the old value keeps that; but not in
//! `BPF_MAP_TYPE_RHASH`, whose values change in place as an array's do. Where
//! nobody can tell the difference, values are written in place, without a lock: those of each
//! CPU, and those of one word by programs that were given no value of the map.

mod take;
mod update;

use std::{ops::ControlFlow, sync::Arc};

use arc_swap::ArcSwapOption;
use skep_abi::{MapCreateFlags, MapType};
use skep_host::Errno;

use super::{
    Batch, EXIST, F_ALL_CPUS, F_CPU, Kind, LOCK, Map, Range, Shape, Visit,
    lru::Lru,
    pool::{Pool, Spares},
    slab::{Element, Slab, Values},
    table::Table,
};
use crate::memory::View;
use update::{Source, Target};

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

    /// An update by a program that takes the bucket's lock.
    #[inline(never)]
    fn update_apart(
        &self,
        cpu: u32,
        key: View<'_>,
        value: View<'_>,
        flags: u64,
    ) -> Result<(), Errno> {
        // A program can't name another CPU.
        if flags > EXIST && (self.per_cpu || self.check(flags).is_err()) {
            return Err(Errno::EINVAL);
        }
        let source = Source {
            value,
            target: Target::One(cpu),
            flags,
            map: None,
        };
        self.put(key, source)
    }
}

/// Whether values are of a size that is written at once.
fn is_word(shape: &Shape) -> bool {
    matches!(shape.map_type, MapType::Hash | MapType::LruHash)
        && matches!(shape.value_size, 1 | 2 | 4 | 8)
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
        match self.per_cpu {
            // Values of each CPU are written in place by all programs.
            true => self.update_unseen(cpu, key, value, flags),
            false => self.update_apart(cpu, key, value, flags),
        }
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
        self.update_apart(cpu, key, value, flags)
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
