//! Attach points: the hooks of a host, by name and options; and what holds an attachment.
//!
//! A host attaches by a link where it can and by older ways where it must; both look the same
//! from above and end when the [`Attachment`] is dropped.

use std::{fmt, path::PathBuf};

use skep_abi::{AttachType, CgroupIterOrder};

use crate::{CgroupFd, LinkFd, MapFd, ProgramFd, Result};

/// Where a program is attached, and how.
#[derive(Debug)]
#[non_exhaustive]
pub enum AttachPoint<'a> {
    /// A static tracepoint, by tracefs category and name. Cookies since 5.15.
    Tracepoint {
        /// Such as `syscalls`.
        category: String,
        /// Such as `sys_enter_openat`.
        name: String,
        /// What `bpf_get_attach_cookie` returns.
        cookie: Option<u64>,
    },
    /// A tracepoint without its formatted record. Cookies since 6.10.
    RawTracepoint {
        /// Such as `sched_switch`.
        name: String,
        /// What `bpf_get_attach_cookie` returns.
        cookie: Option<u64>,
    },
    /// What the program's own BTF target says: tp_btf, fentry, fexit, fmod_ret, lsm.
    Tracing {
        /// The attach type that the program was loaded with.
        attach_type: AttachType,
        /// The hook as its section name spells it, for errors.
        target: String,
        /// What `bpf_get_attach_cookie` returns. Since 6.0.
        cookie: Option<u64>,
    },
    /// An instruction of a binary in user space.
    Uprobe {
        /// At the return, not the entry.
        at_return: bool,
        /// The binary or shared library.
        binary: PathBuf,
        /// Offset in the file.
        offset: u64,
        /// Only in this process.
        pid: Option<u32>,
        /// Offset of a USDT semaphore in the file, or 0.
        semaphore: u64,
        /// What `bpf_get_attach_cookie` returns.
        cookie: Option<u64>,
    },
    /// A perf event: a timer or a counter.
    PerfEvent {
        /// Which event, how often.
        event: PerfEvent,
        /// On which CPU, in which process.
        scope: PerfScope,
        /// What `bpf_get_attach_cookie` returns.
        cookie: Option<u64>,
    },
    /// Packets as a device receives them. By link since 5.9.
    Xdp {
        /// The device's index.
        ifindex: u32,
        /// In the driver or after it.
        mode: XdpMode,
    },
    /// Packets at the traffic-control hook, in order with other programs. Since 6.6.
    Tcx {
        /// The device's index.
        ifindex: u32,
        /// Coming or going.
        direction: TcxDirection,
        /// Where among the others.
        position: Position,
    },
    /// A cgroup and all below it.
    Cgroup {
        /// The cgroup.
        cgroup: &'a CgroupFd,
        /// Which of its hooks.
        attach_type: AttachType,
        /// With other programs or alone.
        mode: CgroupMode,
    },
    /// A socket of this process.
    SocketFilter {
        /// Its file descriptor; it must stay open while attached.
        socket: i32,
    },
    /// An iterator: reading the link's iterator runs the program.
    Iterator(IterTarget<'a>),
    /// Network-namespace hooks: `sk_lookup`, `flow_dissector`.
    Netns {
        /// A descriptor of the namespace.
        netns: i32,
        /// Which of its hooks.
        attach_type: AttachType,
    },
}

impl fmt::Display for AttachPoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tracepoint { category, name, .. } => write!(f, "tracepoint/{category}/{name}"),
            Self::RawTracepoint { name, .. } => write!(f, "raw_tp/{name}"),
            Self::Tracing { target, .. } => f.write_str(target),
            Self::Uprobe {
                at_return,
                binary,
                offset,
                ..
            } => {
                let kind = if *at_return { "uretprobe" } else { "uprobe" };
                write!(f, "{kind}/{}:{offset:#x}", binary.display())
            }
            Self::PerfEvent { event, scope, .. } => write!(f, "perf_event/{event}{scope}"),
            Self::Xdp { ifindex, .. } => write!(f, "xdp on device {ifindex}"),
            Self::Tcx {
                ifindex,
                direction: TcxDirection::Ingress,
                ..
            } => {
                write!(f, "tcx/ingress on device {ifindex}")
            }
            Self::Tcx { ifindex, .. } => write!(f, "tcx/egress on device {ifindex}"),
            Self::Cgroup { attach_type, .. } => write!(f, "cgroup hook {}", attach_type.name()),
            Self::SocketFilter { socket } => write!(f, "socket {socket}"),
            Self::Iterator(_) => f.write_str("iterator"),
            Self::Netns { attach_type, .. } => write!(f, "netns hook {}", attach_type.name()),
        }
    }
}

/// A perf event that fires a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PerfEvent {
    /// The CPU's clock, this many times a second.
    CpuClock {
        /// Samples a second.
        frequency: u64,
    },
    /// A hardware counter (`PERF_COUNT_HW_*`), every `period` events.
    Hardware {
        /// Which counter.
        config: u64,
        /// Events a sample.
        period: u64,
    },
    /// A software counter (`PERF_COUNT_SW_*`), every `period` events.
    Software {
        /// Which counter.
        config: u64,
        /// Events a sample.
        period: u64,
    },
}

impl fmt::Display for PerfEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CpuClock { frequency } => write!(f, "cpu-clock:{frequency}Hz"),
            Self::Hardware { config, period } => write!(f, "hardware:{config}:{period}"),
            Self::Software { config, period } => write!(f, "software:{config}:{period}"),
        }
    }
}

/// Where a perf event counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PerfScope {
    /// Everything on one CPU.
    Cpu(u32),
    /// One process, on any CPU.
    Process(u32),
}

impl fmt::Display for PerfScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(cpu) => write!(f, " on cpu {cpu}"),
            Self::Process(pid) => write!(f, " in process {pid}"),
        }
    }
}

/// Where XDP runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum XdpMode {
    /// The driver where it can, else generic.
    #[default]
    Auto,
    /// After the socket buffer is made: any device.
    #[doc(alias = "XDP_FLAGS_SKB_MODE")]
    Generic,
    /// In the driver.
    #[doc(alias = "XDP_FLAGS_DRV_MODE")]
    Native,
    /// On the card.
    #[doc(alias = "XDP_FLAGS_HW_MODE")]
    Offload,
}

/// Which way packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcxDirection {
    /// Coming in.
    Ingress,
    /// Going out.
    Egress,
}

/// Where among the programs of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Position {
    /// After all that is there.
    #[default]
    Last,
    /// Before all that is there.
    First,
    /// Before the program with this id.
    BeforeProgram(u32),
    /// After the program with this id.
    AfterProgram(u32),
}

/// How a cgroup program stands to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CgroupMode {
    /// By link, beside others. Since 5.7.
    #[default]
    Link,
    /// Without a link, beside others (`BPF_F_ALLOW_MULTI`).
    Multi,
    /// Without a link; descendants may override it (`BPF_F_ALLOW_OVERRIDE`).
    Override,
    /// Without a link, alone.
    Exclusive,
}

/// What an iterator walks over.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub enum IterTarget<'a> {
    /// All that its kind has.
    #[default]
    All,
    /// The elements of a map.
    Map(&'a MapFd),
    /// The threads of a process. Since 6.1.
    Process(u32),
    /// The threads of the process behind a pidfd. Since 6.1.
    ProcessFile(i32),
    /// One thread. Since 6.1.
    Thread(u32),
    /// Cgroups. Since 6.1.
    Cgroup {
        /// Where the walk starts.
        root: CgroupRoot<'a>,
        /// Which way it goes.
        order: CgroupIterOrder,
    },
}

/// Where a walk over cgroups starts.
#[derive(Debug, Clone, Copy, Default)]
pub enum CgroupRoot<'a> {
    /// The root of the second version's tree.
    #[default]
    Default,
    /// An open directory.
    Directory(&'a CgroupFd),
    /// The cgroup with this id (the inode of its directory).
    Id(u64),
}

/// The host's side of an attachment that is not a plain link.
pub trait Detach: Send + Sync + fmt::Debug {
    /// Ends it.
    ///
    /// # Errors
    /// The host refused; the attachment may still be there.
    fn detach(&mut self) -> Result<()>;

    /// Swaps the program, atomically where the host can.
    ///
    /// # Errors
    /// The host can't, or refused.
    fn update(&mut self, program: &ProgramFd) -> Result<()>;
}

/// Keeps a program attached; dropping it detaches.
#[derive(Debug)]
pub struct Attachment(Kind);

#[derive(Debug)]
enum Kind {
    Link(LinkFd),
    Held {
        holder: Box<dyn Detach>,
        link: Option<LinkFd>,
    },
}

impl Attachment {
    /// An attachment that is a link and nothing else.
    pub fn link(link: LinkFd) -> Self {
        Self(Kind::Link(link))
    }

    /// An attachment that the host holds in another way, with a link where there is one too
    /// (a perf event with a link on it).
    pub fn held(holder: Box<dyn Detach>, link: Option<LinkFd>) -> Self {
        Self(Kind::Held { holder, link })
    }

    /// The link, where there is one: for pins and info.
    pub fn link_fd(&self) -> Option<&LinkFd> {
        match &self.0 {
            Kind::Link(link) => Some(link),
            Kind::Held { link, .. } => link.as_ref(),
        }
    }

    /// The host's holder, where it is not a plain link.
    pub fn holder_mut(&mut self) -> Option<&mut (dyn Detach + 'static)> {
        match &mut self.0 {
            Kind::Link(_) => None,
            Kind::Held { holder, .. } => Some(holder.as_mut()),
        }
    }

    /// Detaches now and says how that went; dropping does the same in silence.
    ///
    /// # Errors
    /// The host refused to detach.
    pub fn detach(self) -> Result<()> {
        match self.0 {
            Kind::Link(link) => drop(link),
            Kind::Held { mut holder, link } => {
                drop(link);
                holder.detach()?;
            }
        }
        Ok(())
    }
}
