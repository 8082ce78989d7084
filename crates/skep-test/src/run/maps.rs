//! What is in maps before a run, and after.

use std::sync::Arc;

use skep::{
    Loaded, Map, Update,
    abi::MapType,
    btf::{Btf, TypeId},
};

use crate::{
    failure::Mismatch,
    source::{FileError, Parsed},
    typed::{Encoder, NoPointers, Plain, Pointers, Type, address, combine, compare, show},
    value::{Kind, Value},
};

/// The types of a map's key and value.
pub(super) struct Types {
    pub(super) key: Type,
    pub(super) value: Type,
}

pub(super) fn types(map: &Map) -> Types {
    let of = |id: Option<TypeId>, size: usize| match (map.types(), id) {
        (Some(types), Some(id)) if id != TypeId::VOID => {
            let of = Type::Btf(Arc::clone(&types.btf), id);
            // A type of another size says nothing of these bytes.
            if of.size() == size {
                of
            } else {
                Type::Plain(Plain::opaque(size))
            }
        }
        _ => Type::Plain(Plain::opaque(size)),
    };
    Types {
        key: of(map.types().map(|types| types.key), map.key_size()),
        value: of(map.types().map(|types| types.value), map.value_size()),
    }
}

/// A map by its name in a test.
///
/// # Errors
/// There is none; the nearest names are said.
pub(super) fn map(loaded: &Loaded, name: &str, value: &Value) -> Parsed<Arc<Map>> {
    loaded.map(name).map_err(|_| {
        let known = loaded.maps().iter().map(|map| map.name());
        let known = known.filter(|name| !name.contains('.'));
        FileError::unknown(value.place.clone(), "map", name, known)
    })
}

pub(super) fn refused(value: &Value, map: &Map, error: &skep::Error) -> FileError {
    value.error(format!("map `{}`: {}", map.name(), chain(error)))
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

pub(super) fn encode(
    of: &Type,
    value: &Value,
    constants: Option<&Btf>,
    pointers: &mut dyn Pointers,
) -> Parsed<Vec<u8>> {
    let mut encoder = Encoder {
        constants,
        pointers,
    };
    encoder.encode(of, value)
}

/// The bytes of a key; of trie maps also as `10.0.0.0/8`.
pub(super) fn key_bytes(
    map: &Map,
    types: &Types,
    key: &Value,
    constants: Option<&Btf>,
) -> Parsed<Vec<u8>> {
    if let (Some(MapType::LpmTrie), Some(text)) = (map.map_type(), key.as_text()) {
        let (prefix, len) = match text.split_once('/') {
            Some((prefix, len)) => (prefix, len.parse::<u32>().ok()),
            None => (text, None),
        };
        let wrong = || {
            key.error(format!("{text:?} is no prefix"))
                .help("write \"10.0.0.0/8\"")
        };
        let mut data = address(prefix).ok_or_else(wrong)?;
        let len = match (len, text.contains('/')) {
            (Some(len), _) => len,
            (None, false) => u32::try_from(data.len().saturating_mul(8)).unwrap_or(0),
            (None, true) => return Err(wrong()),
        };
        let mut bytes = len.to_ne_bytes().to_vec();
        bytes.append(&mut data);
        if bytes.len() > map.key_size() {
            return Err(key.error(format!("the map's keys have {} bytes", map.key_size())));
        }
        bytes.resize(map.key_size(), 0);
        return Ok(bytes);
    }
    encode(&types.key, key, constants, &mut NoPointers)
}

/// What a test expects of a map.
struct Wanted<'v> {
    entries: &'v [Value],
    /// Nothing else may be there.
    exact: bool,
    absent: &'v [Value],
    count: Option<&'v Value>,
}

impl<'v> Wanted<'v> {
    fn parse(value: &'v Value) -> Parsed<Self> {
        if let Kind::Array(entries) = &value.kind {
            return Ok(Self {
                entries,
                exact: true,
                absent: &[],
                count: None,
            });
        }
        value.only("expectation of a map", &["contains", "absent", "count"])?;
        let list = |name: &str| match value.get(name) {
            Some(list) => list.array("an array"),
            None => Ok(&[][..]),
        };
        Ok(Self {
            entries: list("contains")?,
            exact: false,
            absent: list("absent")?,
            count: value.get("count"),
        })
    }
}

/// An entry that was read.
struct Found {
    key: Vec<u8>,
    value: Vec<u8>,
    seen: bool,
}

/// Compares what is in a map with what is expected.
///
/// # Errors
/// The value is no expectation of this map, or the map can't be read.
pub(super) fn check(
    loaded: &Loaded,
    name: &str,
    expected: &Value,
    constants: Option<&Btf>,
    out: &mut Vec<Mismatch>,
) -> Parsed<()> {
    let map = map(loaded, name, expected)?;
    let types = types(&map);
    let wanted = Wanted::parse(expected)?;
    let path = format!("maps.{name}");
    if map.key_size() == 0 {
        return queue(&map, &types, &wanted, expected, constants, &path, out);
    }
    if map.map_type().is_some_and(MapType::has_inner_maps)
        || map.map_type() == Some(MapType::ProgArray)
    {
        let what = format!(
            "what is in `{name}`, a map of {}, can't be expected",
            kind(&map)
        );
        return Err(expected.error(what));
    }
    let mut all = Vec::new();
    for entry in map.entries() {
        let (key, value) = entry.map_err(|error| refused(expected, &map, &error))?;
        all.push(Found {
            key,
            value,
            seen: false,
        });
    }
    // In arrays every entry is there; those of zeros count as none.
    let always = map.map_type().is_some_and(is_array);
    let zero = |found: &Found| found.value.iter().all(|byte| *byte == 0);
    for entry in wanted.entries {
        entry.only("part of an entry", &["key", "value", "values"])?;
        let key = entry
            .get("key")
            .ok_or_else(|| entry.error("this entry has no key"))?;
        let bytes = key_bytes(&map, &types, key, constants)?;
        let path = format!("{path}[{}]", show(&types.key, &bytes));
        let Some(found) = all.iter_mut().find(|found| found.key == bytes) else {
            let value = entry.get("value").or(entry.get("values"));
            out.push(Mismatch {
                path,
                expected: value.map_or_else(|| "an entry".into(), ToString::to_string),
                got: "no entry".into(),
                place: entry.place.clone(),
            });
            continue;
        };
        found.seen = true;
        let got = found.value.as_slice();
        compare_value(&map, &types, entry, got, constants, &path, out)?;
    }
    for key in wanted.absent {
        let bytes = key_bytes(&map, &types, key, constants)?;
        let mut found = all.iter();
        if let Some(found) = found.find(|found| found.key == bytes && !(always && zero(found))) {
            out.push(Mismatch {
                path: format!("{path}[{}]", show(&types.key, &bytes)),
                expected: "no entry".into(),
                got: shown(&map, &types, &found.value),
                place: key.place.clone(),
            });
        }
    }
    if let Some(count) = wanted.count {
        let is = all.iter().filter(|found| !(always && zero(found))).count();
        number(count, is, &format!("{path}.count"), out)?;
    }
    if wanted.exact {
        for found in all
            .iter()
            .filter(|found| !(found.seen || always && zero(found)))
        {
            out.push(Mismatch {
                path: format!("{path}[{}]", show(&types.key, &found.key)),
                expected: "no entry".into(),
                got: shown(&map, &types, &found.value),
                place: expected.place.clone(),
            });
        }
    }
    Ok(())
}

fn kind(map: &Map) -> String {
    map.map_type()
        .map_or_else(String::new, |kind| kind.to_string())
}

fn is_array(kind: MapType) -> bool {
    matches!(kind, MapType::Array | MapType::PercpuArray)
}

/// The value of an entry; of all CPUs' together.
fn whole(map: &Map, types: &Types, value: &[u8]) -> Vec<u8> {
    match map.is_per_cpu() {
        true => combine(&types.value, &map.split_per_cpu(value).collect::<Vec<_>>()),
        false => value.to_vec(),
    }
}

fn shown(map: &Map, types: &Types, value: &[u8]) -> String {
    show(&types.value, &whole(map, types, value))
}

fn compare_value(
    map: &Map,
    types: &Types,
    entry: &Value,
    got: &[u8],
    constants: Option<&Btf>,
    path: &str,
    out: &mut Vec<Mismatch>,
) -> Parsed<()> {
    let mut encoder = Encoder {
        constants,
        pointers: &mut NoPointers,
    };
    match (entry.get("value"), entry.get("values")) {
        (Some(value), None) => {
            let got = whole(map, types, got);
            compare(&mut encoder, &types.value, value, &got, path, out)
        }
        (None, Some(values)) if map.is_per_cpu() => {
            let values = values.array("an array: a value a CPU")?;
            let parts: Vec<_> = map.split_per_cpu(got).collect();
            if values.len() > parts.len() {
                return Err(entry.error(format!("there are {} CPUs", parts.len())));
            }
            for (cpu, (value, part)) in values.iter().zip(parts).enumerate() {
                let path = format!("{path} on CPU {cpu}");
                compare(&mut encoder, &types.value, value, part, &path, out)?;
            }
            Ok(())
        }
        (None, Some(values)) => Err(values.error("only maps with a value a CPU have `values`")),
        (Some(_), Some(values)) => {
            Err(values.error("an entry has a value, or values a CPU, not both"))
        }
        // That it is there is all.
        (None, None) => Ok(()),
    }
}

/// Compares a count with a number or a comparison.
pub(super) fn number(
    expected: &Value,
    got: usize,
    path: &str,
    out: &mut Vec<Mismatch>,
) -> Parsed<()> {
    let of = Type::Plain(Plain::opaque(8));
    let bytes = (got as u64).to_ne_bytes();
    let mut encoder = Encoder {
        constants: None,
        pointers: &mut NoPointers,
    };
    compare(&mut encoder, &of, expected, &bytes, path, out)
}

/// A queue or stack: its values are taken out, compared and put back.
fn queue(
    map: &Map,
    types: &Types,
    wanted: &Wanted<'_>,
    expected: &Value,
    constants: Option<&Btf>,
    path: &str,
    out: &mut Vec<Mismatch>,
) -> Parsed<()> {
    let stack = match map.map_type() {
        Some(MapType::Queue) => false,
        Some(MapType::Stack) => true,
        _ => {
            let what = format!("what is in a map of {} can't be read", kind(map));
            return Err(expected.error(what));
        }
    };
    let failed = |error: skep::Error| refused(expected, map, &error);
    let mut all = Vec::new();
    let mut value = vec![0; map.value_size()];
    while map.take_into(&[], &mut value).map_err(failed)? {
        all.push(value.clone());
    }
    let back: Box<dyn Iterator<Item = &Vec<u8>>> = match stack {
        true => Box::new(all.iter().rev()),
        false => Box::new(all.iter()),
    };
    for value in back {
        map.update(&[], value, Update::Any).map_err(failed)?;
    }
    if let Some(count) = wanted.count {
        number(count, all.len(), &format!("{path}.count"), out)?;
    }
    if !wanted.exact {
        return match wanted.entries.first().or(wanted.absent.first()) {
            Some(value) => Err(value.error("queues are expected whole, as an array of values")),
            None => Ok(()),
        };
    }
    list(
        &types.value,
        wanted.entries,
        &all,
        expected,
        constants,
        path,
        out,
    )
}

/// Compares things in their order, one by one.
pub(super) fn list(
    of: &Type,
    wanted: &[Value],
    got: &[Vec<u8>],
    expected: &Value,
    constants: Option<&Btf>,
    path: &str,
    out: &mut Vec<Mismatch>,
) -> Parsed<()> {
    let mut encoder = Encoder {
        constants,
        pointers: &mut NoPointers,
    };
    for index in 0..wanted.len().max(got.len()) {
        let path = format!("{path}[{index}]");
        match (wanted.get(index), got.get(index)) {
            (Some(wanted), Some(got)) => {
                compare(&mut encoder, of, wanted, got, &path, out)?;
            }
            (Some(wanted), None) => out.push(Mismatch {
                path,
                expected: wanted.to_string(),
                got: "nothing".into(),
                place: wanted.place.clone(),
            }),
            (None, Some(got)) => out.push(Mismatch {
                path,
                expected: "nothing".into(),
                got: show(of, got),
                place: expected.place.clone(),
            }),
            (None, None) => {}
        }
    }
    Ok(())
}

/// The type of the records of a ring.
pub(super) fn record_type(map: &Map, len: usize) -> Type {
    match map.types() {
        Some(types) if types.value != TypeId::VOID => {
            Type::Btf(Arc::clone(&types.btf), types.value)
        }
        _ => Type::Plain(Plain::opaque(len)),
    }
}
