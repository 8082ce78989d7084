//! What `BPF_OBJ_GET_INFO_BY_FD` fills: one struct a kind of object, and for links one a type.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

attributes! {
    /// `struct bpf_prog_info`.
    struct ProgInfo {
        kind: u32,
        id: u32,
        tag: [u8; 8],
        jited_prog_len: u32,
        xlated_prog_len: u32,
        jited_prog_insns: u64,
        xlated_prog_insns: u64,
        load_time: u64,
        created_by_uid: u32,
        nr_map_ids: u32,
        map_ids: u64,
        name: [u8; 16],
        ifindex: u32,
        gpl_compatible: u32,
        netns_dev: u64,
        netns_ino: u64,
        nr_jited_ksyms: u32,
        nr_jited_func_lens: u32,
        jited_ksyms: u64,
        jited_func_lens: u64,
        btf_id: u32,
        func_info_rec_size: u32,
        func_info: u64,
        nr_func_info: u32,
        nr_line_info: u32,
        line_info: u64,
        jited_line_info: u64,
        nr_jited_line_info: u32,
        line_info_rec_size: u32,
        jited_line_info_rec_size: u32,
        nr_prog_tags: u32,
        prog_tags: u64,
        run_time_ns: u64,
        run_cnt: u64,
        recursion_misses: u64,
        verified_insns: u32,
        attach_btf_obj_id: u32,
        attach_btf_id: u32,
        reserved: u32,
    }

    /// `struct bpf_map_info`.
    struct MapInfo {
        kind: u32,
        id: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        name: [u8; 16],
        ifindex: u32,
        btf_vmlinux_value_type_id: u32,
        netns_dev: u64,
        netns_ino: u64,
        btf_id: u32,
        btf_key_type_id: u32,
        btf_value_type_id: u32,
        btf_vmlinux_id: u32,
        map_extra: u64,
        hash: u64,
        hash_size: u32,
        reserved: u32,
    }

    /// `struct bpf_btf_info`.
    struct BtfInfo {
        btf: u64,
        btf_size: u32,
        id: u32,
        name: u64,
        name_len: u32,
        kernel_btf: u32,
    }

    /// `struct bpf_link_info`. `details` holds one of the `*LinkInfo` structs below.
    struct LinkInfo {
        kind: u32,
        id: u32,
        prog_id: u32,
        reserved: u32,
        details: [u64; 6],
    }

    /// `bpf_link_info.raw_tracepoint`.
    struct RawTracepointLinkInfo {
        name: u64,
        name_len: u32,
        reserved: u32,
        cookie: u64,
    }

    /// `bpf_link_info.iter`. What the kinds of iterators say shares words.
    struct IteratorLinkInfo {
        name: u64,
        name_len: u32,
        /// `map.map_id`.
        map_id: u32,
        /// `cgroup.cgroup_id`; `task.tid` and `task.pid` are its halves, in memory order.
        place: [u32; 2],
        /// `cgroup.order`.
        order: u32,
        reserved: u32,
    }

    /// `bpf_link_info.tracing`.
    struct TracingLinkInfo {
        attach_type: u32,
        target_obj_id: u32,
        target_btf_id: u32,
        reserved: u32,
        cookie: u64,
    }

    /// `bpf_link_info.cgroup`.
    struct CgroupLinkInfo {
        cgroup_id: u64,
        attach_type: u32,
        reserved: u32,
    }

    /// `bpf_link_info.netns`, `.tcx`, `.netkit`, `.sockmap`, `.xdp` and `.struct_ops` (which have
    /// no attach type).
    struct NumberedLinkInfo {
        number: u32,
        attach_type: u32,
    }

    /// `bpf_link_info.kprobe_multi`.
    struct KprobeMultiLinkInfo {
        addrs: u64,
        count: u32,
        flags: u32,
        missed: u64,
        cookies: u64,
    }

    /// `bpf_link_info.uprobe_multi`.
    struct UprobeMultiLinkInfo {
        path: u64,
        offsets: u64,
        ref_ctr_offsets: u64,
        cookies: u64,
        path_size: u32,
        count: u32,
        flags: u32,
        pid: u32,
    }

    /// `bpf_link_info.tracing_multi`.
    struct TracingMultiLinkInfo {
        attach_type: u32,
        count: u32,
        btf_obj_id: u32,
        reserved: u32,
        ids: u64,
        addrs: u64,
        cookies: u64,
    }

    /// `bpf_link_info.netfilter`.
    struct NetfilterLinkInfo {
        pf: u32,
        hooknum: u32,
        priority: i32,
        flags: u32,
    }

    /// `bpf_link_info.perf_event` for kprobes.
    struct KprobeLinkInfo {
        kind: u32,
        reserved: u32,
        name: u64,
        name_len: u32,
        offset: u32,
        address: u64,
        missed: u64,
        cookie: u64,
    }

    /// `bpf_link_info.perf_event` for uprobes; tracepoints lack the offsets.
    struct UprobeLinkInfo {
        kind: u32,
        reserved: u32,
        name: u64,
        name_len: u32,
        offset: u32,
        cookie: u64,
        semaphore: u64,
    }

    /// `bpf_link_info.perf_event` for other perf events.
    struct EventLinkInfo {
        kind: u32,
        reserved: u32,
        config: u64,
        event_kind: u32,
        reserved2: u32,
        cookie: u64,
    }

    /// `struct bpf_token_info`.
    struct TokenInfo {
        allowed_cmds: u64,
        allowed_maps: u64,
        allowed_progs: u64,
        allowed_attachs: u64,
    }
}
