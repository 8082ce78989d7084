//! Maps of maps by batches: through descriptors that may only read or only write, and with values
//! that are no maps; and numbers of descriptors that are none of the host's.

use skep_abi::{MapCreateFlags, MapType, ProgramType};
use skep_host::{Host, MapBatch, MapCreate, ProgramLoad};
use skep_testing::{Outcome, Test};

use super::Spec;
use crate::support::{Record, agree, code, load_on, name};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("types::batches_of_maps", || agree(batches)),
        Test::new("types::what_every_process_has_open", || {
            agree(standard_input)
        }),
    ]
}

fn batches(host: &dyn Host, record: &mut Record) -> Outcome {
    let (read, write) = (MapCreateFlags::RDONLY, MapCreateFlags::WRONLY);
    let array = |flags| {
        Spec::new("", MapType::Array, 4, 4, 1)
            .with(flags)
            .create(host)
    };
    let inner = array(MapCreateFlags::empty())?;
    let (read_inner, write_inner) = (array(read)?, array(write)?);
    let other = Spec::new("", MapType::Array, 4, 8, 1).create(host)?;
    let program = load_on(host, ProgramType::SocketFilter, "r0 = 0\n exit", |_| {})?;
    let values = [
        ("a map", inner.raw()),
        ("a read-only map", read_inner.raw()),
        ("a write-only map", write_inner.raw()),
        ("another map", other.raw()),
        ("a program", program.raw()),
        ("what is open in every process", 0),
        ("closed", i32::MAX),
        ("none", -1),
    ];
    let name = name("outer");
    for map_type in [MapType::ArrayOfMaps, MapType::HashOfMaps] {
        for flags in [MapCreateFlags::empty(), read, write] {
            let mut request = MapCreate::new(map_type, &name, 4, 4, 2);
            request.inner_map = Some(&inner);
            request.flags = flags;
            let outer = host.map_create(&request)?;
            for (what, value) in values {
                // Each waits until no program uses the map.
                let all = [0, 1, 2, 4];
                let some = if what == "a map" { &all[..] } else { &all[..1] };
                for &element_flags in some {
                    let key = format!("{map_type} {flags:?} {what} {element_flags}");
                    let pair = [value.to_ne_bytes(), value.to_ne_bytes()].concat();
                    let keys = [0, 0, 0, 0, 1, 0, 0, 0];
                    let done = host.map_update_batch(&outer, &keys, &pair, 2, element_flags);
                    record.answer(format!("{key} update batch"), &done);
                    let one = &value.to_ne_bytes();
                    let done = host.map_update_elem(&outer, &[0; 4], one, element_flags);
                    record.answer(format!("{key} update"), &done);
                    for take in [false, true] {
                        let (mut keys, mut values) = ([0; 8], [0; 8]);
                        let mut next = [0; 4];
                        let mut batch = MapBatch {
                            position: None,
                            next_position: &mut next,
                            keys: &mut keys,
                            values: &mut values,
                            count: 2,
                            element_flags,
                        };
                        let done = match take {
                            true => host.map_lookup_and_delete_batch(&outer, &mut batch),
                            false => host.map_lookup_batch(&outer, &mut batch),
                        };
                        record.answer(format!("{key} read {take}"), &done.map(|done| done.count));
                    }
                    let done = host.map_delete_batch(&outer, &[0; 4], 1, element_flags);
                    record.answer(format!("{key} delete batch"), &done);
                    let done = host.map_delete_batch(&outer, &[1, 0, 0, 0], 1, 0);
                    record.answer(format!("{key} delete batch more"), &done);
                }
            }
        }
    }
    Ok(())
}

/// What every process has open is none of the things that maps hold.
fn standard_input(host: &dyn Host, record: &mut Record) -> Outcome {
    for map_type in [
        MapType::ProgArray,
        MapType::CgroupArray,
        MapType::PerfEventArray,
    ] {
        let map = Spec::new("", map_type, 4, 4, 1).create(host)?;
        for number in [0, 1, 2, i32::MAX, -1] {
            let put = host.map_update_elem(&map, &[0; 4], &number.to_ne_bytes(), 0);
            record.answer(format!("{map_type} {number}"), &put);
        }
    }
    for number in [0, 2, i32::MAX] {
        let code = code(&format!("r1 = map[fd:{number}]\n r0 = 0\n exit"))?;
        let loaded = host.prog_load(&ProgramLoad::new(ProgramType::SocketFilter, "p", &code));
        record.done(format!("a program with map {number}"), &loaded);
        let asked = host.task_fd_query(std::process::id(), number);
        record.answer(format!("what {number} is attached to"), &asked);
    }
    Ok(())
}
