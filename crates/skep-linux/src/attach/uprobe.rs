//! Instructions of user-space binaries: one by the perf event source `uprobe` (4.17) or by an event
//! in tracefs, many by one link (6.6).

use std::path::Path;

use skep_abi::{Capability, UprobeMultiFlags};
use skep_host::{
    Attachment, Cause, Errno, LinkOptions, LinkTarget, MultiMode, ProbeSource, ProgramFd, Result,
    UprobePlace,
};

use super::{
    Refusal, perf_event,
    source::Source,
    trace_event::{self, TraceEvent},
};
use crate::{
    LinuxHost, cause, link,
    perf::{self, Place},
    pin::c_path,
};

/// The configuration bits of the semaphore's offset (4.20).
const SEMAPHORE_SHIFT: u32 = 32;

/// What is probed.
pub(super) struct Probe<'a> {
    pub(super) at_return: bool,
    pub(super) binary: &'a Path,
    pub(super) offset: u64,
    pub(super) pid: Option<u32>,
    pub(super) semaphore: u64,
    pub(super) source: ProbeSource,
}

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    probe: &Probe<'_>,
    cookie: Option<u64>,
) -> Result<Attachment, Refusal> {
    let source = match probe.source {
        // How many calls are under way is not limited in user space.
        ProbeSource::Auto | ProbeSource::TracefsReturns(_) => Source::open("uprobe").ok(),
        ProbeSource::Tracefs => None,
    };
    let Some(source) = source else {
        return by_tracefs(host, program, probe, cookie);
    };
    let mut attr = source.attributes(probe.at_return)?;
    if probe.semaphore != 0 {
        let semaphore = u32::try_from(probe.semaphore).map_err(|_| {
            Refusal::because(
                Errno::EOVERFLOW,
                Cause::Other {
                    what: format!(
                        "the semaphore's offset {:#x} has more than 32 bits",
                        probe.semaphore
                    ),
                    fix: "link the binary so that its data lies below 4 GiB of the file".into(),
                },
            )
        })?;
        attr.config |= u64::from(semaphore) << SEMAPHORE_SHIFT;
    }
    let path = c_path(probe.binary)?;
    attr.config1 = path.as_ptr() as u64;
    attr.config2 = probe.offset;
    // For all processes the event is opened on one CPU, but the program runs on every CPU.
    let place = probe.pid.map_or_else(|| perf::any_cpu(host), Place::Thread);
    let event = perf::open(&attr, place).map_err(|errno| Refusal {
        errno,
        cause: open_cause(host, errno, probe),
    })?;
    perf_event::hold(host, program, vec![event], cookie)
}

fn by_tracefs(
    host: &LinuxHost,
    program: &ProgramFd,
    probe: &Probe<'_>,
    cookie: Option<u64>,
) -> Result<Attachment, Refusal> {
    let path = probe.binary.to_str().filter(|path| {
        // What stands between the parts of a line.
        !path.contains(|letter: char| letter.is_whitespace() || letter == ':')
    });
    let path = path.ok_or_else(|| {
        Refusal::because(
            Errno::EINVAL,
            Cause::Other {
                what: format!(
                    "tracefs takes no path with spaces or colons, as `{}` has",
                    probe.binary.display()
                ),
                fix: "name it by another path, such as a symbolic link".into(),
            },
        )
    })?;
    let counter = match probe.semaphore {
        0 => String::new(),
        offset => format!("({offset:#x})"),
    };
    let place = format!("{path}:{:#x}{counter}", probe.offset);
    match TraceEvent::uprobe(host, probe.at_return, &place)? {
        Ok(event) => trace_event::hold(host, program, event, probe.pid, cookie),
        Err(None) => Err(Refusal::because(
            Errno::ENOENT,
            Cause::KernelOption("CONFIG_UPROBE_EVENTS"),
        )),
        Err(Some(errno)) => Err(Refusal {
            errno,
            cause: open_cause(host, errno, probe),
        }),
    }
}

fn open_cause(host: &LinuxHost, errno: Errno, probe: &Probe<'_>) -> Option<Cause> {
    match errno {
        Errno::ENOENT => Some(Cause::NotFound {
            kind: "file",
            name: probe.binary.display().to_string(),
            near: Vec::new(),
        }),
        Errno::ESRCH => probe.pid.map(|pid| Cause::NotFound {
            kind: "process",
            name: pid.to_string(),
            near: Vec::new(),
        }),
        Errno::EINVAL => Some(Cause::Other {
            what: format!(
                "offset {:#x} is no place in `{}` for a probe",
                probe.offset,
                probe.binary.display()
            ),
            fix: "probe the start of a function or an instruction in the file's code".into(),
        }),
        Errno::ENOTSUPP | Errno::EOPNOTSUPP => Some(Cause::Other {
            what: format!("the instruction at {:#x} can't be probed", probe.offset),
            fix: "probe another instruction; the first of a function nearly always works".into(),
        }),
        _ => perf::open_cause(host, errno).or_else(|| administrators_only(host, errno)),
    }
}

/// What a kernel means that refuses a probe to a process with `CAP_PERFMON`. A probe counts in memory of
/// the process (its semaphore) and changes its code, so kernels since 2025 ask for more.
fn administrators_only(host: &LinuxHost, errno: Errno) -> Option<Cause> {
    let lacks = cause::missing(host, [Capability::SysAdmin])?;
    let refused = matches!(errno, Errno::EACCES | Errno::EPERM);
    (refused && matches!(lacks, Cause::MissingCapability(_))).then(|| Cause::Other {
        what: "this kernel gives probes of user space by perf events to CAP_SYS_ADMIN only, since \
               6.16 and in updates of older ones"
            .into(),
        fix: "attach by uprobe.multi (6.6), for which CAP_BPF and CAP_PERFMON suffice, or give it \
              CAP_SYS_ADMIN"
            .into(),
    })
}

pub(super) fn attach_many(
    host: &LinuxHost,
    program: &ProgramFd,
    mode: MultiMode,
    binary: &Path,
    places: &[UprobePlace],
    pid: Option<u32>,
) -> Result<Attachment, Refusal> {
    let path = c_path(binary)?;
    let offsets: Vec<u64> = places.iter().map(|place| place.offset).collect();
    // What no place has is left out, as kernels and their checks are spared it.
    let column = |number: fn(&UprobePlace) -> u64| -> Vec<u64> {
        if places.iter().all(|place| number(place) == 0) {
            Vec::new()
        } else {
            places.iter().map(number).collect()
        }
    };
    let semaphores = column(|place| place.semaphore);
    let cookies = column(|place| place.cookie);
    let mut request = link::plain(program, LinkTarget::None, mode.uprobe());
    request.options = LinkOptions::UprobeMulti {
        path: &path,
        path_fd: None,
        offsets: &offsets,
        semaphores: &semaphores,
        cookies: &cookies,
        pid: pid.unwrap_or(0),
        flags: match mode {
            MultiMode::Return => UprobeMultiFlags::RETURN,
            MultiMode::Entry | MultiMode::Session => UprobeMultiFlags::empty(),
        },
    };
    let link = link::create_raw(host, &request).map_err(|errno| Refusal {
        errno,
        cause: match (errno, pid) {
            (Errno::ENOENT, _) => Some(Cause::NotFound {
                kind: "file",
                name: binary.display().to_string(),
                near: Vec::new(),
            }),
            (Errno::ESRCH, Some(pid)) => Some(Cause::NotFound {
                kind: "process",
                name: pid.to_string(),
                near: Vec::new(),
            }),
            _ => None,
        },
    })?;
    Ok(Attachment::link(link))
}
