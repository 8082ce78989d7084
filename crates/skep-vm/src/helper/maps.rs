//! Helpers on maps.

use std::ops::ControlFlow;

use skep_abi::MapType;
use skep_host::Errno;

use super::{Arguments, Outcome, Table, errno, shim, status};
use crate::{
    map::{LOCK, Map, Sockets},
    memory::View,
    run::{Ours, Run, Stop},
};

pub(super) static TABLE: Table = &[
    (1, shim!(map_lookup_elem)),
    (2, shim!(map_update_elem)),
    (3, shim!(map_delete_elem)),
    (87, shim!(map_push_elem)),
    (88, shim!(map_pop_elem)),
    (89, shim!(map_peek_elem)),
    (164, shim!(for_each_map_elem)),
    (195, shim!(map_lookup_percpu_elem)),
];

/// `bpf_map_lookup_elem(map, key)`
fn map_lookup_elem(run: &Run<'_>, [map, key, ..]: Arguments) -> Outcome {
    let map = run.map(map)?;
    let key = run.view(key, u64::from(map.shape.key_size), false)?;
    match map.kind.lookup(run.cpu, key) {
        Some(value) => Ok(run.given(map, value)),
        None => Ok(match map.kind.inner(key) {
            Some(inner) => {
                run.pay(run.kept())?;
                run.keep(inner)
            }
            None => socket(run, map, key),
        }),
    }
}

/// The socket of a key, in a map of sockets.
fn socket(run: &Run<'_>, map: &Map, key: View<'_>) -> u64 {
    let sockets = map.of::<Sockets>();
    let socket = sockets.and_then(|sockets| sockets.socket(&key.to_vec()));
    socket.map_or(0, |socket| run.show_socket(&socket))
}

/// `bpf_map_update_elem(map, key, value, flags)`
fn map_update_elem(run: &Run<'_>, [map, key, value, flags, _]: Arguments) -> Outcome {
    let map = run.map(map)?;
    let key = run.view(key, u64::from(map.shape.key_size), false)?;
    let value = run.view(value, u64::from(map.shape.value_size), false)?;
    if !map.shape.writable_by_programs() {
        return Ok(errno(Errno::EACCES));
    }
    let done = match run.has_seen(map) {
        true => map.kind.update(run.cpu, key, value, flags),
        false => map.kind.update_unseen(run.cpu, key, value, flags),
    };
    if flags & LOCK != 0 && done == Err(Errno::EBUSY) {
        // The value's lock was waited for.
        run.pay_for_waiting()?;
    }
    Ok(status(done))
}

/// `bpf_map_delete_elem(map, key)`
fn map_delete_elem(run: &Run<'_>, [map, key, ..]: Arguments) -> Outcome {
    let map = run.map(map)?;
    let key = run.view(key, u64::from(map.shape.key_size), false)?;
    if !map.shape.writable_by_programs() {
        return Ok(errno(Errno::EACCES));
    }
    Ok(status(map.kind.delete(key)))
}

/// `bpf_map_push_elem(map, value, flags)`
fn map_push_elem(run: &Run<'_>, [map, value, flags, ..]: Arguments) -> Outcome {
    let map = run.map(map)?;
    let value = run.view(value, u64::from(map.shape.value_size), false)?;
    if !map.shape.writable_by_programs() {
        return Ok(errno(Errno::EACCES));
    }
    Ok(status(map.kind.push(value, flags)))
}

/// `bpf_map_pop_elem(map, value)`
fn map_pop_elem(run: &Run<'_>, [map, value, ..]: Arguments) -> Outcome {
    let map = run.map(map)?;
    let value = run.view(value, u64::from(map.shape.value_size), true)?;
    if !map.shape.writable_by_programs() {
        return Ok(errno(Errno::EACCES));
    }
    Ok(status(map.kind.pop(value)))
}

/// `bpf_map_peek_elem(map, value)`
fn map_peek_elem(run: &Run<'_>, [map, value, ..]: Arguments) -> Outcome {
    let map = run.map(map)?;
    // A bloom filter reads the value that it is asked for, a queue writes the one that it has.
    let value = run.view(value, u64::from(map.shape.value_size), true)?;
    Ok(status(map.kind.peek(value)))
}

/// `bpf_map_lookup_percpu_elem(map, key, cpu)`
fn map_lookup_percpu_elem(run: &Run<'_>, [map, key, cpu, ..]: Arguments) -> Outcome {
    let map = run.map(map)?;
    let key = run.view(key, u64::from(map.shape.key_size), false)?;
    let cpu = cpu as u32;
    if cpu >= run.vm.cpus.count() {
        return Ok(0);
    }
    run.saw(map);
    Ok(map.kind.lookup(cpu, key).map_or(0, |value| value.address()))
}

/// `bpf_for_each_map_elem(map, callback, callback_ctx, flags)`
fn for_each_map_elem(run: &Run<'_>, [handle, callback, context, flags, _]: Arguments) -> Outcome {
    let map = run.map(handle)?;
    if flags != 0 {
        return Ok(errno(Errno::EINVAL));
    }
    if !matches!(map.shape.map_type, MapType::Array | MapType::PercpuArray) {
        // Of a table without elements all is gone through, and no callback pays for it.
        run.pay(map.shape.max_entries / 16)?;
    }
    let key_size = map.shape.key_size as usize;
    // The callback sees a copy of the key, since the map's own may be no memory of the program.
    let mut words = vec![0_u64; key_size.div_ceil(8)];
    let key_copy = View::of_words(&mut words);
    let start = key_copy.address();
    if key_size > 0 {
        run.grant(Ours {
            start,
            len: key_size as u64,
            writable: false,
        });
    }
    run.saw(map);
    let mut stopped = None;
    let seen = map.kind.for_each(run.cpu, &mut |key, value| {
        key_copy.copy_from(key);
        let arguments = [handle, start, value.address(), context, 0];
        match run.call_back(callback, arguments) {
            Ok(0) => ControlFlow::Continue(()),
            Ok(_) => ControlFlow::Break(()),
            Err(stop) => {
                stopped = Some(stop);
                ControlFlow::Break(())
            }
        }
    });
    if key_size > 0 {
        run.revoke(start);
    }
    match stopped {
        Some(stop) => Err::<u64, Stop>(stop),
        None => Ok(seen.map_or_else(errno, u64::from)),
    }
}
