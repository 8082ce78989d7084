//! What can be asked of a host before it is used: features by name, and the three answers.

use std::fmt;

use skep_abi::{AttachType, Helper, KernelVersion, LinkType, LoaderFeature, MapType, ProgramType};

use crate::{Cause, Error, Result};

/// Something that a host may have. [`Host::probe`](crate::Host::probe) says whether it does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Feature {
    /// Loading programs of a type.
    #[doc(alias = "libbpf_probe_bpf_prog_type")]
    ProgramType(ProgramType),
    /// Creating maps of a type.
    #[doc(alias = "libbpf_probe_bpf_map_type")]
    MapType(MapType),
    /// Calling a helper from programs of a type.
    #[doc(alias = "libbpf_probe_bpf_helper")]
    Helper(&'static Helper, ProgramType),
    /// Calling a kernel function from programs of a type. Since 5.13.
    KernelFunction(String, ProgramType),
    /// Attaching as a type: the host knows it.
    AttachType(AttachType),
    /// Links of a type.
    LinkType(LinkType),
    /// A hook, tried whole: loading, attaching and detaching.
    Hook(Hook),
    /// What loaders ask for.
    Loader(LoaderFeature),
    /// The host is built with an option, such as `CONFIG_BPF_LSM`.
    KernelOption(&'static str),
}

impl Feature {
    /// The first kernel that has it, as far as that is known: of hooks, kernel functions and
    /// options it is not. A helper may have come to a program type later than this.
    pub fn since(&self) -> Option<KernelVersion> {
        Some(match self {
            Self::ProgramType(kind) => kind.since(),
            Self::MapType(kind) => kind.since(),
            Self::Helper(helper, program) => helper.since.max(program.since()),
            Self::AttachType(kind) => kind.since(),
            Self::LinkType(kind) => kind.since(),
            Self::Loader(feature) => feature.since(),
            Self::KernelFunction(..) | Self::Hook(_) | Self::KernelOption(_) => return None,
        })
    }
}

/// Prints it as messages name it, such as `map type ringbuf`.
impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProgramType(kind) => write!(f, "program type {kind}"),
            Self::MapType(kind) => write!(f, "map type {kind}"),
            Self::Helper(helper, program) => write!(f, "{helper} in {program} programs"),
            Self::KernelFunction(name, program) => write!(f, "{name} in {program} programs"),
            Self::AttachType(kind) => write!(f, "attach type {kind}"),
            Self::LinkType(kind) => write!(f, "link type {kind}"),
            Self::Hook(hook) => write!(f, "hook {hook}"),
            Self::Loader(feature) => write!(f, "{feature}"),
            Self::KernelOption(option) => f.write_str(option),
        }
    }
}

/// A probe's answer. "Not permitted" is never "not there": a process that may not ask gets
/// `Unknown`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// It was tried, and it works.
    Yes,
    /// It does not work here, and this is why.
    No {
        /// Why, with the remedy.
        cause: Cause,
    },
    /// It could not be found out.
    Unknown {
        /// Why not.
        why: String,
        /// What to do to find out, or empty.
        fix: String,
    },
}

impl Probe {
    /// Whether it is known to work.
    pub fn is_yes(&self) -> bool {
        *self == Self::Yes
    }

    /// The answer is known.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }

    /// It could not be found out, for this reason, and there is nothing to be done about it.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown {
            why: why.into(),
            fix: String::new(),
        }
    }

    /// The answer that a refusal gives: `No` only for causes that lie in the host.
    pub fn refused(error: &Error) -> Self {
        match error.cause() {
            Some(cause) => Self::from(cause.clone()),
            None => Self::unknown(error.to_string()),
        }
    }
}

/// What follows from what stands in the way: `No` only where that [lies in the
/// host](Cause::lies_in_host).
impl From<Cause> for Probe {
    fn from(cause: Cause) -> Self {
        if cause.lies_in_host() {
            return Self::No { cause };
        }
        Self::Unknown {
            why: cause.to_string(),
            fix: cause.fix(),
        }
    }
}

impl<T> From<Result<T>> for Probe {
    fn from(outcome: Result<T>) -> Self {
        match outcome {
            Ok(_) => Self::Yes,
            Err(error) => Self::refused(&error),
        }
    }
}

/// Hooks that are probed by attaching to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hook {
    /// Static tracepoints.
    Tracepoint,
    /// Raw tracepoints.
    RawTracepoint,
    /// Typed raw tracepoints (`tp_btf`).
    TypedTracepoint,
    /// Entries and returns of kernel functions by breakpoint.
    Kprobe,
    /// Many kernel functions at once.
    KprobeMulti,
    /// Entries of kernel functions, typed.
    Fentry,
    /// Decisions of the security framework.
    Lsm,
    /// Functions of user-space binaries.
    Uprobe,
    /// Many of them at once.
    UprobeMulti,
    /// Timers by the CPU's clock.
    PerfClock,
    /// Counters of the hardware.
    PerfHardware,
    /// Packets as a device receives them.
    Xdp,
    /// Packets at the traffic-control hook.
    Tcx,
    /// Packets of a cgroup's sockets.
    CgroupSkb,
    /// Packets of a socket.
    SocketFilter,
    /// Choices among listening sockets.
    SkLookup,
    /// Packets at a netfilter hook.
    Netfilter,
    /// Iterators over the kernel's objects.
    Iterator,
}

impl Hook {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Tracepoint,
        Self::RawTracepoint,
        Self::TypedTracepoint,
        Self::Kprobe,
        Self::KprobeMulti,
        Self::Fentry,
        Self::Lsm,
        Self::Uprobe,
        Self::UprobeMulti,
        Self::PerfClock,
        Self::PerfHardware,
        Self::Xdp,
        Self::Tcx,
        Self::CgroupSkb,
        Self::SocketFilter,
        Self::SkLookup,
        Self::Netfilter,
        Self::Iterator,
    ];

    /// The hook as section names spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tracepoint => "tracepoint",
            Self::RawTracepoint => "raw_tp",
            Self::TypedTracepoint => "tp_btf",
            Self::Kprobe => "kprobe",
            Self::KprobeMulti => "kprobe.multi",
            Self::Fentry => "fentry",
            Self::Lsm => "lsm",
            Self::Uprobe => "uprobe",
            Self::UprobeMulti => "uprobe.multi",
            Self::PerfClock => "perf_event (clock)",
            Self::PerfHardware => "perf_event (hardware)",
            Self::Xdp => "xdp",
            Self::Tcx => "tcx",
            Self::CgroupSkb => "cgroup_skb",
            Self::SocketFilter => "socket",
            Self::SkLookup => "sk_lookup",
            Self::Netfilter => "netfilter",
            Self::Iterator => "iter",
        }
    }
}

/// Prints the name.
impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use skep_abi::Command;

    use super::*;
    use crate::Errno;

    #[test]
    fn what_may_not_be_asked_is_unknown() {
        let refused = Error::command(Command::MapCreate, "map `m`", Errno::EPERM);
        assert!(!Probe::refused(&refused).is_known());
        let lacking = refused.because(Some(Cause::MissingCapability(vec!["CAP_BPF"])));
        let Probe::Unknown { why, fix } = Probe::refused(&lacking) else {
            panic!("{lacking}");
        };
        assert_eq!(why, "this process lacks CAP_BPF");
        assert!(fix.contains("setcap"), "{fix}");
        let full = Cause::Process {
            what: "too many open files".into(),
            fix: "close some".into(),
        };
        let busy = Cause::InUse("another one is there".into());
        for passing in [full, busy, Cause::Memlock(65536)] {
            let error = Error::command(Command::MapCreate, "map `m`", Errno::EPERM);
            let answer = Probe::refused(&error.because(Some(passing)));
            assert!(!answer.is_known(), "{answer:?}");
        }
        let built = Error::command(Command::MapCreate, "map `m`", Errno::EINVAL)
            .because(Some(Cause::KernelOption("CONFIG_BPF_LSM")));
        assert!(matches!(Probe::refused(&built), Probe::No { .. }));
    }

    #[test]
    fn a_helper_is_as_new_as_the_newer_of_it_and_its_programs() {
        let helper = Helper::by_name("bpf_map_lookup_elem").unwrap();
        let feature = Feature::Helper(helper, ProgramType::Netfilter);
        assert_eq!(feature.since(), Some(ProgramType::Netfilter.since()));
        assert_eq!(
            feature.to_string(),
            "bpf_map_lookup_elem in netfilter programs"
        );
    }
}
