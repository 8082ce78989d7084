//! Kernel functions of their own kind: exceptions, counts, sessions, streams.

use std::ops::ControlFlow;

use skep_host::Errno;

use super::Table;
use crate::{
    helper::{Arguments, Outcome, errno, shim, text},
    run::Run,
};

pub(super) static TABLE: Table = &[
    ("bpf_throw", shim!(throw)),
    ("bpf_map_sum_elem_count", shim!(map_sum_elem_count)),
    ("bpf_session_is_return", shim!(session_is_return)),
    ("bpf_session_cookie", shim!(session_cookie)),
    ("bpf_stream_vprintk", shim!(stream_vprintk)),
];

/// Bytes of a text that a program writes at once (`MAX_BPRINTF_BUF`).
const TEXT: usize = 1024;

/// `bpf_throw(cookie)`
fn throw(run: &Run<'_>, [cookie, ..]: Arguments) -> Outcome {
    Err(run.throw(cookie))
}

/// `bpf_map_sum_elem_count(map)`
fn map_sum_elem_count(run: &Run<'_>, [map, ..]: Arguments) -> Outcome {
    use skep_abi::MapType;
    let map = run.map(map)?;
    // Only these count their entries.
    let counts = matches!(
        map.shape.map_type,
        MapType::Hash
            | MapType::PercpuHash
            | MapType::LruHash
            | MapType::LruPercpuHash
            | MapType::HashOfMaps
    );
    if !counts {
        return Ok(0);
    }
    run.pay(map.shape.max_entries / 16)?;
    let mut entries = 0;
    let _ = map.kind.for_each(run.cpu, &mut |_, _| {
        entries += 1;
        ControlFlow::Continue(())
    });
    Ok(entries)
}

/// `bpf_session_is_return()`
fn session_is_return(run: &Run<'_>, _: Arguments) -> Outcome {
    Ok(run.current.returned.get().into())
}

/// `bpf_session_cookie()`: a word that the program's run at the return sees again.
fn session_cookie(run: &Run<'_>, _: Arguments) -> Outcome {
    Ok(run.current.session.get())
}

/// `bpf_stream_vprintk(stream_id, fmt, args, len)`
fn stream_vprintk(run: &Run<'_>, [stream, format, values, len, _]: Arguments) -> Outcome {
    let meta = &run.program().meta;
    let stream = match stream as u32 {
        1 => &meta.output,
        2 => &meta.errors,
        _ => return Ok(errno(Errno::ENOENT)),
    };
    text::number((|| {
        let values = match text::arguments(run, values, u64::from(len as u32))? {
            Ok(values) => values,
            Err(errno) => return Ok(Err(errno)),
        };
        let format = run.text(format, TEXT)?;
        let written = text::format(run, &format, &values, TEXT - 1).and_then(|done| {
            stream.write(&done.bytes)?;
            Ok(0)
        });
        Ok(written)
    })())
}
