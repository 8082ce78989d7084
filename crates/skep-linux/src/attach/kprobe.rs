//! One function of the kernel, or an instruction in one: by the perf event source `kprobe` (4.17),
//! or by an event in tracefs.

use std::ffi::CString;

use skep_host::{Attachment, Cause, Errno, ProbeSource, ProgramFd};

use super::{
    Refusal, function, perf_event,
    source::Source,
    trace_event::{self, TraceEvent},
};
use crate::{LinuxHost, perf};

/// How many calls the kernel lets be under way at most (`KRETPROBE_MAXACTIVE_MAX`).
const MOST_RETURNS: u32 = 4096;

/// What is probed.
pub(super) struct Probe<'a> {
    /// Its name, or `0x…`: an address.
    pub(super) function: &'a str,
    pub(super) offset: u64,
    pub(super) at_return: bool,
    pub(super) source: ProbeSource,
}

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    probe: &Probe<'_>,
    cookie: Option<u64>,
) -> Result<Attachment, Refusal> {
    let fail = |errno| Refusal {
        errno,
        cause: open_cause(host, errno, probe),
    };
    match put(host, program, probe, cookie) {
        Ok(Ok(attached)) => Ok(attached),
        Ok(Err(errno @ Errno::ENOENT)) => {
            // The same function under a name of the linker's.
            let Some(name) = function::renamed_by_lto(probe.function) else {
                return Err(fail(errno));
            };
            let renamed = Probe {
                function: &name,
                ..*probe
            };
            put(host, program, &renamed, cookie)?.map_err(|errno| Refusal {
                errno,
                cause: open_cause(host, errno, &renamed),
            })
        }
        Ok(Err(errno)) => Err(fail(errno)),
        Err(refusal) => Err(refusal),
    }
}

/// Attaches to it; what the kernel says of the function is apart from what else stands in the way.
fn put(
    host: &LinuxHost,
    program: &ProgramFd,
    probe: &Probe<'_>,
    cookie: Option<u64>,
) -> Result<Result<Attachment, Errno>, Refusal> {
    let (source, returns) = match probe.source {
        ProbeSource::Auto => (Source::open("kprobe").ok(), None),
        ProbeSource::Tracefs => (None, None),
        ProbeSource::TracefsReturns(most) => {
            let fits = (1..=MOST_RETURNS).contains(&most);
            if !(probe.at_return && fits) {
                return Err(no_returns(probe.at_return, most));
            }
            (None, Some(most))
        }
    };
    let Some(source) = source else {
        let place = match probe.offset {
            0 => probe.function.to_owned(),
            offset => format!("{}+{offset:#x}", probe.function),
        };
        let kind = match (probe.at_return, returns) {
            (false, _) => "p".to_owned(),
            (true, None) => "r".to_owned(),
            (true, Some(most)) => format!("r{most}"),
        };
        return match TraceEvent::kprobe(host, &kind, probe.function, &place)? {
            Ok(event) => trace_event::hold(host, program, event, None, cookie).map(Ok),
            // Without the file the kernel has no probes: that it does not support them is found
            // out.
            Err(None) => Err(Errno::EOPNOTSUPP.into()),
            Err(Some(errno)) => Ok(Err(errno)),
        };
    };
    let mut attr = source.attributes(probe.at_return)?;
    let name = CString::new(probe.function).map_err(|_| Errno::EINVAL)?;
    match address(probe.function) {
        Some(address) => attr.config2 = address.wrapping_add(probe.offset),
        None => {
            attr.config1 = name.as_ptr() as u64;
            attr.config2 = probe.offset;
        }
    }
    // The event is opened on one CPU, but the program runs for the function on every CPU.
    match perf::open(&attr, perf::any_cpu(host)) {
        Ok(event) => perf_event::hold(host, program, vec![event], cookie).map(Ok),
        Err(errno) => Ok(Err(errno)),
    }
}

/// Why a number of calls under way is none, or has no sense.
fn no_returns(at_return: bool, most: u32) -> Refusal {
    let (what, fix) = match at_return {
        true => (
            format!("{most} is no number of calls that may be under way at once"),
            format!("choose one from 1 to {MOST_RETURNS}"),
        ),
        false => (
            "at a function's start no calls are under way".into(),
            "choose a number for returns (kretprobe) only".into(),
        ),
    };
    Refusal::because(Errno::EINVAL, Cause::Other { what, fix })
}

/// The address that stands in a function's place.
fn address(function: &str) -> Option<u64> {
    u64::from_str_radix(function.strip_prefix("0x")?, 16).ok()
}

fn open_cause(host: &LinuxHost, errno: Errno, probe: &Probe<'_>) -> Option<Cause> {
    let Probe {
        function, offset, ..
    } = probe;
    let by_address = address(function).is_some();
    let refused = matches!(
        errno,
        Errno::ENOENT | Errno::EINVAL | Errno::EADDRNOTAVAIL | Errno::EILSEQ
    );
    if !refused {
        return perf::open_cause(host, errno);
    }
    // With an offset a function that is there is no place, or is one and not at an instruction.
    if by_address || (*offset != 0 && errno != Errno::ENOENT) {
        return Some(Cause::Other {
            what: match offset {
                0 => format!("{function} is no instruction that can be probed"),
                _ => format!("{function}+{offset:#x} is no instruction that can be probed"),
            },
            fix: "probe a function's start, or an instruction's first byte inside of it".into(),
        });
    }
    Some(function::refused(host, function))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_no_names() {
        assert_eq!(address("0xffffffff81000000"), Some(0xffff_ffff_8100_0000));
        assert_eq!(address("vfs_read"), None);
        assert_eq!(address("0xylophone"), None);
    }
}
