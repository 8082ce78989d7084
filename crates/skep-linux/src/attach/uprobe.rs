//! Instructions of user-space binaries: by the perf event source `uprobe` (4.17).

use std::{fs, path::Path};

use skep_host::{Attachment, Cause, Errno, ProgramFd, Result};

use super::{Refusal, perf_event};
use crate::{
    LinuxHost,
    perf::{self, Place},
    pin::c_path,
};

/// Where the kernel describes the event source.
const SOURCE: &str = "/sys/bus/event_source/devices/uprobe";

/// The configuration bits of the semaphore's offset (4.20).
const SEMAPHORE_SHIFT: u32 = 32;

/// What is probed.
pub(super) struct Probe<'a> {
    pub(super) at_return: bool,
    pub(super) binary: &'a Path,
    pub(super) offset: u64,
    pub(super) pid: Option<u32>,
    pub(super) semaphore: u64,
}

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    probe: &Probe<'_>,
    cookie: Option<u64>,
) -> Result<Attachment, Refusal> {
    let kind = number("type").ok_or_else(|| no_source(host))?;
    let kind = u32::try_from(kind).map_err(|_| Errno::EIO)?;
    let mut config = 0;
    if probe.at_return {
        let bit = number("format/retprobe").ok_or(Errno::EIO)?;
        config |= 1u64
            .checked_shl(u32::try_from(bit).unwrap_or(u32::MAX))
            .ok_or(Errno::EIO)?;
    }
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
        config |= u64::from(semaphore) << SEMAPHORE_SHIFT;
    }
    let path = c_path(probe.binary)?;
    let mut attr = perf::attributes(kind, config);
    attr.sample_period = 1;
    attr.flags = perf::FLAG_DISABLED;
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

/// A number in a file of the event source; `config:5` and `config:32-63` give their first bit.
fn number(file: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("{SOURCE}/{file}")).ok()?;
    let digits = text.trim().rsplit(':').next()?;
    digits.split('-').next()?.parse().ok()
}

fn no_source(host: &LinuxHost) -> Refusal {
    let cause = if host.version() < skep_abi::KernelVersion::new(4, 17) {
        Cause::KernelTooOld {
            what: "attaching to user-space functions".into(),
            needs: skep_abi::KernelVersion::new(4, 17),
            has: host.version(),
        }
    } else {
        Cause::KernelOption("CONFIG_UPROBE_EVENTS")
    };
    Refusal::because(Errno::ENOENT, cause)
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
        _ => perf::open_cause(host, errno),
    }
}
