//! Creating maps with what is odd: nodes, types that are none, templates for nothing, sizes and
//! flags of the types that hold things.

use skep_abi::{MapCreateFlags, MapType};
use skep_host::{Host, MapBtf, MapCreate};
use skep_testing::{Outcome, Test};

use super::Spec;
use crate::support::{INT, Record, agree, int_types, name};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("types::nodes", || agree(nodes)),
        Test::new("types::types_of_nothing", || agree(types)),
        Test::new("types::templates_of_nothing", || agree(templates)),
        Test::new("types::odd_shapes", || agree(shapes)),
        Test::new("types::inner_maps_of_one_way", || agree(one_way)),
    ]
}

/// A map of each type, of the least size; those that need types or a template are left out.
fn kinds() -> Vec<Spec> {
    let spec = |map_type: MapType| {
        let (key, value, entries) = match map_type {
            MapType::Queue | MapType::Stack | MapType::BloomFilter => (0, 8, 4),
            MapType::Ringbuf | MapType::UserRingbuf => (0, 0, 4096),
            MapType::Arena => (0, 0, 1),
            MapType::LpmTrie => (8, 4, 4),
            MapType::CgroupStorage | MapType::PercpuCgroupStorage => (8, 4, 0),
            MapType::StackTrace => (4, 64, 4),
            _ => (4, 4, 4),
        };
        let flags = match map_type {
            MapType::LpmTrie => MapCreateFlags::NO_PREALLOC,
            MapType::Arena => MapCreateFlags::MMAPABLE,
            _ => MapCreateFlags::empty(),
        };
        Spec::new("", map_type, key, value, entries).with(flags)
    };
    let left_out = |map_type: &MapType| {
        matches!(
            map_type,
            MapType::Unspec
                | MapType::ArrayOfMaps
                | MapType::HashOfMaps
                | MapType::StructOps
                | MapType::SkStorage
                | MapType::InodeStorage
                | MapType::TaskStorage
                | MapType::CgrpStorage
                | MapType::InsnArray
                | MapType::Rhash
        )
    };
    let all = MapType::ALL.iter().copied();
    all.filter(|kind| !left_out(kind)).map(spec).collect()
}

fn request<'a>(spec: &Spec, name: &'a str) -> MapCreate<'a> {
    let mut request = MapCreate::new(spec.map_type, name, spec.key, spec.value, spec.entries);
    request.flags = spec.flags;
    request
}

/// `NUMA_NO_NODE` is a node for every type that takes one.
fn nodes(host: &dyn Host, record: &mut Record) -> Outcome {
    let name = name("node");
    for spec in kinds() {
        let lists = matches!(spec.map_type, MapType::LruHash);
        for flags in [MapCreateFlags::empty(), MapCreateFlags::NO_COMMON_LRU] {
            if !lists && !flags.is_empty() {
                continue;
            }
            for node in [0, 1 << 20, u32::MAX] {
                let mut request = request(&spec, &name);
                request.flags |= flags;
                request.numa_node = Some(node);
                let made = host.map_create(&request);
                let key = format!("{} {flags:?} node {node}", spec.map_type);
                record.done(key.clone(), &made);
                if let Ok(made) = made {
                    record.fact(key, host.map_info(&made)?.flags);
                }
            }
        }
    }
    Ok(())
}

fn types(host: &dyn Host, record: &mut Record) -> Outcome {
    let own = int_types(host)?;
    let kernel = host.btf_by_id(1, None)?;
    let name = name("typed");
    for spec in kinds() {
        for (key_type, value_type) in [(0, 0), (INT, 0), (INT, INT)] {
            for (what, btf) in [("own", Some(&own)), ("kernel", kernel.as_ref())] {
                let Some(btf) = btf else { continue };
                let mut request = request(&spec, &name);
                request.btf = Some(MapBtf {
                    btf,
                    key_type,
                    value_type,
                    kernel_value_type: 0,
                    kernel_btf: None,
                });
                let made = host.map_create(&request);
                let key = format!("{} of {what} {key_type} {value_type}", spec.map_type);
                record.done(key.clone(), &made);
                if let Ok(made) = made {
                    let info = host.map_info(&made)?;
                    record.fact(key, (info.btf_id != 0, info.key_type, info.value_type));
                }
            }
        }
    }
    Ok(())
}

/// A map that is no outer one may be given an inner one, and is none the less an inner one then.
fn templates(host: &dyn Host, record: &mut Record) -> Outcome {
    let array = Spec::new("", MapType::Array, 4, 4, 1);
    let (first, name) = (array.create(host)?, name("map"));
    let mut given = request(&array, &name);
    given.inner_map = Some(&first);
    let given = host.map_create(&given);
    record.done("an array", &given);
    let outer = Spec::new("", MapType::ArrayOfMaps, 4, 4, 1);
    let mut outer = request(&outer, &name);
    let given = given?;
    outer.inner_map = Some(&given);
    let outer = host.map_create(&outer);
    record.done("an outer one", &outer);
    let put = host.map_update_elem(&outer?, &[0; 4], &first.raw().to_ne_bytes(), 0);
    record.answer("put", &put);
    Ok(())
}

fn shapes(host: &dyn Host, record: &mut Record) -> Outcome {
    for (key, value, entries) in [
        (512, 4, 4),
        (513, 4, 4),
        (513, 5, 4),
        (513, 4, 0),
        (1 << 30, 0, 4),
        (0, 4, 4),
    ] {
        let made = Spec::new("", MapType::Sockhash, key, value, entries).create(host);
        record.done(format!("sockhash {key} {value} {entries}"), &made);
    }
    let both = MapCreateFlags::RDONLY_PROG | MapCreateFlags::WRONLY_PROG;
    for flags in [
        MapCreateFlags::RDONLY_PROG,
        MapCreateFlags::WRONLY_PROG,
        both,
    ] {
        for map_type in [
            MapType::ReuseportSockarray,
            MapType::Devmap,
            MapType::Sockmap,
        ] {
            let made = Spec::new("", map_type, 4, 4, 4).with(flags).create(host);
            record.done(format!("{map_type} {flags:?}"), &made);
        }
    }
    for map_type in [MapType::Devmap, MapType::DevmapHash, MapType::Cpumap] {
        let made = Spec::new("", map_type, 4, 4, 4).create(host)?;
        record.fact(format!("{map_type} flags"), host.map_info(&made)?.flags);
    }
    let made = Spec::new("", MapType::Cpumap, 4, 4, 1 << 20).create(host);
    record.done("cpumap entries", &made);
    let mut arena = Spec::new("", MapType::Arena, 0, 0, 1).with(MapCreateFlags::MMAPABLE);
    arena.extra = 4096;
    record.done("arena at an address", &arena.create(host));
    let btf = int_types(host)?;
    let name = name("storage");
    for map_type in [
        MapType::SkStorage,
        MapType::InodeStorage,
        MapType::TaskStorage,
        MapType::CgrpStorage,
    ] {
        for (key, value, entries) in [(4, 4, 0), (4, 1 << 20, 0), (4, 1 << 20, 1), (8, 1 << 20, 0)]
        {
            let mut request = MapCreate::new(map_type, &name, key, value, entries);
            request.flags = MapCreateFlags::NO_PREALLOC;
            request.btf = Some(MapBtf {
                btf: &btf,
                key_type: INT,
                value_type: INT,
                kernel_value_type: 0,
                kernel_btf: None,
            });
            let made = host.map_create(&request);
            record.done(format!("{map_type} {key} {value} {entries}"), &made);
        }
    }
    Ok(())
}

/// What a map's first descriptor may do says nothing of the map.
fn one_way(host: &dyn Host, record: &mut Record) -> Outcome {
    let name = name("outer");
    for spec in kinds() {
        let Ok(template) = spec.create(host) else {
            continue;
        };
        for outer in [MapType::ArrayOfMaps, MapType::HashOfMaps] {
            let mut request = MapCreate::new(outer, &name, 4, 4, 1);
            request.inner_map = Some(&template);
            let Ok(outer_map) = host.map_create(&request) else {
                continue;
            };
            for flags in [
                MapCreateFlags::RDONLY,
                MapCreateFlags::WRONLY,
                MapCreateFlags::RDONLY_PROG,
            ] {
                let Ok(inner) = spec.clone().with(flags).create(host) else {
                    continue;
                };
                let put = host.map_update_elem(&outer_map, &[0; 4], &inner.raw().to_ne_bytes(), 0);
                record.answer(format!("{outer} of {} {flags:?}", spec.map_type), &put);
            }
        }
    }
    Ok(())
}
