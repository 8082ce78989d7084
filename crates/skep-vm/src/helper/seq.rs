//! Helpers that write the text of an iterator.

use skep_host::Errno;

use super::{
    Arguments, Outcome, Table, errno, shim, status,
    text::{MAX_ARGUMENTS, format, value},
};
use crate::{
    FaultKind,
    run::{Run, Stop},
};

pub(super) static TABLE: Table = &[
    (126, shim!(seq_printf)),
    (127, shim!(seq_write)),
    (150, shim!(seq_printf_btf)),
];

/// The longest line.
const LINE: usize = 1 << 15;

fn sequence(run: &Run<'_>, seq: u64, function: &'static str) -> Result<(), Stop> {
    match run.seq.is(seq) {
        true => Ok(()),
        false => Err(FaultKind::Argument {
            function,
            reason: "this is not the iterator's sequence",
        }
        .into()),
    }
}

/// `bpf_seq_printf(m, fmt, fmt_size, data, data_len)`
fn seq_printf(run: &Run<'_>, [seq, text, size, data, len]: Arguments) -> Outcome {
    sequence(run, seq, "bpf_seq_printf")?;
    let len = u64::from(len as u32);
    if !len.is_multiple_of(8) || len > 8 * MAX_ARGUMENTS as u64 || (len > 0 && data == 0) {
        return Ok(errno(Errno::EINVAL));
    }
    let text = run.view(text, u64::from(size as u32), false)?.to_vec();
    let Some(end) = text.iter().position(|byte| *byte == 0) else {
        return Ok(errno(Errno::EINVAL));
    };
    let values = run.view(data, len, false)?;
    let values: Vec<u64> = (0..len as usize / 8)
        .filter_map(|index| values.u64_at(8 * index))
        .collect();
    let text = text.get(..end).unwrap_or_default();
    Ok(match format(run, text, &values, LINE) {
        Ok(line) => status(run.seq.write(&line.bytes)),
        Err(number) => errno(number),
    })
}

/// `bpf_seq_printf_btf(m, ptr, ptr_size, flags)`
fn seq_printf_btf(run: &Run<'_>, [seq, place, size, flags, _]: Arguments) -> Outcome {
    sequence(run, seq, "bpf_seq_printf_btf")?;
    Ok(match value::text(run, place, size, flags)? {
        Ok(text) => status(run.seq.write(text.as_bytes())),
        Err(number) => errno(number),
    })
}

/// `bpf_seq_write(m, data, len)`
fn seq_write(run: &Run<'_>, [seq, data, len, ..]: Arguments) -> Outcome {
    sequence(run, seq, "bpf_seq_write")?;
    let bytes = run.view(data, u64::from(len as u32), false)?.to_vec();
    Ok(status(run.seq.write(&bytes)))
}
