//! Maps: created, or taken from where they are pinned, and filled with what the image puts in them.

use std::path::{Path, PathBuf};

use skep_abi::{MapCreateFlags, MapType};
use skep_host::{
    ArenaMemory, Host as _, MapBtf, MapCreate, MapFd, MapPin, MapShape, arena_data_offset,
};

use super::{KEY, Loader};
use crate::{
    Contents, Error, Image, Inner, Map, MapImage, Pin, Result, Slot, SlotValue, map::Arena,
};

/// A map of the image, there now.
pub(super) struct Made {
    pub(super) map: Map,
    /// It was there before this load, with whatever is in it.
    reused: bool,
}

impl Loader<'_> {
    /// All maps, with all that needs no program in them.
    pub(super) fn maps(&mut self) -> Result<Vec<Made>> {
        let mut maps: Vec<Made> = Vec::with_capacity(self.image.maps.len());
        for (index, image) in self.image.maps.iter().enumerate() {
            maps.push(self.obtain(index, image)?);
        }
        // Maps may be named before they are there.
        for (map, Slot { key, value }) in slots(self.image, &maps) {
            if let SlotValue::Map(inner) = value
                && let Some(inner) = maps.get(inner)
            {
                let value = inner.map.fd().raw().to_ne_bytes();
                map.update(&key.to_ne_bytes(), &value)?;
            }
        }
        Ok(maps)
    }

    /// A map that is pinned, or is created.
    fn obtain(&mut self, index: usize, image: &'static MapImage) -> Result<Made> {
        let path = match image.pin {
            Pin::None => None,
            Pin::ByName => Some(self.open.pin_folder.join(image.name)),
            Pin::At(path) => Some(PathBuf::from(path)),
        };
        if let Some(path) = &path
            && let Some(fd) = self.pinned(index, image, path)?
        {
            let map = self.handle(index, image, fd)?;
            return Ok(Made { map, reused: true });
        }
        let fd = self.create(index, image)?;
        let map = self.handle(index, image, fd)?;
        self.fill(index, &map)?;
        if let Some(path) = path
            && !self.pins.pin(map.fd().descriptor(), &path)?
        {
            // Another loader pinned one there a moment ago.
            let fd = self.pinned(index, image, &path)?;
            let gone = || map.fault(format!("what was pinned at {} is gone", path.display()));
            let map = self.handle(index, image, fd.ok_or_else(gone)?)?;
            return Ok(Made { map, reused: true });
        }
        Ok(Made { map, reused: false })
    }

    /// The map pinned at `path`, if there is one: it must be of the same shape.
    fn pinned(&self, index: usize, image: &MapImage, path: &Path) -> Result<Option<MapFd>> {
        let inner = &image.inner;
        let mut flags = MapCreateFlags::from_bits_retain(inner.flags);
        flags.set(MapCreateFlags::NUMA_NODE, inner.numa_node.is_some());
        let shape = MapShape {
            type_raw: inner.map_type.raw(),
            key_size: inner.key_size,
            value_size: inner.value_size,
            max_entries: self.entries(index, image)?,
            flags,
            map_extra: inner.map_extra,
        };
        match shape.pinned(&**self.kernel, path)? {
            MapPin::Free => Ok(None),
            MapPin::Fits(fd) => Ok(Some(fd)),
            MapPin::Misfit(reason) => Err(Error::Pin {
                map: image.name,
                object: self.image.name,
                path: path.to_owned(),
                reason,
            }),
        }
    }

    /// A map with what is known of it. An arena is mapped here: programs can be loaded only once its
    /// address is known.
    fn handle(&self, index: usize, image: &'static MapImage, fd: MapFd) -> Result<Map> {
        if image.inner.map_type != MapType::Arena {
            return Ok(Map::new(self.kernel, fd, image, None));
        }
        let pages = self.entries(index, image)?;
        let flags = MapCreateFlags::from_bits_retain(image.inner.flags);
        let variables = match image.contents {
            Contents::Arena(data) => data.len(),
            _ => 0,
        };
        let start = arena_data_offset(&**self.kernel, pages, variables);
        let arena = Arena {
            memory: ArenaMemory::map(&**self.kernel, &fd, pages, flags)?,
            variables: start.map_err(|reason| Error::Map {
                map: image.name,
                reason,
            })?,
        };
        Ok(Map::new(self.kernel, fd, image, Some(arena)))
    }

    fn create(&self, index: usize, map: &MapImage) -> Result<MapFd> {
        let template = map
            .template
            .map(|template| {
                self.create_as(template, None, self.whole(template, template.max_entries)?)
            })
            .transpose()?;
        self.create_as(&map.inner, template.as_ref(), self.entries(index, map)?)
    }

    fn create_as(&self, map: &Inner, template: Option<&MapFd>, entries: u32) -> Result<MapFd> {
        let typed = map.key_type != 0 || map.value_type != 0 || map.kernel_value.is_some();
        let request = MapCreate {
            flags: MapCreateFlags::from_bits_retain(map.flags),
            map_extra: map.map_extra,
            numa_node: map.numa_node,
            inner_map: template,
            btf: self.btf.as_ref().filter(|_| typed).map(|btf| MapBtf {
                btf,
                key_type: map.key_type,
                value_type: map.value_type,
                kernel_value_type: map.kernel_value.map_or(0, |value| value.type_id),
                kernel_btf: map
                    .kernel_value
                    .and_then(|value| self.modules.get(value.module?)),
            }),
            ..MapCreate::new(
                map.map_type,
                map.load_name,
                map.key_size,
                map.value_size,
                entries,
            )
        };
        Ok(request.create_typed_or_not(&**self.kernel)?)
    }

    /// How many entries a map has, as the image or who loads it wants it.
    fn entries(&self, index: usize, map: &MapImage) -> Result<u32> {
        let entries = self.open.entries(index).unwrap_or(map.inner.max_entries);
        self.whole(&map.inner, entries)
    }

    /// What the image leaves to the machine: one entry a CPU, whole pages of a ring.
    fn whole(&self, map: &Inner, entries: u32) -> Result<u32> {
        let page = u32::try_from(self.kernel.page_size()).unwrap_or(u32::MAX);
        Ok(match map.map_type {
            MapType::PerfEventArray if entries == 0 => {
                u32::try_from(self.kernel.possible_cpus()?).unwrap_or(u32::MAX)
            }
            MapType::Ringbuf | MapType::UserRingbuf => entries
                .max(page)
                .checked_next_power_of_two()
                .unwrap_or(entries),
            _ => entries,
        })
    }

    fn fill(&self, index: usize, map: &Map) -> Result<()> {
        let image = map.image();
        let changed = self.open.changed(index);
        match image.contents {
            Contents::Data(data) => map.update(&KEY, changed.unwrap_or(data))?,
            Contents::Empty => {
                if let Some(data) = changed {
                    map.update(&KEY, data)?;
                }
            }
            Contents::PerCpu(data) => {
                let mut value = changed.unwrap_or(data).to_vec();
                value.resize(value.len().next_multiple_of(8), 0);
                map.update(&KEY, &value.repeat(self.kernel.possible_cpus()?))?;
            }
            Contents::Arena(data) => {
                if let Some((arena, start)) = map.variables() {
                    let written = arena.write(start, changed.unwrap_or(data));
                    written.map_err(|reason| map.fault(reason))?;
                }
            }
            Contents::Slots(_) | Contents::StructOps { .. } => {}
        }
        if image.frozen {
            self.kernel.map_freeze(map.fd())?;
        }
        Ok(())
    }
}

/// The slots of all maps that this load made.
pub(super) fn slots<'m>(
    image: &'static Image,
    maps: &'m [Made],
) -> impl Iterator<Item = (&'m Map, Slot)> {
    let new = maps.iter().zip(image.maps).filter(|(made, _)| !made.reused);
    new.flat_map(|(made, image)| {
        let slots = match image.contents {
            Contents::Slots(slots) => slots,
            _ => &[],
        };
        slots.iter().map(move |slot| (&made.map, *slot))
    })
}
