//! From an errno to its likely cause: what the process lacks, what the kernel lacks, what is in
//! the way. Only read when something failed; a cause is a finding about this machine, never a
//! translation of the errno alone.

mod hook;
pub(crate) mod refuser;
pub(crate) mod signature;
mod target;
pub(crate) mod token;

use std::path::Path;

use skep_abi::{
    AttachType, Capability, Command, KernelVersion, MapType, ProgramProperties, ProgramType,
};
use skep_host::{Cause, Errno};

use crate::{LinuxHost, process, requirement, sys};

pub(crate) use hook::of_attach;

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
        Errno::EMFILE | Errno::ENFILE => too_many_files(errno),
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
        Errno::EROFS => match subject {
            Subject::Pin(path) => read_only(path),
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
        return lockdown_in_log(host, log).or_else(|| addresses_in_log(host, log));
    }
    let needed = match subject {
        Subject::Map(map_type) => requirement::map_capabilities(map_type),
        Subject::Program { program_type, .. } => program_type.capabilities().collect(),
        Subject::Ids if command == Command::BtfGetFdById => vec![Capability::Bpf],
        Subject::Ids => vec![Capability::SysAdmin],
        Subject::Attach(attach_type) => requirement::attach_capabilities(attach_type),
        Subject::RawTracepoint(_) => vec![Capability::Bpf, Capability::Perfmon],
        _ => match command {
            Command::EnableStats => vec![Capability::SysAdmin],
            Command::TaskFdQuery => vec![Capability::Perfmon],
            Command::MapCreate | Command::ProgLoad | Command::BtfLoad | Command::ProgTestRun => {
                vec![Capability::Bpf]
            }
            _ => Vec::new(),
        },
    };
    match missing(host, needed) {
        Some(cause @ Cause::MissingCapability(_)) => {
            return Some(unprivileged(subject).unwrap_or(cause));
        }
        Some(cause) => return Some(cause),
        None => {}
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
        } if errno == Errno::EPERM => Some(load_forbidden(host, program_type, attach_type)),
        Subject::Map(_) if errno == Errno::EPERM => Some(refuser::of(
            host,
            "the kernel lets this process make no such map",
        )),
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
        Subject::Program { program_type, .. } => program_type
            .properties()
            .contains(ProgramProperties::UNPRIVILEGED),
        Subject::Map(map_type) => map_type.rules().capability.is_none(),
        _ => false,
    };
    let value = process::sysctl(NAME).filter(|value| open_to_all && value != "0")?;
    Some(Cause::Unprivileged(value))
}

/// A load that ended before verification, of a process that has every capability for it.
fn load_forbidden(
    host: &LinuxHost,
    program_type: ProgramType,
    attach_type: Option<AttachType>,
) -> Cause {
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
    refuser::of(host, "the kernel forbids it before verification")
}

/// What keeps this process from what takes all of `needed`: it lacks one, or has them in a user
/// namespace of its own, where they don't count.
pub(crate) fn missing(
    host: &LinuxHost,
    needed: impl IntoIterator<Item = Capability>,
) -> Option<Cause> {
    let needed: Vec<Capability> = needed.into_iter().collect();
    if let Some(cause) = missing_anywhere(host, &needed) {
        return Some(cause);
    }
    let mut names: Vec<&str> = needed.iter().map(|needed| needed.name()).collect();
    names.dedup();
    (!names.is_empty() && process::in_user_namespace())
        .then(|| host.why_no_use(&names.join(" and ")))
}

/// The same for what asks for them in the process' own user namespace.
pub(crate) fn missing_anywhere(host: &LinuxHost, needed: &[Capability]) -> Option<Cause> {
    let held = process::capabilities()?;
    let mut names: Vec<&'static str> = needed
        .iter()
        .copied()
        .filter(|&capability| !held.covers(capability))
        .map(|capability| match capability {
            // Before the split, CAP_SYS_ADMIN was the one for all of BPF.
            Capability::Bpf | Capability::Perfmon if host.version() < CAP_BPF_SINCE => {
                Capability::SysAdmin.name()
            }
            other => other.name(),
        })
        .collect();
    names.dedup();
    (!names.is_empty()).then_some(Cause::MissingCapability(names))
}

/// A limit of open files was reached: the process' own, or the system's.
pub(crate) fn too_many_files(errno: Errno) -> Option<Cause> {
    let (what, fix) = match errno {
        Errno::EMFILE => (
            "this process has too many open files",
            "raise the limit: `ulimit -n`",
        ),
        _ => (
            "all processes together have too many open files",
            "raise the limit: `sysctl fs.file-max`",
        ),
    };
    Some(Cause::Process {
        what: what.into(),
        fix: fix.into(),
    })
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
        Subject::Program { log, .. } => target::of_log(log),
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

/// What the verifier keeps from those without `CAP_PERFMON`: whatever could tell an address.
fn addresses_in_log(host: &LinuxHost, log: &str) -> Option<Cause> {
    let kept = [
        "pointer comparison prohibited",
        "leaks addr",
        "partial copy of pointer",
        "prohibited for !root",
    ];
    let kept = kept.iter().any(|word| log.contains(word));
    kept.then(|| missing(host, [Capability::Perfmon]))?
}

/// The file system of a pin can't be written to.
fn read_only(path: &Path) -> Option<Cause> {
    let mounts = process::mounts();
    let around = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    let innermost = around.max_by_key(|mount| mount.point.as_os_str().len())?;
    let point = innermost.point.display();
    Some(Cause::Process {
        what: format!("`{point}` is mounted read-only"),
        fix: format!("`mount -o remount,rw {point}`, or pin it elsewhere"),
    })
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
