//! The structs that `bpf(2)` and `perf_event_open(2)` take and fill, one a command.
//!
//! Written from the uapi headers of Linux 7.3 (`union bpf_attr` and the `bpf_*_info` structs).
//! None has hidden padding (`IntoBytes` proves it), so what the kernel sees is what is set.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

macro_rules! attributes {
    ($($(#[$doc:meta])* struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
        pub(crate) struct $name { $($(#[$field_doc])* pub(crate) $field: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self::new_zeroed()
            }
        }

        #[cfg(test)]
        impl $crate::attr::tests::Layout for $name {
            const FIELDS: $crate::attr::tests::Fields = &[
                $((stringify!($field), std::mem::offset_of!($name, $field), size_of::<$type>()),)*
            ];
        }
    )*};
}

mod info;
#[cfg(test)]
mod tests;

pub(crate) use info::*;

attributes! {
    /// `BPF_MAP_CREATE`.
    struct MapCreate {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        inner_map_fd: u32,
        numa_node: u32,
        map_name: [u8; 16],
        map_ifindex: u32,
        btf_fd: u32,
        btf_key_type_id: u32,
        btf_value_type_id: u32,
        btf_vmlinux_value_type_id: u32,
        map_extra: u64,
        value_type_btf_obj_fd: i32,
        map_token_fd: i32,
        excl_prog_hash: u64,
        excl_prog_hash_size: u32,
        reserved: u32,
    }

    /// `struct bpf_common_attr`: beside a command's own attribute (7.2).
    struct Common {
        log_buf: u64,
        log_size: u32,
        log_level: u32,
        log_true_size: u32,
        reserved: u32,
    }

    /// `BPF_MAP_*_ELEM`, `BPF_MAP_GET_NEXT_KEY`, `BPF_MAP_FREEZE`. `value` is `next_key` too.
    struct MapElement {
        map_fd: u32,
        reserved: u32,
        key: u64,
        value: u64,
        flags: u64,
    }

    /// `BPF_MAP_*_BATCH`.
    struct MapBatch {
        in_batch: u64,
        out_batch: u64,
        keys: u64,
        values: u64,
        count: u32,
        map_fd: u32,
        elem_flags: u64,
        flags: u64,
    }

    /// `BPF_PROG_LOAD`.
    struct ProgLoad {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; 16],
        prog_ifindex: u32,
        expected_attach_type: u32,
        prog_btf_fd: u32,
        func_info_rec_size: u32,
        func_info: u64,
        func_info_cnt: u32,
        line_info_rec_size: u32,
        line_info: u64,
        line_info_cnt: u32,
        attach_btf_id: u32,
        attach_prog_fd: u32,
        core_relo_cnt: u32,
        fd_array: u64,
        core_relos: u64,
        core_relo_rec_size: u32,
        log_true_size: u32,
        prog_token_fd: i32,
        fd_array_cnt: u32,
        signature: u64,
        signature_size: u32,
        keyring_id: i32,
    }

    /// `BPF_OBJ_PIN`, `BPF_OBJ_GET`.
    struct Object {
        pathname: u64,
        bpf_fd: u32,
        file_flags: u32,
        path_fd: i32,
        reserved: u32,
    }

    /// `BPF_PROG_ATTACH`, `BPF_PROG_DETACH`. `target` is a descriptor or a device's index.
    struct ProgAttach {
        target: u32,
        attach_bpf_fd: u32,
        attach_type: u32,
        attach_flags: u32,
        replace_bpf_fd: u32,
        relative: u32,
        expected_revision: u64,
    }

    /// `BPF_PROG_TEST_RUN`.
    struct TestRun {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
        ctx_size_in: u32,
        ctx_size_out: u32,
        ctx_in: u64,
        ctx_out: u64,
        flags: u32,
        cpu: u32,
        batch_size: u32,
        reserved: u32,
    }

    /// `BPF_*_GET_NEXT_ID`, `BPF_*_GET_FD_BY_ID`.
    struct Id {
        id: u32,
        next_id: u32,
        open_flags: u32,
        token_fd: i32,
    }

    /// `BPF_OBJ_GET_INFO_BY_FD`.
    struct Info {
        bpf_fd: u32,
        info_len: u32,
        info: u64,
    }

    /// `BPF_PROG_QUERY`.
    struct ProgQuery {
        target: u32,
        attach_type: u32,
        query_flags: u32,
        attach_flags: u32,
        prog_ids: u64,
        count: u32,
        reserved: u32,
        prog_attach_flags: u64,
        link_ids: u64,
        link_attach_flags: u64,
        revision: u64,
    }

    /// `BPF_RAW_TRACEPOINT_OPEN`.
    struct RawTracepoint {
        name: u64,
        prog_fd: u32,
        reserved: u32,
        cookie: u64,
    }

    /// `BPF_BTF_LOAD`.
    struct BtfLoad {
        btf: u64,
        btf_log_buf: u64,
        btf_size: u32,
        btf_log_size: u32,
        btf_log_level: u32,
        btf_log_true_size: u32,
        btf_flags: u32,
        btf_token_fd: i32,
    }

    /// `BPF_TASK_FD_QUERY`.
    struct TaskQuery {
        pid: u32,
        fd: u32,
        flags: u32,
        buf_len: u32,
        buf: u64,
        prog_id: u32,
        fd_type: u32,
        probe_offset: u64,
        probe_addr: u64,
    }

    /// `BPF_LINK_CREATE`. `options` holds one of the `Link*` structs below.
    struct LinkCreate {
        /// `prog_fd`, or `map_fd` for struct_ops.
        source_fd: u32,
        target: u32,
        attach_type: u32,
        flags: u32,
        options: [u64; 6],
    }

    /// `link_create.iter_info`, `iter_info_len`.
    struct LinkIterator {
        iter_info: u64,
        iter_info_len: u32,
        reserved: u32,
    }

    /// `link_create.perf_event`.
    struct LinkPerfEvent {
        bpf_cookie: u64,
    }

    /// `link_create.tracing`.
    struct LinkTracing {
        target_btf_id: u32,
        reserved: u32,
        cookie: u64,
    }

    /// `link_create.tcx`, `.netkit`, `.cgroup`.
    struct LinkOrdered {
        relative: u32,
        reserved: u32,
        expected_revision: u64,
    }

    /// `link_create.kprobe_multi`.
    struct LinkKprobeMulti {
        flags: u32,
        cnt: u32,
        syms: u64,
        addrs: u64,
        cookies: u64,
    }

    /// `link_create.uprobe_multi`.
    struct LinkUprobeMulti {
        path: u64,
        offsets: u64,
        ref_ctr_offsets: u64,
        cookies: u64,
        cnt: u32,
        flags: u32,
        pid: u32,
        path_fd: u32,
    }

    /// `link_create.netfilter`.
    struct LinkNetfilter {
        pf: u32,
        hooknum: u32,
        priority: i32,
        flags: u32,
    }

    /// `link_create.tracing_multi`.
    struct LinkTracingMulti {
        ids: u64,
        cookies: u64,
        cnt: u32,
        reserved: u32,
    }

    /// `union bpf_iter_link_info`: the map's, the task's and the cgroup's view share words.
    struct IteratorTarget {
        /// `map.map_fd`, `task.tid`, `cgroup.order`.
        first: u32,
        /// `task.pid`, `cgroup.cgroup_fd`.
        second: u32,
        /// `cgroup.cgroup_id`; its low half is `task.pid_fd`.
        third: u64,
    }

    /// `BPF_LINK_UPDATE`.
    struct LinkUpdate {
        link_fd: u32,
        /// `new_prog_fd`, `new_map_fd`.
        new_fd: u32,
        flags: u32,
        /// `old_prog_fd`, `old_map_fd`.
        old_fd: u32,
    }

    /// `BPF_LINK_DETACH`.
    struct LinkDetach {
        link_fd: u32,
    }

    /// `BPF_ENABLE_STATS`.
    struct EnableStats {
        kind: u32,
    }

    /// `BPF_ITER_CREATE`.
    struct IterCreate {
        link_fd: u32,
        flags: u32,
    }

    /// `BPF_PROG_BIND_MAP`.
    struct BindMap {
        prog_fd: u32,
        map_fd: u32,
        flags: u32,
    }

    /// `BPF_TOKEN_CREATE`.
    struct TokenCreate {
        flags: u32,
        bpffs_fd: u32,
    }

    /// `BPF_PROG_STREAM_READ_BY_FD`.
    struct StreamRead {
        stream_buf: u64,
        stream_buf_len: u32,
        stream_id: u32,
        prog_fd: u32,
        reserved: u32,
    }

    /// `BPF_PROG_ASSOC_STRUCT_OPS`.
    struct AssocStructOps {
        map_fd: u32,
        prog_fd: u32,
        flags: u32,
    }

    /// `struct perf_event_attr` up to `PERF_ATTR_SIZE_VER5` (4.1).
    struct PerfEvent {
        kind: u32,
        size: u32,
        config: u64,
        sample_period: u64,
        sample_type: u64,
        read_format: u64,
        flags: u64,
        wakeup: u32,
        bp_type: u32,
        config1: u64,
        config2: u64,
        branch_sample_type: u64,
        sample_regs_user: u64,
        sample_stack_user: u32,
        clockid: i32,
        sample_regs_intr: u64,
        aux_watermark: u32,
        sample_max_stack: u16,
        reserved: u16,
    }
}

/// Packs one of the `Link*` or `*LinkInfo` structs into the words that stand for the union.
pub(crate) fn pack<T: IntoBytes + Immutable>(value: &T) -> [u64; 6] {
    let mut words = [0; 6];
    let bytes = value.as_bytes();
    words.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
    words
}

/// Reads one of the `*LinkInfo` structs out of the words that stand for the union.
pub(crate) fn unpack<T: FromZeros + FromBytes + IntoBytes>(words: &[u64; 6]) -> T {
    let mut value = T::new_zeroed();
    let bytes = value.as_mut_bytes();
    bytes.copy_from_slice(&words.as_bytes()[..bytes.len()]);
    value
}

/// A name as the kernel keeps it: at most 15 bytes of `[A-Za-z0-9_.]`, others as `_`, and a NUL.
pub(crate) fn object_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().take(15).zip(name.bytes()) {
        *to = if from.is_ascii_alphanumeric() || from == b'.' {
            from
        } else {
            b'_'
        };
    }
    bytes
}

/// The text before the first NUL.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
