//! Helpers on text: formats, numbers, `bpf_trace_printk`.

mod format;
mod number;
pub(super) mod value;

use skep_host::Errno;

use super::{Arguments, Outcome, Table, errno, shim};
use crate::{FaultKind, memory::View, run::Run};

pub(crate) use format::{MAX_ARGUMENTS, format};

pub(super) static TABLE: Table = &[
    (6, shim!(trace_printk)),
    (105, shim!(number::strtol)),
    (106, shim!(number::strtoul)),
    (149, shim!(snprintf_btf)),
    (165, shim!(snprintf)),
    (177, shim!(trace_vprintk)),
    (182, shim!(strncmp)),
];

/// Bytes of a line of `bpf_trace_printk`, its NUL included (`MAX_BPRINTF_BUF`).
const LINE: usize = 1024;

/// The longest constant string that is looked through for its end.
const CONSTANT: usize = 1 << 20;

/// Turns a result with both kinds of failure into R0.
pub(crate) fn number(result: Result<Result<u64, Errno>, FaultKind>) -> Outcome {
    Ok(result?.unwrap_or_else(errno))
}

/// The text of a format with a length, which must have a NUL.
///
/// # Errors
/// Inside: `EINVAL`. Outside: it is not the program's memory.
pub(crate) fn sized_format(
    run: &Run<'_>,
    address: u64,
    size: u64,
) -> Result<Result<Vec<u8>, Errno>, FaultKind> {
    let mut bytes = run.view(address, size, false)?.to_vec();
    let end = bytes.iter().position(|byte| *byte == 0);
    Ok(end.ok_or(Errno::EINVAL).map(|end| {
        bytes.truncate(end);
        bytes
    }))
}

/// The arguments of a format, as the program has laid them out side by side.
///
/// # Errors
/// Inside: `EINVAL` for a length that is no whole number of arguments, or too many of them.
/// Outside: it is not the program's memory.
pub(crate) fn arguments(
    run: &Run<'_>,
    address: u64,
    len: u64,
) -> Result<Result<Vec<u64>, Errno>, FaultKind> {
    if !len.is_multiple_of(8) || len > 8 * MAX_ARGUMENTS as u64 || (len > 0 && address == 0) {
        return Ok(Err(Errno::EINVAL));
    }
    let view = run.view(address, len, false)?;
    let words = (0..len as usize / 8).filter_map(|index| view.u64_at(8 * index));
    Ok(Ok(words.collect()))
}

/// `bpf_trace_printk(fmt, fmt_size, ...)`
fn trace_printk(run: &Run<'_>, [text, size, first, second, third]: Arguments) -> Outcome {
    number((|| {
        let text = match sized_format(run, text, u64::from(size as u32))? {
            Ok(text) => text,
            Err(errno) => return Ok(Err(errno)),
        };
        Ok(print(run, &text, &[first, second, third]))
    })())
}

/// `bpf_trace_vprintk(fmt, fmt_size, data, data_len)`
fn trace_vprintk(run: &Run<'_>, [text, size, data, len, _]: Arguments) -> Outcome {
    number((|| {
        let values = match arguments(run, data, u64::from(len as u32))? {
            Ok(values) => values,
            Err(errno) => return Ok(Err(errno)),
        };
        let text = match sized_format(run, text, u64::from(size as u32))? {
            Ok(text) => text,
            Err(errno) => return Ok(Err(errno)),
        };
        Ok(print(run, &text, &values))
    })())
}

/// Writes a line to the trace pipe.
fn print(run: &Run<'_>, text: &[u8], values: &[u64]) -> Result<u64, Errno> {
    let line = format(run, text, values, LINE)?;
    run.vm.trace.line(run, &line.bytes);
    Ok(line.len)
}

/// `bpf_snprintf(str, str_size, fmt, data, data_len)`
fn snprintf(run: &Run<'_>, [out, size, text, data, len]: Arguments) -> Outcome {
    number((|| {
        let size = u64::from(size as u32);
        let out = run.view(out, size, true)?;
        let values = match arguments(run, data, u64::from(len as u32))? {
            Ok(values) => values,
            Err(errno) => return Ok(Err(errno)),
        };
        let text = run.text(text, CONSTANT)?;
        Ok(format(run, &text, &values, size as usize).map(|done| {
            terminated(out, &done.bytes);
            done.len + 1
        }))
    })())
}

/// `bpf_snprintf_btf(str, str_size, ptr, btf_ptr_size, flags)`
fn snprintf_btf(run: &Run<'_>, [out, size, place, len, flags]: Arguments) -> Outcome {
    let size = u64::from(size as u32);
    let out = run.view(out, size, true)?;
    number(value::text(run, place, len, flags).map(|text| {
        text.map(|text| {
            let kept = text.len().min((size as usize).saturating_sub(1));
            terminated(out, text.as_bytes().get(..kept).unwrap_or_default());
            text.len() as u64
        })
    }))
}

/// Writes bytes and a NUL, where there is room for it.
pub(crate) fn terminated(out: View<'_>, bytes: &[u8]) {
    out.write(bytes);
    out.set_u8(bytes.len(), 0);
}

/// `bpf_strncmp(s1, s1_sz, s2)`
fn strncmp(run: &Run<'_>, [first, len, second, ..]: Arguments) -> Outcome {
    let len = u64::from(len as u32);
    let first = run.view(first, len, false)?;
    for at in 0..len {
        let one = first.u8_at(at as usize).unwrap_or_default();
        let other = run.view(second.wrapping_add(at), 1, false)?.u8_at(0);
        let other = other.unwrap_or_default();
        if one != other {
            return Ok(if one < other { -1_i64 as u64 } else { 1 });
        }
        if one == 0 {
            break;
        }
    }
    Ok(0)
}
