//! Creating maps: sizes, entries and flags that types take and refuse.

use skep_abi::{MapCreateFlags, MapType, ObjectFlags};
use skep_host::{Host, MapCreate, MapFd};
use skep_testing::{Outcome, Test};

use super::Spec;
use crate::support::{Record, agree, name};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("types::creation_flags", || agree(flags)),
        Test::new("types::creation_sizes", || agree(sizes)),
        Test::new("types::creation_of_maps_of_maps", || agree(nested)),
        Test::new("types::maps_of_maps_hold_maps", || agree(inner_maps)),
    ]
}

/// Types whose rules are the machine's own.
const TYPES: &[(MapType, u32, u32)] = &[
    (MapType::Hash, 8, 8),
    (MapType::Array, 4, 8),
    (MapType::ProgArray, 4, 4),
    (MapType::PercpuHash, 8, 8),
    (MapType::PercpuArray, 4, 8),
    (MapType::LruHash, 8, 8),
    (MapType::LruPercpuHash, 8, 8),
    (MapType::LpmTrie, 8, 8),
    (MapType::Queue, 0, 8),
    (MapType::Stack, 0, 8),
    (MapType::BloomFilter, 0, 8),
];

fn flags(host: &dyn Host, record: &mut Record) -> Outcome {
    // Flags that the request says by other means are refused by each host in its own way.
    let known = 0..20_u32;
    let told = |bit: &u32| !matches!(bit, 2 | 15 | 16);
    for (map_type, key, value) in TYPES {
        for first in known.clone().filter(told) {
            for second in (first..20).filter(told) {
                let flags = MapCreateFlags::from_bits_retain(1 << first | 1 << second);
                for more in [MapCreateFlags::empty(), MapCreateFlags::NO_PREALLOC] {
                    let spec = Spec::new("", *map_type, *key, *value, 4).with(flags | more);
                    let made = spec.create(host);
                    record.done(format!("{map_type} {:?}", spec.flags), &made);
                }
            }
        }
        for extra in [0, 1, 15, 16, 1 << 40] {
            let mut spec = Spec::new("", *map_type, *key, *value, 4);
            if *map_type == MapType::LpmTrie {
                spec = spec.with(MapCreateFlags::NO_PREALLOC);
            }
            spec.extra = extra;
            record.done(format!("{map_type} extra {extra}"), &spec.create(host));
        }
    }
    Ok(())
}

fn sizes(host: &dyn Host, record: &mut Record) -> Outcome {
    let large = [
        31 << 10,
        32 << 10,
        (32 << 10) + 1,
        4_194_024,
        4_194_025,
        4_194_247,
        4_194_248,
        1 << 22,
        (1 << 22) + 1,
        1 << 31,
        u32::MAX,
    ];
    for (map_type, key, value) in TYPES {
        let mut specs = Vec::new();
        for key in [0, 1, 3, 4, 5, 8, 17, 260, 261, 512, 513, 4097] {
            specs.push((key, *value, 1));
        }
        for value in [0, 1, 3, 4, 7, 8, 9].into_iter().chain(large) {
            specs.push((*key, value, 1));
        }
        specs.push((*key, *value, 0));
        for (key, value, entries) in specs {
            for flags in [MapCreateFlags::empty(), MapCreateFlags::NO_PREALLOC] {
                let made = Spec::new("", *map_type, key, value, entries)
                    .with(flags)
                    .create(host);
                record.done(
                    format!("{map_type} {key} {value} {entries} {flags:?}"),
                    &made,
                );
            }
        }
    }
    // More buckets than the kernel can count.
    for entries in [(1 << 27) + 1, 1 << 31, u32::MAX] {
        let spec = Spec::new("", MapType::Hash, 4, 4, entries).with(MapCreateFlags::NO_PREALLOC);
        record.done(format!("hash {entries}"), &spec.create(host));
    }
    let spec = Spec::new("", MapType::Array, 4, i32::MAX as u32, u32::MAX);
    record.done("a huge array", &spec.create(host));
    Ok(())
}

/// An outer map with this template.
fn outer(host: &dyn Host, map_type: MapType, inner: &MapFd) -> skep_host::Result<MapFd> {
    let name = name("outer");
    let mut request = MapCreate::new(map_type, &name, 4, 4, 3);
    request.inner_map = Some(inner);
    host.map_create(&request)
}

fn nested(host: &dyn Host, record: &mut Record) -> Outcome {
    for outer_type in [MapType::ArrayOfMaps, MapType::HashOfMaps] {
        for (map_type, key, value) in TYPES {
            let mut spec = Spec::new("", *map_type, *key, *value, 4);
            if *map_type == MapType::LpmTrie {
                spec = spec.with(MapCreateFlags::NO_PREALLOC);
            }
            let inner = spec.create(host)?;
            let made = outer(host, outer_type, &inner);
            record.done(format!("{outer_type} of {map_type}"), &made);
            if let Ok(made) = made {
                let twice = outer(host, outer_type, &made);
                record.done(format!("{outer_type} of {outer_type}"), &twice);
            }
        }
        for (key, value, entries, flags) in [
            (4, 8, 1, 0),
            (0, 4, 1, 0),
            (4, 4, 0, 0),
            (8, 4, 1, 0),
            (4, 4, 1, 1),
            (4, 4, 1, 1 << 7),
            (4, 4, 1, 1 << 8),
            (4, 4, 1, 1 << 12),
            (4, 4, 1, 1 << 10),
            (4, 4, 1, 1 << 3),
        ] {
            let inner = Spec::new("", MapType::Array, 4, 4, 1).create(host)?;
            let name = name("outer");
            let mut request = MapCreate::new(outer_type, &name, key, value, entries);
            request.inner_map = Some(&inner);
            request.flags = MapCreateFlags::from_bits_retain(flags);
            let made = host.map_create(&request);
            record.done(
                format!("{outer_type} {key} {value} {entries} {flags}"),
                &made,
            );
        }
    }
    Ok(())
}

/// Whether a map has this id, if the host can open maps by id: what is set by one descriptor is
/// seen by the other.
fn same_map(host: &dyn Host, spec: &Spec, map: &MapFd, id: u32) -> Outcome<bool> {
    let by_id = match host.map_by_id(id, ObjectFlags::empty()) {
        Ok(Some(by_id)) => by_id,
        Ok(None) => return Ok(false),
        Err(_) => return Ok(id != 0),
    };
    let key = [1, 0, 0, 0];
    let set = vec![7; spec.user_value(host)?];
    host.map_update_elem(map, &key, &set, 0)?;
    let mut seen = vec![0; set.len()];
    Ok(host.map_lookup_elem(&by_id, &key, &mut seen, 0)? && seen == set)
}

fn inner_maps(host: &dyn Host, record: &mut Record) -> Outcome {
    let any_size = MapCreateFlags::INNER_MAP;
    let grows = MapCreateFlags::NO_PREALLOC;
    let candidates = [
        Spec::new("array 4", MapType::Array, 4, 8, 4),
        Spec::new("array 5", MapType::Array, 4, 8, 5),
        Spec::new("array of 4 bytes", MapType::Array, 4, 4, 4),
        Spec::new("any array 4", MapType::Array, 4, 8, 4).with(any_size),
        Spec::new("any array 5", MapType::Array, 4, 8, 5).with(any_size),
        Spec::new("percpu array 4", MapType::PercpuArray, 4, 8, 4),
        Spec::new("percpu array 5", MapType::PercpuArray, 4, 8, 5),
        Spec::new("hash 4", MapType::Hash, 4, 8, 4),
        Spec::new("hash 5", MapType::Hash, 4, 8, 5),
        Spec::new("growing hash", MapType::Hash, 4, 8, 5).with(grows),
    ];
    for outer_type in [MapType::ArrayOfMaps, MapType::HashOfMaps] {
        for template in &candidates {
            let first = template.create(host)?;
            let outer = outer(host, outer_type, &first)?;
            for other in &candidates {
                let inner = other.create(host)?;
                let fd = inner.raw().to_ne_bytes();
                let label = format!("{outer_type} of {}: {}", template.label, other.label);
                for (key, flags) in [(0_u32, 0), (0, 1), (0, 2), (1, 2), (1, 1), (2, 4), (9, 0)] {
                    let key = key.to_ne_bytes();
                    let set = host.map_update_elem(&outer, &key, &fd, flags);
                    record.answer(format!("{label} {key:?} {flags}"), &set);
                }
                let mut id = [0; 4];
                let found = host.map_lookup_elem(&outer, &[0; 4], &mut id, 0);
                record.answer(label.clone(), &found);
                record.fact(
                    label.clone(),
                    same_map(host, other, &inner, u32::from_ne_bytes(id))?,
                );
                for key in [0_u32, 0, 1, 7] {
                    let gone = host.map_delete_elem(&outer, &key.to_ne_bytes());
                    record.answer(format!("{label} delete {key}"), &gone);
                }
            }
            for fd in [-1_i32, 1 << 20, 0] {
                let set = host.map_update_elem(&outer, &[0; 4], &fd.to_ne_bytes(), 0);
                record.done(
                    format!("{outer_type} set to {fd}")
                        .replace("set to 0", "set to what is no map"),
                    &set.map_err(|_| skep_host::Error::Unsupported {
                        host: "",
                        what: String::new(),
                    }),
                );
            }
        }
    }
    Ok(())
}
