//! What a host tells of a link: its numbers, and what its type adds.

use skep_abi::LinkType;

use crate::{Host, LinkFd, ObjectId, Result};

/// A link, as the host tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[doc(alias = "bpf_link_info")]
pub struct LinkInfo {
    /// Its id.
    pub id: u32,
    /// The number of its type.
    pub type_raw: u32,
    /// The id of its program; 0 for struct_ops.
    pub program_id: u32,
    /// What its type adds.
    pub details: LinkDetails,
}

/// Most links that are looked at for one in question.
const MOST: usize = 1 << 16;

impl LinkInfo {
    /// The first link of all there are, of all namespaces, that is as wanted; and a descriptor of it.
    ///
    /// # Errors
    /// The host lets this process look at no links (`CAP_SYS_ADMIN`).
    pub fn find(host: &dyn Host, is_it: impl Fn(&Self) -> bool) -> Result<Option<(Self, LinkFd)>> {
        let mut id = ObjectId::Link(0);
        for _ in 0..MOST {
            let Some(next @ ObjectId::Link(number)) = host.next_id(id)? else {
                return Ok(None);
            };
            id = next;
            let Some(link) = host.link_by_id(number)? else {
                continue;
            };
            let info = host.link_info(&link)?;
            if is_it(&info) {
                return Ok(Some((info, link)));
            }
        }
        Ok(None)
    }

    /// Its type, when this version of Skep knows it.
    pub fn link_type(&self) -> Option<LinkType> {
        LinkType::from_raw(self.type_raw)
    }

    /// Events that the hook left out, where its type counts them.
    pub fn missed(&self) -> Option<u64> {
        match self.details {
            LinkDetails::Kprobe { missed, .. } | LinkDetails::KprobeMulti { missed, .. } => {
                Some(missed)
            }
            _ => None,
        }
    }
}

/// What a link's type adds.
///
/// Cookies are 0 where none was given, and where the kernel is too old to tell them. Addresses
/// are 0 where the host hides them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LinkDetails {
    /// Nothing that this version of Skep reads, or that the host tells.
    #[default]
    None,
    /// A raw tracepoint.
    RawTracepoint {
        /// The tracepoint.
        name: String,
        /// What `bpf_get_attach_cookie` returns. Since 6.17.
        cookie: u64,
    },
    /// A tracing program's target.
    Tracing {
        /// As what (`AttachType`, raw).
        attach_type: u32,
        /// The id of the BTF that holds the target, or for freplace of the program.
        target_object: u32,
        /// The target's type id.
        target_btf: u32,
        /// What `bpf_get_attach_cookie` returns. Since 6.17.
        cookie: u64,
    },
    /// A cgroup.
    Cgroup {
        /// Its id.
        cgroup: u64,
        /// As what (`AttachType`, raw).
        attach_type: u32,
    },
    /// An iterator.
    Iterator {
        /// What kind of thing it walks over, such as `task` or `bpf_map_elem`.
        target: String,
        /// Which of them.
        scope: IterScope,
    },
    /// A network namespace.
    Netns {
        /// Its inode.
        inode: u32,
        /// As what (`AttachType`, raw).
        attach_type: u32,
    },
    /// A network device: XDP, tcx, netkit.
    Device {
        /// Its index; 0 when the device is gone.
        ifindex: u32,
        /// As what (`AttachType`, raw), or 0 for XDP.
        attach_type: u32,
    },
    /// A function of the kernel, by a perf event. Since 6.6.
    Kprobe {
        /// At its return, not its entry.
        at_return: bool,
        /// Its name; empty when it was probed by address.
        function: String,
        /// The offset within it, in bytes.
        offset: u64,
        /// Its address.
        address: u64,
        /// Probes that were left out. Since 6.7.
        missed: u64,
        /// What `bpf_get_attach_cookie` returns. Since 6.9.
        cookie: u64,
    },
    /// An instruction of a binary, by a perf event. Since 6.6.
    Uprobe {
        /// At its return, not its entry.
        at_return: bool,
        /// The binary.
        path: String,
        /// The offset in the file.
        offset: u64,
        /// The offset of its semaphore in the file, or 0. Since 6.16.
        semaphore: u64,
        /// What `bpf_get_attach_cookie` returns. Since 6.9.
        cookie: u64,
    },
    /// A tracepoint, by a perf event. Since 6.6.
    Tracepoint {
        /// Its name, without its category.
        name: String,
        /// What `bpf_get_attach_cookie` returns. Since 6.9.
        cookie: u64,
    },
    /// Another perf event. Since 6.6.
    PerfEvent {
        /// Its type (`PERF_TYPE_*`).
        kind: u32,
        /// Its configuration.
        config: u64,
        /// What `bpf_get_attach_cookie` returns. Since 6.9.
        cookie: u64,
    },
    /// Many functions of the kernel. Told since 6.6.
    KprobeMulti {
        /// How they are hooked (`BPF_F_KPROBE_MULTI_*`).
        flags: u32,
        /// Probes that were left out. Since 6.7.
        missed: u64,
        /// The functions' addresses.
        addresses: Vec<u64>,
        /// Their cookies, in the same order. Empty before 6.9.
        cookies: Vec<u64>,
    },
    /// Many places of one binary. Told since 6.8.
    UprobeMulti {
        /// The binary.
        path: String,
        /// How they are hooked (`BPF_F_UPROBE_MULTI_*`).
        flags: u32,
        /// Only in this process, or 0.
        pid: u32,
        /// The offsets in the file.
        offsets: Vec<u64>,
        /// The offsets of their semaphores, in the same order; 0 for none.
        semaphores: Vec<u64>,
        /// Their cookies, in the same order.
        cookies: Vec<u64>,
    },
    /// A registered struct_ops map.
    StructOps {
        /// The map's id; 0 once it is detached.
        map: u32,
    },
    /// A netfilter hook.
    Netfilter {
        /// `NFPROTO_*`.
        protocol_family: u32,
        /// `NF_INET_*`.
        hook: u32,
        /// Lower runs earlier.
        priority: i32,
        /// `BPF_F_NETFILTER_*`.
        flags: u32,
    },
    /// A sockmap or sockhash.
    Sockmap {
        /// The map's id.
        map: u32,
        /// As what (`AttachType`, raw).
        attach_type: u32,
    },
    /// Many functions, by their BTF ids. Since 7.2.
    TracingMulti {
        /// As what (`AttachType`, raw).
        attach_type: u32,
        /// The id of the BTF that holds the functions.
        btf_object: u32,
        /// Their type ids.
        ids: Vec<u32>,
        /// Their addresses, in the same order.
        addresses: Vec<u64>,
        /// Their cookies, in the same order.
        cookies: Vec<u64>,
    },
}

/// Which things an iterator walks over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum IterScope {
    /// All of its kind, as far as the host tells.
    #[default]
    All,
    /// The elements of a map.
    Map {
        /// The map's id.
        id: u32,
    },
    /// Cgroups. Since 6.1.
    Cgroup {
        /// The id of the one where the walk starts.
        id: u64,
        /// Which way it goes (`CgroupIterOrder`, raw).
        order: u32,
    },
    /// Threads; both 0 for all. Since 6.1.
    Task {
        /// One thread, or 0.
        thread: u32,
        /// The threads of this process, or 0.
        process: u32,
    },
}
