//! What is left in the maps when a run ends: histograms of those tagged so, tables of hashes.

use std::sync::Arc;

use skep::{
    Loaded, Map, Object,
    abi::MapType,
    btf::{Kind, TypeId, value::Layout},
};

use super::{
    Format, Output, RunArgs,
    cells::{self, Cell, Context, Meaning},
    histogram,
    json::{self, Json},
    map_table::MapTable,
    stacks::Stacks,
};

/// What the object's tags say of a map.
#[derive(Debug, Default)]
struct Tags {
    title: Option<String>,
    histogram: Option<String>,
    hidden: bool,
}

impl Tags {
    fn of(object: &Object, map: &str) -> Self {
        let mut tags = Self::default();
        for tag in object.spec().decl_tags_of_map(map) {
            let Some(tag) = tag.strip_prefix("skep:") else {
                continue;
            };
            match tag.split_once('=').unwrap_or((tag, "")) {
                ("title", title) => tags.title = Some(title.to_owned()),
                ("histogram", unit) => tags.histogram = Some(unit.to_owned()),
                ("hidden", _) => tags.hidden = true,
                _ => {}
            }
        }
        tags
    }
}

/// One entry: key and value as bytes, per-CPU values added up.
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// The layouts of a map's key and value.
pub(crate) struct Types {
    pub(crate) key: Layout,
    pub(crate) value: Layout,
}

/// Has the processes of user stacks noted while the program runs.
pub(crate) fn watch_stacks(loaded: &Loaded, stacks: &mut Stacks) {
    for map in loaded.maps().iter().filter(|map| is_hash(map)) {
        let Some(types) = types_of(map) else { continue };
        let has_user_stack = |layout: &Layout| {
            layout
                .fields()
                .any(|field| Meaning::of(field.type_names()) == Meaning::UserStack)
        };
        let pid = types.key.fields().find(cells::is_process);
        if let Some(pid) = pid
            && (has_user_stack(&types.key) || has_user_stack(&types.value))
        {
            stacks.watch(
                Arc::clone(map),
                usize::try_from(pid.bit_offset / 8).unwrap_or(0),
            );
        }
    }
}

/// Prints every map that is for people: histograms, and hashes that are not hidden.
pub(crate) fn print(
    object: &Object,
    loaded: &Loaded,
    args: &RunArgs,
    context: Context<'_>,
    output: &mut Output,
) -> anyhow::Result<()> {
    for map in loaded.maps() {
        let tags = Tags::of(object, map.name());
        // Those of `bpf/usdt.bpf.h` are between a program and its loader.
        if tags.hidden || map.name().starts_with("__bpf_usdt_") {
            continue;
        }
        let Some(types) = types_of(map) else { continue };
        if let Some(unit) = &tags.histogram {
            print_histograms(map, &types, &tags, unit, context, output)?;
        } else if is_hash(map) || (is_array(map) && tags.title.is_some()) {
            print_table(map, &types, &tags, args.top, context, output)?;
        }
    }
    Ok(())
}

fn types_of(map: &Map) -> Option<Types> {
    let types = map.types()?;
    if types.key == TypeId::VOID || types.value == TypeId::VOID {
        return None;
    }
    Some(Types {
        key: Layout::new(&types.btf, types.key).ok()?,
        value: Layout::new(&types.btf, types.value).ok()?,
    })
}

fn is_hash(map: &Map) -> bool {
    use MapType::{Hash, LruHash, LruPercpuHash, PercpuHash};
    matches!(
        map.map_type(),
        Some(Hash | LruHash | PercpuHash | LruPercpuHash)
    )
}

fn is_array(map: &Map) -> bool {
    matches!(map.map_type(), Some(MapType::Array | MapType::PercpuArray))
        && !map.name().contains('.')
}

/// All entries, with the values of per-CPU maps added up member by member.
fn entries(map: &Map, value: &Layout) -> anyhow::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for entry in map.entries() {
        let (key, bytes) = entry?;
        let mut values = map.split_per_cpu(&bytes);
        let mut sum = values.next().map(<[u8]>::to_vec).unwrap_or_default();
        for other in values {
            add(value, &mut sum, other);
        }
        found.push(Entry { key, value: sum });
    }
    Ok(found)
}

/// Adds the integers of `other` to those of `sum`; what is no integer stays the first CPU's that
/// has any.
fn add(layout: &Layout, sum: &mut [u8], other: &[u8]) {
    if sum.iter().all(|byte| *byte == 0) {
        sum.copy_from_slice(&other[..sum.len()]);
        return;
    }
    let mut parts: Vec<(u64, u64)> = layout
        .fields()
        .filter(|field| field.is_scalar() && field.bitfield_bits == 0)
        .map(|field| (field.bit_offset / 8, field.size))
        .collect();
    if layout.fields().len() == 0 {
        parts.push((0, layout.size()));
    }
    for (start, size) in parts {
        let range = start as usize..(start + size) as usize;
        let (Some(to), Some(from)) = (sum.get_mut(range.clone()), other.get(range)) else {
            continue;
        };
        if let (Some(a), Some(b)) = (integer(to), integer(from)) {
            let bytes = a.wrapping_add(b).to_ne_bytes();
            let low = if cfg!(target_endian = "little") {
                0
            } else {
                8 - to.len()
            };
            to.copy_from_slice(&bytes[low..low + to.len()]);
        }
    }
}

/// The bytes as an unsigned integer, where they are one of 1, 2, 4 or 8.
fn integer(bytes: &[u8]) -> Option<u64> {
    Some(match bytes.len() {
        1 => u64::from(bytes[0]),
        2 => u64::from(u16::from_ne_bytes(bytes.try_into().ok()?)),
        4 => u64::from(u32::from_ne_bytes(bytes.try_into().ok()?)),
        8 => u64::from_ne_bytes(bytes.try_into().ok()?),
        _ => return None,
    })
}

fn print_histograms(
    map: &Map,
    types: &Types,
    tags: &Tags,
    unit: &str,
    context: Context<'_>,
    output: &mut Output,
) -> anyhow::Result<()> {
    let title = tags.title.as_deref().unwrap_or(map.name());
    let mut found = entries(map, &types.value)?;
    if types.value.fields().len() == 0 && slot_size(map).is_none() {
        // One slot an entry: the map itself is the histogram.
        found.sort_by_key(|entry| integer(&entry.key));
        let slots: Vec<u64> = found
            .iter()
            .filter_map(|entry| integer(&entry.value))
            .collect();
        return one_histogram(map, title, unit, None, &slots, output);
    }
    let size = slot_size(map).unwrap_or(4);
    for entry in &found {
        let slots: Vec<u64> = entry.value.chunks_exact(size).filter_map(integer).collect();
        if is_array(map) && slots.iter().all(|count| *count == 0) {
            continue;
        }
        let key = if is_hash(map) || map.max_entries() > 1 {
            let mut text = String::new();
            match output.format {
                Format::Table => {
                    types
                        .key
                        .visit(&entry.key, &mut Cell::new(&mut text, context))?;
                }
                Format::Json => {
                    types
                        .key
                        .visit(&entry.key, &mut Json::new(&mut text, context))?;
                }
            }
            Some(text)
        } else {
            None
        };
        one_histogram(map, title, unit, key.as_deref(), &slots, output)?;
    }
    Ok(())
}

/// Bytes of a slot, where each value is an array of them or a structure of nothing else.
fn slot_size(map: &Map) -> Option<usize> {
    let types = map.types()?;
    let mut value = types.btf.skip_modifiers(types.value).ok()?;
    if let Kind::Struct(composite) = value.kind() {
        let member = composite
            .members()
            .get(0)
            .filter(|_| composite.members().len() == 1)?;
        value = types.btf.skip_modifiers(member.type_id).ok()?;
    }
    match value.kind() {
        Kind::Array(array) => usize::try_from(types.btf.size_of(array.element).ok()?).ok(),
        _ => None,
    }
}

fn one_histogram(
    map: &Map,
    title: &str,
    unit: &str,
    key: Option<&str>,
    slots: &[u64],
    output: &mut Output,
) -> anyhow::Result<()> {
    let text = match output.format {
        Format::Table => {
            let title = key.map_or_else(|| title.to_owned(), |key| format!("{title} {key}"));
            format!("{}\n", histogram::draw(&title, unit, slots))
        }
        Format::Json => {
            let mut text = String::from("{\"map\":");
            json::string(&mut text, map.name());
            if let Some(key) = key {
                text.push_str(&format!(",\"key\":{key}"));
            }
            text.push_str(",\"unit\":");
            json::string(&mut text, unit);
            let last = slots
                .iter()
                .rposition(|count| *count > 0)
                .map_or(0, |last| last + 1);
            let slots: Vec<String> = slots[..last].iter().map(u64::to_string).collect();
            text.push_str(&format!(",\"histogram\":[{}]}}\n", slots.join(",")));
            text
        }
    };
    output.write(&text)
}

fn print_table(
    map: &Map,
    types: &Types,
    tags: &Tags,
    top: usize,
    context: Context<'_>,
    output: &mut Output,
) -> anyhow::Result<()> {
    let mut found = entries(map, &types.value)?;
    if is_array(map) {
        found.retain(|entry| entry.value.iter().any(|byte| *byte != 0));
    }
    found.sort_by_cached_key(|entry| std::cmp::Reverse(weight(&types.value, &entry.value)));
    match output.format {
        Format::Json => found.iter().try_for_each(|entry| {
            let row = json_row(map, types, entry, context)?;
            output.write(&row)
        }),
        Format::Table => {
            let title = tags.title.as_deref().unwrap_or(map.name());
            if found.is_empty() {
                return output.write(&format!("{title}: nothing\n\n"));
            }
            let mut table = MapTable::of(types, &found, context)?;
            let shown = if top == 0 {
                table.rows.len()
            } else {
                top.min(table.rows.len())
            };
            let more = table.rows.len() - shown;
            table.rows.truncate(shown);
            let heading = format!("{title}: {} {}\n", found.len(), plural(found.len()));
            output.write(&heading)?;
            output.write(&table.text())?;
            if more > 0 {
                output.write(&format!("… and {more} more; --top 0 shows all\n"))?;
            }
            output.write("\n")
        }
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "entry" } else { "entries" }
}

/// What a table is sorted by: the value's first integer.
fn weight(layout: &Layout, value: &[u8]) -> u64 {
    let part = layout
        .fields()
        .find(|field| field.is_scalar())
        .map(|field| {
            let start = usize::try_from(field.bit_offset / 8).unwrap_or(usize::MAX);
            start..start.saturating_add(usize::try_from(field.size).unwrap_or(0))
        });
    integer(
        value
            .get(part.unwrap_or(0..value.len()))
            .unwrap_or_default(),
    )
    .unwrap_or(0)
}

/// The stacks that an entry's members name, kernel before user as calls lie.
pub(crate) fn frames(
    types: &Types,
    entry: &Entry,
    context: Context<'_>,
) -> Vec<(String, Vec<String>)> {
    let pid = cells::process(&types.key, &entry.key);
    let mut found = Vec::new();
    for (layout, bytes) in [(&types.key, &entry.key), (&types.value, &entry.value)] {
        for field in layout.fields() {
            let meaning = Meaning::of(field.type_names());
            let start = usize::try_from(field.bit_offset / 8).unwrap_or(usize::MAX);
            let id = bytes
                .get(start..start.saturating_add(4))
                .and_then(|bytes| bytes.try_into().ok())
                .map(i32::from_ne_bytes);
            let Some(id) = id.filter(|_| meaning.is_stack()) else {
                continue;
            };
            let user = meaning == Meaning::UserStack;
            let frames = match (user, pid) {
                (true, None) => vec!["[user stack: the key has no pid to look it up by]".into()],
                (true, pid) => context.symbols().frames(id, pid),
                (false, _) => context.symbols().frames(id, None),
            };
            found.push((user, field.name.to_owned(), frames));
        }
    }
    found.sort_by_key(|(user, ..)| *user);
    found
        .into_iter()
        .map(|(_, name, frames)| (name, frames))
        .collect()
}

fn json_row(
    map: &Map,
    types: &Types,
    entry: &Entry,
    context: Context<'_>,
) -> anyhow::Result<String> {
    let context = context.of(cells::process(&types.key, &entry.key));
    let mut text = String::from("{\"map\":");
    json::string(&mut text, map.name());
    text.push_str(",\"key\":");
    types
        .key
        .visit(&entry.key, &mut Json::new(&mut text, context))?;
    text.push_str(",\"value\":");
    types
        .value
        .visit(&entry.value, &mut Json::new(&mut text, context))?;
    for (name, frames) in frames(types, entry, context) {
        text.push(',');
        json::string(&mut text, &name);
        text.push_str(":[");
        for (index, frame) in frames.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            json::string(&mut text, frame);
        }
        text.push(']');
    }
    text.push_str("}\n");
    Ok(text)
}
