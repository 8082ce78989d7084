//! Probes of hooks: a program that does nothing is attached to something of our own, or to what
//! hardly ever fires, and taken off at once.

use std::{
    fs,
    os::{fd::AsRawFd, unix::net::UnixDatagram},
    path::PathBuf,
    thread,
};

use skep_abi::{
    AttachType, Capability, KprobeMultiFlags, NetfilterLinkFlags, ProgramType, UprobeMultiFlags,
};
use skep_host::{
    AttachPoint, Cause, CgroupMode, Errno, Feature, Hook, Host, IterTarget, LinkCreate, LinkFd,
    LinkOptions, LinkTarget, Order, PerfEvent, PerfScope, Probe, ProbeSource, ProgramFd, Result,
    TcxDirection, XdpMode,
};

use super::{
    least::{self, NAME},
    not_known, older,
};
use crate::{
    LinuxHost, process,
    requirement::{self, Requirement},
    sys,
};

/// Whether programs can be attached to a hook.
pub(super) fn probe(host: &LinuxHost, hook: Hook) -> Probe {
    match hook {
        Hook::Tracepoint => attach(host, ProgramType::Tracepoint, None, &|| {
            AttachPoint::Tracepoint {
                category: "sched".into(),
                name: "sched_process_exit".into(),
                cookie: None,
            }
        }),
        Hook::RawTracepoint => attach(host, ProgramType::RawTracepoint, None, &|| {
            AttachPoint::RawTracepoint {
                name: "sched_process_exit".into(),
                cookie: None,
            }
        }),
        Hook::TypedTracepoint => typed(host, AttachType::TraceRawTp),
        Hook::Fentry => typed(host, AttachType::TraceFentry),
        Hook::Lsm => lsm(host),
        Hook::Kprobe => kprobe(host),
        Hook::KprobeMulti => kprobe_multi(host, AttachType::TraceKprobeMulti),
        Hook::Uprobe => uprobe(host),
        Hook::UprobeMulti => uprobe_multi(host, AttachType::TraceUprobeMulti),
        Hook::PerfClock => perf(host, PerfEvent::CpuClock { frequency: 1 }),
        Hook::PerfHardware => perf(
            host,
            PerfEvent::Hardware {
                config: 0,
                period: 1 << 40,
            },
        ),
        Hook::Xdp => elsewhere(|| {
            let mode = XdpMode::Generic;
            attach(host, ProgramType::Xdp, None, &|| AttachPoint::Xdp {
                ifindex: 1,
                mode,
            })
        }),
        Hook::Tcx => elsewhere(|| {
            attach(host, ProgramType::SchedCls, None, &|| AttachPoint::Tcx {
                ifindex: 1,
                direction: TcxDirection::Ingress,
                order: Order::default(),
            })
        }),
        Hook::CgroupSkb => cgroup(host),
        Hook::SocketFilter => match UnixDatagram::pair() {
            Ok((near, _far)) => attach(host, ProgramType::SocketFilter, None, &|| {
                AttachPoint::SocketFilter {
                    socket: near.as_raw_fd(),
                }
            }),
            Err(error) => Probe::unknown(error.to_string()),
        },
        Hook::SkLookup => elsewhere(|| {
            let Ok(namespace) = fs::File::open("/proc/thread-self/ns/net") else {
                return Probe::unknown("/proc shows no network namespace");
            };
            let attach_type = AttachType::SkLookup;
            attach(host, ProgramType::SkLookup, Some(attach_type), &|| {
                AttachPoint::Netns {
                    netns: namespace.as_raw_fd(),
                    attach_type,
                }
            })
        }),
        Hook::Netfilter => elsewhere(|| netfilter(host)),
        Hook::Iterator => {
            let attach_type = Some(AttachType::TraceIter);
            attach(host, ProgramType::Tracing, attach_type, &|| {
                AttachPoint::Iterator(IterTarget::All)
            })
        }
        _ => Probe::unknown("this version of Skep does not know how to try it"),
    }
}

/// Attaches the least program of a type for a moment.
fn attach(
    host: &LinuxHost,
    program_type: ProgramType,
    attach_type: Option<AttachType>,
    point: &dyn Fn() -> AttachPoint<'static>,
) -> Probe {
    with_program(host, program_type, attach_type, |program| {
        host.attach(NAME, program, program_type, &point())
    })
}

/// Does something with the least program of a type.
fn with_program<T>(
    host: &LinuxHost,
    program_type: ProgramType,
    attach_type: Option<AttachType>,
    then: impl FnOnce(&ProgramFd) -> Result<T>,
) -> Probe {
    match least::load(host, program_type, attach_type) {
        Ok(program) => then(&program).into(),
        Err(refused) => refused.probe(host, program_type),
    }
}

/// A program whose load says all about where it goes.
fn typed(host: &LinuxHost, attach_type: AttachType) -> Probe {
    attach(host, ProgramType::Tracing, Some(attach_type), &|| {
        AttachPoint::Tracing {
            attach_type,
            // For errors only.
            target: attach_type.short_name().to_owned(),
            cookie: None,
        }
    })
}

/// A load, and the list of security modules: attaching would ask at every decision.
fn lsm(host: &LinuxHost) -> Probe {
    match super::program_type(host, ProgramType::Lsm) {
        Probe::Yes => {}
        other => return other,
    }
    let list = host.securityfs().and_then(|tree| tree.read("lsm").ok());
    match list {
        Some(list) if list.trim().split(',').any(|name| name == "bpf") => Probe::Yes,
        Some(list) => {
            let list = list.trim();
            Probe::No {
                cause: Cause::Other {
                    what: format!("this kernel's LSM list is `{list}`: `bpf` is not in it"),
                    fix: format!("boot with `lsm={list},bpf`"),
                },
            }
        }
        None => Probe::unknown("the list of security modules can't be read"),
    }
}

/// Kprobes have an event source where they are built in.
fn kprobe(host: &LinuxHost) -> Probe {
    match super::program_type(host, ProgramType::Kprobe) {
        Probe::Yes => {}
        other => return other,
    }
    if fs::exists("/sys/bus/event_source/devices/kprobe/type").unwrap_or(false) {
        return Probe::Yes;
    }
    let needs = Requirement {
        options: &["CONFIG_KPROBES", "CONFIG_KPROBE_EVENTS"],
        since: None,
    };
    match needs.lacking(host, "kprobe") {
        Some(cause) => Probe::No { cause },
        None => Probe::unknown("the kernel shows no event source for kprobes"),
    }
}

/// Many kernel functions: one of them, which is called when something sleeps by the clock.
pub(super) fn kprobe_multi(host: &LinuxHost, attach_type: AttachType) -> Probe {
    let symbols = ["do_nanosleep"].into_iter().collect();
    multi(host, attach_type, |program| {
        host.link_create(&LinkCreate {
            program: program.into(),
            target: LinkTarget::None,
            attach_type,
            flags: 0,
            options: LinkOptions::KprobeMulti {
                symbols: &symbols,
                addresses: &[],
                cookies: &[],
                flags: KprobeMultiFlags::empty(),
            },
        })
    })
}

/// A link to many places, which kernels of its version can be without.
fn multi(
    host: &LinuxHost,
    attach_type: AttachType,
    link: impl FnOnce(&ProgramFd) -> Result<LinkFd>,
) -> Probe {
    let feature = Feature::AttachType(attach_type);
    let needs = requirement::of_feature(&feature).lacking(host, attach_type.name());
    if let Some(no) = older(host, &feature).or(needs.map(|cause| Probe::No { cause })) {
        return no;
    }
    let linked = |program: &ProgramFd| match link(program) {
        Err(error) if error.errno() == Some(Errno::EOPNOTSUPP) => not_known(host, &feature),
        outcome => outcome.into(),
    };
    match least::load(host, ProgramType::Kprobe, Some(attach_type)) {
        Ok(program) => linked(&program),
        Err(refused) => refused.probe(host, ProgramType::Kprobe),
    }
}

/// A function of this binary that nobody calls, to probe.
#[inline(never)]
extern "C" fn probed() {
    std::hint::black_box(());
}

/// Where [`probed`] is in the file that it came from.
fn own_code() -> Option<(PathBuf, u64)> {
    let address = probed as *const () as u64;
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let (start, end) = (
            u64::from_str_radix(start, 16).ok()?,
            u64::from_str_radix(end, 16).ok()?,
        );
        let offset = u64::from_str_radix(fields.nth(1)?, 16).ok()?;
        let inside = (start..end).contains(&address);
        // By its range and not its name: the file may have been replaced since.
        let path = PathBuf::from(format!("/proc/self/map_files/{start:x}-{end:x}"));
        let path = fs::canonicalize(path).or_else(|_| fs::canonicalize("/proc/self/exe"));
        inside.then_some((path.ok()?, address - start + offset))
    })
}

fn uprobe(host: &LinuxHost) -> Probe {
    let Some((binary, offset)) = own_code() else {
        return Probe::unknown("/proc does not show this program's own code");
    };
    attach(host, ProgramType::Kprobe, None, &|| AttachPoint::Uprobe {
        at_return: false,
        binary: binary.clone(),
        offset,
        pid: Some(std::process::id()),
        semaphore: 0,
        source: ProbeSource::Auto,
        cookie: None,
    })
}

/// Many functions in user space: one of ours.
pub(super) fn uprobe_multi(host: &LinuxHost, attach_type: AttachType) -> Probe {
    let Some((binary, offset)) = own_code() else {
        return Probe::unknown("/proc does not show this program's own code");
    };
    multi(host, attach_type, |program| {
        host.link_create(&LinkCreate {
            program: program.into(),
            target: LinkTarget::None,
            attach_type,
            flags: 0,
            options: LinkOptions::UprobeMulti {
                path: &crate::pin::c_path(&binary)?,
                path_fd: None,
                offsets: &[offset],
                semaphores: &[],
                cookies: &[],
                pid: std::process::id(),
                flags: UprobeMultiFlags::empty(),
            },
        })
    })
}

fn perf(host: &LinuxHost, event: PerfEvent) -> Probe {
    let scope = PerfScope::Process(std::process::id());
    attach(host, ProgramType::PerfEvent, None, &|| {
        AttachPoint::PerfEvent {
            event,
            scope,
            cookie: None,
        }
    })
}

/// Runs a probe on a thread with a network namespace of its own, which goes with the thread: no
/// real device is touched.
fn elsewhere(probe: impl FnOnce() -> Probe + Send) -> Probe {
    let run = || match sys::unshare_network() {
        Ok(()) => probe(),
        Err(Errno::EPERM) => {
            let cause = Cause::MissingCapability(vec![Capability::SysAdmin.name()]);
            Probe::Unknown {
                why: format!("{cause}, which a network namespace for the trial takes"),
                fix: cause.fix(),
            }
        }
        Err(errno) => Probe::unknown(format!("no network namespace for the trial: {errno}")),
    };
    thread::scope(|scope| {
        scope
            .spawn(run)
            .join()
            .unwrap_or_else(|_| Probe::unknown("the trial fell"))
    })
}

/// A link to the loopback device of a network namespace of our own.
pub(super) fn xdp_link(host: &LinuxHost, feature: &Feature) -> Probe {
    /// `XDP_FLAGS_SKB_MODE`
    const GENERIC: u32 = 1 << 1;
    elsewhere(|| {
        let program = match least::load(host, ProgramType::Xdp, Some(AttachType::Xdp)) {
            Ok(program) => program,
            Err(refused) => return refused.probe(host, ProgramType::Xdp),
        };
        let linked = host.link_create(&LinkCreate {
            program: (&program).into(),
            target: LinkTarget::Device(1),
            attach_type: AttachType::Xdp,
            flags: GENERIC,
            options: LinkOptions::None,
        });
        match linked {
            Err(error) if error.errno() == Some(Errno::EINVAL) => not_known(host, feature),
            outcome => outcome.into(),
        }
    })
}

fn netfilter(host: &LinuxHost) -> Probe {
    /// `NFPROTO_IPV4`.
    const IPV4: u32 = 2;
    /// `NF_INET_LOCAL_OUT`.
    const LOCAL_OUT: u32 = 3;
    with_program(
        host,
        ProgramType::Netfilter,
        Some(AttachType::Netfilter),
        |program| {
            host.link_create(&LinkCreate {
                program: program.into(),
                target: LinkTarget::None,
                attach_type: AttachType::Netfilter,
                flags: 0,
                options: LinkOptions::Netfilter {
                    protocol_family: IPV4,
                    hook: LOCAL_OUT,
                    priority: 100,
                    flags: NetfilterLinkFlags::empty(),
                },
            })
        },
    )
}

/// A cgroup made for the trial, empty, and removed with it.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new() -> std::result::Result<Self, Probe> {
        let mounts = process::mounts();
        let Some(mount) = mounts.iter().find(|mount| mount.kind == "cgroup2") else {
            let cause = Cause::NotMounted("cgroup2");
            return Err(Probe::Unknown {
                why: cause.to_string(),
                fix: cause.fix(),
            });
        };
        let path = mount
            .point
            .join(format!("skep-probe-{}", std::process::id()));
        match fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(error) => {
                let (parent, errno) = (mount.point.display(), sys::errno_of(&error));
                Err(Probe::Unknown {
                    why: format!("no cgroup can be made in `{parent}`: {errno}"),
                    fix: "run as root".into(),
                })
            }
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Nobody is in it; if it stays all the same, it is an empty directory.
        let _ = fs::remove_dir(&self.0);
    }
}

fn cgroup(host: &LinuxHost) -> Probe {
    let own = match Cgroup::new() {
        Ok(own) => own,
        Err(probe) => return probe,
    };
    let attach_type = AttachType::CgroupInetEgress;
    with_program(host, ProgramType::CgroupSkb, Some(attach_type), |program| {
        let cgroup = host.cgroup_open(&own.0)?;
        let point = AttachPoint::Cgroup {
            cgroup: &cgroup,
            attach_type,
            mode: CgroupMode::Multi,
            order: Order::default(),
        };
        host.attach(NAME, program, ProgramType::CgroupSkb, &point)?
            .detach()
    })
}
