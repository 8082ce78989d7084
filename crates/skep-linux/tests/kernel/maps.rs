//! Every map type that can be made here, and the commands on its elements.

use rustix::mount::{MountFlags, mount_remount};
use skep_abi::{MapCreateFlags, MapType, ObjectFlags};
use skep_host::{Cause, Errno, Error, Host, MapBatch, MapCreate, MapFd, ObjectId};
use skep_testing::{Bpffs, Outcome, Stop, Test, ensure, needs_kernel};

use crate::{
    harness::{host, name},
    programs::map,
};

pub(crate) fn trials() -> Vec<Test> {
    vec![
        Test::new("maps::every_type_is_created_and_described", every_type),
        Test::new("maps::elements_come_and_go", elements),
        Test::new("maps::per_cpu_values_are_one_a_cpu", per_cpu),
        Test::new("maps::queues_and_stacks", queues),
        Test::new("maps::batches", batches),
        Test::new("maps::frozen_maps_refuse_writes", frozen),
        Test::new("maps::wrong_sizes_never_reach_the_kernel", wrong_sizes),
        Test::new("maps::full_maps_say_so", full),
        Test::new("maps::maps_of_maps_show_ids", nested),
        Test::new("maps::pins_keep_a_map", pins),
        Test::new("maps::array_memory_is_shared", array_memory),
    ]
}

fn request(map_type: MapType, name: &str) -> Option<MapCreate<'_>> {
    let (key, value, entries) = match map_type {
        MapType::Unspec | MapType::StructOps | MapType::InsnArray => return None,
        // Their element is another map, or their owner is typed by BTF.
        MapType::ArrayOfMaps | MapType::HashOfMaps => return None,
        MapType::SkStorage
        | MapType::InodeStorage
        | MapType::TaskStorage
        | MapType::CgrpStorage => return None,
        MapType::PerfEventArray | MapType::ProgArray | MapType::CgroupArray => (4, 4, 4),
        MapType::Devmap | MapType::Cpumap | MapType::Xskmap | MapType::DevmapHash => (4, 4, 4),
        MapType::Sockmap | MapType::Sockhash => (4, 4, 4),
        MapType::ReuseportSockarray => (4, 8, 4),
        MapType::StackTrace => (4, 8 * 16, 16),
        MapType::LpmTrie => (8, 8, 4),
        MapType::CgroupStorage | MapType::PercpuCgroupStorage => (16, 8, 0),
        MapType::Queue | MapType::Stack | MapType::BloomFilter => (0, 8, 4),
        MapType::Ringbuf | MapType::UserRingbuf => (0, 0, 4096),
        MapType::Arena => (0, 0, 1),
        _ => (4, 8, 4),
    };
    let mut request = MapCreate::new(map_type, name, key, value, entries);
    if map_type == MapType::LpmTrie || map_type == MapType::Rhash {
        request.flags = MapCreateFlags::NO_PREALLOC;
    }
    if map_type == MapType::Arena {
        request.flags = MapCreateFlags::MMAPABLE;
    }
    Some(request)
}

fn every_type() -> Outcome {
    let version = host().info().version;
    let name = name("every");
    let mut made = 0;
    for &map_type in MapType::ALL {
        let Some(request) = request(map_type, &name) else {
            continue;
        };
        match host().map_create(&request) {
            Ok(map) => {
                let info = host().map_info(&map)?;
                ensure(info.map_type() == Some(map_type), || {
                    format!("{map_type}: {info:?}")
                })?;
                ensure(
                    info.key_size == request.key_size && info.name == name,
                    || format!("{map_type}: {info:?}"),
                )?;
                made += 1;
            }
            Err(error) if version < map_type.since() => {
                let told = matches!(error.cause(), Some(Cause::KernelTooOld { .. }));
                ensure(told, || {
                    format!("{map_type}: {error}, cause {:?}", error.cause())
                })?;
            }
            Err(error) => {
                return Err(Stop::Fail(format!(
                    "{map_type}: {error}, {:?}",
                    error.cause()
                )));
            }
        }
    }
    let there = |kind: &&MapType| kind.since() <= version && request(**kind, &name).is_some();
    let known = MapType::ALL.iter().filter(there).count();
    ensure(made == known, || format!("{made} types of {known}"))
}

fn elements() -> Outcome {
    for map_type in [MapType::Hash, MapType::LruHash] {
        let map = map(map_type, 4, 8, 16)?;
        let key = 7u32.to_ne_bytes();
        let mut value = [0; 8];
        ensure(!host().map_lookup_elem(&map, &key, &mut value, 0)?, || {
            "found in nothing".into()
        })?;
        host().map_update_elem(&map, &key, &42u64.to_ne_bytes(), 0)?;
        ensure(host().map_lookup_elem(&map, &key, &mut value, 0)?, || {
            "not found".into()
        })?;
        ensure(u64::from_ne_bytes(value) == 42, || format!("{value:?}"))?;
        let again = host()
            .map_update_elem(&map, &key, &value, 1)
            .expect_err("BPF_NOEXIST");
        ensure(again.errno() == Some(Errno::EEXIST), || again.to_string())?;
        let mut next = [0; 4];
        ensure(host().map_get_next_key(&map, None, &mut next)?, || {
            "no first key".into()
        })?;
        ensure(next == key, || format!("{next:?}"))?;
        ensure(
            !host().map_get_next_key(&map, Some(&key), &mut next)?,
            || "a second key".into(),
        )?;
        ensure(host().map_delete_elem(&map, &key)?, || {
            "was not there".into()
        })?;
        ensure(!host().map_delete_elem(&map, &key)?, || {
            "was still there".into()
        })?;
    }
    Ok(())
}

fn per_cpu() -> Outcome {
    let cpus = host().possible_cpus()?;
    for map_type in [
        MapType::PercpuArray,
        MapType::PercpuHash,
        MapType::LruPercpuHash,
    ] {
        let map = map(map_type, 4, 12, 4)?;
        let key = 1u32.to_ne_bytes();
        // 12 bytes take 16 a CPU.
        let mut all = vec![0; 16 * cpus];
        for (cpu, value) in all.chunks_mut(16).enumerate() {
            value[0] = cpu as u8 + 1;
        }
        host().map_update_elem(&map, &key, &all, 0)?;
        let mut back = vec![0; 16 * cpus];
        ensure(host().map_lookup_elem(&map, &key, &mut back, 0)?, || {
            "not found".into()
        })?;
        ensure(back == all, || format!("{back:?}"))?;
        let short = host().map_lookup_elem(&map, &key, &mut back[..12], 0);
        ensure(matches!(short, Err(Error::Request { .. })), || {
            format!("{short:?}")
        })?;
    }
    Ok(())
}

fn queues() -> Outcome {
    for (map_type, first) in [(MapType::Queue, 1u64), (MapType::Stack, 2)] {
        let map = map(map_type, 0, 8, 4)?;
        for number in [1u64, 2] {
            host().map_update_elem(&map, &[], &number.to_ne_bytes(), 0)?;
        }
        let mut value = [0; 8];
        ensure(
            host().map_lookup_and_delete_elem(&map, &[], &mut value, 0)?,
            || "empty".into(),
        )?;
        ensure(u64::from_ne_bytes(value) == first, || {
            format!("{map_type}: {value:?}")
        })?;
        ensure(
            host().map_lookup_and_delete_elem(&map, &[], &mut value, 0)?,
            || "empty".into(),
        )?;
        ensure(
            !host().map_lookup_and_delete_elem(&map, &[], &mut value, 0)?,
            || "more".into(),
        )?;
    }
    needs_kernel(5, 16)?;
    let bloom = map(MapType::BloomFilter, 0, 8, 100)?;
    host().map_update_elem(&bloom, &[], &5u64.to_ne_bytes(), 0)?;
    ensure(
        host().map_lookup_elem(&bloom, &[], &mut 5u64.to_ne_bytes(), 0)?,
        || "lost".into(),
    )
}

fn batches() -> Outcome {
    needs_kernel(5, 6)?;
    let map = map(MapType::Hash, 4, 8, 1000)?;
    let keys: Vec<u8> = (0..1000u32).flat_map(u32::to_ne_bytes).collect();
    let values: Vec<u8> = (0..1000u64).flat_map(|n| (n * n).to_ne_bytes()).collect();
    let set = host().map_update_batch(&map, &keys, &values, 1000, 0)?;
    ensure(set == 1000, || format!("{set} set"))?;

    let mut position: Option<[u8; 4]> = None;
    let mut seen = vec![false; 1000];
    loop {
        let (mut next, mut keys, mut values) = ([0; 4], vec![0; 4 * 300], vec![0; 8 * 300]);
        let outcome = host().map_lookup_batch(
            &map,
            &mut MapBatch {
                position: position.as_ref().map(|position| &position[..]),
                next_position: &mut next,
                keys: &mut keys,
                values: &mut values,
                count: 300,
                element_flags: 0,
            },
        )?;
        for (key, value) in keys
            .chunks(4)
            .zip(values.chunks(8))
            .take(outcome.count as usize)
        {
            let key = u32::from_ne_bytes(key.try_into().expect("4 bytes"));
            let value = u64::from_ne_bytes(value.try_into().expect("8 bytes"));
            ensure(value == u64::from(key) * u64::from(key), || {
                format!("{key}: {value}")
            })?;
            ensure(!std::mem::replace(&mut seen[key as usize], true), || {
                format!("{key} twice")
            })?;
        }
        if outcome.end {
            break;
        }
        position = Some(next);
    }
    ensure(seen.iter().all(|&seen| seen), || "some were missed".into())?;
    let gone = host().map_delete_batch(&map, &keys[..4 * 600], 600, 0)?;
    ensure(gone == 600, || format!("{gone} deleted"))?;

    let short = host().map_lookup_batch(
        &map,
        &mut MapBatch {
            position: None,
            next_position: &mut [0; 4],
            keys: &mut [0; 8],
            values: &mut [0; 800],
            count: 100,
            element_flags: 0,
        },
    );
    ensure(matches!(short, Err(Error::Request { .. })), || {
        format!("{short:?}")
    })
}

fn frozen() -> Outcome {
    needs_kernel(5, 2)?;
    let map = map(MapType::Array, 4, 8, 1)?;
    host().map_freeze(&map)?;
    let error = host()
        .map_update_elem(&map, &[0; 4], &[0; 8], 0)
        .expect_err("frozen");
    ensure(error.errno() == Some(Errno::EPERM), || error.to_string())?;
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    ensure(cause.contains("frozen"), || cause)
}

fn wrong_sizes() -> Outcome {
    let map = map(MapType::Hash, 4, 8, 1)?;
    for (key, value) in [(3, 8), (5, 8), (4, 7), (4, 9), (0, 0)] {
        let mut value = vec![0; value];
        let outcome = host().map_lookup_elem(&map, &vec![0; key], &mut value, 0);
        ensure(matches!(outcome, Err(Error::Request { .. })), || {
            format!("{outcome:?}")
        })?;
        let outcome = host().map_update_elem(&map, &vec![0; key], &value, 0);
        ensure(matches!(outcome, Err(Error::Request { .. })), || {
            format!("{outcome:?}")
        })?;
    }
    // A copy of the descriptor knows the shape too; a descriptor of something else has none.
    let copy = map.try_clone()?;
    drop(map);
    let outcome = host().map_lookup_elem(&copy, &[0; 4], &mut [0; 1], 0);
    ensure(matches!(outcome, Err(Error::Request { .. })), || {
        format!("{outcome:?}")
    })?;
    let stray = MapFd::new(host().trace_pipe()?);
    let outcome = host().map_lookup_elem(&stray, &[0; 4], &mut [0; 8], 0);
    ensure(outcome.is_err(), || "a pipe has no elements".into())
}

fn full() -> Outcome {
    let map = map(MapType::Hash, 4, 8, 1)?;
    host().map_update_elem(&map, &[1; 4], &[0; 8], 0)?;
    let error = host()
        .map_update_elem(&map, &[2; 4], &[0; 8], 0)
        .expect_err("full");
    let text = error.to_string();
    ensure(
        text.contains("BPF_MAP_UPDATE_ELEM") && text.contains(&name("map")),
        || text.clone(),
    )?;
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    ensure(cause.contains("full"), || cause)
}

fn nested() -> Outcome {
    let inner = map(MapType::Array, 4, 8, 1)?;
    let name = name("outer");
    let mut request = MapCreate::new(MapType::ArrayOfMaps, &name, 4, 4, 2);
    request.inner_map = Some(&inner);
    let outer = host().map_create(&request)?;
    host().map_update_elem(&outer, &[0; 4], &inner.raw().to_ne_bytes(), 0)?;
    let mut id = [0; 4];
    ensure(host().map_lookup_elem(&outer, &[0; 4], &mut id, 0)?, || {
        "not found".into()
    })?;
    let id = u32::from_ne_bytes(id);
    ensure(id == host().map_info(&inner)?.id, || format!("id {id}"))?;
    let opened = host()
        .map_by_id(id, ObjectFlags::empty())?
        .ok_or_else(|| Stop::Fail("gone".into()))?;
    ensure(host().map_info(&opened)?.max_entries == 1, || {
        "another map".into()
    })?;
    // Ids go upwards, and the one just made is among them.
    let after = host().next_id(ObjectId::Map(id - 1))?;
    ensure(after == Some(ObjectId::Map(id)), || format!("{after:?}"))
}

fn pins() -> Outcome {
    let bpffs = Bpffs::mount()?;
    let path = bpffs.path().join("kept");
    let id = {
        let map = map(MapType::Array, 4, 8, 1)?;
        host().obj_pin(map.descriptor(), (&path).into())?;
        let twice = host()
            .obj_pin(map.descriptor(), (&path).into())
            .expect_err("taken");
        ensure(matches!(twice.cause(), Some(Cause::InUse(_))), || {
            format!("{twice}")
        })?;
        host().map_info(&map)?.id
    };
    let skep_host::Pinned::Map(map) = host().obj_get((&path).into(), ObjectFlags::empty())? else {
        return Err(Stop::Fail("not a map".into()));
    };
    ensure(host().map_info(&map)?.id == id, || "another map".into())?;
    ensure(
        host().map_lookup_elem(&map, &[0; 4], &mut [0; 8], 0)?,
        || "no element".into(),
    )?;
    host().obj_unpin(&path)?;
    mount_remount(bpffs.path(), MountFlags::RDONLY, "")?;
    let refused = host().obj_pin(map.descriptor(), (&path).into());
    let refused = refused.expect_err("a file system that is read-only");
    let fix = refused.cause().map(Cause::fix).unwrap_or_default();
    let command = format!("mount -o remount,rw {}", bpffs.path().display());
    ensure(fix.contains(&command), || format!("{refused}: {fix}"))?;
    let gone = host()
        .obj_get((&path).into(), ObjectFlags::empty())
        .expect_err("unpinned");
    ensure(gone.errno() == Some(Errno::ENOENT), || gone.to_string())
}

fn array_memory() -> Outcome {
    needs_kernel(5, 5)?;
    let name = name("mmap");
    let mut request = MapCreate::new(MapType::Array, &name, 4, 8, 4);
    request.flags = MapCreateFlags::MMAPABLE;
    let map = host().map_create(&request)?;
    let page = host().page_size();
    let memory = host().map_memory(&map, 0, page, skep_host::Access::ReadWrite)?;
    memory
        .writable()
        .ok_or_else(|| Stop::Fail("not writable".into()))?[2]
        .store(99, std::sync::atomic::Ordering::SeqCst);
    let mut value = [0; 8];
    host().map_lookup_elem(&map, &2u32.to_ne_bytes(), &mut value, 0)?;
    ensure(u64::from_ne_bytes(value) == 99, || format!("{value:?}"))?;
    ensure(memory.committed(16..24) == value, || "bytes differ".into())?;
    let outside = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        memory.committed(page - 4..page + 4).len()
    }));
    ensure(outside.is_err(), || "a range outside".into())
}
