//! What a host tells of the things it holds (`BPF_OBJ_GET_INFO_BY_FD`).
//!
//! Numbers that a newer kernel may extend stay numbers (`*_raw`); the typed view is a method.

use std::time::Duration;

use skep_abi::{LinkType, MapType, ProgramType};

/// Which list an id belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectId {
    /// A program.
    Program(u32),
    /// A map.
    Map(u32),
    /// A BTF object.
    Btf(u32),
    /// A link.
    Link(u32),
}

/// A map, as the host tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[doc(alias = "bpf_map_info")]
pub struct MapInfo {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// The number of its type.
    pub type_raw: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries.
    pub max_entries: u32,
    /// `BPF_F_*` it was made with.
    pub flags: u32,
    /// The device it lives on, or 0.
    pub ifindex: u32,
    /// The id of its BTF, or 0.
    pub btf_id: u32,
    /// Type id of the key, or 0.
    pub key_type: u32,
    /// Type id of the value, or 0.
    pub value_type: u32,
    /// Type-specific extra.
    pub map_extra: u64,
}

impl MapInfo {
    /// Its type, when this version of Skep knows it.
    pub fn map_type(&self) -> Option<MapType> {
        MapType::from_raw(self.type_raw)
    }
}

/// A program, as the host tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[doc(alias = "bpf_prog_info")]
pub struct ProgramInfo {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// The number of its type.
    pub type_raw: u32,
    /// The hash of its instructions.
    pub tag: [u8; 8],
    /// When it was loaded, since boot.
    pub loaded_at: Duration,
    /// Who loaded it.
    pub created_by_uid: u32,
    /// The ids of its maps.
    pub maps: Vec<u32>,
    /// Its licence is GPL-compatible.
    pub gpl_compatible: bool,
    /// Bytes of translated instructions.
    pub translated_size: u32,
    /// Bytes of machine code, 0 without a JIT.
    pub jited_size: u32,
    /// The id of its BTF, or 0.
    pub btf_id: u32,
    /// Time spent running, while statistics were on.
    pub run_time: Duration,
    /// Runs, while statistics were on.
    pub run_count: u64,
    /// Runs that the host left out because the program was already running on that CPU.
    pub recursion_misses: u64,
    /// Instructions that the verifier processed. Since 5.16.
    pub verified_instructions: u32,
}

impl ProgramInfo {
    /// Its type, when this version of Skep knows it.
    pub fn program_type(&self) -> Option<ProgramType> {
        ProgramType::from_raw(self.type_raw)
    }
}

/// A BTF object, as the host tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[doc(alias = "bpf_btf_info")]
pub struct BtfInfo {
    /// Its id.
    pub id: u32,
    /// Its name: `vmlinux`, a module's, or empty.
    pub name: String,
    /// The kernel's own, not a program's.
    pub kernel: bool,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A link, as the host tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[doc(alias = "bpf_link_info")]
pub struct LinkInfo {
    /// Its id.
    pub id: u32,
    /// The number of its type.
    pub type_raw: u32,
    /// The id of its program.
    pub program_id: u32,
    /// What its type adds.
    pub details: LinkDetails,
}

impl LinkInfo {
    /// Its type, when this version of Skep knows it.
    pub fn link_type(&self) -> Option<LinkType> {
        LinkType::from_raw(self.type_raw)
    }
}

/// What a link's type adds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LinkDetails {
    /// Nothing this version of Skep reads.
    #[default]
    None,
    /// A raw tracepoint's name.
    RawTracepoint(String),
    /// A tracing program's target.
    Tracing {
        /// As what.
        attach_type: u32,
        /// The id of the BTF or program that holds the target.
        target_object: u32,
        /// The target's type id.
        target_btf: u32,
    },
    /// A cgroup.
    Cgroup {
        /// Its id.
        cgroup: u64,
        /// As what.
        attach_type: u32,
    },
    /// A network device.
    Device {
        /// Its index.
        ifindex: u32,
        /// As what, or 0 for XDP.
        attach_type: u32,
    },
    /// An iterator's target.
    Iterator(String),
    /// A network namespace.
    Netns {
        /// Its inode.
        inode: u32,
        /// As what.
        attach_type: u32,
    },
    /// A perf event.
    PerfEvent {
        /// Its kind (`BPF_PERF_EVENT_*`).
        kind: u32,
        /// The tracepoint, function or binary, where the host says it.
        name: String,
        /// The offset within it.
        offset: u64,
        /// Probes that were left out.
        missed: u64,
    },
    /// A multi-probe.
    Multi {
        /// Functions hooked.
        count: u32,
        /// Probes that were left out.
        missed: u64,
    },
}

/// What a task's perf event carries (`BPF_TASK_FD_QUERY`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskAttachment {
    /// The program's id.
    pub program_id: u32,
    /// `BPF_FD_TYPE_*`.
    pub kind: u32,
    /// The tracepoint, function or binary.
    pub name: String,
    /// The offset within it.
    pub offset: u64,
    /// The address, where the host shows it.
    pub address: u64,
}
