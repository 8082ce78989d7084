//! Kernel functions that programs call by their BTF (kfuncs): who may call which, and what the
//! verifier asks of the call. Their prototypes are in the kernel's BTF; this is not.

mod table;

use std::fmt;

use bitflags::bitflags;

use crate::{KernelVersion, ProgramType};

/// A function of the kernel that programs call by its BTF.
///
/// ```
/// use skep_abi::{Kfunc, KfuncFlags, ProgramType};
///
/// let create = Kfunc::by_name("bpf_cpumask_create").unwrap();
/// assert!(create.flags.contains(KfuncFlags::ACQUIRE | KfuncFlags::RET_NULL));
/// assert!(create.allowed_from(ProgramType::Tracing));
/// assert!(!create.allowed_from(ProgramType::Xdp));
/// ```
#[doc(alias = "__bpf_kfunc")]
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kfunc {
    /// Its name.
    pub name: &'static str,
    /// The first kernel that has it.
    pub since: KernelVersion,
    /// The first that does not have it any more.
    pub until: Option<KernelVersion>,
    /// What it is called now, if it got another name. Kernels may have both.
    pub now: Option<&'static str>,
    /// Who may call it.
    pub hooks: KfuncHooks,
    /// What the verifier asks of its callers, and what it gives them.
    pub flags: KfuncFlags,
}

bitflags! {
    /// What the verifier asks of a kernel function's callers, and what it gives them: `KF_*`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct KfuncFlags: u16 {
        /// It returns a reference (`KF_ACQUIRE`).
        const ACQUIRE = 1 << 0;
        /// It gives the reference of an argument back (`KF_RELEASE`).
        const RELEASE = 1 << 1;
        /// It may return null (`KF_RET_NULL`).
        const RET_NULL = 1 << 2;
        /// Its arguments are valid and not null (`KF_TRUSTED_ARGS`).
        const TRUSTED_ARGS = 1 << 3;
        /// It may sleep (`KF_SLEEPABLE`).
        const SLEEPABLE = 1 << 4;
        /// It may bring the machine down (`KF_DESTRUCTIVE`).
        const DESTRUCTIVE = 1 << 5;
        /// Its arguments are valid in an RCU section at least, and not null (`KF_RCU`).
        const RCU = 1 << 6;
        /// It makes an iterator (`KF_ITER_NEW`).
        const ITER_NEW = 1 << 7;
        /// It gives an iterator's next element, or null (`KF_ITER_NEXT`).
        const ITER_NEXT = 1 << 8;
        /// It ends an iterator (`KF_ITER_DESTROY`).
        const ITER_DESTROY = 1 << 9;
        /// It is called in an RCU section; an iterator that it makes dies with it
        /// (`KF_RCU_PROTECTED`).
        const RCU_PROTECTED = 1 << 10;
        /// It leaves R1–R5 alone where the kernel inlines it (`KF_FASTCALL`, since 6.13).
        const FASTCALL = 1 << 11;
    }
}

bitflags! {
    /// The kinds of programs that a kernel function is registered for.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct KfuncHooks: u16 {
        /// All programs.
        const COMMON = 1 << 0;
        /// XDP.
        const XDP = 1 << 1;
        /// Traffic control classifiers.
        const TC = 1 << 2;
        /// Structs of operations.
        const STRUCT_OPS = 1 << 3;
        /// Tracing by BTF, tracepoints, perf events, LSM.
        const TRACING = 1 << 4;
        /// `BPF_PROG_TYPE_SYSCALL`.
        const SYSCALL = 1 << 5;
        /// None: fmod_ret programs attach to it.
        const FMODRET = 1 << 6;
        /// Control groups.
        const CGROUP = 1 << 7;
        /// Traffic control actions.
        const SCHED_ACT = 1 << 8;
        /// Stream parsers and verdicts of socket maps.
        const SK_SKB = 1 << 9;
        /// Socket filters.
        const SOCKET_FILTER = 1 << 10;
        /// Light-weight tunnels.
        const LWT = 1 << 11;
        /// Netfilter.
        const NETFILTER = 1 << 12;
        /// Kprobes and uprobes.
        const KPROBE = 1 << 13;

        /// What most programs may call: objects, tasks, cgroups, exceptions.
        const GENERIC = Self::TRACING.bits()
            | Self::TC.bits()
            | Self::XDP.bits()
            | Self::STRUCT_OPS.bits()
            | Self::SYSCALL.bits()
            | Self::CGROUP.bits();
        /// Where masks of CPUs may be used.
        const CPUMASK = Self::TRACING.bits() | Self::STRUCT_OPS.bits() | Self::SYSCALL.bits();
        /// Where a program has a socket buffer.
        const SKB = Self::TC.bits()
            | Self::SCHED_ACT.bits()
            | Self::SK_SKB.bits()
            | Self::SOCKET_FILTER.bits()
            | Self::CGROUP.bits()
            | Self::LWT.bits()
            | Self::NETFILTER.bits()
            | Self::TRACING.bits();
    }
}

impl KfuncHooks {
    /// The sets that a program of a type may call functions of.
    #[must_use]
    pub fn of(program_type: ProgramType) -> Self {
        let own = match program_type {
            ProgramType::Xdp => Self::XDP,
            ProgramType::SchedCls => Self::TC,
            ProgramType::StructOps => Self::STRUCT_OPS,
            ProgramType::Tracing
            | ProgramType::Tracepoint
            | ProgramType::PerfEvent
            | ProgramType::Lsm => Self::TRACING,
            ProgramType::Syscall => Self::SYSCALL,
            ProgramType::CgroupSkb
            | ProgramType::CgroupSock
            | ProgramType::CgroupDevice
            | ProgramType::CgroupSockAddr
            | ProgramType::CgroupSockopt
            | ProgramType::CgroupSysctl
            | ProgramType::SockOps => Self::CGROUP,
            ProgramType::SchedAct => Self::SCHED_ACT,
            ProgramType::SkSkb => Self::SK_SKB,
            ProgramType::SocketFilter => Self::SOCKET_FILTER,
            ProgramType::LwtOut
            | ProgramType::LwtIn
            | ProgramType::LwtXmit
            | ProgramType::LwtSeg6local => Self::LWT,
            ProgramType::Netfilter => Self::NETFILTER,
            ProgramType::Kprobe => Self::KPROBE,
            _ => Self::empty(),
        };
        own | Self::COMMON
    }
}

impl Kfunc {
    /// All, by name.
    pub const ALL: &[Self] = table::KFUNCS;

    /// The one with a name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        let place = Self::ALL.binary_search_by(|one| one.name.cmp(name));
        place.ok().and_then(|place| Self::ALL.get(place))
    }

    /// What it is called by the newest kernels: its own name where it has kept that.
    ///
    /// ```
    /// use skep_abi::Kfunc;
    ///
    /// let old = Kfunc::by_name("bpf_wq_set_callback_impl").unwrap();
    /// assert_eq!(old.newest_name(), "bpf_wq_set_callback");
    /// ```
    #[must_use]
    pub fn newest_name(&self) -> &'static str {
        self.now.unwrap_or(self.name)
    }

    /// Whether Linux of a version has it by this name.
    #[must_use]
    pub fn is_in(&self, version: KernelVersion) -> bool {
        self.since <= version && self.until.is_none_or(|until| version < until)
    }

    /// The other name that Linux of a version has it by.
    #[must_use]
    pub fn other_name_in(&self, version: KernelVersion) -> Option<&'static str> {
        let mut others = Self::ALL.iter();
        let other = others.find(|other| {
            other.newest_name() == self.newest_name()
                && other.name != self.name
                && other.is_in(version)
        });
        other.map(|other| other.name)
    }

    /// Why Linux of a version does not have it by this name; `None` where it has.
    #[must_use]
    pub fn absence(&'static self, version: KernelVersion) -> Option<KfuncAbsence> {
        (!self.is_in(version)).then_some(KfuncAbsence {
            function: self,
            version,
        })
    }

    /// Whether programs of a type may call it, as far as the type decides.
    #[must_use]
    pub fn allowed_from(&self, program_type: ProgramType) -> bool {
        self.hooks.intersects(KfuncHooks::of(program_type))
    }
}

/// A kernel function that Linux of a version does not have by this name, and what it is called there.
/// Printed it is one sentence:
///
/// ```
/// use skep_abi::Kfunc;
///
/// let old = Kfunc::by_name("bpf_wq_set_callback_impl").unwrap();
/// assert_eq!(
///     old.absence("7.3".parse().unwrap()).unwrap().to_string(),
///     "bpf_wq_set_callback_impl is gone since Linux 7.0: it is called bpf_wq_set_callback now"
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KfuncAbsence {
    function: &'static Kfunc,
    version: KernelVersion,
}

impl KfuncAbsence {
    /// What that kernel calls it.
    #[must_use]
    pub fn instead(&self) -> Option<&'static str> {
        self.function.other_name_in(self.version)
    }
}

impl fmt::Display for KfuncAbsence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kfunc {
            name, since, until, ..
        } = self.function;
        match until.filter(|until| *until <= self.version) {
            Some(until) => write!(f, "{name} is gone since Linux {until}")?,
            None => write!(f, "{name} needs Linux {since}")?,
        }
        match self.instead() {
            Some(other) if self.function.now == Some(other) => {
                write!(f, ": it is called {other} now")
            }
            Some(other) => write!(f, ": Linux {} calls it {other}", self.version),
            None => Ok(()),
        }
    }
}

impl ProgramType {
    /// The kernel's structure that the context stands for: what `bpf_cast_to_kern_ctx` makes of it.
    #[must_use]
    pub fn kernel_context(self) -> Option<&'static str> {
        Some(match self {
            Self::SocketFilter
            | Self::SchedCls
            | Self::SchedAct
            | Self::CgroupSkb
            | Self::LwtIn
            | Self::LwtOut
            | Self::LwtXmit
            | Self::LwtSeg6local
            | Self::SkSkb => "sk_buff",
            Self::Xdp => "xdp_buff",
            Self::CgroupSock => "sock",
            Self::CgroupSockAddr => "bpf_sock_addr_kern",
            Self::SockOps => "bpf_sock_ops_kern",
            Self::SkMsg => "sk_msg",
            Self::FlowDissector => "bpf_flow_dissector",
            Self::Kprobe => "pt_regs",
            Self::PerfEvent => "bpf_perf_event_data_kern",
            Self::CgroupDevice => "bpf_cgroup_dev_ctx",
            Self::CgroupSysctl => "bpf_sysctl_kern",
            Self::CgroupSockopt => "bpf_sockopt_kern",
            Self::SkReuseport => "sk_reuseport_kern",
            Self::SkLookup => "bpf_sk_lookup_kern",
            Self::Netfilter => "bpf_nf_ctx",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_all_are_found() {
        assert!(Kfunc::ALL.is_sorted_by(|left, right| left.name < right.name));
        for one in Kfunc::ALL {
            assert_eq!(Kfunc::by_name(one.name), Some(one));
        }
        assert_eq!(Kfunc::by_name("bpf_no_such_function"), None);
    }

    #[test]
    fn a_new_name_takes_over_where_the_old_one_ends() {
        let renamed = || Kfunc::ALL.iter().filter(|one| one.now.is_some());
        assert!(renamed().count() >= 14);
        for old in renamed() {
            let new = Kfunc::by_name(old.newest_name()).expect("its newer name");
            assert_eq!((new.now, new.until), (None, None), "{}", old.name);
            assert_eq!(
                (new.hooks, new.flags),
                (old.hooks, old.flags),
                "{}",
                old.name
            );
            assert!(
                old.until.is_none_or(|until| new.is_in(until)),
                "{}",
                old.name
            );
        }
        for gone in Kfunc::ALL.iter().filter(|one| one.until.is_some()) {
            assert!(gone.until > Some(gone.since), "{}", gone.name);
        }
    }

    #[test]
    fn what_is_absent_is_called_by_another_name() {
        let says = |name: &str, version: &str| {
            let version = version.parse().expect("a version");
            let function = Kfunc::by_name(name).expect("a function");
            function.absence(version).map(|absence| absence.to_string())
        };
        let said = |name, version| says(name, version).unwrap_or_default();
        assert_eq!(
            said("bpf_obj_new", "6.12"),
            "bpf_obj_new needs Linux 7.1: Linux 6.12 calls it bpf_obj_new_impl"
        );
        assert_eq!(says("bpf_obj_new_impl", "7.3"), None);
        assert_eq!(says("bpf_wq_set_callback_impl", "6.19"), None);
        assert_eq!(
            said("cgroup_rstat_flush", "6.16"),
            "cgroup_rstat_flush is gone since Linux 6.16: it is called css_rstat_flush now"
        );
        assert_eq!(
            said("bpf_wq_set_callback", "6.9"),
            "bpf_wq_set_callback needs Linux 7.0"
        );
        assert_eq!(
            said("bpf_wq_set_callback_impl", "6.9"),
            "bpf_wq_set_callback_impl needs Linux 6.10"
        );
        // A name that was given up and taken again.
        let stream = Kfunc::by_name("bpf_stream_vprintk").expect("a function");
        let other = stream.other_name_in(KernelVersion::new(6, 18));
        assert_eq!(other, Some("bpf_stream_vprintk_impl"));
    }

    #[test]
    fn iterators_come_in_threes() {
        let with = |flag| {
            Kfunc::ALL
                .iter()
                .filter(move |one| one.flags.contains(flag))
        };
        let count = with(KfuncFlags::ITER_NEW).count();
        assert!(count > 0);
        assert_eq!(count, with(KfuncFlags::ITER_NEXT).count());
        assert_eq!(count, with(KfuncFlags::ITER_DESTROY).count());
    }
}
