//! The commands on elements, which all map types share.

use skep_abi::{MapCreateFlags, MapType};
use skep_host::{Errno, Host, MapCreate};
use skep_testing::{Outcome, Test, ensure, host};

use crate::support::{Record, agree, is, map, name};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("maps::arrays_answer_alike", || agree(arrays)),
        Test::new("maps::one_way_descriptors_answer_alike", || agree(one_way)),
        Test::new("maps::frozen_maps_refuse_writes", frozen),
        Test::new("maps::flags_are_looked_at_first", || agree(takes)),
    ]
}

fn arrays(host: &dyn Host, record: &mut Record) -> Outcome {
    let name = name("array");
    for (key, value, entries) in [(4, 8, 4), (4, 8, 0), (8, 8, 1), (4, 0, 1), (0, 8, 1)] {
        let made = host.map_create(&MapCreate::new(MapType::Array, &name, key, value, entries));
        record.done(format!("array {key} {value} {entries}"), &made);
    }
    let map = host.map_create(&MapCreate::new(MapType::Array, &name, 4, 8, 4))?;
    for (index, flags) in [
        (0_u32, 0),
        (3, 2),
        (4, 0),
        (u32::MAX, 0),
        (1, 1),
        (1, 3),
        (1, 4),
        (1, 8),
    ] {
        let key = index.to_ne_bytes();
        let set = host.map_update_elem(&map, &key, &u64::from(index).to_ne_bytes(), flags);
        record.answer(format!("update {index} flags {flags}"), &set);
        let mut value = [0; 8];
        let found = host.map_lookup_elem(&map, &key, &mut value, 0);
        record.answer(format!("lookup {index}"), &found);
        record.fact("value", value);
        record.answer(format!("delete {index}"), &host.map_delete_elem(&map, &key));
        let taken = host.map_lookup_and_delete_elem(&map, &key, &mut value, 0);
        record.answer(format!("take {index}"), &taken);
        let mut next = [0; 4];
        let more = host.map_get_next_key(&map, Some(&key), &mut next);
        record.answer(format!("next of {index}"), &more);
        record.fact("next", next);
    }
    let mut next = [9; 4];
    record.answer("first", &host.map_get_next_key(&map, None, &mut next));
    record.fact("first", next);
    for flags in [1, 4, 8, 1 << 32] {
        let found = host.map_lookup_elem(&map, &[0; 4], &mut [0; 8], flags);
        record.answer(format!("lookup flags {flags}"), &found);
    }
    Ok(())
}

fn one_way(host: &dyn Host, record: &mut Record) -> Outcome {
    let name = name("way");
    for flags in [
        MapCreateFlags::RDONLY,
        MapCreateFlags::WRONLY,
        MapCreateFlags::RDONLY | MapCreateFlags::WRONLY,
    ] {
        let mut request = MapCreate::new(MapType::Array, &name, 4, 8, 1);
        request.flags = flags;
        let made = host.map_create(&request);
        record.done(format!("create {flags:?}"), &made);
        let Ok(map) = made else { continue };
        let key = [0; 4];
        record.answer("update", &host.map_update_elem(&map, &key, &[1; 8], 0));
        record.answer("lookup", &host.map_lookup_elem(&map, &key, &mut [0; 8], 0));
        record.answer("delete", &host.map_delete_elem(&map, &key));
        record.answer("next", &host.map_get_next_key(&map, None, &mut [0; 4]));
        record.answer("freeze", &host.map_freeze(&map));
        record.answer("update", &host.map_update_elem(&map, &key, &[1; 8], 0));
        record.answer("freeze again", &host.map_freeze(&map));
    }
    Ok(())
}

/// Taking out with flags that are none, by descriptors that may not.
fn takes(host: &dyn Host, record: &mut Record) -> Outcome {
    let name = name("taken");
    for map_type in [MapType::Hash, MapType::Array, MapType::PercpuHash] {
        for way in [MapCreateFlags::RDONLY, MapCreateFlags::WRONLY] {
            for freeze in [false, true] {
                let mut request = MapCreate::new(map_type, &name, 4, 8, 1);
                request.flags = if freeze { MapCreateFlags::empty() } else { way };
                let map = host.map_create(&request)?;
                if freeze {
                    host.map_freeze(&map)?;
                }
                let size = match map_type {
                    MapType::PercpuHash => 8 * host.possible_cpus()?,
                    _ => 8,
                };
                for flags in [0, 1, 2, 4, 32, 1 << 20, 1 << 33] {
                    let key = format!("{map_type} {way:?} {freeze} take {flags}");
                    let mut value = vec![0; size];
                    let taken = host.map_lookup_and_delete_elem(&map, &[0; 4], &mut value, flags);
                    record.answer(key, &taken);
                    if matches!(flags, 4 | 32 | 0x10_0000) {
                        let found = host.map_lookup_elem(&map, &[0; 4], &mut value, flags);
                        record.answer(format!("lookup {flags}"), &found);
                    }
                }
            }
        }
    }
    Ok(())
}

fn frozen() -> Outcome {
    let map = map(MapType::Array, 4, 8, 1)?;
    host().map_freeze(&map)?;
    let refused = host().map_update_elem(&map, &[0; 4], &[0; 8], 0);
    ensure(is(&refused, Errno::EPERM), || format!("{refused:?}"))?;
    let cause = refused
        .err()
        .and_then(|error| error.cause().map(ToString::to_string));
    ensure(
        cause.as_ref().is_some_and(|text| text.contains("frozen")),
        || format!("{cause:?}"),
    )
}
