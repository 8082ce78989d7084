//! What programs may do with structures of the kernel, by their names in its BTF: what is written,
//! what an argument of a hook may be, what a map is.

use crate::{MapType, ProgramType};

/// A member that programs may write: its path, and whether it is a text whose last byte stays zero.
pub type WritableMember = (&'static str, bool);

const TCP_SOCK: &[WritableMember] = &[
    ("sk_pacing_rate", false),
    ("sk_pacing_status", false),
    ("icsk_ca_priv", false),
    ("icsk_ack.pending", false),
    ("snd_cwnd", false),
    ("snd_cwnd_cnt", false),
    ("snd_cwnd_stamp", false),
    ("snd_ssthresh", false),
    ("ecn_flags", false),
    ("app_limited", false),
];
const TASK: &[WritableMember] = &[
    ("scx.slice", false),
    ("scx.dsq_vtime", false),
    ("scx.disallow", false),
];
const HID_DEVICE: &[WritableMember] = &[("name", true), ("uniq", true), ("phys", true)];
const DUMMY_STATE: &[WritableMember] = &[("val", false)];
const QDISC: &[WritableMember] = &[("limit", false), ("q.qlen", false), ("qstats", false)];
const SK_BUFF_OF_QDISC: &[WritableMember] = &[("tstamp", false), ("cb", false)];
const CONNECTION: &[WritableMember] = &[("mark", false)];

/// The members of a kernel structure that programs of a type write directly; `hook` is the structure
/// of operations that a `struct_ops` program is for.
#[must_use]
pub fn writable_members(
    program_type: ProgramType,
    hook: &str,
    structure: &str,
) -> &'static [WritableMember] {
    match (program_type, hook, structure) {
        (ProgramType::Xdp | ProgramType::SchedCls | ProgramType::SchedAct, _, "nf_conn") => {
            CONNECTION
        }
        (ProgramType::StructOps, "tcp_congestion_ops", "tcp_sock") => TCP_SOCK,
        (ProgramType::StructOps, "sched_ext_ops", "task_struct") => TASK,
        (ProgramType::StructOps, "hid_bpf_ops", "hid_bpf_ctx") => &[("retval", false)],
        (ProgramType::StructOps, "hid_bpf_ops", "hid_device") => HID_DEVICE,
        (ProgramType::StructOps, "bpf_dummy_ops", "bpf_dummy_ops_state") => DUMMY_STATE,
        (ProgramType::StructOps, "Qdisc_ops", "Qdisc") => QDISC,
        (ProgramType::StructOps, "Qdisc_ops", "sk_buff") => SK_BUFF_OF_QDISC,
        _ => &[],
    }
}

/// What an argument of a tracepoint may be that its prototype does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TracepointArgument {
    /// Null.
    Nullable,
    /// An error number in a pointer's clothes.
    MaybeError,
}

/// What an argument of a raw tracepoint (counted from 0, without the `void *__data` before it) may
/// be beside a pointer. `None` of the whole: nothing is known about the tracepoint.
#[must_use]
pub fn tracepoint_argument(tracepoint: &str, argument: usize) -> Option<TracepointArgument> {
    let (_, arguments) = TRACEPOINT_ARGUMENTS
        .iter()
        .find(|(names, _)| names.contains(&tracepoint))?;
    arguments
        .iter()
        .find_map(|(number, what)| (*number == argument).then_some(*what))
}

/// Whether the kernel knows which arguments of a tracepoint can be null.
#[must_use]
pub fn tracepoint_is_known(tracepoint: &str) -> bool {
    tracepoint == "bpf_testmod_test_read"
        || TRACEPOINT_ARGUMENTS
            .iter()
            .any(|(names, _)| names.contains(&tracepoint))
}

const NULL: TracepointArgument = TracepointArgument::Nullable;
const ERROR: TracepointArgument = TracepointArgument::MaybeError;

type Arguments = (
    &'static [&'static str],
    &'static [(usize, TracepointArgument)],
);

/// As of Linux 6.18.
static TRACEPOINT_ARGUMENTS: &[Arguments] = &[
    (
        &[
            "sched_process_wait",
            "afs_protocol_error",
            "cachefiles_unlink",
            "cachefiles_rename",
            "cachefiles_prep_read",
            "cachefiles_mark_active",
            "cachefiles_mark_failed",
            "cachefiles_mark_inactive",
            "cachefiles_vfs_error",
            "cachefiles_io_error",
            "cachefiles_ondemand_open",
            "cachefiles_ondemand_copen",
            "cachefiles_ondemand_close",
            "cachefiles_ondemand_read",
            "cachefiles_ondemand_cread",
            "cachefiles_ondemand_fd_write",
            "cachefiles_ondemand_fd_release",
            "mm_collapse_huge_page_isolate",
            "mm_page_alloc",
            "mm_page_pcpu_drain",
            "mm_page_alloc_zone_locked",
            "rxrpc_recvdata",
            "xs_stream_read_data",
            "tmigr_update_events",
        ],
        &[(0, NULL)],
    ),
    (
        &[
            "sched_pi_setprio",
            "afs_make_fs_call",
            "afs_make_fs_calli",
            "afs_make_fs_call1",
            "afs_make_fs_call2",
            "afs_flock_ev",
            "ext4_mballoc_discard",
            "ext4_mballoc_free",
            "posix_lock_inode",
            "fcntl_setlk",
            "locks_remove_posix",
            "flock_lock_inode",
            "break_lease_noblock",
            "break_lease_block",
            "break_lease_unblock",
            "generic_delete_lease",
            "time_out_leases",
            "mm_khugepaged_scan_pmd",
            "mm_khugepaged_scan_file",
            "mm_khugepaged_collapse_file",
            "netfs_failure",
            "device_pm_callback_start",
            "rxrpc_resend",
            "xprt_reserve_cong",
            "xprt_release_cong",
            "xprt_get_cong",
            "xprt_put_cong",
            "writeback_dirty_folio",
            "folio_wait_writeback",
        ],
        &[(1, NULL)],
    ),
    (
        &[
            "sched_stick_numa",
            "sched_swap_numa",
            "fib_table_lookup",
            "tegra_dma_tx_status",
        ],
        &[(2, NULL)],
    ),
    (&["cachefiles_lookup"], &[(0, NULL), (2, ERROR)]),
    (&["host1x_cdma_push_gather"], &[(4, NULL)]),
    (&["qdisc_dequeue", "kfree_skb"], &[(3, NULL)]),
    (&["signal_generate", "signal_deliver"], &[(1, ERROR)]),
    (&["tcp_send_reset"], &[(0, NULL), (1, NULL)]),
    (&["mr_integ_alloc"], &[(3, ERROR)]),
];

/// Whether the arguments of an LSM hook can be relied on: not where the object is half made or
/// half gone.
#[must_use]
pub fn lsm_arguments_are_trusted(hook: &str) -> bool {
    !matches!(
        hook,
        "bpf_lsm_bpf_map_free"
            | "bpf_lsm_bpf_prog_free"
            | "bpf_lsm_file_alloc_security"
            | "bpf_lsm_file_free_security"
            | "bpf_lsm_sk_alloc_security"
            | "bpf_lsm_sk_free_security"
            | "bpf_lsm_task_free"
    )
}

/// What an argument of an iterator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IteratorArgument {
    /// A pointer to the structure with this name, or null.
    OrNull(&'static str),
    /// The same, and one that can be passed on.
    TrustedOrNull(&'static str),
    /// A buffer, or null.
    BufferOrNull,
    /// A buffer that is not written, or null.
    ReadOnlyBufferOrNull,
}

/// What the argument at an offset of an iterator's context is (`bpf_iter_task`), beside the `meta` at
/// offset 0.
#[must_use]
pub fn iterator_argument(iterator: &str, offset: u32) -> Option<IteratorArgument> {
    use IteratorArgument as A;
    let name = iterator.strip_prefix("bpf_iter_").unwrap_or(iterator);
    Some(match (name, offset) {
        ("task", 8) => A::TrustedOrNull("task_struct"),
        ("task_file", 8) => A::OrNull("task_struct"),
        ("task_file", 16) => A::OrNull("file"),
        ("task_vma", 8) => A::OrNull("task_struct"),
        ("task_vma", 16) => A::OrNull("vm_area_struct"),
        ("bpf_map", 8) => A::TrustedOrNull("bpf_map"),
        ("bpf_map_elem", 16) => A::ReadOnlyBufferOrNull,
        ("bpf_map_elem", 24) => A::BufferOrNull,
        ("bpf_sk_storage_map", 16) => A::OrNull("sock"),
        ("bpf_sk_storage_map", 24) => A::BufferOrNull,
        ("sockmap", 16) => A::ReadOnlyBufferOrNull,
        ("sockmap", 24) => A::OrNull("sock"),
        ("bpf_prog", 8) => A::OrNull("bpf_prog"),
        ("bpf_link", 8) => A::OrNull("bpf_link"),
        ("cgroup", 8) => A::TrustedOrNull("cgroup"),
        ("ksym", 8) => A::OrNull("kallsym_iter"),
        ("tcp", 8) => A::TrustedOrNull("sock_common"),
        ("udp", 8) => A::TrustedOrNull("udp_sock"),
        ("unix", 8) => A::OrNull("unix_sock"),
        ("netlink", 8) => A::OrNull("netlink_sock"),
        ("ipv6_route", 8) => A::OrNull("fib6_info"),
        ("kmem_cache", 8) => A::TrustedOrNull("kmem_cache"),
        ("dmabuf", 8) => A::TrustedOrNull("dma_buf"),
        _ => return None,
    })
}

/// Whether RCU protects objects of a structure of the kernel, so that pointers to them in maps can
/// be used inside a section.
#[must_use]
pub fn is_rcu_protected(structure: &str) -> bool {
    matches!(
        structure,
        "cgroup" | "bpf_cpumask" | "task_struct" | "bpf_crypto_ctx" | "prog_test_ref_kfunc"
    )
}

impl MapType {
    /// The structure of the kernel's BTF that a map of the type is. Its first member is a `bpf_map`.
    #[must_use]
    pub fn kernel_structure(self) -> &'static str {
        match self {
            Self::Array
            | Self::PercpuArray
            | Self::ProgArray
            | Self::PerfEventArray
            | Self::CgroupArray
            | Self::ArrayOfMaps => "bpf_array",
            Self::Hash
            | Self::PercpuHash
            | Self::LruHash
            | Self::LruPercpuHash
            | Self::HashOfMaps => "bpf_htab",
            Self::StackTrace => "bpf_stack_map",
            Self::Devmap | Self::DevmapHash => "bpf_dtab",
            Self::Cpumap => "bpf_cpu_map",
            Self::Xskmap => "xsk_map",
            Self::Sockmap => "bpf_stab",
            Self::Sockhash => "bpf_shtab",
            Self::LpmTrie => "lpm_trie",
            Self::ReuseportSockarray => "reuseport_array",
            Self::Queue | Self::Stack => "bpf_queue_stack",
            Self::SkStorage | Self::InodeStorage | Self::TaskStorage | Self::CgrpStorage => {
                "bpf_local_storage_map"
            }
            Self::StructOps => "bpf_struct_ops_map",
            Self::Ringbuf | Self::UserRingbuf => "bpf_ringbuf_map",
            Self::BloomFilter => "bpf_bloom_filter",
            Self::Arena => "bpf_arena",
            Self::CgroupStorage | Self::PercpuCgroupStorage => "bpf_cgroup_storage_map",
            _ => "bpf_map",
        }
    }
}
