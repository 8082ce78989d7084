//! Maps: created or taken from where they are, and filled with what the object puts in them.

use std::{borrow::Cow, path::PathBuf, sync::Arc};

use skep_abi::{KernelVersion, MapCreateFlags, MapProperties, MapType};
use skep_btf::TypeId;
use skep_host::{Errno, MapBtf, MapCreate, MapFd, MapInfo, MapShape};
use skep_object::{Contents, Error as LinkError, ImageMap, Slot, SlotValue};

use super::{Loader, Made, MadeMaps, made_at};
use crate::{Arena, Error, Map, MapTypes, Result, arena};

impl Loader<'_> {
    /// All maps that are to be there, with all that needs no program in them.
    pub(super) fn create_maps(&mut self) -> Result<Vec<Option<Made>>> {
        self.modules.open_all(self.image)?;
        let mut maps = Vec::with_capacity(self.image.maps.len());
        // What a pass on the image added has no original.
        let originals = self.spec.maps().iter().map(Some);
        let originals = originals.chain(std::iter::repeat(None));
        for (map, original) in self.image.maps.iter().zip(originals) {
            let made = map.create.then(|| self.obtain(original, map)).transpose()?;
            maps.push(made);
        }
        for (map, made) in self.image.maps.iter().zip(&maps) {
            if let Some(made) = made.as_ref().filter(|made| !made.reused) {
                self.fill_with_maps(map, made, &maps)?;
            }
        }
        Ok(maps)
    }

    /// A map that was given, is pinned, or is created.
    fn obtain(&mut self, original: Option<&skep_object::Map>, map: &ImageMap) -> Result<Made> {
        let data_offset = match &map.contents {
            Contents::Arena(data) => arena::data_offset(self.host.as_ref(), map, data.len())?,
            _ => 0,
        };
        if let Some(given) = self.given.maps.get(&map.name) {
            self.check_given(map, given)?;
            return Ok(Made {
                map: Arc::clone(given),
                reused: true,
                data_offset,
            });
        }
        let pin = self.pin_path(map);
        if let Some(path) = &pin
            && let Some(fd) = self.pinned(map, path)?
        {
            return Ok(Made {
                map: Arc::new(self.named(original, map, fd)?),
                reused: true,
                data_offset,
            });
        }
        let fd = self.create(map)?;
        let made = Made {
            map: Arc::new(self.named(original, map, fd)?),
            reused: false,
            data_offset,
        };
        self.fill(map, &made)?;
        match pin {
            Some(path) => self.pin_or_take(original, map, made, path),
            None => Ok(made),
        }
    }

    /// Pins a new map; or takes the one that another loader pinned there a moment ago.
    fn pin_or_take(
        &mut self,
        original: Option<&skep_object::Map>,
        map: &ImageMap,
        made: Made,
        path: PathBuf,
    ) -> Result<Made> {
        if self.pins.pin(made.map.fd().descriptor(), &path)? {
            return Ok(made);
        }
        let fd = self.pinned(map, &path)?.ok_or_else(|| Error::Pin {
            path,
            reason: format!("map `{}` was pinned there, and is not any more", map.name),
        })?;
        Ok(Made {
            map: Arc::new(self.named(original, map, fd)?),
            reused: true,
            ..made
        })
    }

    fn check_given(&self, map: &ImageMap, given: &Map) -> Result<()> {
        let differences = self.shape(map)?.differences(&MapShape::of(&given.info()?));
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::Map {
            map: map.name.clone(),
            reason: format!(
                "the map that is to stand in for it has another shape: {}",
                differences.join(", ")
            ),
        })
    }

    /// The type of a map's values; of rings, of their records. The values of a perf event array are
    /// descriptors, whatever its records are.
    fn value_type(&self, map: &skep_object::Map) -> Option<TypeId> {
        match map.map_type {
            MapType::Ringbuf => self.spec.record_type(&map.name).or(map.value_type),
            MapType::PerfEventArray => self.spec.record_type(&map.name),
            _ => map.value_type,
        }
    }

    /// A map with the name and the types that the object has for it.
    fn named(&self, original: Option<&skep_object::Map>, map: &ImageMap, fd: MapFd) -> Result<Map> {
        let types = self.spec.btf().zip(original);
        let types = types.map(|(btf, original)| MapTypes {
            btf: Arc::clone(btf),
            key: original.key_type.unwrap_or_default(),
            value: self.value_type(original).unwrap_or_default(),
        });
        // The host knows only the first 15 bytes of the name.
        let info = MapInfo {
            name: map.name.clone(),
            ..self.host.map_info(&fd)?
        };
        Map::new(Arc::clone(self.host), fd, info, types)
    }

    fn create(&self, map: &ImageMap) -> Result<MapFd> {
        let inner = map
            .inner
            .as_deref()
            .map(|inner| self.create(inner))
            .transpose()?;
        let kernel = map.kernel_value_type.as_ref();
        let typed = map.key_type.is_some() || map.value_type.is_some() || kernel.is_some();
        let exclusive = self.exclusive_hash(map)?;
        let request = MapCreate {
            // Hosts set the flag by the node.
            flags: map.flags.difference(MapCreateFlags::NUMA_NODE),
            map_extra: map.map_extra,
            inner_map: inner.as_ref(),
            numa_node: map
                .flags
                .contains(MapCreateFlags::NUMA_NODE)
                .then(|| map.numa_node.unwrap_or(0)),
            btf: self.btf.as_ref().filter(|_| typed).map(|btf| MapBtf {
                btf,
                key_type: map.key_type.unwrap_or_default().0,
                value_type: map.value_type.unwrap_or_default().0,
                kernel_value_type: kernel.map_or(0, |kernel| kernel.type_id.0),
                kernel_btf: kernel
                    .and_then(|kernel| kernel.module.as_deref())
                    .and_then(|module| self.modules.get(module)),
            }),
            exclusive: exclusive.as_ref(),
            ..MapCreate::new(
                map.map_type,
                &map.load_name,
                map.key_size,
                map.value_size,
                self.entries(map)?,
            )
        };
        let made = request.create_typed_or_not(self.host.as_ref());
        made.map_err(|error| self.explain(&request, map, error))
    }

    /// A refusal in the words of the rule that the map breaks, if it breaks one that is known.
    fn explain(&self, request: &MapCreate<'_>, map: &ImageMap, error: skep_host::Error) -> Error {
        if error.errno() != Some(Errno::EINVAL) {
            return error.into();
        }
        match broken_rule(self.host.as_ref(), request) {
            Some(problem) => self.blame(LinkError::MapDefinition {
                map: map.name.clone(),
                problem,
            }),
            None => error.into(),
        }
    }

    /// What the object leaves to the machine: one entry a CPU, whole pages of a ring.
    pub(super) fn entries(&self, map: &ImageMap) -> Result<u32> {
        let page = u32::try_from(self.host.page_size()).unwrap_or(u32::MAX);
        Ok(match map.map_type {
            MapType::PerfEventArray if map.max_entries == 0 => {
                u32::try_from(self.host.possible_cpus()?).unwrap_or(u32::MAX)
            }
            MapType::Ringbuf | MapType::UserRingbuf => map
                .max_entries
                .max(page)
                .checked_next_power_of_two()
                .unwrap_or(map.max_entries),
            _ => map.max_entries,
        })
    }

    /// Fills a new map with the object's data. An arena is mapped in any case: programs can be
    /// loaded only once its address is known.
    fn fill(&self, map: &ImageMap, made: &Made) -> Result<()> {
        let map_fd = made.map.fd();
        match &map.contents {
            Contents::Data(data) => {
                self.host
                    .map_update_elem(map_fd, &0_u32.to_ne_bytes(), data, 0)?;
            }
            Contents::PerCpu(data) => {
                let values = per_cpu(data, made.map.values_per_entry());
                self.host
                    .map_update_elem(map_fd, &0_u32.to_ne_bytes(), &values, 0)?;
            }
            Contents::Arena(data) => {
                let arena: Arena = made.map.arena()?;
                arena.write(made.data_offset as usize, data)?;
            }
            _ if map.map_type == MapType::Arena => {
                made.map.arena()?;
            }
            _ => {}
        }
        if map.frozen {
            self.host.map_freeze(map_fd)?;
        }
        Ok(())
    }

    fn fill_with_maps(&self, map: &ImageMap, made: &Made, maps: &MadeMaps) -> Result<()> {
        let Contents::Slots(slots) = &map.contents else {
            return Ok(());
        };
        for Slot { key, value } in slots {
            let SlotValue::Map(index) = value else {
                continue;
            };
            let inner = made_at(maps, *index, &map.name)?;
            let value = inner.map.fd().raw().to_ne_bytes();
            self.host
                .map_update_elem(made.map.fd(), &key.to_ne_bytes(), &value, 0)?;
        }
        Ok(())
    }
}

/// The same value for each CPU, as the host takes them: each rounded up to 8 bytes.
fn per_cpu(value: &[u8], cpus: usize) -> Vec<u8> {
    let mut one = value.to_vec();
    one.resize(value.len().next_multiple_of(8), 0);
    one.repeat(cpus)
}

/// The rule of its type that a map breaks.
fn broken_rule(host: &dyn skep_host::Host, request: &MapCreate<'_>) -> Option<String> {
    let rules = request.map_type.rules();
    let page = u32::try_from(host.page_size()).unwrap_or(u32::MAX);
    let kind = request.map_type;
    if host.info().version < kind.since() {
        return None;
    }
    let (key, value, entries) = (request.key_size, request.value_size, request.max_entries);
    if !rules.key_size.allows(key) {
        let allowed = rules.key_size;
        return Some(format!(
            "a key of a {kind} map must be {allowed} bytes, not {key}"
        ));
    }
    if !rules.value_size.allows(value) {
        let allowed = rules.value_size;
        return Some(format!(
            "a value of a {kind} map must be {allowed} bytes, not {value}"
        ));
    }
    if !rules.max_entries.allows(entries, page) {
        let hint: Cow<'_, str> = match entries {
            0 => "; the object leaves it to its loader (`--map-size`, `Object::map`)".into(),
            _ => "".into(),
        };
        let allowed = rules.max_entries;
        return Some(format!(
            "max_entries of a {kind} map must be {allowed}, not {entries}{hint}"
        ));
    }
    let missing = rules.required_flags.difference(request.flags);
    if !missing.is_empty() {
        let names: Vec<String> = missing
            .iter_names()
            .map(|(name, _)| format!("BPF_F_{name}"))
            .collect();
        let names = names.join(" | ");
        return Some(format!("a {kind} map needs the flag {names} (`map_flags`)"));
    }
    let typed = request
        .btf
        .is_some_and(|btf| btf.key_type != 0 && btf.value_type != 0);
    if rules.properties.contains(MapProperties::NEEDS_BTF) && !typed {
        return Some(format!(
            "a {kind} map needs the types of its key, an int, and its value: __type(key, int) and \
             __type(value, …), not their sizes"
        ));
    }
    let since = KernelVersion::new(6, 18);
    if request.exclusive.is_some() && host.info().version < since {
        return Some(format!(
            "maps can be exclusive to a program since Linux {since}"
        ));
    }
    let by_link = kind == MapType::StructOps && request.flags.contains(MapCreateFlags::LINK);
    if by_link && host.info().version < KernelVersion::new(6, 4) {
        return Some(
            "links hold structs of functions since Linux 6.4; before, section .struct_ops \
             without `.link` works"
                .into(),
        );
    }
    None
}
