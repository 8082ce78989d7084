//! What a host answers when it refuses: the operation, the object, the errno, and the
//! likely cause with its remedy, as data.

use skep_abi::{Command, KernelVersion};

use crate::Errno;

/// The result of a host's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a host refused.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A `bpf(2)` command failed.
    #[error("{} on {object}: {errno}", .command.name())]
    Command {
        /// Which command.
        command: Command,
        /// What it was about, such as ``map `hits` ``.
        object: String,
        /// The kernel's answer.
        errno: Errno,
        /// The most likely reason, with its remedy, when the host could find one.
        cause: Option<Box<Cause>>,
    },
    /// The verifier refused a program; its log is whole.
    #[error("the verifier refused program `{program}`: {errno}")]
    Verifier {
        /// The program's name.
        program: String,
        /// The kernel's answer: usually `EACCES`, `EINVAL` or `E2BIG`.
        errno: Errno,
        /// The log, as the kernel wrote it.
        log: String,
        /// A reason outside the program, such as a missing capability, when there is one.
        cause: Option<Box<Cause>>,
    },
    /// BTF was refused; the kernel's log is whole.
    #[error("the kernel refused the BTF of {object}: {errno}")]
    Btf {
        /// Whose BTF.
        object: String,
        /// The kernel's answer.
        errno: Errno,
        /// The log, as the kernel wrote it.
        log: String,
        /// The most likely reason, when the host could find one.
        cause: Option<Box<Cause>>,
    },
    /// A program could not be attached.
    #[error("cannot attach `{program}` to {point}: {errno}")]
    Attach {
        /// The program's name.
        program: String,
        /// The hook, in the spelling of its section name.
        point: String,
        /// The kernel's answer.
        errno: Errno,
        /// The most likely reason, with its remedy.
        cause: Option<Box<Cause>>,
    },
    /// An operation outside `bpf(2)` failed: opening, mapping, waiting, reading.
    #[error("cannot {operation} {object}: {errno}")]
    System {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On what.
        object: String,
        /// The system's answer.
        errno: Errno,
        /// The most likely reason, with its remedy.
        cause: Option<Box<Cause>>,
    },
    /// This host has no such thing, on purpose.
    #[error("{host} has no {what}")]
    Unsupported {
        /// The host's name.
        host: &'static str,
        /// What was asked for.
        what: String,
    },
    /// The caller's request contradicts itself; nothing was asked of the host.
    #[error("{object}: {reason}")]
    Request {
        /// What the request was about.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// An operation outside `bpf(2)` that failed, with no cause known yet.
    pub fn system(operation: &'static str, object: impl Into<String>, errno: Errno) -> Self {
        Self::System {
            operation,
            object: object.into(),
            errno,
            cause: None,
        }
    }

    /// A failed command, with no cause known yet.
    pub fn command(command: Command, object: impl Into<String>, errno: Errno) -> Self {
        Self::Command {
            command,
            object: object.into(),
            errno,
            cause: None,
        }
    }

    /// The same error with `cause`, where it can carry one and has none yet.
    #[must_use]
    pub fn because(mut self, reason: Option<Cause>) -> Self {
        match &mut self {
            Self::Command { cause, .. }
            | Self::Verifier { cause, .. }
            | Self::Btf { cause, .. }
            | Self::Attach { cause, .. }
            | Self::System { cause, .. } => {
                if cause.is_none() {
                    *cause = reason.map(Box::new);
                }
            }
            Self::Unsupported { .. } | Self::Request { .. } => {}
        }
        self
    }

    /// The error number, when the host answered with one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Command { errno, .. }
            | Self::Verifier { errno, .. }
            | Self::Btf { errno, .. }
            | Self::Attach { errno, .. }
            | Self::System { errno, .. } => Some(*errno),
            Self::Unsupported { .. } | Self::Request { .. } => None,
        }
    }

    /// The likely cause, when the host found one.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Command { cause, .. }
            | Self::Verifier { cause, .. }
            | Self::Btf { cause, .. }
            | Self::Attach { cause, .. }
            | Self::System { cause, .. } => cause.as_deref(),
            Self::Unsupported { .. } | Self::Request { .. } => None,
        }
    }

    /// The verifier's or BTF checker's log, when there is one.
    pub fn log(&self) -> Option<&str> {
        match self {
            Self::Verifier { log, .. } | Self::Btf { log, .. } => Some(log),
            _ => None,
        }
    }
}

/// A likely cause. `Display` says what is so; [`fix`](Cause::fix) says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The process lacks a capability.
    #[error("this process lacks {}", .0.join(" and "))]
    MissingCapability(Vec<&'static str>),
    /// The process lacks `CAP_BPF`, and the system lets nobody do without: what it was is among
    /// the few things that a value of 0 allows to everyone.
    #[error("this process lacks CAP_BPF, and kernel.unprivileged_bpf_disabled is {0}")]
    Unprivileged(String),
    /// The kernel's lockdown mode forbids it.
    #[error("the kernel is locked down ({0}): {1}")]
    Lockdown(String, &'static str),
    /// A sysctl's value forbids it.
    #[error("{name} is {value}")]
    Sysctl {
        /// The sysctl, as a dotted name.
        name: &'static str,
        /// What it is now.
        value: String,
        /// What it would have to be.
        wanted: &'static str,
    },
    /// The kernel was built without an option.
    #[error("this kernel is built without {0}")]
    KernelOption(&'static str),
    /// The kernel is older than the feature.
    #[error("{what} needs Linux {needs}, and this is {has}")]
    KernelTooOld {
        /// The feature.
        what: String,
        /// The first kernel that has it.
        needs: KernelVersion,
        /// The running kernel.
        has: KernelVersion,
    },
    /// The locked-memory limit of a kernel before 5.11 is too small.
    #[error(
        "the locked-memory limit (RLIMIT_MEMLOCK) is {0} bytes, and kernels before 5.11 count maps against it"
    )]
    Memlock(u64),
    /// A name that does not exist; with those that are near.
    #[error("there is no {kind} `{name}`")]
    NotFound {
        /// What kind of thing.
        kind: &'static str,
        /// The name asked for.
        name: String,
        /// Near names, best first.
        near: Vec<String>,
    },
    /// Something is not mounted.
    #[error("{0} is not mounted")]
    NotMounted(&'static str),
    /// Another holder is in the way.
    #[error("{0}")]
    InUse(String),
    /// It lies in this process and not in the host: its limits, its user namespace, a filter that
    /// stands before it.
    #[error("{what}")]
    Process {
        /// What is so.
        what: String,
        /// What to do.
        fix: String,
    },
    /// The virtual machine has no such thing, since it is not there in user space.
    #[error(
        "the vm has no {0}: it sees system calls, processes, functions of user space, timers \
         and packets, and nothing inside the kernel"
    )]
    NotInUserSpace(String),
    /// The kernel's own words on what it refused. Since 7.2.
    #[error("the kernel says: {0}")]
    Said(String),
    /// Anything else, in words, with its remedy.
    #[error("{what}")]
    Other {
        /// What is so.
        what: String,
        /// What to do.
        fix: String,
    },
}

impl Cause {
    /// It lies in the host, so that another process would be refused as this one is; and not in
    /// what this process may do, in its limits, or in what others hold just now.
    pub fn lies_in_host(&self) -> bool {
        !matches!(
            self,
            Self::MissingCapability(_)
                | Self::Unprivileged(_)
                | Self::Memlock(_)
                | Self::InUse(_)
                | Self::Process { .. }
        )
    }

    /// What the user can do about it.
    pub fn fix(&self) -> String {
        match self {
            Self::MissingCapability(names) => {
                let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
                let them = if names.len() == 1 { "it" } else { "them" };
                format!("run as root, or grant {them}: `setcap {}+ep <program>`", lower.join(","))
            }
            Self::Unprivileged(_) => {
                "run as root, or grant it: `setcap cap_bpf+ep <program>`".into()
            }
            Self::Lockdown(..) => {
                "boot without lockdown (it comes with secure boot or `lockdown=`), or use another hook"
                    .into()
            }
            Self::Sysctl { name, wanted, .. } => format!("`sysctl -w {name}={wanted}`"),
            Self::KernelOption(option) => {
                format!("use a kernel built with {option}=y, or another hook")
            }
            Self::KernelTooOld { needs, .. } => format!("run it on Linux {needs} or newer"),
            Self::Memlock(_) => "raise it: `ulimit -l unlimited` (needs CAP_SYS_RESOURCE)".into(),
            Self::NotFound { kind, near, .. } if near.is_empty() => {
                format!("check the {kind}'s name")
            }
            Self::NotFound { near, .. } => format!("did you mean {}?", quoted(near)),
            Self::NotMounted(what) => mount_command(what),
            Self::InUse(_) => "detach the other one first, or choose another mode".into(),
            Self::NotInUserSpace(_) => {
                "run it on the kernel: `--host kernel`, as root (`Host::kernel` in Rust)".into()
            }
            Self::Said(_) => "change what it names".into(),
            Self::Process { fix, .. } | Self::Other { fix, .. } => fix.clone(),
        }
    }
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names
        .iter()
        .take(3)
        .map(|name| format!("`{name}`"))
        .collect();
    names.join(" or ")
}

fn mount_command(what: &str) -> String {
    match what {
        "tracefs" => "`mount -t tracefs tracefs /sys/kernel/tracing`".into(),
        "bpffs" => "`mount -t bpf bpf /sys/fs/bpf`".into(),
        "cgroup2" => "`mount -t cgroup2 none /sys/fs/cgroup`".into(),
        other => format!("mount {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_command_object_and_errno() {
        let error = Error::command(Command::MapCreate, "map `hits`", Errno::EPERM)
            .because(Some(Cause::MissingCapability(vec!["CAP_BPF"])));
        assert_eq!(
            error.to_string(),
            "BPF_MAP_CREATE on map `hits`: operation not permitted (EPERM)"
        );
        let cause = error.cause().expect("a cause");
        assert_eq!(cause.to_string(), "this process lacks CAP_BPF");
        assert!(cause.fix().contains("setcap cap_bpf+ep"), "{}", cause.fix());
    }

    #[test]
    fn several_capabilities_are_granted_by_one_command() {
        // A second `setcap` takes away what the first has given.
        let cause = Cause::MissingCapability(vec!["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(
            cause.fix(),
            "run as root, or grant them: `setcap cap_bpf,cap_perfmon+ep <program>`"
        );
    }

    #[test]
    fn the_first_cause_stays() {
        let error = Error::system("open", "tracefs", Errno::ENOENT)
            .because(Some(Cause::NotMounted("tracefs")))
            .because(Some(Cause::KernelOption("CONFIG_FTRACE")));
        assert_eq!(error.cause(), Some(&Cause::NotMounted("tracefs")));
    }
}
