//! The parts of attach points: modes, places, orders.

use std::fmt;

use skep_abi::{AttachType, CgroupIterOrder};

use super::FunctionNames;
use crate::{CgroupFd, MapFd};

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

/// When a program on many functions fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MultiMode {
    /// When one is called.
    #[default]
    Entry,
    /// When one returns.
    Return,
    /// At both; at the call, the program says whether it wants the return. Kernel functions since
    /// 6.10, user-space functions since 6.13.
    Session,
}

impl MultiMode {
    /// What programs on kernel functions are loaded as.
    pub fn kprobe(self) -> AttachType {
        match self {
            Self::Entry | Self::Return => AttachType::TraceKprobeMulti,
            Self::Session => AttachType::TraceKprobeSession,
        }
    }

    /// What programs on user-space functions are loaded as.
    pub fn uprobe(self) -> AttachType {
        match self {
            Self::Entry | Self::Return => AttachType::TraceUprobeMulti,
            Self::Session => AttachType::TraceUprobeSession,
        }
    }

    /// The section name of programs on kernel functions.
    pub(super) fn kprobe_section(self) -> &'static str {
        match self {
            Self::Entry => "kprobe.multi",
            Self::Return => "kretprobe.multi",
            Self::Session => "kprobe.session",
        }
    }

    /// The section name of programs on user-space functions.
    pub(super) fn uprobe_section(self) -> &'static str {
        match self {
            Self::Entry => "uprobe.multi",
            Self::Return => "uretprobe.multi",
            Self::Session => "uprobe.session",
        }
    }
}

/// What makes the event of a probe on one place, in the kernel or in user space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProbeSource {
    /// A perf event, which goes with its descriptors (4.17); on older kernels one of tracefs.
    #[default]
    Auto,
    /// An event in tracefs, group `skep`, which has a name there while it is attached. It is taken
    /// away at detach; a process that is killed leaves it (without its program), and so does one
    /// whose link was pinned.
    #[doc(alias = "legacy")]
    Tracefs,
    /// The same for a return, of which so many calls may be under way at once: what is more is not
    /// seen, and counted as missed. Perf events have no such choice: theirs is twice the number of
    /// CPUs, and at least 10. The kernel takes up to 4096. Uprobes have no limit: for them it is as
    /// `Auto`.
    #[doc(alias = "maxactive")]
    TracefsReturns(u32),
}

/// Functions of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelFunctions {
    /// By name; all of them must be there.
    Names(FunctionNames),
    /// By address.
    Addresses(Vec<u64>),
    /// All whose name is like this: `*` stands for any text, `?` for any one byte.
    Pattern(String),
}

impl fmt::Display for KernelFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Names(names) if names.len() == 1 => {
                names.iter().try_for_each(|one| f.write_str(one))
            }
            Self::Names(names) => write!(f, "({} functions)", names.len()),
            Self::Addresses(addresses) => write!(f, "({} functions)", addresses.len()),
            Self::Pattern(pattern) => f.write_str(pattern),
        }
    }
}

/// An instruction among many of a binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UprobePlace {
    /// Offset in the file.
    pub offset: u64,
    /// Offset of a USDT semaphore in the file, or 0.
    pub semaphore: u64,
    /// What `bpf_get_attach_cookie` returns.
    pub cookie: u64,
}

/// An end of a netkit pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetkitEnd {
    /// What the primary device sends.
    Primary,
    /// What the peer sends.
    Peer,
}
