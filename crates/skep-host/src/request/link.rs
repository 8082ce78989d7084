//! What attaching takes, by a link and without one, and what a query of a hook gives.

use skep_abi::{
    AttachFlags, AttachType, KprobeMultiFlags, NetfilterLinkFlags, QueryFlags, UprobeMultiFlags,
};

use crate::{CgroupFd, FunctionNames, IterTarget, MapFd, ProgramFd};

/// What a program or link is put on.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum LinkTarget<'a> {
    /// A network device.
    Device(u32),
    /// A cgroup.
    Cgroup(&'a CgroupFd),
    /// An open perf event, network namespace or other file of this process.
    File(i32),
    /// A map (sockmap verdicts).
    Map(&'a MapFd),
    /// Nothing: the program's own BTF target says it.
    None,
}

/// What a link holds: a program, or the struct_ops map that stands for several.
#[derive(Debug, Clone, Copy)]
pub enum LinkSource<'a> {
    /// A program.
    Program(&'a ProgramFd),
    /// A struct_ops map that was made with `BPF_F_LINK`. Since 6.4.
    StructOps(&'a MapFd),
}

impl LinkSource<'_> {
    /// The number of the descriptor. It stays owned by whoever lent it.
    pub fn raw(&self) -> i32 {
        match self {
            Self::Program(program) => program.raw(),
            Self::StructOps(map) => map.raw(),
        }
    }
}

impl<'a> From<&'a ProgramFd> for LinkSource<'a> {
    fn from(program: &'a ProgramFd) -> Self {
        Self::Program(program)
    }
}

impl<'a> From<&'a MapFd> for LinkSource<'a> {
    fn from(map: &'a MapFd) -> Self {
        Self::StructOps(map)
    }
}

/// A link to create.
#[derive(Debug, Clone, Copy)]
#[doc(alias = "BPF_LINK_CREATE")]
pub struct LinkCreate<'a> {
    /// What the link holds.
    pub program: LinkSource<'a>,
    /// On what.
    pub target: LinkTarget<'a>,
    /// As what.
    pub attach_type: AttachType,
    /// The target's own flags (`XDP_FLAGS_*`, `BPF_F_*`).
    pub flags: u32,
    /// What the attach type adds.
    pub options: LinkOptions<'a>,
}

/// The part of a link's creation that depends on its attach type.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub enum LinkOptions<'a> {
    /// Nothing.
    #[default]
    None,
    /// A perf event's cookie. Since 5.15.
    PerfEvent {
        /// What `bpf_get_attach_cookie` returns.
        cookie: u64,
    },
    /// A tracing program's target, where the load did not fix it (freplace), and its cookie.
    Tracing {
        /// Type id of the target, or 0.
        target_btf_id: u32,
        /// What `bpf_get_attach_cookie` returns. Since 6.0.
        cookie: u64,
    },
    /// What an iterator walks over.
    Iterator(IterTarget<'a>),
    /// The order among the programs of a tcx, netkit or cgroup hook.
    Ordered {
        /// The id or descriptor that `BPF_F_BEFORE` and `BPF_F_AFTER` speak of.
        relative: u32,
        /// The revision that must still hold, or 0.
        expected_revision: u64,
    },
    /// Kernel functions by name or by address. Since 5.18.
    KprobeMulti {
        /// Names; empty when `addresses` says it.
        symbols: &'a FunctionNames,
        /// Addresses; empty when `symbols` says it.
        addresses: &'a [u64],
        /// A cookie each, or none.
        cookies: &'a [u64],
        /// At entry or return.
        flags: KprobeMultiFlags,
    },
    /// Offsets in one binary. Since 6.6.
    UprobeMulti {
        /// The binary; empty when `path_fd` is the binary itself.
        path: &'a std::ffi::CStr,
        /// An open file that `path` is relative to. Since 7.2.
        path_fd: Option<i32>,
        /// Offsets in the file.
        offsets: &'a [u64],
        /// USDT semaphores' offsets, or none.
        semaphores: &'a [u64],
        /// A cookie each, or none.
        cookies: &'a [u64],
        /// Only in this process, or 0.
        pid: u32,
        /// At entry or return.
        flags: UprobeMultiFlags,
    },
    /// A netfilter hook. Since 6.4.
    Netfilter {
        /// `NFPROTO_*`.
        protocol_family: u32,
        /// `NF_INET_*`.
        hook: u32,
        /// Lower runs earlier.
        priority: i32,
        /// Whether fragments come reassembled.
        flags: NetfilterLinkFlags,
    },
    /// Functions by their BTF ids, for fentry.multi, fexit.multi and fsession.multi. Since 7.2.
    TracingMulti {
        /// Type ids of the functions, in the BTF that the program was loaded for.
        ids: &'a [u32],
        /// A cookie each, or none.
        cookies: &'a [u64],
    },
}

/// A program to attach without a link.
#[derive(Debug, Clone, Copy)]
#[doc(alias = "BPF_PROG_ATTACH")]
pub struct ProgramAttach<'a> {
    /// On what.
    pub target: LinkTarget<'a>,
    /// The program; for a detach, the one to take off, if a choice is to be made.
    pub program: Option<&'a ProgramFd>,
    /// As what.
    pub attach_type: AttachType,
    /// How, and in what order.
    pub flags: AttachFlags,
    /// The program whose place it takes (`BPF_F_REPLACE`).
    pub replace: Option<&'a ProgramFd>,
    /// The id or descriptor that `BPF_F_BEFORE` and `BPF_F_AFTER` speak of.
    pub relative: u32,
    /// The revision that must still hold, or 0.
    pub expected_revision: u64,
}

/// What is attached where.
#[derive(Debug, Clone, Copy)]
#[doc(alias = "BPF_PROG_QUERY")]
pub struct ProgramQuery<'a> {
    /// On what.
    pub target: LinkTarget<'a>,
    /// As what.
    pub attach_type: AttachType,
    /// Also what applies from above (`BPF_F_QUERY_EFFECTIVE`).
    pub flags: QueryFlags,
}

/// The programs that a query found, in the order they run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryAnswer {
    /// Their ids.
    pub programs: Vec<u32>,
    /// The ids of their links, where the host says them (0: attached without a link).
    pub links: Vec<u32>,
    /// Flags of each program, where the hook keeps them so (cgroups, since 6.0; tcx and netkit).
    pub program_flags: Vec<u32>,
    /// Flags of each link, where the hook keeps them so (tcx and netkit).
    pub link_flags: Vec<u32>,
    /// The hook's flags.
    pub flags: u32,
    /// The hook's revision, or 0.
    pub revision: u64,
}
