//! Maps that are defined in the source: section `.maps`, in which each variable's type says a
//! map's shape (`__uint(type, …)`, `__type(key, …)`, `__array(values, …)`).

use std::collections::{BTreeMap, BTreeSet};

use skep_abi::{MapCreateFlags, MapType};
use skep_btf::{Btf, Kind, KindTag, Member, TypeId, VariableLinkage};

use crate::{
    Contents, Error, FunctionIndex, Map, MapIndex, Pinning, ProgramIndex, Result, Slot, SlotValue,
    data::SectionLayout,
    elf::{Elf, SymbolHome, relocation_kind},
    functions::Starts,
    order,
};

/// The maps of an object, and where their definitions are.
#[derive(Debug, Default)]
pub(crate) struct Maps {
    pub(crate) list: Vec<Map>,
    pub(crate) places: Places,
    /// For maps with initial slots: bytes from the definition's start to the slots.
    slots: BTreeMap<u32, u32>,
}

/// Definitions by section and offset.
#[derive(Debug, Default)]
pub(crate) struct Places {
    by_offset: BTreeMap<(usize, u64), MapIndex>,
}

impl Places {
    pub(crate) fn insert(&mut self, section: usize, offset: u64, map: MapIndex) {
        self.by_offset.insert((section, offset), map);
    }

    /// The map whose definition begins at this place.
    pub(crate) fn at(&self, section: usize, offset: u64) -> Option<MapIndex> {
        self.by_offset.get(&(section, offset)).copied()
    }

    /// The map whose definition this place lies in, if any does, and its beginning.
    fn around(&self, section: usize, offset: u64) -> Option<(u64, MapIndex)> {
        let before = self.by_offset.range(..=(section, offset)).next_back();
        before
            .filter(|((found, _), _)| *found == section)
            .map(|((_, start), map)| (*start, *map))
    }

    pub(crate) fn is_map_section(&self, section: usize) -> bool {
        self.around(section, u64::MAX).is_some()
    }
}

pub(crate) fn read(elf: &Elf<'_>, btf: Option<&Btf>, layouts: &[SectionLayout]) -> Result<Maps> {
    let mut maps = Maps::default();
    let Some((index, section)) = elf.section(".maps") else {
        return Ok(maps);
    };
    let Some(btf) = btf else {
        return Err(Error::NeedsBtf {
            what: "section .maps".into(),
        });
    };
    let Some(layout) = layouts.iter().find(|layout| layout.section == Some(index)) else {
        let what = "section .maps (its DATASEC is not in the BTF)".into();
        return Err(Error::NeedsBtf { what });
    };
    let weak = elf.symbols_of(index).filter(|symbol| symbol.weak);
    let weak: BTreeSet<&str> = order::set(weak.map(|symbol| symbol.name));
    for entry in &layout.entries {
        let variable = btf.type_by_id(entry.type_id)?;
        let Kind::Variable(kind) = variable.kind() else {
            return Err(section.malformed(entry.offset.into(), "a map that is no variable"));
        };
        // Another object's: what refers to it says so.
        if kind.linkage == VariableLinkage::Extern {
            continue;
        }
        let lenient = weak.contains(variable.name());
        let definition = Definition {
            btf,
            name: variable.name(),
            lenient,
            is_inner: false,
        };
        let (mut map, slots) = definition.read(kind.type_id, section.name)?;
        map.variable = Some(variable.id());
        let place = MapIndex::from_usize(maps.list.len());
        if let Some(offset) = slots {
            maps.slots.insert(place.0, offset);
        }
        maps.places.insert(index, entry.offset.into(), place);
        maps.list.push(map);
    }
    Ok(maps)
}

/// The map that a variable defines or declares.
pub(crate) fn definition(btf: &Btf, name: &str, variable: TypeId) -> Result<Map> {
    let definition = Definition {
        btf,
        name,
        lenient: false,
        is_inner: false,
    };
    match btf.type_by_id(variable)?.kind() {
        Kind::Variable(kind) => Ok(definition.read(kind.type_id, ".maps")?.0),
        _ => Err(definition.wrong("it is no variable")),
    }
}

/// The number of `__uint(name, N)`, which is a pointer to an array of N elements; `None` if it is
/// something else.
pub(crate) fn uint(btf: &Btf, field: &Member<'_>) -> Result<Option<u32>> {
    let Kind::Pointer { target } = btf.skip_modifiers(field.type_id)?.kind() else {
        return Ok(None);
    };
    Ok(match btf.skip_modifiers(target)?.kind() {
        Kind::Array(array) => Some(array.len),
        _ => None,
    })
}

/// Attributes of one definition: several times those there are. Many variables can have one type, so
/// that reading it must be cheap.
const MAX_ATTRIBUTES: usize = 64;

const NOT_IN_A_MAP: &str = "an inner map can be neither pinned nor a map of maps or programs";

/// The definition of one map, being read.
struct Definition<'btf> {
    btf: &'btf Btf,
    name: &'btf str,
    /// Whether unknown attributes are passed over.
    lenient: bool,
    /// Whether it is that of the maps in a map.
    is_inner: bool,
}

impl<'btf> Definition<'btf> {
    fn wrong(&self, problem: impl Into<String>) -> Error {
        Error::MapDefinition {
            map: self.name.to_owned(),
            problem: problem.into(),
        }
    }

    /// Reads the struct that a variable has as its type; also answers where its slots begin.
    fn read(&self, type_id: TypeId, section: &str) -> Result<(Map, Option<u32>)> {
        let definition = self.btf.skip_modifiers(type_id)?;
        let Kind::Struct(fields) = definition.kind() else {
            return Err(self.wrong("its variable is no struct"));
        };
        let attributes = fields.members().len();
        if attributes > MAX_ATTRIBUTES {
            return Err(self.wrong(format!(
                "its definition has {attributes} attributes, the limit is {MAX_ATTRIBUTES}"
            )));
        }
        let mut map = Map::new(self.name, section, MapType::Unspec);
        let mut has_type = false;
        let mut slots = None;
        for field in fields.members() {
            match field.name() {
                "type" => {
                    let number = self.number(&field)?;
                    map.map_type = MapType::from_raw(number)
                        .filter(|map_type| *map_type != MapType::Unspec)
                        .ok_or_else(|| self.wrong(format!("no map type has number {number}")))?;
                    has_type = true;
                }
                "max_entries" => map.max_entries = self.number(&field)?,
                "map_flags" => map.flags = MapCreateFlags::from_bits_retain(self.number(&field)?),
                "map_extra" => map.map_extra = self.long_number(&field)?,
                "numa_node" => {
                    // Node 0 is also what stands there where nothing is said: that is for the flag.
                    let node = self.number(&field)?;
                    if node != 0 {
                        map.numa_node = Some(node);
                        map.flags |= MapCreateFlags::NUMA_NODE;
                    }
                }
                "key_size" => {
                    let size = self.number(&field)?;
                    self.agree("key", &mut map.key_size, size)?;
                }
                "value_size" => {
                    let size = self.number(&field)?;
                    self.agree("value", &mut map.value_size, size)?;
                }
                "key" => {
                    let (id, size) = self.pointed(&field)?;
                    self.agree("key", &mut map.key_size, size)?;
                    map.key_type = Some(id);
                }
                "value" => {
                    let (id, size) = self.pointed(&field)?;
                    self.agree("value", &mut map.value_size, size)?;
                    map.value_type = Some(id);
                }
                "pinning" => {
                    map.pinning = match self.number(&field)? {
                        0 => Pinning::None,
                        1 => Pinning::ByName,
                        other => {
                            let problem =
                                format!("pinning {other}, expected 0 (none) or 1 (by name)");
                            return Err(self.wrong(problem));
                        }
                    }
                }
                "values" => {
                    if !has_type {
                        return Err(self.wrong("`values` before `type`"));
                    }
                    self.values(&field, &mut map)?;
                    slots = Some(field.bit_offset / 8);
                }
                _ if self.lenient => {}
                other => {
                    return Err(Error::MapAttribute {
                        map: self.name.to_owned(),
                        attribute: other.to_owned(),
                    });
                }
            }
        }
        if !has_type {
            return Err(self.wrong("it has no `type`"));
        }
        Ok((map, slots))
    }

    /// A size that may be said twice, but not differently.
    fn agree(&self, what: &str, known: &mut u32, size: u32) -> Result<()> {
        if *known != 0 && *known != size {
            let problem =
                format!("its {what} has {known} bytes by one attribute, {size} by another");
            return Err(self.wrong(problem));
        }
        *known = size;
        Ok(())
    }

    /// `__uint(name, N)`
    fn number(&self, field: &Member<'_>) -> Result<u32> {
        let number = uint(self.btf, field)?;
        number.ok_or_else(|| self.wrong(format!("`{}` is not given by __uint()", field.name())))
    }

    /// `__uint(name, N)`, or `__ulong(name, N)`: an enumeration of the one value N.
    fn long_number(&self, field: &Member<'_>) -> Result<u64> {
        match self.btf.skip_modifiers(field.type_id)?.kind() {
            Kind::Enum(values) | Kind::Enum64(values) => {
                let mut values = values.values();
                let low_bits = |value: i128| u64::try_from(value & i128::from(u64::MAX)).ok();
                match (values.next(), values.next()) {
                    (Some(only), None) => low_bits(only.value),
                    _ => None,
                }
                .ok_or_else(|| self.wrong(format!("`{}` is not one number", field.name())))
            }
            _ => self.number(field).map(u64::from),
        }
    }

    /// `__type(name, T)`: a pointer to T. Answers T and its size.
    fn pointed(&self, field: &Member<'_>) -> Result<(TypeId, u32)> {
        let Kind::Pointer { target } = self.btf.skip_modifiers(field.type_id)?.kind() else {
            return Err(self.wrong(format!("`{}` is not given by __type()", field.name())));
        };
        let size = self.btf.size_of(target).map_err(|error| {
            self.wrong(format!(
                "the size of its {} is not known: {error}",
                field.name()
            ))
        })?;
        let size = u32::try_from(size)
            .map_err(|_| self.wrong(format!("its {} has 4 GiB or more", field.name())))?;
        Ok((target, size))
    }

    /// `__array(values, T)`: a flexible array of pointers to inner maps or programs.
    fn values(&self, field: &Member<'_>, map: &mut Map) -> Result<()> {
        let wrong = || self.wrong("`values` is not given by __array()");
        let Kind::Array(array) = self.btf.skip_modifiers(field.type_id)?.kind() else {
            return Err(wrong());
        };
        let Kind::Pointer { target } = self.btf.skip_modifiers(array.element)?.kind() else {
            return Err(wrong());
        };
        // Before its slots are looked at: types can be such that a map would be in itself.
        if self.is_inner {
            return Err(self.wrong(NOT_IN_A_MAP));
        }
        self.agree("value", &mut map.value_size, 4)?;
        match (map.map_type, self.btf.skip_modifiers(target)?.tag()) {
            (MapType::ProgArray, Some(KindTag::FunctionPrototype)) => {}
            (MapType::ArrayOfMaps | MapType::HashOfMaps, Some(KindTag::Struct)) => {
                let name = format!("{}.inner", self.name);
                let inner = Definition {
                    btf: self.btf,
                    name: &name,
                    lenient: self.lenient,
                    is_inner: true,
                };
                let (mut inner, _) = inner.read(target, &map.section)?;
                if inner.pinning != Pinning::None {
                    return Err(self.wrong(NOT_IN_A_MAP));
                }
                inner.name = name;
                map.inner = Some(Box::new(inner));
            }
            (map_type, _) => {
                let problem = format!(
                    "`values` of this type do not fit a {map_type}: maps go in an array_of_maps or \
                     hash_of_maps, programs in a prog_array"
                );
                return Err(self.wrong(problem));
            }
        }
        Ok(())
    }
}

/// Fills the slots that definitions list (`.values = { [0] = &inner }`): relocations in `.maps`.
pub(crate) fn fill_slots(
    elf: &Elf<'_>,
    maps: &mut Maps,
    programs: &BTreeMap<FunctionIndex, ProgramIndex>,
    starts: &Starts,
) -> Result<()> {
    for (index, section) in elf.sections.iter().enumerate() {
        if !maps.places.is_map_section(index) {
            continue;
        }
        for relocation in &section.relocations {
            let symbol = elf.symbols.get(relocation.symbol);
            let name = symbol.map_or("?", |symbol| symbol.name);
            let wrong = |problem: String| Error::Reference {
                place: section.place(relocation.offset),
                symbol: name.to_owned(),
                problem,
            };
            if relocation.kind != relocation_kind::ABS64 {
                let kind = relocation_kind::name(relocation.kind);
                return Err(wrong(format!(
                    "{kind} in a map's definition, expected R_BPF_64_ABS64"
                )));
            }
            let Some((start, map_index)) = maps.places.around(index, relocation.offset) else {
                return Err(wrong("no map is defined there".into()));
            };
            let slots = maps.slots.get(&map_index.0).copied();
            let key = slots.and_then(|slots| {
                let offset = relocation
                    .offset
                    .checked_sub(start)?
                    .checked_sub(slots.into())?;
                (offset % 8 == 0).then(|| u32::try_from(offset / 8).ok())?
            });
            let Some(map) = maps.list.get(map_index.as_usize()) else {
                continue;
            };
            let Some(key) = key else {
                return Err(wrong(format!("it is no slot of map `{}`", map.name)));
            };

            let home = symbol.map(|symbol| (symbol.home, symbol.value));
            let Some((SymbolHome::Section(home), value)) = home else {
                return Err(wrong("it is not defined in this object".into()));
            };
            // What is static is referred to by its section, and its offset stands in place.
            let value = value.wrapping_add(section.addend(relocation.offset, elf.endian));
            let slot = if map.map_type == MapType::ProgArray {
                let slot = (value % 8 == 0)
                    .then(|| u32::try_from(value / 8).ok())
                    .flatten();
                let function = slot.and_then(|slot| starts.get(&(home, slot)));
                let program = function.and_then(|function| programs.get(function));
                SlotValue::Program(*program.ok_or_else(|| {
                    wrong("it is no program; only programs go in a prog_array".into())
                })?)
            } else {
                let inner = maps.places.at(home, value);
                SlotValue::Map(inner.ok_or_else(|| wrong("it is no map".into()))?)
            };
            if let Some(map) = maps.list.get_mut(map_index.as_usize()) {
                let slot = Slot { key, value: slot };
                match &mut map.contents {
                    Contents::Slots(slots) => slots.push(slot),
                    contents => *contents = Contents::Slots(vec![slot]),
                }
            }
        }
    }
    Ok(())
}
