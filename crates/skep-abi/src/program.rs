//! Facts about program types: context, attach types, capabilities.

use std::fmt;

use bitflags::bitflags;

use crate::generated::programs::PROGRAMS;
use crate::structure::{FieldLayout, StructLayout};
use crate::{AttachType, Capability, ProgramType};

/// A row of the generated table.
#[derive(Debug)]
pub(crate) struct ProgramFacts {
    pub(crate) context: ContextKind,
    /// One a field of the context's structure.
    pub(crate) access: &'static [FieldAccess],
    pub(crate) expected: ExpectedAttachType,
    /// Beside `CAP_BPF`.
    pub(crate) capabilities: &'static [Capability],
    pub(crate) properties: ProgramProperties,
    pub(crate) attach_types: &'static [AttachType],
    pub(crate) least: LeastProgram,
}

impl ProgramFacts {
    pub(crate) const UNSPEC: Self = Self {
        context: ContextKind::None,
        access: &[],
        expected: ExpectedAttachType::Zero,
        capabilities: &[],
        properties: ProgramProperties::empty(),
        attach_types: &[],
        least: LeastProgram {
            attach_type: None,
            target: ProgramTarget::None,
            answer: 0,
        },
    };
}

/// The least program of a type that a kernel accepts: `r0 = answer; exit`, loaded for this attach
/// type and target. Its answer lets everything go its way.
///
/// Programs of type `syscall` must also be loaded as sleepable
/// ([`ProgramProperties::ALWAYS_SLEEPABLE`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeastProgram {
    /// What it is loaded to be attached as; `None`: 0.
    pub attach_type: Option<AttachType>,
    /// What it is loaded for.
    pub target: ProgramTarget,
    /// What it returns.
    pub answer: i32,
}

/// What a [`LeastProgram`] is loaded for (`attach_btf_id`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramTarget {
    /// Nothing.
    None,
    /// A tracepoint: the typedef of this name in the kernel's BTF.
    Tracepoint(&'static str),
    /// A function of the kernel's BTF.
    Function(&'static str),
    /// A member of a structure of the kernel's BTF.
    Member {
        /// The structure.
        structure: &'static str,
        /// Its member. Its index stands in the place of the attach type.
        member: &'static str,
    },
    /// A global function of another program, with the same prototype.
    Program,
}

/// What stands in R1 when a program starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContextKind {
    /// A structure of the uapi header; see [`ProgramType::context_layout`].
    Struct(&'static str),
    /// The registers at a probe: `bpf_user_pt_regs_t`, by architecture.
    Registers,
    /// The record of a tracepoint, as its `format` file describes it.
    Tracepoint,
    /// Up to twelve raw 64-bit arguments: `bpf_raw_tracepoint_args`.
    RawArguments,
    /// `bpf_perf_event_data`: the registers, then `sample_period` and `addr`.
    PerfEvent,
    /// 64-bit arguments with BTF types, by the target.
    Arguments,
    /// A `u32` sample of an infrared receiver.
    Sample,
    /// The kernel's `bpf_nf_ctx`: a pointer to `nf_hook_state` and one to `sk_buff`.
    Netfilter,
    /// Bytes that the caller of a test run passes.
    Caller,
    /// That of the program which is replaced.
    Inherited,
    /// None: not a type that loads.
    None,
}

/// How the kernel takes `expected_attach_type` when a program is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExpectedAttachType {
    /// It must be one of the type's attach types. Some of them are number 0, and for
    /// `cgroup_sock` and `sk_reuseport` 0 stands for the oldest.
    Required,
    /// It may be one of the type's attach types or 0; attaching by a link can compare it.
    Optional,
    /// It must be 0.
    Zero,
    /// It is the index of the member of a kernel structure.
    Member,
}

bitflags! {
    /// What holds for all programs of a type.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct ProgramProperties: u8 {
        /// Loads without capabilities where `kernel.unprivileged_bpf_disabled` is 0.
        const UNPRIVILEGED = 1 << 0;
        /// May be sleepable (`BPF_F_SLEEPABLE`), at some of its attach types.
        const SLEEPABLE = 1 << 1;
        /// Must be sleepable.
        const ALWAYS_SLEEPABLE = 1 << 2;
        /// Needs the BTF id of a target (`attach_btf_id`), unless it attaches to many.
        const NEEDS_TARGET = 1 << 3;
    }
}

bitflags! {
    /// What programs may do with a field of their context, as of Linux 7.3.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct Access: u8 {
        /// Read it.
        const READ = 1 << 0;
        /// Write it.
        const WRITE = 1 << 1;
        /// Some of it only at some attach types, with a capability, or to some elements of an array.
        const SOMETIMES = 1 << 2;
    }
}

/// What reading a context field gives, where it is more than a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContextPointer {
    /// The start of packet data, or of an option value.
    Packet,
    /// The start of the metadata before packet data.
    PacketMeta,
    /// The end of packet data, or of an option value.
    PacketEnd,
    /// A `bpf_flow_keys`.
    FlowKeys,
    /// A full `bpf_sock`.
    Socket,
    /// A full `bpf_sock`, or null.
    SocketOrNull,
    /// A `bpf_sock` that may be a request or time-wait socket, or null.
    SockCommonOrNull,
}

/// What programs may do with one field of their context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FieldAccess {
    /// Reading and writing.
    pub access: Access,
    /// What reading gives, where it is a pointer.
    pub pointer: Option<ContextPointer>,
}

/// Facts about program types, as of Linux 7.3.
///
/// ```
/// use skep_abi::{Access, AttachType, Capability, ProgramType};
///
/// let xdp = ProgramType::Xdp;
/// assert_eq!(xdp.context_layout().unwrap().name, "xdp_md");
/// assert!(xdp.attach_types().contains(&AttachType::XdpDevmap));
/// assert!(xdp.capabilities().eq([Capability::Bpf, Capability::NetAdmin]));
/// assert_eq!(xdp.context_field("data").unwrap().1.access, Access::READ);
/// ```
impl ProgramType {
    fn facts(self) -> &'static ProgramFacts {
        PROGRAMS
            .get(self.raw() as usize)
            .unwrap_or(&ProgramFacts::UNSPEC)
    }

    /// What stands in R1 when a program starts.
    #[must_use]
    pub fn context(self) -> ContextKind {
        self.facts().context
    }

    /// The name of the context's type in C, for types that have one: a structure, or the typedef
    /// `bpf_user_pt_regs_t`.
    #[must_use]
    pub fn context_type(self) -> Option<&'static str> {
        match self.context() {
            ContextKind::Struct(name) => Some(name),
            ContextKind::Registers => Some("bpf_user_pt_regs_t"),
            ContextKind::RawArguments => Some("bpf_raw_tracepoint_args"),
            ContextKind::PerfEvent => Some("bpf_perf_event_data"),
            ContextKind::Netfilter => Some("bpf_nf_ctx"),
            _ => None,
        }
    }

    /// The options that a kernel must be built with to have programs of this type, beside
    /// `CONFIG_BPF_SYSCALL` (as the kernel's list of types says it).
    ///
    /// ```
    /// use skep_abi::ProgramType;
    ///
    /// assert_eq!(ProgramType::Lsm.config_options(), ["CONFIG_BPF_JIT", "CONFIG_BPF_LSM"]);
    /// ```
    #[must_use]
    pub fn config_options(self) -> &'static [&'static str] {
        match self {
            Self::SocketFilter
            | Self::SchedCls
            | Self::SchedAct
            | Self::Xdp
            | Self::LwtIn
            | Self::LwtOut
            | Self::LwtXmit
            | Self::LwtSeg6local
            | Self::SockOps
            | Self::SkSkb
            | Self::SkMsg
            | Self::FlowDissector => &["CONFIG_NET"],
            Self::CgroupSkb | Self::CgroupSock | Self::CgroupSockAddr => {
                &["CONFIG_NET", "CONFIG_CGROUP_BPF"]
            }
            Self::CgroupDevice | Self::CgroupSysctl | Self::CgroupSockopt => &["CONFIG_CGROUP_BPF"],
            Self::Kprobe
            | Self::Tracepoint
            | Self::PerfEvent
            | Self::RawTracepoint
            | Self::RawTracepointWritable
            | Self::Tracing => &["CONFIG_BPF_EVENTS"],
            Self::LircMode2 => &["CONFIG_BPF_LIRC_MODE2"],
            Self::SkReuseport | Self::SkLookup => &["CONFIG_INET"],
            Self::StructOps | Self::Ext => &["CONFIG_BPF_JIT"],
            Self::Lsm => &["CONFIG_BPF_JIT", "CONFIG_BPF_LSM"],
            Self::Netfilter => &["CONFIG_NETFILTER_BPF_LINK"],
            _ => &[],
        }
    }

    /// The layout of the context, where it is a structure of the uapi header.
    #[must_use]
    pub fn context_layout(self) -> Option<&'static StructLayout> {
        match self.context() {
            ContextKind::Struct(name) => StructLayout::by_name(name),
            _ => None,
        }
    }

    /// The fields of the context with what programs may do with them, where it is a structure of
    /// the uapi header.
    pub fn context_fields(self) -> impl Iterator<Item = (&'static FieldLayout, FieldAccess)> {
        let fields = self
            .context_layout()
            .map_or(&[][..], |layout| layout.fields);
        fields.iter().zip(self.facts().access.iter().copied())
    }

    /// The context field with a C name, and what programs may do with it.
    #[must_use]
    pub fn context_field(self, name: &str) -> Option<(&'static FieldLayout, FieldAccess)> {
        self.context_fields().find(|(field, _)| field.name == name)
    }

    /// The attach types that go with the program type. Empty for types that attach otherwise:
    /// by a socket option, netlink, a raw tracepoint or a test run.
    #[must_use]
    pub fn attach_types(self) -> &'static [AttachType] {
        self.facts().attach_types
    }

    /// How the kernel takes `expected_attach_type` when a program is loaded.
    #[must_use]
    pub fn expected_attach_type(self) -> ExpectedAttachType {
        self.facts().expected
    }

    /// The capabilities that loading needs. Before Linux 5.8 `CAP_SYS_ADMIN` stood for `CAP_BPF`
    /// and `CAP_PERFMON`, and it still does. See [`ProgramProperties::UNPRIVILEGED`].
    pub fn capabilities(self) -> impl Iterator<Item = Capability> {
        std::iter::once(Capability::Bpf).chain(self.facts().capabilities.iter().copied())
    }

    /// The least program of the type that a kernel accepts.
    #[must_use]
    pub fn least_program(self) -> LeastProgram {
        self.facts().least
    }

    /// What else holds for all programs of the type.
    #[must_use]
    pub fn properties(self) -> ProgramProperties {
        self.facts().properties
    }
}

impl AttachType {
    /// The program type that the attach type goes with, or `None` where several go with it
    /// (perf events).
    #[must_use]
    pub fn program_type(self) -> Option<ProgramType> {
        let mut types = ProgramType::ALL
            .iter()
            .filter(|program| program.attach_types().contains(&self));
        match (types.next(), types.next()) {
            (Some(only), None) => Some(*only),
            _ => None,
        }
    }
}

/// Prints the C name of a structure, and words for what has none.
impl fmt::Display for ContextKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Struct(name) => return f.pad(&format!("struct {name}")),
            Self::Registers => "registers",
            Self::Tracepoint => "tracepoint record",
            Self::RawArguments => "raw arguments",
            Self::PerfEvent => "struct bpf_perf_event_data",
            Self::Arguments => "typed arguments",
            Self::Sample => "u32 sample",
            Self::Netfilter => "struct bpf_nf_ctx",
            Self::Caller => "bytes of the caller",
            Self::Inherited => "context of the replaced program",
            Self::None => "none",
        })
    }
}
