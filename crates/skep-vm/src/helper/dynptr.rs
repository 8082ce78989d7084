//! Helpers on dynptrs.

use skep_host::Errno;

use super::{Arguments, Outcome, Table, errno, shim, status};
use crate::run::{Dynptr, DynptrKind, MAX_DYNPTR, Run};

pub(super) static TABLE: Table = &[
    (197, shim!(dynptr_from_mem)),
    (201, shim!(dynptr_read)),
    (202, shim!(dynptr_write)),
    (203, shim!(dynptr_data)),
];

/// `bpf_dynptr_from_mem(data, size, flags, ptr)`
fn dynptr_from_mem(run: &Run<'_>, [data, size, flags, place, _]: Arguments) -> Outcome {
    let size = u64::from(size as u32);
    let failed = if size > MAX_DYNPTR {
        Some(Errno::E2BIG)
    } else if flags != 0 {
        Some(Errno::EINVAL)
    } else {
        None
    };
    if let Some(failed) = failed {
        Dynptr::NULL.store(run, place)?;
        return Ok(errno(failed));
    }
    run.view(data, size, true)?;
    Dynptr::new(DynptrKind::Local, data, size as u32).store(run, place)?;
    Ok(0)
}

/// `bpf_dynptr_read(dst, len, src, offset, flags)`
fn dynptr_read(run: &Run<'_>, [to, len, from, offset, flags]: Arguments) -> Outcome {
    let to = run.view(to, u64::from(len as u32), true)?;
    let from = Dynptr::load(run, from)?;
    if flags != 0 {
        return Ok(errno(Errno::EINVAL));
    }
    Ok(status(from.read(run, offset as u32, to)?))
}

/// `bpf_dynptr_write(dst, offset, src, len, flags)`
fn dynptr_write(run: &Run<'_>, [to, offset, from, len, flags]: Arguments) -> Outcome {
    let from = run.view(from, u64::from(len as u32), false)?;
    let to = Dynptr::load(run, to)?;
    Ok(status(to.write(run, offset as u32, from, flags)?))
}

/// `bpf_dynptr_data(ptr, offset, len)`
fn dynptr_data(run: &Run<'_>, [from, offset, len, ..]: Arguments) -> Outcome {
    let from = Dynptr::load(run, from)?;
    let (offset, len) = (offset as u32, len as u32);
    let usable = !from.is_null()
        && from.check(offset, len).is_ok()
        && !from.read_only
        && from.kind.is_memory();
    Ok(if usable { from.address(offset) } else { 0 })
}
