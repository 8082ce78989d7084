//! The commands on maps and pins.

use skep_abi::{Command, MapCreateFlags, MapType, ObjectFlags, ProgramType};
use skep_host::{Cause, Errno, Host, MapBatch, MapCreate, ObjectId, PinPath, Pinned, ProgramLoad};
use skep_testing::{Bpffs, Outcome, Stop, ensure, expect_err, needs_kernel};

use super::refused;
use crate::{
    harness::{host, name},
    programs::{code, counter, counting, map},
};

pub(super) fn map_create() -> Outcome {
    let name = name("map");
    let mut request = MapCreate::new(MapType::Hash, &name, 4, 8, 16);
    request.flags = MapCreateFlags::NO_PREALLOC;
    let info = host().map_info(&host().map_create(&request)?)?;
    let right = info.map_type() == Some(MapType::Hash)
        && (info.key_size, info.value_size, info.max_entries) == (4, 8, 16)
        && info.flags == request.flags.bits()
        && info.name == name;
    ensure(right, || format!("{info:?}"))?;
    let error = expect_err("an array with keys of 3 bytes", {
        host().map_create(&MapCreate::new(MapType::Array, &name, 3, 8, 1))
    })?;
    ensure(
        refused(&error, Command::MapCreate)? == Errno::EINVAL && error.to_string().contains(&name),
        || error.to_string(),
    )?;
    // What the kernel says of it comes along where it says something.
    request.map_extra = 7;
    let error = expect_err("a hash with an extra", host().map_create(&request))?;
    let said = matches!(error.cause(), Some(Cause::Said(words)) if words.contains("map_extra"));
    ensure(said == needs_kernel(7, 2).is_ok(), || {
        format!("{error}: {:?}", error.cause())
    })
}

pub(super) fn elements() -> Outcome {
    let map = map(MapType::Hash, 4, 8, 4)?;
    let (key, mut value) = ([1, 2, 3, 4], [0; 8]);
    ensure(!host().map_lookup_elem(&map, &key, &mut value, 0)?, || {
        "there before".into()
    })?;
    host().map_update_elem(&map, &key, &[7; 8], 0)?;
    ensure(
        host().map_lookup_elem(&map, &key, &mut value, 0)? && value == [7; 8],
        || format!("{value:?}"),
    )?;
    let mut next = [0; 4];
    ensure(
        host().map_get_next_key(&map, None, &mut next)? && next == key,
        || format!("{next:?}"),
    )?;
    ensure(
        !host().map_get_next_key(&map, Some(&key), &mut next)?,
        || "two keys".into(),
    )?;
    ensure(host().map_delete_elem(&map, &key)?, || "not there".into())?;
    ensure(!host().map_delete_elem(&map, &key)?, || {
        "there still".into()
    })
}

pub(super) fn take() -> Outcome {
    needs_kernel(4, 20)?;
    let queue = map(MapType::Queue, 0, 8, 4)?;
    host().map_update_elem(&queue, &[], &[5; 8], 0)?;
    let mut value = [0; 8];
    let first = host().map_lookup_and_delete_elem(&queue, &[], &mut value, 0)?;
    let second = host().map_lookup_and_delete_elem(&queue, &[], &mut [0; 8], 0)?;
    ensure(first && value == [5; 8] && !second, || format!("{value:?}"))
}

pub(super) fn freeze() -> Outcome {
    needs_kernel(5, 2)?;
    let map = counter()?;
    let key = [0; 4];
    ensure(!host().map_status(&map)?.frozen, || "frozen before".into())?;
    if needs_kernel(6, 18).is_ok() {
        let error = expect_err("a hash of what may change", host().map_hash(&map))?;
        ensure(error.errno() == Some(Errno::EPERM), || error.to_string())?;
    }
    host().map_freeze(&map)?;
    let error = expect_err("a write", host().map_update_elem(&map, &key, &[1; 8], 0))?;
    ensure(
        refused(&error, Command::MapUpdateElem)? == Errno::EPERM && error.cause().is_some(),
        || format!("{error}: {:?}", error.cause()),
    )?;
    let status = host().map_status(&map)?;
    ensure(status.frozen, || format!("{status:?}"))?;
    if needs_kernel(6, 18).is_ok() {
        // SHA-256 of eight zero bytes.
        let hash = host().map_hash(&map)?;
        ensure(hash[..4] == [0xaf, 0x55, 0x70, 0xf5], || {
            format!("{hash:x?}")
        })?;
    }
    Ok(())
}

pub(super) fn batches() -> Outcome {
    needs_kernel(5, 6)?;
    let map = map(MapType::Hash, 4, 4, 8)?;
    let keys: Vec<u8> = (0u32..5).flat_map(u32::to_ne_bytes).collect();
    let set = host().map_update_batch(&map, &keys, &keys, 5, 0)?;
    ensure(set == 5, || format!("{set} set"))?;
    let read = |take: bool| {
        let (mut next, mut keys, mut values) = ([0; 4], [0; 32], [0; 32]);
        let mut batch = MapBatch {
            position: None,
            next_position: &mut next,
            keys: &mut keys,
            values: &mut values,
            count: 8,
            element_flags: 0,
        };
        let outcome = if take {
            host().map_lookup_and_delete_batch(&map, &mut batch)
        } else {
            host().map_lookup_batch(&map, &mut batch)
        }?;
        ensure(keys == values, || format!("{keys:?}, {values:?}"))?;
        Ok::<_, Stop>(outcome.count)
    };
    ensure(read(false)? == 5, || "not five".into())?;
    let deleted = host().map_delete_batch(&map, &keys[..8], 2, 0)?;
    ensure(deleted == 2, || format!("{deleted} deleted"))?;
    ensure(read(true)? == 3 && read(false)? == 0, || "not taken".into())
}

pub(super) fn pins() -> Outcome {
    let bpffs = Bpffs::mount()?;
    let path = bpffs.path().join("map");
    let map = counter()?;
    let id = host().map_info(&map)?.id;
    host().obj_pin(map.descriptor(), (&path).into())?;
    let reading = host().obj_get((&path).into(), ObjectFlags::RDONLY)?;
    let Pinned::Map(reading) = reading else {
        return Err(Stop::Fail(format!("{reading:?}")));
    };
    ensure(host().map_info(&reading)?.id == id, || "another".into())?;
    let error = expect_err("a write", {
        host().map_update_elem(&reading, &[0; 4], &[1; 8], 0)
    })?;
    ensure(error.errno() == Some(Errno::EPERM), || error.to_string())?;
    if needs_kernel(6, 5).is_ok() {
        let directory = host().cgroup_open(bpffs.path())?;
        let place = PinPath {
            path: "by_directory".as_ref(),
            directory: Some(directory.raw()),
        };
        host().obj_pin(map.descriptor(), place)?;
        let again = host().obj_get(place, ObjectFlags::empty())?;
        ensure(matches!(again, Pinned::Map(_)), || format!("{again:?}"))?;
        host().obj_unpin(&bpffs.path().join("by_directory"))?;
    }
    Ok(host().obj_unpin(&path)?)
}

pub(super) fn map_ids() -> Outcome {
    let map = counter()?;
    let id = host().map_info(&map)?.id;
    let next = host().next_id(ObjectId::Map(id - 1))?;
    ensure(next == Some(ObjectId::Map(id)), || format!("{next:?}"))?;
    let same = host()
        .map_by_id(id, ObjectFlags::WRONLY)?
        .ok_or_else(|| Stop::fail("gone"))?;
    host().map_update_elem(&same, &[0; 4], &[1; 8], 0)?;
    let error = expect_err("a read", {
        host().map_lookup_elem(&same, &[0; 4], &mut [0; 8], 0)
    })?;
    ensure(error.errno() == Some(Errno::EPERM), || error.to_string())
}

pub(super) fn exclusive() -> Outcome {
    needs_kernel(6, 18)?;
    let name = name("exclusive");
    let hash = [7; 32];
    let mut request = MapCreate::new(MapType::Array, &name, 4, 8, 1);
    request.exclusive = Some(&hash);
    let map = host().map_create(&request)?;
    let (code, name) = (code(&counting(&map, None, 0))?, name.clone());
    let request = ProgramLoad::new(ProgramType::RawTracepoint, &name, &code);
    let error = expect_err("a program of another hash", host().prog_load(&request))?;
    ensure(error.errno() == Some(Errno::EACCES), || {
        format!("{error}: {:?}", error.log())
    })
}
