//! Mapping maps: what may be mapped, by which descriptors, and what is said first where several
//! things are wrong.

use skep_abi::{MapCreateFlags, MapType, ObjectFlags};
use skep_host::{Access, Host, MapCreate};
use skep_testing::{Outcome, Stop, Test};

use crate::support::{Record, agree, name};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("mappings::descriptors_answer_alike", || agree(descriptors)),
        Test::new("mappings::frozen_maps_answer_alike", || agree(frozen)),
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
