//! Maps in the form from before BTF: sections `maps` and `maps/…`, in which each variable is a
//! `struct bpf_map_def` of words. libbpf 1.0 gave it up; objects that have it are still around.

use skep_abi::{MapCreateFlags, MapType};
use skep_btf::{Btf, Kind, KindTag, TypeId};
use skep_isa::Endian;

use crate::{
    Error, Map, MapIndex, Result,
    elf::{Elf, Section, Symbol, SymbolKind},
    maps::Maps,
    order,
};

/// `type`, `key_size`, `value_size` and `max_entries`: the least there ever was.
const NEEDED: usize = 16;
/// With `map_flags`, as libbpf had it.
const KNOWN: usize = 20;

/// Adds the maps of legacy sections to the others.
pub(crate) fn read(elf: &Elf<'_>, btf: Option<&Btf>, maps: &mut Maps) -> Result<()> {
    for (index, section) in elf.sections.iter().enumerate() {
        let legacy = section.name == "maps" || section.name.starts_with("maps/");
        if !legacy || section.executable || section.size == 0 {
            continue;
        }
        let mut symbols: Vec<&Symbol<'_>> = elf
            .symbols_of(index)
            .filter(|symbol| symbol.kind != SymbolKind::Section && !symbol.name.is_empty())
            .collect();
        order::by_key(&mut symbols, |symbol| symbol.value);
        if symbols.first().is_none_or(|symbol| symbol.value != 0) {
            return Err(section.malformed(0, "a legacy map definition that has no symbol"));
        }
        for (position, symbol) in symbols.iter().enumerate() {
            let next = symbols.get(position.saturating_add(1));
            let end = next.map_or(section.size, |next| next.value);
            let mut map = definition(section, symbol, end, elf.endian)?;
            if let Some(btf) = btf {
                annotated_types(btf, &mut map)?;
                map.variable = btf.find(symbol.name, KindTag::Variable);
            }
            let place = MapIndex::from_usize(maps.list.len());
            maps.places.insert(index, symbol.value, place);
            maps.list.push(map);
        }
    }
    Ok(())
}

/// The definition from a symbol up to the next.
fn definition(section: &Section<'_>, symbol: &Symbol<'_>, end: u64, endian: Endian) -> Result<Map> {
    let name = symbol.name;
    let bytes = usize::try_from(symbol.value)
        .ok()
        .zip(usize::try_from(end).ok())
        .and_then(|(start, end)| section.data.get(start..end))
        .unwrap_or_default();
    if bytes.len() < NEEDED || symbol.size > bytes.len() as u64 {
        let size = symbol.size.max(bytes.len() as u64);
        let problem = format!(
            "the legacy definition of map `{name}` has {size:#x} bytes in {:#x}, expected at least \
             {NEEDED:#x}: a type, the sizes of key and value, and the number of entries",
            bytes.len()
        );
        return Err(section.malformed(symbol.value, problem));
    }
    // iproute2 and others went on with words of their own: those can't be passed over in silence.
    let beyond = bytes.get(KNOWN..).unwrap_or_default();
    if let Some(at) = beyond.iter().position(|byte| *byte != 0) {
        let problem = format!(
            "the legacy definition of map `{name}` says more than libbpf's `struct bpf_map_def` \
             did: define it in section `.maps`"
        );
        let at = symbol.value.saturating_add(KNOWN.saturating_add(at) as u64);
        return Err(section.malformed(at, problem));
    }
    let mut words = bytes.as_chunks::<4>().0.iter().map(|word| match endian {
        Endian::Little => u32::from_le_bytes(*word),
        Endian::Big => u32::from_be_bytes(*word),
    });
    let mut word = || words.next().unwrap_or(0);
    let number = word();
    let map_type = MapType::from_raw(number)
        .filter(|map_type| *map_type != MapType::Unspec)
        .ok_or_else(|| Error::MapDefinition {
            map: name.to_owned(),
            problem: format!("no map type has number {number}"),
        })?;
    let mut map = Map::new(name, section.name, map_type);
    map.key_size = word();
    map.value_size = word();
    map.max_entries = word();
    map.flags = MapCreateFlags::from_bits_retain(word());
    Ok(map)
}

/// The types that `BPF_ANNOTATE_KV_PAIR(map, key, value)` left in the BTF: a struct named after
/// the map, with the members `key` and `value`.
fn annotated_types(btf: &Btf, map: &mut Map) -> Result<()> {
    let name = format!("____btf_map_{}", map.name);
    let Some(id) = btf.find(&name, KindTag::Struct) else {
        return Ok(());
    };
    let Kind::Struct(fields) = btf.type_by_id(id)?.kind() else {
        return Ok(());
    };
    let typed = |name: &str, size: u32| -> Option<TypeId> {
        let field = fields
            .members()
            .into_iter()
            .find(|field| field.name() == name)?;
        let fits = btf.size_of(field.type_id).ok()? == u64::from(size);
        fits.then_some(field.type_id)
    };
    map.key_type = typed("key", map.key_size);
    map.value_type = typed("value", map.value_size);
    Ok(())
}
