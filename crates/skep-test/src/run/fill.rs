//! What is put into maps before a run.

use skep::{Loaded, Map, Update, abi::MapType};

use super::{
    context::Places,
    maps::{self, Types, encode, key_bytes, refused, types},
};
use crate::{
    source::{FileError, Parsed},
    value::Value,
};

/// Puts entries into a map: `[{ key = …, value = … }]`.
///
/// # Errors
/// An entry does not fit the map, or the host refuses it.
pub(super) fn fill(
    loaded: &Loaded,
    name: &str,
    entries: &Value,
    cpu: usize,
    places: &mut Places<'_>,
) -> Parsed<()> {
    let map = maps::map(loaded, name, entries)?;
    let types = types(&map);
    let constants = places.constants;
    for entry in entries.array("an array of entries: [{ key = …, value = … }]")? {
        if map.key_size() == 0 {
            let value = match entry.get("value") {
                Some(value) if entry.get("key").is_none() => value,
                _ => entry,
            };
            let bytes = encode(&types.value, value, constants, places)?;
            let update = map.update(&[], &bytes, Update::Any);
            update.map_err(|error| refused(entry, &map, &error))?;
            continue;
        }
        entry.only("part of an entry", &["key", "value", "values"])?;
        let key = entry
            .get("key")
            .ok_or_else(|| entry.error("this entry has no key"))?;
        let bytes = key_bytes(&map, &types, key, constants)?;
        set(loaded, &map, &types, &bytes, entry, cpu, places)?;
    }
    Ok(())
}

fn set(
    loaded: &Loaded,
    map: &Map,
    types: &Types,
    key: &[u8],
    entry: &Value,
    cpu: usize,
    places: &mut Places<'_>,
) -> Parsed<()> {
    let done = match (map.map_type(), entry.get("value"), entry.get("values")) {
        (Some(MapType::ProgArray), Some(value), None) => {
            let name = value.text("a program's name")?;
            let program = loaded.program(name).map_err(|_| {
                let known = loaded.programs().map(|program| program.name());
                FileError::unknown(value.place.clone(), "program", name, known)
            })?;
            let index = word(key);
            let slots = map.slots::<u32>();
            slots.and_then(|slots| slots.set_program(&index, program))
        }
        (Some(MapType::ArrayOfMaps | MapType::HashOfMaps), Some(value), None) => {
            let name = value.text("a map's name")?;
            let inner = maps::map(loaded, name, value)?;
            let fd = inner.fd().descriptor().raw();
            map.update(key, &fd.to_ne_bytes(), Update::Any)
        }
        (_, Some(value), None) if map.is_per_cpu() => {
            let constants = places.constants;
            let one = encode(&types.value, value, constants, places)?;
            let mut all = vec![0; map.entry_size()];
            let stride = map.value_size().next_multiple_of(8);
            let start = cpu.saturating_mul(stride);
            match all.get_mut(start..start.saturating_add(one.len())) {
                Some(part) => part.copy_from_slice(&one),
                None => return Err(entry.error(format!("there is no CPU {cpu}"))),
            }
            map.update(key, &all, Update::Any)
        }
        (_, None, Some(values)) if map.is_per_cpu() => {
            let mut all = vec![0; map.entry_size()];
            let stride = map.value_size().next_multiple_of(8).max(1);
            let values = values.array("an array: a value a CPU")?;
            if values.len() > map.values_per_entry() {
                let what = format!("there are {} CPUs", map.values_per_entry());
                return Err(entry
                    .error(what)
                    .help("say how many the machine has: cpus = 4"));
            }
            let constants = places.constants;
            for (value, part) in values.iter().zip(all.chunks_exact_mut(stride)) {
                let one = encode(&types.value, value, constants, places)?;
                if let Some(part) = part.get_mut(..one.len()) {
                    part.copy_from_slice(&one);
                }
            }
            map.update(key, &all, Update::Any)
        }
        (_, None, Some(values)) => {
            return Err(values.error("only maps with a value a CPU have `values`"));
        }
        (_, Some(value), None) => {
            let constants = places.constants;
            let bytes = encode(&types.value, value, constants, places)?;
            map.update(key, &bytes, Update::Any)
        }
        (_, Some(_), Some(values)) => {
            return Err(values.error("an entry has a value, or values a CPU, not both"));
        }
        (_, None, None) => return Err(entry.error("this entry has no value")),
    };
    done.map_err(|error| refused(entry, map, &error))
}

fn word(key: &[u8]) -> u32 {
    key.first_chunk()
        .map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}
