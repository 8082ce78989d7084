//! Mapping maps: what may be mapped, by which descriptors, and what is said first where several
//! things are wrong.

use skep_abi::{MapCreateFlags, MapType, ObjectFlags, ProgramType};
use skep_host::{Access, Host, MapCreate, MapFd};
use skep_testing::{Outcome, Stop, Test};

use crate::support::{Record, agree, int_types, load_on, name};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("mappings::descriptors_answer_alike", || agree(descriptors)),
        Test::new("mappings::frozen_maps_answer_alike", || agree(frozen)),
        Test::new("mappings::of_what_is_no_map", || agree(no_maps)),
    ]
}

const MAPPED: MapCreateFlags = MapCreateFlags::MMAPABLE;

const KINDS: &[(MapType, u32, u32, u32, MapCreateFlags)] = &[
    (MapType::Array, 4, 8, 512, MAPPED),
    (MapType::Array, 4, 8, 512, MapCreateFlags::empty()),
    (MapType::PercpuArray, 4, 8, 4, MapCreateFlags::empty()),
    (MapType::Hash, 4, 8, 4, MapCreateFlags::empty()),
    (MapType::Ringbuf, 0, 0, 4096, MapCreateFlags::empty()),
    (MapType::UserRingbuf, 0, 0, 4096, MapCreateFlags::empty()),
    (MapType::Arena, 0, 0, 1, MAPPED),
];

const WAYS: [Access; 2] = [Access::Read, Access::ReadWrite];

fn descriptors(host: &dyn Host, record: &mut Record) -> Outcome {
    let name = name("mapped");
    for (map_type, key, value, entries, flags) in KINDS {
        for opened in [
            ObjectFlags::empty(),
            ObjectFlags::RDONLY,
            ObjectFlags::WRONLY,
        ] {
            for access in WAYS {
                for offset in [0, 4096, 8192, 12_288, 16_384, 1 << 40] {
                    for len in [1, 4096, 8192] {
                        // An arena that was mapped once has its place.
                        let mut request = MapCreate::new(*map_type, &name, *key, *value, *entries);
                        request.flags = *flags;
                        let map = host.map_create(&request)?;
                        let id = host.map_info(&map)?.id;
                        let map = host.map_by_id(id, opened)?;
                        let map = map.ok_or_else(|| Stop::fail("it is gone"))?;
                        let mapped = host.map_memory(&map, offset, len, access);
                        let key = format!(
                            "{map_type} {flags:?} by {opened:?} for {access:?} {offset} {len}"
                        );
                        record.done(key, &mapped);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Descriptors of programs, types and links, that are given as maps.
fn no_maps(host: &dyn Host, record: &mut Record) -> Outcome {
    let program = load_on(host, ProgramType::SocketFilter, "r0 = 0\n exit", |_| {})?;
    let filter = load_on(host, ProgramType::RawTracepoint, "r0 = 0\n exit", |_| {})?;
    let link = host.raw_tracepoint_open(&filter, Some("sys_enter"), 0)?;
    for (what, other) in [
        ("a link", MapFd::new(link.into_descriptor())),
        ("a program", MapFd::new(program.into_descriptor())),
        ("types", MapFd::new(int_types(host)?.into_descriptor())),
    ] {
        for access in WAYS {
            for (offset, len) in [(0, 4096), (0, 0), (1, 4096), (4096, 1)] {
                let mapped = host.map_memory(&other, offset, len, access);
                record.done(format!("{what} for {access:?} {offset} {len}"), &mapped);
            }
        }
    }
    Ok(())
}

fn frozen(host: &dyn Host, record: &mut Record) -> Outcome {
    let name = name("frozen");
    for (map_type, key, value, entries, flags) in KINDS {
        for more in [MapCreateFlags::empty(), MapCreateFlags::RDONLY_PROG] {
            for access in WAYS {
                let mut request = MapCreate::new(*map_type, &name, *key, *value, *entries);
                request.flags = *flags | more;
                let label = format!("{map_type} {:?} for {access:?}", request.flags);
                let made = host.map_create(&request);
                record.done(label.clone(), &made);
                let Ok(map) = made else { continue };
                let mapped = host.map_memory(&map, 0, 4096, access);
                record.done(format!("{label} before"), &mapped);
                drop(mapped);
                if *map_type == MapType::Arena {
                    continue;
                }
                record.answer(format!("{label} freeze"), &host.map_freeze(&map));
                let mapped = host.map_memory(&map, 0, 4096, access);
                record.done(format!("{label} after"), &mapped);
            }
        }
    }
    Ok(())
}
