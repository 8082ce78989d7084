//! From an errno to its likely cause: what the process lacks, what the kernel lacks, what is in
//! the way. Only read when something failed; a cause is a finding about this machine, never a
//! translation of the errno alone.

pub(crate) mod token;

use std::path::Path;

use skep_abi::{AttachType, Command, KernelVersion, MapType, ProgramType};
use skep_host::{AttachPoint, Cause, Errno};

use crate::{
    LinuxHost,
    process::{self, BPF, Capability, NET_ADMIN, PERFMON, SYS_ADMIN},
    requirement, sys,
};

/// What a failed command was about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject<'a> {
    /// Nothing that narrows the cause.
    None,
    /// Creating a map.
    Map(MapType),
    /// Reading or writing a map.
    MapAccess,
    /// Loading a program.
    Program {
        program_type: ProgramType,
        attach_type: Option<AttachType>,
        /// What the verifier said.
        log: &'a str,
    },
    /// Attaching or querying.
    Attach(AttachType),
    /// Opening a raw tracepoint.
    RawTracepoint(&'a str),
    /// A test run.
    TestRun,
    /// A pin's path.
    Pin(&'a Path),
    /// Looking something up by id.
    Ids,
    /// Making a token.
    Token,
}

/// The kernel that took maps and programs out of the locked-memory limit.
pub(crate) const NO_MEMLOCK: KernelVersion = KernelVersion::new(5, 11);
/// The kernel that split `CAP_BPF` and `CAP_PERFMON` off `CAP_SYS_ADMIN`.
const CAP_BPF_SINCE: KernelVersion = KernelVersion::new(5, 8);

/// The likely cause of a failed command.
pub(crate) fn of_command(
    host: &LinuxHost,
    command: Command,
    errno: Errno,
    subject: Subject<'_>,
) -> Option<Cause> {
    if let Subject::Token = subject
        && let Some(cause) = token::refused(host, errno)
    {
        return Some(cause);
    }
    match errno {
        Errno::EPERM | Errno::EACCES => refused(host, command, errno, subject),
        Errno::ENOMEM => memlock(host, command),
        Errno::ENOSYS => Some(Cause::KernelOption("CONFIG_BPF_SYSCALL")),
        Errno::EINVAL | Errno::ENOTSUPP | Errno::EOPNOTSUPP => lacking(host, command, subject),
        Errno::EMFILE => Some(Cause::Other {
            what: "this process has too many open files".into(),
            fix: "raise the limit: `ulimit -n`".into(),
        }),
        Errno::E2BIG if command == Command::MapUpdateElem || command == Command::MapUpdateBatch => {
            Some(Cause::Other {
                what: "the map is full, or the key lies outside it".into(),
                fix: "give it more entries".into(),
            })
        }
        // Fields that the kernel does not know must be zero.
        Errno::E2BIG => lacking(host, command, subject),
        Errno::ENOENT => match subject {
            // BTF has the variable; where it is, only a full table of symbols tells.
            Subject::Program { log, .. } if log.contains("failed to find the address for") => {
                Some(Cause::KernelOption("CONFIG_KALLSYMS_ALL"))
            }
            Subject::RawTracepoint(name) => {
                Some(crate::attach::raw_tracepoint_not_found(host, name))
            }
            Subject::Pin(path) => pin_path(path),
            _ => None,
        },
        Errno::EEXIST => match subject {
            Subject::Pin(path) => Some(Cause::InUse(format!(
                "something is already at `{}`",
                path.display()
            ))),
            _ => None,
        },
        _ => None,
    }
}

/// The likely cause of a hook's refusal.
pub(crate) fn of_attach(
    host: &LinuxHost,
    errno: Errno,
    program_type: ProgramType,
    point: &AttachPoint<'_>,
) -> Option<Cause> {
    match (errno, point) {
        (Errno::EPERM | Errno::EACCES, AttachPoint::SocketFilter { .. }) => Some(Cause::Other {
            what: "the socket's filter is locked (SO_LOCK_FILTER)".into(),
            fix: "attach to a socket whose filter is not locked".into(),
        }),
        (Errno::EPERM | Errno::EACCES, _) => {
            let needed = match point {
                AttachPoint::Tracepoint { .. }
                | AttachPoint::RawTracepoint { .. }
                | AttachPoint::Tracing { .. }
                | AttachPoint::Uprobe { .. }
                | AttachPoint::UprobeMulti { .. }
                | AttachPoint::Kprobe { .. }
                | AttachPoint::KprobeMulti { .. }
                | AttachPoint::PerfEvent { .. } => &[BPF, PERFMON][..],
                AttachPoint::Iterator(_) => &[BPF, PERFMON],
                _ => &[NET_ADMIN],
            };
            missing(host, needed)
                .or_else(|| lockdown(host, "tracing that could show kernel memory"))
                .or_else(|| cgroup_in_the_way(point))
                .or_else(|| point_lacks(host, point))
        }
        (Errno::EBUSY | Errno::EEXIST, AttachPoint::Xdp { .. }) => Some(Cause::InUse(
            "the device has an XDP program already, or one in another mode".into(),
        )),
        (Errno::EOPNOTSUPP, AttachPoint::Xdp { .. }) => Some(Cause::Other {
            what: "the device's driver has no XDP of this mode, or not with its present MTU".into(),
            fix: "use the generic mode (`XdpMode::Generic`), which every device has".into(),
        }),
        (
            Errno::ENODEV,
            AttachPoint::Xdp { ifindex, .. }
            | AttachPoint::Tcx { ifindex, .. }
            | AttachPoint::Netkit { ifindex, .. },
        ) => Some(Cause::NotFound {
            kind: "network device with index",
            name: ifindex.to_string(),
            near: Vec::new(),
        }),
        (Errno::EBADF, AttachPoint::Cgroup { .. }) => Some(Cause::Other {
            what: "the directory is no cgroup of the second version".into(),
            fix: cgroup2_hint(),
        }),
        (Errno::EBADF | Errno::ENOTSUPP, AttachPoint::SocketFilter { socket }) => {
            Some(Cause::Other {
                what: format!("descriptor {socket} is not an open socket"),
                fix: "keep the socket open while attaching".into(),
            })
        }
        (Errno::ENOENT, AttachPoint::Tcx { .. } | AttachPoint::Netkit { .. }) => {
            Some(Cause::Other {
                what: "the program to stand beside is not attached there".into(),
                fix: "list what is attached, and name one of those".into(),
            })
        }
        (Errno::EINVAL | Errno::ENOTSUPP | Errno::EOPNOTSUPP, _) => point_lacks(host, point)
            .or_else(|| attach_type_of(point).and_then(|kind| too_old_for(host, kind)))
            .or_else(|| {
                requirement::of_program(program_type).lacking(host, program_type.short_name())
            }),
        _ => None,
    }
}

/// What the kernel lacks for a hook.
fn point_lacks(host: &LinuxHost, point: &AttachPoint<'_>) -> Option<Cause> {
    requirement::of_point(point)?.lacking(host, &point.to_string())
}

fn attach_type_of(point: &AttachPoint<'_>) -> Option<AttachType> {
    Some(match point {
        AttachPoint::Tracing { attach_type, .. }
        | AttachPoint::Cgroup { attach_type, .. }
        | AttachPoint::Sockmap { attach_type, .. }
        | AttachPoint::Netns { attach_type, .. } => *attach_type,
        AttachPoint::Xdp { .. } => AttachType::Xdp,
        AttachPoint::Tcx { .. } => AttachType::TcxIngress,
        AttachPoint::Iterator(_) => AttachType::TraceIter,
        _ => return None,
    })
}

fn too_old_for(host: &LinuxHost, kind: AttachType) -> Option<Cause> {
    too_old(host, kind.name(), kind.since())
}

/// `KernelTooOld`, if it is.
pub(crate) fn too_old(host: &LinuxHost, what: &str, needs: KernelVersion) -> Option<Cause> {
    let has = host.version();
    (has < needs).then(|| Cause::KernelTooOld {
        what: what.to_owned(),
        needs,
        has,
    })
}

fn refused(
    host: &LinuxHost,
    command: Command,
    errno: Errno,
    subject: Subject<'_>,
) -> Option<Cause> {
    // A verifier that wrote a verdict was allowed to run: EACCES is its word for bad programs.
    if let Subject::Program { log, .. } = subject
        && !log.is_empty()
    {
        return lockdown_in_log(host, log);
    }
    let needed: &[Capability] = match subject {
        Subject::Map(map_type) => requirement::map_capabilities(map_type),
        Subject::Program { program_type, .. } => requirement::program_capabilities(program_type),
        Subject::Ids if command == Command::BtfGetFdById => &[BPF],
        Subject::Ids => &[SYS_ADMIN],
        Subject::Attach(attach_type) => requirement::attach_capabilities(attach_type),
        Subject::RawTracepoint(_) => &[BPF, PERFMON],
        _ => match command {
            Command::EnableStats | Command::TokenCreate => &[SYS_ADMIN],
            Command::TaskFdQuery => &[PERFMON],
            Command::MapCreate | Command::ProgLoad | Command::BtfLoad | Command::ProgTestRun => {
                &[BPF]
            }
            _ => &[],
        },
    };
    if let Some(cause) = missing(host, needed) {
        return Some(unprivileged(subject).unwrap_or(cause));
    }
    if host.version() < NO_MEMLOCK
        && let Some(cause) = memlock(host, command)
    {
        return Some(cause);
    }
    match subject {
        Subject::Program {
            program_type,
            attach_type,
            ..
        } if errno == Errno::EPERM => Some(load_forbidden(program_type, attach_type)),
        Subject::Pin(path) => pin_path(path),
        Subject::MapAccess => Some(Cause::Other {
            what: "the map is frozen, or was opened or made for the other direction only".into(),
            fix: "write before freezing, and open it for reading and writing".into(),
        }),
        _ => None,
    }
}

/// The sysctl that keeps the process from what it could do without capabilities, if it is that.
fn unprivileged(subject: Subject<'_>) -> Option<Cause> {
    const NAME: &str = "kernel.unprivileged_bpf_disabled";
    let open_to_all = match subject {
        Subject::Program { program_type, .. } => matches!(
            program_type,
            ProgramType::SocketFilter | ProgramType::CgroupSkb
        ),
        Subject::Map(map_type) => matches!(
            map_type,
            MapType::Hash
                | MapType::Array
                | MapType::ProgArray
                | MapType::PerfEventArray
                | MapType::PercpuHash
                | MapType::PercpuArray
                | MapType::CgroupArray
                | MapType::ArrayOfMaps
                | MapType::HashOfMaps
                | MapType::CgroupStorage
                | MapType::PercpuCgroupStorage
                | MapType::Ringbuf
                | MapType::UserRingbuf
        ),
        _ => false,
    };
    let value = process::sysctl(NAME).filter(|value| open_to_all && value != "0")?;
    Some(Cause::Unprivileged(value))
}

/// A load that ended before verification, of a process that has every capability for it.
fn load_forbidden(program_type: ProgramType, attach_type: Option<AttachType>) -> Cause {
    let patches = requirement::trampoline(program_type, attach_type);
    if patches && crate::program::kind_is_forbidden(program_type, attach_type) {
        return Cause::Other {
            what: "this kernel refuses all programs that patch functions (fentry, fexit, fmod_ret, lsm, \
                   freplace), whatever their target, although this process has the capabilities: \
                   a security module or the kernel's vendor decided so"
                .into(),
            fix: "use a hook that patches nothing: tp_btf, raw_tp, a tracepoint, a uprobe or an iterator"
                .into(),
        };
    }
    Cause::Other {
        what: "the kernel forbids it before verification, although this process has the capabilities: \
               a security module, a BPF token's limits or the kernel's vendor decided so"
            .into(),
        fix: "look for the refusal in the kernel's log (`dmesg`) and in the audit log".into(),
    }
}

/// `MissingCapability`, if one of `needed` is missing.
pub(crate) fn missing(host: &LinuxHost, needed: &[Capability]) -> Option<Cause> {
    let held = process::capabilities()?;
    let mut names: Vec<&'static str> = needed
        .iter()
        .filter(|&&capability| !held.covers(capability))
        .map(|&(_, name)| name)
        .collect();
    if host.version() < CAP_BPF_SINCE {
        // Before the split, CAP_SYS_ADMIN was the one for all of BPF.
        for name in &mut names {
            if *name == BPF.1 || *name == PERFMON.1 {
                *name = SYS_ADMIN.1;
            }
        }
        names.dedup();
    }
    (!names.is_empty()).then_some(Cause::MissingCapability(names))
}

fn memlock(host: &LinuxHost, command: Command) -> Option<Cause> {
    if host.version() >= NO_MEMLOCK
        || !matches!(
            command,
            Command::MapCreate | Command::ProgLoad | Command::BtfLoad
        )
    {
        return None;
    }
    match sys::memlock_limit()? {
        libc::RLIM_INFINITY => None,
        limit => Some(Cause::Memlock(limit)),
    }
}

/// What the kernel lacks for a command that it answered with "invalid" or "not supported".
fn lacking(host: &LinuxHost, command: Command, subject: Subject<'_>) -> Option<Cause> {
    if let Some(cause) = too_old(host, command.name(), command.since()) {
        return Some(cause);
    }
    match subject {
        Subject::Map(map_type) => too_old(host, map_type.name(), map_type.since())
            .or_else(|| requirement::of_map(map_type).lacking(host, map_type.short_name())),
        Subject::Program {
            program_type,
            attach_type,
            log: "",
        } => too_old(host, program_type.name(), program_type.since())
            .or_else(|| attach_type.and_then(|kind| too_old_for(host, kind)))
            .or_else(|| {
                requirement::of_program(program_type).lacking(host, program_type.short_name())
            }),
        Subject::Attach(attach_type) => too_old_for(host, attach_type),
        _ => None,
    }
}

/// The kernel's lockdown mode: `none`, `integrity`, `confidentiality`. `None` where unknown.
pub(crate) fn lockdown_mode(host: &LinuxHost) -> Option<String> {
    let text = host.securityfs()?.read("lockdown").ok()?;
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

/// `Lockdown`, if it is at its strictest: only that forbids reading the kernel.
pub(crate) fn lockdown(host: &LinuxHost, what: &'static str) -> Option<Cause> {
    let mode = lockdown_mode(host)?;
    (mode == "confidentiality").then_some(Cause::Lockdown(mode, what))
}

/// Lockdown hides helpers from programs, which the verifier then calls unknown or not allowed.
pub(crate) fn lockdown_in_log(host: &LinuxHost, log: &str) -> Option<Cause> {
    let hidden = ["bpf_probe_read", "bpf_probe_write_user"]
        .iter()
        .any(|helper| log.contains(helper))
        && (log.contains("unknown func") || log.contains("cannot use helper"));
    if !hidden {
        return None;
    }
    let mode = lockdown_mode(host)?;
    let forbidden =
        mode == "confidentiality" || (mode == "integrity" && log.contains("bpf_probe_write_user"));
    forbidden.then_some(Cause::Lockdown(
        mode,
        "helpers that read the kernel or write to processes",
    ))
}

fn pin_path(path: &Path) -> Option<Cause> {
    let mounts = process::mounts();
    let inside = mounts
        .iter()
        .any(|mount| mount.kind == "bpf" && path.starts_with(&mount.point));
    if inside {
        return None;
    }
    match mounts.iter().find(|mount| mount.kind == "bpf") {
        None => Some(Cause::NotMounted("bpffs")),
        Some(mount) => Some(Cause::Other {
            what: format!("`{}` is not in a bpffs", path.display()),
            fix: format!("choose a path below `{}`", mount.point.display()),
        }),
    }
}

fn cgroup2_hint() -> String {
    match process::mounts()
        .into_iter()
        .find(|mount| mount.kind == "cgroup2")
    {
        Some(mount) => format!("choose one below `{}`", mount.point.display()),
        None => "mount it: `mount -t cgroup2 none /sys/fs/cgroup`".into(),
    }
}

fn cgroup_in_the_way(point: &AttachPoint<'_>) -> Option<Cause> {
    matches!(point, AttachPoint::Cgroup { .. }).then(|| {
        Cause::InUse(
            "a program above or on this cgroup is attached alone and lets no other beside it"
                .into(),
        )
    })
}
