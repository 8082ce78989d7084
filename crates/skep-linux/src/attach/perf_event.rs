//! Perf events: timers and counters; and how a program is put on any perf event.
//!
//! By link since 5.15: the link keeps the event alive, so the event's own descriptor is closed.
//! Before, the program sits on the event and goes with it.

use std::{fs, os::fd::OwnedFd};

use skep_abi::{AttachType, KernelVersion};
use skep_host::{
    Attachment, BreakpointAccess, Cause, Detach, Errno, Error, LinkFd, LinkOptions, LinkTarget,
    PerfEvent, PerfScope, ProgramFd, Result,
};
use std::os::fd::AsRawFd;

use super::Refusal;
use crate::{
    LinuxHost, attr, link,
    perf::{self, Place},
    sys::{self, PerfRequest},
};

/// The kernel that brought links for perf events, and with them cookies.
const LINKS: KernelVersion = KernelVersion::new(5, 15);

pub(super) fn attach(
    host: &LinuxHost,
    program: &ProgramFd,
    event: PerfEvent,
    scope: PerfScope,
    cookie: Option<u64>,
) -> Result<Attachment, Refusal> {
    let mut attr = match event {
        PerfEvent::CpuClock { frequency } => {
            let mut attr = perf::attributes(perf::TYPE_SOFTWARE, perf::SW_CPU_CLOCK);
            attr.sample_period = frequency;
            attr.flags = perf::FLAG_FREQUENCY;
            attr
        }
        PerfEvent::Hardware { config, period } => counter(perf::TYPE_HARDWARE, config, period),
        PerfEvent::Software { config, period } => counter(perf::TYPE_SOFTWARE, config, period),
        PerfEvent::HardwareCache { config, period } => {
            counter(perf::TYPE_HARDWARE_CACHE, config, period)
        }
        PerfEvent::Raw { config, period } => counter(perf::TYPE_RAW, config, period),
        PerfEvent::Breakpoint {
            address,
            length,
            access,
        } => {
            let mut attr = counter(perf::TYPE_BREAKPOINT, 0, 1);
            attr.bp_type = access.bits();
            attr.config1 = address;
            attr.config2 = length.into();
            attr
        }
        PerfEvent::Source {
            kind,
            config,
            config1,
            config2,
            period,
        } => {
            let mut attr = counter(kind, config, period);
            attr.config1 = config1;
            attr.config2 = config2;
            attr
        }
        _ => return Err(Errno::EOPNOTSUPP.into()),
    };
    attr.flags |= perf::FLAG_DISABLED;
    let events = match scope {
        PerfScope::Cpu(cpu) => perf::open(&attr, Place::Cpu(cpu)).map(|event| vec![event]),
        PerfScope::Process(pid) => of_process(&mut attr, pid),
    };
    let events = events.map_err(|errno| Refusal {
        errno,
        cause: open_cause(host, errno, event, scope),
    })?;
    hold(host, program, events, cookie)
}

fn counter(kind: u32, config: u64, period: u64) -> attr::PerfEvent {
    let mut attr = perf::attributes(kind, config);
    attr.sample_period = period;
    attr
}

/// An event for each thread of a process, which threads that come later inherit (5.13).
fn of_process(attr: &mut attr::PerfEvent, pid: u32) -> Result<Vec<OwnedFd>, Errno> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_err(|_| Errno::ESRCH)?;
    attr.flags |= perf::FLAG_INHERIT | perf::FLAG_INHERIT_THREAD;
    let mut events = Vec::new();
    for entry in threads.flatten() {
        let Some(thread) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let mut opened = perf::open(attr, Place::Thread(thread));
        if matches!(opened, Err(Errno::EINVAL | Errno::E2BIG)) {
            attr.flags &= !(perf::FLAG_INHERIT | perf::FLAG_INHERIT_THREAD);
            opened = perf::open(attr, Place::Thread(thread));
        }
        match opened {
            Ok(event) => events.push(event),
            // The thread ended in between.
            Err(Errno::ESRCH) => {}
            Err(errno) => return Err(errno),
        }
    }
    if events.is_empty() {
        Err(Errno::ESRCH)
    } else {
        Ok(events)
    }
}

fn open_cause(host: &LinuxHost, errno: Errno, event: PerfEvent, scope: PerfScope) -> Option<Cause> {
    match (errno, event, scope) {
        (
            Errno::ENOENT | Errno::EOPNOTSUPP | Errno::ENODEV,
            PerfEvent::Hardware { .. } | PerfEvent::HardwareCache { .. } | PerfEvent::Raw { .. },
            _,
        ) => {
            Some(Cause::Other {
                what: "this machine shows the kernel no such hardware counter (virtual machines rarely do)"
                    .into(),
                fix: "use the CPU's clock instead, by samples a second".into(),
            })
        }
        (Errno::ESRCH, _, PerfScope::Process(pid)) => Some(Cause::NotFound {
            kind: "process",
            name: pid.to_string(),
            near: Vec::new(),
        }),
        (Errno::ENODEV | Errno::EINVAL, _, PerfScope::Cpu(cpu))
            if !skep_host::Host::online_cpus(host).is_ok_and(|cpus| cpus.contains(&cpu)) =>
        {
            Some(Cause::NotFound { kind: "running CPU", name: cpu.to_string(), near: Vec::new() })
        }
        (Errno::ENOSPC, PerfEvent::Breakpoint { .. }, _) => Some(Cause::InUse(
            "the processor's breakpoints are all taken (x86 has four)".into(),
        )),
        (Errno::EINVAL, PerfEvent::Breakpoint { address, length, access }, scope) => {
            Some(breakpoint_cause(address, length, access, scope))
        }
        (Errno::EINVAL, PerfEvent::CpuClock { frequency }, _) => Some(Cause::Other {
            what: format!("{frequency} samples a second are more than kernel.perf_event_max_sample_rate"),
            fix: "sample less often, or raise that sysctl".into(),
        }),
        _ => perf::open_cause(host, errno),
    }
}

fn breakpoint_cause(address: u64, length: u8, access: BreakpointAccess, scope: PerfScope) -> Cause {
    if access == BreakpointAccess::Execute && usize::from(length) != size_of::<libc::c_long>() {
        return Cause::Other {
            what: format!("a breakpoint at execution has a length of {length}"),
            fix: format!("give it that of a `long`, {}", size_of::<libc::c_long>()),
        };
    }
    if !address.is_multiple_of(length.max(1).into()) && access != BreakpointAccess::Execute {
        return Cause::Other {
            what: format!("{address:#x} is no multiple of {length}, the bytes to watch"),
            fix: "watch an aligned address, or fewer bytes".into(),
        };
    }
    let (what, fix) = match (access, scope) {
        (BreakpointAccess::Read, _) => (
            "this processor may have no breakpoints at reads alone",
            "watch reads and writes (`rw`)",
        ),
        (_, PerfScope::Cpu(_)) => (
            "the processor takes no such breakpoint on a CPU; there, addresses are of the kernel",
            "name a process to watch its memory (`PerfScope::Process`)",
        ),
        _ => (
            "the processor takes no such breakpoint",
            "watch 1, 2, 4 or 8 bytes, at an address of the process",
        ),
    };
    Cause::Other {
        what: what.into(),
        fix: fix.into(),
    }
}

/// Puts a program on perf events and starts them.
pub(super) fn hold(
    host: &LinuxHost,
    program: &ProgramFd,
    events: Vec<OwnedFd>,
    cookie: Option<u64>,
) -> Result<Attachment, Refusal> {
    let mut holder = Holder {
        links: Vec::new(),
        events: Vec::new(),
    };
    for event in events {
        match link_on(host, program, &event, cookie.unwrap_or(0)) {
            Ok(link) => {
                sys::perf_request(&event, PerfRequest::Enable)?;
                holder.links.push(link);
            }
            Err(Errno::EINVAL) if host.version() < LINKS => {
                if cookie.is_some_and(|cookie| cookie != 0) {
                    return Err(Refusal::because(
                        Errno::EINVAL,
                        Cause::KernelTooOld {
                            what: "an attach cookie".into(),
                            needs: LINKS,
                            has: host.version(),
                        },
                    ));
                }
                sys::perf_request(&event, PerfRequest::SetBpf(program.raw()))?;
                sys::perf_request(&event, PerfRequest::Enable)?;
                holder.events.push(event);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    if holder.events.is_empty()
        && holder.links.len() == 1
        && let Some(link) = holder.links.pop()
    {
        return Ok(Attachment::link(link));
    }
    Ok(Attachment::held(Box::new(holder), None))
}

fn link_on(
    host: &LinuxHost,
    program: &ProgramFd,
    event: &OwnedFd,
    cookie: u64,
) -> Result<LinkFd, Errno> {
    let target = LinkTarget::File(event.as_raw_fd());
    let mut request = link::plain(program, target, AttachType::PerfEvent);
    request.options = LinkOptions::PerfEvent { cookie };
    link::create_raw(host, &request)
}

/// Several links, or events that carry the program themselves.
#[derive(Debug)]
struct Holder {
    links: Vec<LinkFd>,
    events: Vec<OwnedFd>,
}

impl Detach for Holder {
    fn detach(&mut self) -> Result<()> {
        self.links.clear();
        let mut outcome = Ok(());
        for event in self.events.drain(..) {
            // Closing takes the program off; this only stops a sample in flight.
            if let Err(errno) = sys::perf_request(&event, PerfRequest::Disable) {
                outcome = Err(Error::system("stop", "a perf event", errno));
            }
        }
        outcome
    }

    fn update(&mut self, _program: &ProgramFd) -> Result<()> {
        Err(Error::Unsupported {
            host: "the kernel",
            what: "way to swap the program of a perf event; attach anew".into(),
        })
    }
}
