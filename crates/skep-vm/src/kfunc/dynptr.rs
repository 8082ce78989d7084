//! Kernel functions on dynptrs.

use skep_host::Errno;

use super::Table;
use crate::{
    helper::{Arguments, Outcome, errno, shim, status},
    memory::View,
    run::{Dynptr, DynptrKind, Region, Run, Stop},
};

pub(super) static TABLE: Table = &[
    ("bpf_dynptr_adjust", shim!(adjust)),
    ("bpf_dynptr_is_null", shim!(is_null)),
    ("bpf_dynptr_is_rdonly", shim!(is_rdonly)),
    ("bpf_dynptr_size", shim!(size)),
    ("bpf_dynptr_clone", shim!(clone)),
    ("bpf_dynptr_copy", shim!(copy)),
    ("bpf_dynptr_memset", shim!(memset)),
    ("bpf_dynptr_slice", shim!(slice)),
    ("bpf_dynptr_slice_rdwr", shim!(slice_rdwr)),
];

/// Bytes that go from one packet to another at once.
const CHUNK: usize = 256;

/// `bpf_dynptr_adjust(p, start, end)`
fn adjust(run: &Run<'_>, [place, start, end, ..]: Arguments) -> Outcome {
    let mut dynptr = Dynptr::load(run, place)?;
    let (start, end) = (start as u32, end as u32);
    if dynptr.is_null() || start > end {
        return Ok(errno(Errno::EINVAL));
    }
    if start > dynptr.size || end > dynptr.size {
        return Ok(errno(Errno::ERANGE));
    }
    dynptr.offset = dynptr.offset.wrapping_add(start);
    dynptr.size = end - start;
    dynptr.store(run, place)?;
    Ok(0)
}

/// `bpf_dynptr_is_null(p)`
fn is_null(run: &Run<'_>, [place, ..]: Arguments) -> Outcome {
    Ok(Dynptr::load(run, place)?.is_null().into())
}

/// `bpf_dynptr_is_rdonly(p)`
fn is_rdonly(run: &Run<'_>, [place, ..]: Arguments) -> Outcome {
    let dynptr = Dynptr::load(run, place)?;
    Ok(u64::from(!dynptr.is_null() && dynptr.read_only))
}

/// `bpf_dynptr_size(p)`
fn size(run: &Run<'_>, [place, ..]: Arguments) -> Outcome {
    let dynptr = Dynptr::load(run, place)?;
    let failed = Errno::EINVAL.0.wrapping_neg() as u32;
    Ok(if dynptr.is_null() {
        failed
    } else {
        dynptr.size
    }
    .into())
}

/// `bpf_dynptr_clone(p, clone)`
fn clone(run: &Run<'_>, [place, to, ..]: Arguments) -> Outcome {
    let dynptr = Dynptr::load(run, place)?;
    if dynptr.is_null() {
        Dynptr::NULL.store(run, to)?;
        return Ok(errno(Errno::EINVAL));
    }
    dynptr.store(run, to)?;
    Ok(0)
}

/// `bpf_dynptr_copy(dst, dst_off, src, src_off, size)`
fn copy(run: &Run<'_>, [to, to_at, from, from_at, len]: Arguments) -> Outcome {
    let (to, from) = (Dynptr::load(run, to)?, Dynptr::load(run, from)?);
    let (to_at, from_at, len) = (to_at as u32, from_at as u32, len as u32);
    if !from.is_null() && from.kind.is_memory() && from.check(from_at, len).is_ok() {
        let bytes = run.view(from.address(from_at), len.into(), false)?;
        return Ok(status(to.write(run, to_at, bytes, 0)?));
    }
    let written = !to.is_null() && !to.read_only && to.kind.is_memory();
    if written && to.check(to_at, len).is_ok() {
        let bytes = run.view(to.address(to_at), len.into(), true)?;
        return Ok(status(from.read(run, from_at, bytes)?));
    }
    if let Err(failed) = to.check(to_at, len).and(from.check(from_at, len)) {
        return Ok(errno(failed));
    }
    let mut chunk = [0; CHUNK];
    for done in (0..len).step_by(CHUNK) {
        let part = chunk.len().min((len - done) as usize);
        let bytes = View::of(&mut chunk[..part]);
        let step = match from.read(run, from_at + done, bytes)? {
            Ok(()) => to.write(run, to_at + done, bytes, 0)?,
            failed => failed,
        };
        if let Err(failed) = step {
            return Ok(errno(failed));
        }
    }
    Ok(0)
}

/// `bpf_dynptr_memset(p, offset, size, val)`
fn memset(run: &Run<'_>, [place, offset, len, value, _]: Arguments) -> Outcome {
    let to = Dynptr::load(run, place)?;
    let (offset, len) = (offset as u32, len as u32);
    if to.read_only {
        return Ok(errno(Errno::EINVAL));
    }
    if let Err(failed) = to.check(offset, len) {
        return Ok(errno(failed));
    }
    if to.kind.is_memory() && !to.is_null() {
        let bytes = run.view(to.address(offset), len.into(), true)?;
        bytes.fill(value as u8);
        return Ok(0);
    }
    let mut chunk = [value as u8; CHUNK];
    for done in (0..len).step_by(CHUNK) {
        let part = chunk.len().min((len - done) as usize);
        let bytes = View::of(&mut chunk[..part]);
        if let Err(failed) = to.write(run, offset + done, bytes, 0)? {
            return Ok(errno(failed));
        }
    }
    Ok(0)
}

/// The address of bytes of the dynptr, or the buffer with a copy where they do not lie side by
/// side; 0 where neither is.
fn slice_of(
    run: &Run<'_>,
    dynptr: Dynptr,
    [_, offset, buffer, len, _]: Arguments,
) -> Result<u64, Stop> {
    let (offset, len) = (offset as u32, len as u32);
    if dynptr.is_null() || dynptr.check(offset, len).is_err() {
        return Ok(0);
    }
    if dynptr.kind.is_memory() {
        run.view(dynptr.address(offset), len.into(), !dynptr.read_only)?;
        return Ok(dynptr.address(offset));
    }
    if let Some(address) = packet_bytes(run, dynptr, offset, len) {
        return Ok(address);
    }
    if buffer == 0 {
        return Ok(0);
    }
    let bytes = run.view(buffer, len.into(), true)?;
    let copied = dynptr.read(run, offset, bytes)?;
    Ok(copied.map_or(0, |()| buffer))
}

/// The address of bytes of the run's packet, if they lie side by side and the program reaches
/// packets by address.
fn packet_bytes(run: &Run<'_>, dynptr: Dynptr, offset: u32, len: u32) -> Option<u64> {
    let place = run.packet.place.get();
    if !matches!(dynptr.kind, DynptrKind::Skb | DynptrKind::Xdp) || dynptr.data != run.context() {
        return None;
    }
    let address = place.data + u64::from(dynptr.offset) + u64::from(offset);
    if address + u64::from(len) > place.end {
        return None;
    }
    let reached = run.check(address, len.into(), !dynptr.read_only) == Region::Ours;
    reached.then_some(address)
}

/// `bpf_dynptr_slice(p, offset, buffer, buffer__szk)`
fn slice(run: &Run<'_>, arguments: Arguments) -> Outcome {
    let dynptr = Dynptr::load(run, arguments[0])?;
    slice_of(run, dynptr, arguments)
}

/// `bpf_dynptr_slice_rdwr(p, offset, buffer, buffer__szk)`
fn slice_rdwr(run: &Run<'_>, arguments: Arguments) -> Outcome {
    let dynptr = Dynptr::load(run, arguments[0])?;
    if dynptr.is_null() || dynptr.read_only {
        return Ok(0);
    }
    slice_of(run, dynptr, arguments)
}
