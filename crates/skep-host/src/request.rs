//! What the commands take, as plain borrowed values; and what some of them give back.
//!
//! Byte slices that stand for keys, values and records have the sizes the map or the BTF
//! gives them; a host checks lengths before it asks the kernel.

use std::path::{Path, PathBuf};

use skep_abi::{
    AttachFlags, AttachType, KprobeMultiFlags, MapCreateFlags, MapType, NetfilterLinkFlags,
    ProgLoadFlags, ProgramType, QueryFlags, TestRunFlags, UprobeMultiFlags,
};

use crate::{BtfFd, CgroupFd, IterTarget, MapFd, ProgramFd, TokenFd};

/// A map to create.
#[derive(Debug, Clone)]
#[doc(alias = "BPF_MAP_CREATE")]
pub struct MapCreate<'a> {
    /// Its type.
    pub map_type: MapType,
    /// Its name; hosts keep the first 15 bytes.
    pub name: &'a str,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries; bytes for ring buffers; pages for arenas.
    pub max_entries: u32,
    /// How it is made.
    pub flags: MapCreateFlags,
    /// What the type defines (bloom filter: hash functions; arena: address). Since 5.16.
    pub map_extra: u64,
    /// The template of the inner maps, for maps of maps.
    pub inner_map: Option<&'a MapFd>,
    /// The NUMA node to allocate on.
    pub numa_node: Option<u32>,
    /// The device that an offloaded map lives on, or 0.
    pub ifindex: u32,
    /// The types of key and value.
    pub btf: Option<MapBtf<'a>>,
    /// The right to create it, from a delegated bpffs. Since 6.9.
    pub token: Option<&'a TokenFd>,
    /// The SHA-256 of the instructions of the one program that may use it. Since 6.18.
    #[doc(alias = "excl_prog_hash")]
    pub exclusive: Option<&'a [u8; 32]>,
}

impl<'a> MapCreate<'a> {
    /// A map of the given shape, with no flags and no BTF.
    pub fn new(
        map_type: MapType,
        name: &'a str,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
    ) -> Self {
        Self {
            map_type,
            name,
            key_size,
            value_size,
            max_entries,
            flags: MapCreateFlags::empty(),
            map_extra: 0,
            inner_map: None,
            numa_node: None,
            ifindex: 0,
            btf: None,
            token: None,
            exclusive: None,
        }
    }
}

/// The types of a map's key and value, in BTF that the host has loaded.
#[derive(Debug, Clone, Copy)]
pub struct MapBtf<'a> {
    /// The BTF.
    pub btf: &'a BtfFd,
    /// Type id of the key, or 0.
    pub key_type: u32,
    /// Type id of the value, or 0.
    pub value_type: u32,
    /// For struct_ops: type id of the value in the kernel's BTF, else 0.
    #[doc(alias = "btf_vmlinux_value_type_id")]
    pub kernel_value_type: u32,
    /// The module BTF in which `kernel_value_type` counts; `None`: the kernel's own. Since 6.9.
    #[doc(alias = "value_type_btf_obj_fd")]
    #[doc(alias = "BPF_F_VTYPE_BTF_OBJ_FD")]
    pub kernel_btf: Option<&'a BtfFd>,
}

/// Arrays that a batch command fills or reads.
#[derive(Debug)]
pub struct MapBatch<'a> {
    /// Where to go on from; `None` starts at the beginning.
    pub position: Option<&'a [u8]>,
    /// Where the host writes the place to go on from.
    pub next_position: &'a mut [u8],
    /// `count` keys.
    pub keys: &'a mut [u8],
    /// `count` values.
    pub values: &'a mut [u8],
    /// How many fit.
    pub count: u32,
    /// Flags for each element (`BPF_ANY`, `BPF_F_LOCK`, …).
    pub element_flags: u64,
}

/// How far a batch came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOutcome {
    /// Elements done.
    pub count: u32,
    /// No more elements follow.
    pub end: bool,
}

/// How much the verifier writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// Nothing, unless the load fails: then the host asks again, for the whole log.
    #[default]
    OnFailure,
    /// The log of the failing path, and the statistics, also on success.
    Verbose,
    /// Every state.
    States,
}

/// A program to load.
#[derive(Debug, Clone)]
#[doc(alias = "BPF_PROG_LOAD")]
pub struct ProgramLoad<'a> {
    /// Its type.
    pub program_type: ProgramType,
    /// What it will be attached as, where the type leaves a choice.
    pub expected_attach_type: Option<AttachType>,
    /// For struct_ops: which member of the kernel's structure it implements. The kernel reads it
    /// from the field of the attach type, so it stands in the place of `expected_attach_type`.
    pub attach_member: Option<u32>,
    /// Its name; hosts keep the first 15 bytes.
    pub name: &'a str,
    /// Instructions, 8 bytes each, in the host's byte order, map references resolved.
    pub instructions: &'a [u8],
    /// The licence that GPL-only helpers ask for.
    pub license: &'a str,
    /// `LINUX_VERSION_CODE`, for kprobes on kernels before 5.0.
    pub kernel_version: u32,
    /// How it is loaded.
    pub flags: ProgLoadFlags,
    /// Debug records.
    pub btf: Option<ProgramBtf<'a>>,
    /// The BTF id of what it attaches to, or 0.
    pub attach_btf_id: u32,
    /// Where that id counts, when not in the kernel's own BTF.
    pub attach_target: Option<AttachTarget<'a>>,
    /// Descriptors that instructions name by index (maps, module BTF).
    pub fd_array: &'a [i32],
    /// The maps of `fd_array` live as long as the program, also those that no instruction names;
    /// then all of it must be maps and BTF. Since 6.14.
    #[doc(alias = "fd_array_cnt")]
    pub bind_fd_array: bool,
    /// The device that an offloaded or device-bound program runs on, or 0.
    pub ifindex: u32,
    /// How much of the verifier's log to keep.
    pub log_level: LogLevel,
    /// The right to load it, from a delegated bpffs. Since 6.9.
    pub token: Option<&'a TokenFd>,
    /// Who vouches for the instructions. Since 6.18.
    pub signature: Option<Signature<'a>>,
}

impl<'a> ProgramLoad<'a> {
    /// A program with a GPL licence and nothing else set.
    pub fn new(program_type: ProgramType, name: &'a str, instructions: &'a [u8]) -> Self {
        Self {
            program_type,
            expected_attach_type: None,
            attach_member: None,
            name,
            instructions,
            license: "GPL",
            kernel_version: 0,
            flags: ProgLoadFlags::empty(),
            btf: None,
            attach_btf_id: 0,
            attach_target: None,
            fd_array: &[],
            bind_fd_array: false,
            ifindex: 0,
            log_level: LogLevel::OnFailure,
            token: None,
            signature: None,
        }
    }
}

/// A signature over a program's instructions (PKCS #7, detached).
#[derive(Debug, Clone, Copy)]
pub struct Signature<'a> {
    /// The signature's bytes.
    pub bytes: &'a [u8],
    /// The keyring that must hold the signer's key: a serial number, or one of the kernel's own
    /// (0 builtin, 1 secondary, 2 platform; negative: a special keyring of this process).
    pub keyring: i32,
}

/// Debug records of a program, as `bpf_func_info`, `bpf_line_info` and `bpf_core_relo` lay them
/// out.
#[derive(Debug, Clone, Copy)]
pub struct ProgramBtf<'a> {
    /// The BTF that their type ids and strings are in.
    pub btf: &'a BtfFd,
    /// Function records.
    pub func_info: &'a [u8],
    /// Bytes of one.
    pub func_info_record_size: u32,
    /// Line records.
    pub line_info: &'a [u8],
    /// Bytes of one.
    pub line_info_record_size: u32,
    /// CO-RE relocations for the kernel to resolve; empty where they are resolved already, as
    /// Skep's loader does. Since 5.17.
    pub core_relocations: &'a [u8],
    /// Bytes of one.
    pub core_relocation_record_size: u32,
}

impl<'a> ProgramBtf<'a> {
    /// The BTF alone, with no records.
    pub fn new(btf: &'a BtfFd) -> Self {
        Self {
            btf,
            func_info: &[],
            func_info_record_size: 0,
            line_info: &[],
            line_info_record_size: 0,
            core_relocations: &[],
            core_relocation_record_size: 0,
        }
    }
}

/// What a tracing or extension program attaches to, when it is not the kernel proper.
#[derive(Debug, Clone, Copy)]
pub enum AttachTarget<'a> {
    /// Another program (freplace, fentry on programs).
    Program(&'a ProgramFd),
    /// The BTF of a module.
    Module(&'a BtfFd),
}

/// BTF to load.
#[derive(Debug, Clone, Copy)]
#[doc(alias = "BPF_BTF_LOAD")]
pub struct BtfLoad<'a> {
    /// Whose it is, for errors.
    pub object: &'a str,
    /// The bytes, in the host's byte order.
    pub bytes: &'a [u8],
    /// How much of the checker's log to keep.
    pub log_level: LogLevel,
    /// The right to load it, from a delegated bpffs. Since 6.9.
    pub token: Option<&'a TokenFd>,
}

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

/// A path in the host's tree of pins.
#[derive(Debug, Clone, Copy)]
pub struct PinPath<'a> {
    /// The path.
    pub path: &'a Path,
    /// An open directory that a relative path starts from; `None`: the working directory.
    /// Since 6.5.
    #[doc(alias = "BPF_F_PATH_FD")]
    pub directory: Option<i32>,
}

impl<'a> From<&'a Path> for PinPath<'a> {
    fn from(path: &'a Path) -> Self {
        Self {
            path,
            directory: None,
        }
    }
}

impl<'a> From<&'a PathBuf> for PinPath<'a> {
    fn from(path: &'a PathBuf) -> Self {
        path.as_path().into()
    }
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
        symbols: &'a [&'a std::ffi::CStr],
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

/// A run of a program on given input.
#[derive(Debug, Default)]
#[doc(alias = "BPF_PROG_TEST_RUN")]
pub struct TestRun<'a> {
    /// The packet.
    pub data_in: &'a [u8],
    /// Where the packet is put afterwards.
    pub data_out: &'a mut [u8],
    /// The context, as its uapi struct.
    pub context_in: &'a [u8],
    /// Where the context is put afterwards.
    pub context_out: &'a mut [u8],
    /// How often; 0 and 1 are once.
    pub repeat: u32,
    /// How it is run.
    pub flags: TestRunFlags,
    /// The CPU to run on with `BPF_F_TEST_RUN_ON_CPU`.
    pub cpu: u32,
    /// Packets a batch, for live XDP frames.
    pub batch_size: u32,
}

/// What a test run gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TestRunOutcome {
    /// The program's return value.
    pub return_value: u32,
    /// Mean time of a run, in nanoseconds.
    pub duration: u32,
    /// Bytes of packet written; more than fit when the buffer was short.
    pub data_out_size: u32,
    /// Bytes of context written.
    pub context_out_size: u32,
}
