//! Helpers on perf events.

use skep_host::Errno;

use super::{Arguments, Outcome, Table, errno, shim, status};
use crate::{FaultKind, map::PerfEventArray, memory::View, run::Run};

pub(super) static TABLE: Table = &[
    (22, shim!(perf_event_read)),
    (25, shim!(perf_event_output)),
    (55, shim!(perf_event_read_value)),
    (56, shim!(perf_prog_read_value)),
    (111, shim!(skb_output)),
    (121, shim!(xdp_output)),
];

/// `BPF_F_INDEX_MASK`; all of it is `BPF_F_CURRENT_CPU`.
const INDEX: u64 = 0xffff_ffff;
/// `BPF_F_CTXLEN_MASK`
const CONTEXT: u64 = 0xf_ffff << 32;
/// Bytes of a `bpf_perf_event_value`.
const VALUE: usize = 24;

fn array<'r>(
    run: &'r Run<'_>,
    map: u64,
    function: &'static str,
) -> Result<&'r PerfEventArray, FaultKind> {
    let reason = "the map is no perf event array";
    let wrong = FaultKind::Argument { function, reason };
    run.map(map)?.of::<PerfEventArray>().ok_or(wrong)
}

/// `bpf_perf_event_output(ctx, map, flags, data, size)`: of programs with a packet, the flags say
/// how much of it is appended.
fn perf_event_output(run: &Run<'_>, arguments: Arguments) -> Outcome {
    let packet = run.is_packet(arguments[0]);
    output(run, arguments, packet, "bpf_perf_event_output")
}

/// `bpf_skb_output(skb, map, flags, data, size)`
fn skb_output(run: &Run<'_>, arguments: Arguments) -> Outcome {
    output(run, arguments, true, "bpf_skb_output")
}

/// `bpf_xdp_output(xdp, map, flags, data, size)`
fn xdp_output(run: &Run<'_>, arguments: Arguments) -> Outcome {
    output(run, arguments, true, "bpf_xdp_output")
}

fn output(
    run: &Run<'_>,
    [_, map, flags, data, size]: Arguments,
    packet: bool,
    function: &'static str,
) -> Outcome {
    let events = array(run, map, function)?;
    let data = run.view(data, size, false)?;
    let known = if packet { INDEX | CONTEXT } else { INDEX };
    if flags & !known != 0 {
        return Ok(errno(Errno::EINVAL));
    }
    let appended = (flags & CONTEXT) >> 32;
    let packet = match appended {
        0 => Some(View::of(&mut [])),
        len => run.packet_bytes(0, len),
    };
    let Some(packet) = packet else {
        return Ok(errno(Errno::EFAULT));
    };
    let event = match events.event(flags as u32, run.cpu) {
        Ok(event) => event,
        Err(failed) => return Ok(errno(failed)),
    };
    if event.cpu() != run.cpu {
        return Ok(errno(Errno::EOPNOTSUPP));
    }
    Ok(status(event.output(&[data, packet])))
}

/// The count of an event: one of output never counts. And its time, in nanoseconds.
fn read(events: &PerfEventArray, flags: u64, cpu: u32) -> Result<(u64, u64), Errno> {
    if flags & !INDEX != 0 {
        return Err(Errno::EINVAL);
    }
    let event = events.event(flags as u32, cpu)?;
    if event.cpu() != cpu {
        return Err(Errno::EINVAL);
    }
    let time = u64::try_from(event.enabled().as_nanos()).unwrap_or(u64::MAX);
    Ok((0, time))
}

/// `bpf_perf_event_read(map, flags)`
fn perf_event_read(run: &Run<'_>, [map, flags, ..]: Arguments) -> Outcome {
    let events = array(run, map, "bpf_perf_event_read")?;
    Ok(read(events, flags, run.cpu).map_or_else(errno, |(count, _)| count))
}

/// `bpf_perf_event_read_value(map, flags, buf, buf_size)`
fn perf_event_read_value(run: &Run<'_>, [map, flags, to, size, _]: Arguments) -> Outcome {
    let events = array(run, map, "bpf_perf_event_read_value")?;
    let to = run.view(to, u64::from(size as u32), true)?;
    let value = match to.len() {
        VALUE => read(events, flags, run.cpu),
        _ => Err(Errno::EINVAL),
    };
    match value {
        Ok((count, time)) => {
            to.set_u64(0, count);
            to.set_u64(8, time);
            to.set_u64(16, time);
            Ok(0)
        }
        Err(failed) => {
            to.fill(0);
            Ok(errno(failed))
        }
    }
}

/// `bpf_perf_prog_read_value(ctx, buf, buf_size)`: of the event that fires the program.
fn perf_prog_read_value(run: &Run<'_>, [_, to, size, ..]: Arguments) -> Outcome {
    let to = run.view(to, u64::from(size as u32), true)?;
    match run.current.event.get() {
        Some(counted) if to.len() == VALUE => {
            // Timers count time, and are never switched off.
            for word in 0..3 {
                to.set_u64(word * 8, counted);
            }
            Ok(0)
        }
        _ => {
            to.fill(0);
            Ok(errno(Errno::EINVAL))
        }
    }
}
