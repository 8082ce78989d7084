//! Kernel functions that programs call by their BTF (kfuncs): who may call which, and what the
//! verifier asks of the call. Their prototypes are in the kernel's BTF; this is not.

mod table;

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

    /// Whether programs of a type may call it, as far as the type decides.
    #[must_use]
    pub fn allowed_from(&self, program_type: ProgramType) -> bool {
        self.hooks.intersects(KfuncHooks::of(program_type))
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
