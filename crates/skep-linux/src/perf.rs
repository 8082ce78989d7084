//! Perf events: how they are opened, and the output end of a perf event array.

use std::{
    os::fd::{AsRawFd, OwnedFd},
    thread,
    time::Duration,
};

use skep_abi::Capability;
use skep_host::{Access, Cause, Descriptor, Errno, Error, Host as _, PerfOutput, Result};

use crate::{
    LinuxHost, attr, cause,
    files::Kind,
    memory::Shared,
    process,
    sys::{self, PerfRequest, SysResult},
};

/// `PERF_TYPE_HARDWARE`.
pub(crate) const TYPE_HARDWARE: u32 = 0;
/// `PERF_TYPE_SOFTWARE`.
pub(crate) const TYPE_SOFTWARE: u32 = 1;
/// `PERF_TYPE_TRACEPOINT`.
pub(crate) const TYPE_TRACEPOINT: u32 = 2;

/// `PERF_TYPE_HW_CACHE`.
pub(crate) const TYPE_HARDWARE_CACHE: u32 = 3;
/// `PERF_TYPE_RAW`.
pub(crate) const TYPE_RAW: u32 = 4;
/// `PERF_TYPE_BREAKPOINT`.
pub(crate) const TYPE_BREAKPOINT: u32 = 5;

/// `PERF_COUNT_SW_CPU_CLOCK`.
pub(crate) const SW_CPU_CLOCK: u64 = 0;
/// `PERF_COUNT_SW_BPF_OUTPUT`.
const SW_BPF_OUTPUT: u64 = 10;
/// `PERF_SAMPLE_RAW`.
const SAMPLE_RAW: u64 = 1 << 10;

/// `PERF_FORMAT_TOTAL_TIME_ENABLED`.
const FORMAT_TIME_ENABLED: u64 = 1 << 0;
/// `PERF_FORMAT_LOST`; since 6.0.
const FORMAT_LOST: u64 = 1 << 4;

/// Bits of `perf_event_attr`'s flag word.
pub(crate) const FLAG_DISABLED: u64 = 1 << 0;
pub(crate) const FLAG_INHERIT: u64 = 1 << 1;
pub(crate) const FLAG_FREQUENCY: u64 = 1 << 10;
pub(crate) const FLAG_INHERIT_THREAD: u64 = 1 << 35;

/// An event's attributes with its size set.
pub(crate) fn attributes(kind: u32, config: u64) -> attr::PerfEvent {
    attr::PerfEvent {
        kind,
        config,
        size: size_of::<attr::PerfEvent>() as u32,
        ..Default::default()
    }
}

/// Whose and where: all processes on one CPU, or one thread on all CPUs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// All that runs on a CPU.
    Cpu(u32),
    /// One thread.
    Thread(u32),
}

/// For events that must be opened on some CPU and fire on all of them: one that is running.
pub(crate) fn any_cpu(host: &LinuxHost) -> Place {
    let online = host.online_cpus().ok();
    Place::Cpu(online.and_then(|cpus| cpus.first().copied()).unwrap_or(0))
}

/// Opens an event.
pub(crate) fn open(attr: &attr::PerfEvent, place: Place) -> SysResult<OwnedFd> {
    let number = |number: u32| i32::try_from(number).map_err(|_| Errno::EINVAL);
    match place {
        Place::Cpu(cpu) => sys::perf_event_open(attr, -1, number(cpu)?),
        Place::Thread(thread) => sys::perf_event_open(attr, number(thread)?, -1),
    }
}

pub(crate) fn output(host: &LinuxHost, cpu: u32, pages: usize, wakeup: u32) -> Result<PerfOutput> {
    let object = || format!("the perf output of CPU {cpu}");
    if !pages.is_power_of_two() {
        return Err(Error::Request {
            object: object(),
            reason: format!("its ring has {pages} pages, which is no power of two"),
        });
    }
    let fail = |operation, errno| {
        Error::system(operation, object(), errno).because(open_cause(host, errno))
    };
    let mut attr = attributes(TYPE_SOFTWARE, SW_BPF_OUTPUT);
    attr.sample_type = SAMPLE_RAW;
    attr.sample_period = 1;
    attr.read_format = FORMAT_TIME_ENABLED | FORMAT_LOST;
    attr.wakeup = wakeup;
    let mut opened = open(&attr, Place::Cpu(cpu));
    if matches!(opened, Err(Errno::EINVAL)) {
        attr.read_format = FORMAT_TIME_ENABLED;
        opened = open(&attr, Place::Cpu(cpu));
    }
    let event = opened.map_err(|errno| fail("open", errno))?;
    let len = pages
        .checked_add(1)
        .and_then(|pages| pages.checked_mul(sys::page_size()))
        .ok_or_else(|| fail("map", Errno::EINVAL))?;
    let memory = Shared::new(event.as_raw_fd(), 0, len, Access::ReadWrite).map_err(|errno| {
        let cause = (errno == Errno::EPERM).then(|| Cause::Other {
            what: "the ring is larger than kernel.perf_event_mlock_kb and the locked-memory limit allow"
                .into(),
            fix: "use fewer pages, or raise `sysctl kernel.perf_event_mlock_kb`".into(),
        });
        Error::system("map", object(), errno).because(cause)
    })?;
    sys::perf_request(&event, PerfRequest::Enable).map_err(|errno| fail("enable", errno))?;
    Ok(PerfOutput {
        event: host.files().own(event, Kind::Other),
        memory: Box::new(memory),
    })
}

/// The coarsest of the clocks that perf events go by: that of a machine without a better one ticks
/// 100 times a second.
const TICK: Duration = Duration::from_millis(11);

/// Whether an output event still takes records. The kernel takes it out of its CPU's context when
/// that goes offline, and never puts it back. Not all kernels tell a poller so, but the time for
/// which it was enabled stands still from then on.
pub(crate) fn output_runs(event: &Descriptor) -> Result<bool> {
    let enabled = || Ok(state(event)?.map(|state| state.enabled));
    let first = enabled()?;
    let moves = || Ok(first.is_some() && enabled()? != first);
    if moves()? {
        return Ok(true);
    }
    thread::sleep(TICK);
    moves()
}

/// Records that an output event had no room for, if the kernel counts them.
pub(crate) fn output_lost(event: &Descriptor) -> Result<Option<u64>> {
    Ok(state(event)?.and_then(|state| state.lost))
}

/// What an output event says of itself.
struct State {
    /// For how long it was enabled, in nanoseconds.
    enabled: u64,
    lost: Option<u64>,
}

/// `None` if the kernel has ended it, and says nothing any more.
fn state(event: &Descriptor) -> Result<Option<State>> {
    // `{ u64 value; u64 time_enabled; u64 lost; }`
    let mut words = [[0; 8]; 3];
    let read = sys::read(event.raw(), words.as_flattened_mut());
    let bytes = read.map_err(|errno| Error::system("read", "the state of a perf output", errno))?;
    let [_, enabled, lost] = words.map(u64::from_ne_bytes);
    Ok((bytes >= 16).then_some(State {
        enabled,
        lost: (bytes == 24).then_some(lost),
    }))
}

/// The sysctl that says what perf events take.
pub(crate) const PARANOID: &str = "kernel.perf_event_paranoid";

/// What Debian's kernels and their kin add: from level 3 on, which is where Debian leaves it, they ask
/// for `CAP_SYS_ADMIN`, and `CAP_PERFMON` is not enough.
pub(crate) fn restricted(host: &LinuxHost) -> Option<Cause> {
    let value = process::sysctl(PARANOID)?;
    let level: i32 = value.parse().ok()?;
    let adds = || {
        let option = host.config("CONFIG_SECURITY_PERF_EVENTS_RESTRICT");
        matches!(option, Ok(Some(_)))
    };
    let lacks = || cause::missing(host, [Capability::SysAdmin]).is_some();
    (level > 2 && lacks() && adds()).then_some(Cause::Sysctl {
        name: PARANOID,
        value,
        wanted: "2",
    })
}

/// Why an event could not be opened.
pub(crate) fn open_cause(host: &LinuxHost, errno: Errno) -> Option<Cause> {
    match errno {
        Errno::EPERM | Errno::EACCES => {
            let Some(missing) = cause::missing(host, [Capability::Perfmon]) else {
                let lockdown =
                    || cause::lockdown(host, "perf events that could show kernel memory");
                return restricted(host).or_else(lockdown);
            };
            let value = process::sysctl(PARANOID)?;
            let level: i32 = value.parse().ok()?;
            (level > -1).then_some(missing)
        }
        Errno::EMFILE | Errno::ENFILE => cause::too_many_files(errno),
        Errno::ENOSYS => Some(Cause::KernelOption("CONFIG_PERF_EVENTS")),
        _ => None,
    }
}
