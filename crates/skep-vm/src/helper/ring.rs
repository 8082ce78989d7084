//! Helpers on ring buffers: records that programs write, samples that users wrote.

use skep_abi::RingbufFlags;
use skep_host::Errno;

use super::{Arguments, Outcome, Table, errno, shim};
use crate::{
    FaultKind,
    map::{Map, Ring, UserRing},
    memory::Block,
    run::{Dynptr, DynptrKind, MAX_DYNPTR, Ours, Run, Stop},
};

pub(super) static TABLE: Table = &[
    (130, shim!(ringbuf_output)),
    (131, shim!(ringbuf_reserve)),
    (132, shim!(ringbuf_submit)),
    (133, shim!(ringbuf_discard)),
    (134, shim!(ringbuf_query)),
    (198, shim!(ringbuf_reserve_dynptr)),
    (199, shim!(ringbuf_submit_dynptr)),
    (200, shim!(ringbuf_discard_dynptr)),
    (209, shim!(user_ringbuf_drain)),
];

fn no_ring(function: &'static str) -> FaultKind {
    FaultKind::Argument {
        function,
        reason: "the map is no ring buffer",
    }
}

fn ring<'r>(run: &'r Run<'_>, map: u64, function: &'static str) -> Result<&'r Ring, FaultKind> {
    run.map(map)?.of::<Ring>().ok_or(no_ring(function))
}

/// `bpf_ringbuf_output(ringbuf, data, size, flags)`
fn ringbuf_output(run: &Run<'_>, [map, data, size, flags, _]: Arguments) -> Outcome {
    let ring = ring(run, map, "bpf_ringbuf_output")?;
    let data = run.view(data, size, false)?;
    let Some(flags) = crate::map::ring_flags(flags) else {
        return Ok(errno(Errno::EINVAL));
    };
    let Some(record) = ring.reserve(size) else {
        return Ok(errno(Errno::EAGAIN));
    };
    record.copy_from(data);
    ring.commit(record.address(), false, flags);
    Ok(0)
}

/// A record that is the program's until it commits it.
fn reserve(run: &Run<'_>, map: u64, ring: &Ring, size: u64) -> Option<u64> {
    if run.held.records.is_full() {
        return None;
    }
    let record = ring.reserve(size)?;
    let start = record.address();
    run.held.records.add(run.taken(start), map);
    run.grant(Ours {
        start,
        len: size,
        writable: true,
    });
    Some(start)
}

/// Takes a record from the program and publishes it or gives it up.
fn commit(
    run: &Run<'_>,
    record: u64,
    flags: u64,
    discard: bool,
    function: &'static str,
) -> Result<(), FaultKind> {
    let held = run.held.records.take(record);
    let map = held.ok_or(FaultKind::Argument {
        function,
        reason: "this is no record that the program holds",
    })?;
    run.revoke(record);
    let flags = RingbufFlags::from_bits_retain(flags);
    ring(run, map, function)?.commit(record, discard, flags);
    Ok(())
}

/// Gives up the records that a run still holds at its end, so that their rings go on.
pub(super) fn give_up(run: &Run<'_>) {
    while let Some((record, map)) = run.held.records.pop() {
        run.revoke(record);
        if let Some(ring) = run.map(map).ok().and_then(Map::of::<Ring>) {
            ring.commit(record, true, RingbufFlags::empty());
        }
    }
}

/// `bpf_ringbuf_reserve(ringbuf, size, flags)`
fn ringbuf_reserve(run: &Run<'_>, [map, size, flags, ..]: Arguments) -> Outcome {
    let ring = ring(run, map, "bpf_ringbuf_reserve")?;
    if flags != 0 {
        return Ok(0);
    }
    Ok(reserve(run, map, ring, size).unwrap_or(0))
}

/// `bpf_ringbuf_submit(data, flags)`
fn ringbuf_submit(run: &Run<'_>, [record, flags, ..]: Arguments) -> Outcome {
    commit(run, record, flags, false, "bpf_ringbuf_submit")?;
    Ok(0)
}

/// `bpf_ringbuf_discard(data, flags)`
fn ringbuf_discard(run: &Run<'_>, [record, flags, ..]: Arguments) -> Outcome {
    commit(run, record, flags, true, "bpf_ringbuf_discard")?;
    Ok(0)
}

/// `bpf_ringbuf_query(ringbuf, flags)`
fn ringbuf_query(run: &Run<'_>, [map, what, ..]: Arguments) -> Outcome {
    Ok(ring(run, map, "bpf_ringbuf_query")?.query(what))
}

/// `bpf_ringbuf_reserve_dynptr(ringbuf, size, flags, ptr)`
fn ringbuf_reserve_dynptr(run: &Run<'_>, [map, size, flags, place, _]: Arguments) -> Outcome {
    let ring = ring(run, map, "bpf_ringbuf_reserve_dynptr")?;
    let size = u64::from(size as u32);
    // The place is the program's, or nothing is reserved.
    Dynptr::NULL.store(run, place)?;
    if flags != 0 {
        return Ok(errno(Errno::EINVAL));
    }
    if size > MAX_DYNPTR {
        return Ok(errno(Errno::E2BIG));
    }
    let Some(record) = reserve(run, map, ring, size) else {
        return Ok(errno(Errno::EINVAL));
    };
    Dynptr::new(DynptrKind::Ringbuf, record, size as u32).store(run, place)?;
    Ok(0)
}

fn commit_dynptr(
    run: &Run<'_>,
    place: u64,
    flags: u64,
    discard: bool,
    function: &'static str,
) -> Outcome {
    let dynptr = Dynptr::load(run, place)?;
    if dynptr.is_null() {
        return Ok(0);
    }
    commit(run, dynptr.data, flags, discard, function)?;
    Dynptr::NULL.store(run, place)?;
    Ok(0)
}

/// `bpf_ringbuf_submit_dynptr(ptr, flags)`
fn ringbuf_submit_dynptr(run: &Run<'_>, [place, flags, ..]: Arguments) -> Outcome {
    commit_dynptr(run, place, flags, false, "bpf_ringbuf_submit_dynptr")
}

/// `bpf_ringbuf_discard_dynptr(ptr, flags)`
fn ringbuf_discard_dynptr(run: &Run<'_>, [place, flags, ..]: Arguments) -> Outcome {
    commit_dynptr(run, place, flags, true, "bpf_ringbuf_discard_dynptr")
}

/// `bpf_user_ringbuf_drain(map, callback, ctx, flags)`
fn user_ringbuf_drain(run: &Run<'_>, [map, callback, context, flags, _]: Arguments) -> Outcome {
    let ring = run.map(map)?.of::<UserRing>();
    let ring = ring.ok_or(no_ring("bpf_user_ringbuf_drain"))?;
    let mut drain = match ring.drain(flags) {
        Ok(drain) => drain,
        Err(failed) => return Ok(errno(failed)),
    };
    let place = Block::new(16).map_err(|_| FaultKind::Internal("no memory".into()))?;
    let at = place.address();
    run.grant(Ours {
        start: at,
        len: 16,
        writable: false,
    });
    let outcome = samples(run, &mut drain, |bytes| {
        let len = bytes.len() as u64;
        let dynptr = Dynptr::new(DynptrKind::Local, bytes.address(), len as u32);
        dynptr.write_to(place.all());
        run.grant(Ours {
            start: bytes.address(),
            len,
            writable: true,
        });
        let answer = run.call_back(callback, [at, context, 0, 0, 0]);
        run.revoke(bytes.address());
        answer
    });
    run.revoke(at);
    outcome
}

/// Shows samples until `each` answers something else than 0.
fn samples(
    run: &Run<'_>,
    drain: &mut crate::map::Drain<'_>,
    mut each: impl FnMut(crate::memory::View<'_>) -> Result<u64, Stop>,
) -> Outcome {
    loop {
        match drain.next() {
            Ok(None) => break,
            Err(failed) => return Ok(errno(failed)),
            Ok(Some(sample)) => {
                let answer = each(sample.bytes)?;
                drain.release(&sample);
                if answer != 0 {
                    break;
                }
            }
        }
    }
    // Nothing else pays for those that were passed over.
    run.pay(drain.discarded())?;
    Ok(u64::from(drain.samples()))
}
