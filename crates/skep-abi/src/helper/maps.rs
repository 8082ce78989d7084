//! Which helpers work on maps of which types.
//!
//! Most helpers that take a map take any; some only those of a few types, and some map types only
//! go with a few helpers. A pair fits if neither side objects (`check_map_func_compatibility` of
//! the kernel, as of Linux 6.18).

use super::Helper;
use crate::{AttachType, MapType, ProgramType};

/// The helpers (without `bpf_`) that a map type goes with; `None`: any.
fn helpers_of(map: MapType) -> Option<&'static [&'static str]> {
    use MapType as M;
    Some(match map {
        M::ProgArray => &["tail_call"],
        M::PerfEventArray => &[
            "perf_event_read",
            "perf_event_read_value",
            "perf_event_output",
            "skb_output",
            "xdp_output",
        ],
        M::Ringbuf => &[
            "ringbuf_output",
            "ringbuf_reserve",
            "ringbuf_query",
            "ringbuf_reserve_dynptr",
            "ringbuf_submit_dynptr",
            "ringbuf_discard_dynptr",
        ],
        M::UserRingbuf => &["user_ringbuf_drain"],
        M::StackTrace => &["get_stackid"],
        M::CgroupArray => &["skb_under_cgroup", "current_task_under_cgroup"],
        M::CgroupStorage | M::PercpuCgroupStorage => &["get_local_storage"],
        M::Devmap | M::DevmapHash | M::Xskmap => &["redirect_map", "map_lookup_elem"],
        M::Cpumap => &["redirect_map"],
        M::ArrayOfMaps | M::HashOfMaps => &["map_lookup_elem"],
        M::Sockmap => &[
            "sk_redirect_map",
            "sock_map_update",
            "msg_redirect_map",
            "sk_select_reuseport",
            "map_lookup_elem",
            "map_update_elem",
            "map_delete_elem",
        ],
        M::Sockhash => &[
            "sk_redirect_hash",
            "sock_hash_update",
            "msg_redirect_hash",
            "sk_select_reuseport",
            "map_lookup_elem",
            "map_update_elem",
            "map_delete_elem",
        ],
        M::ReuseportSockarray => &["sk_select_reuseport"],
        M::Queue | M::Stack => &["map_push_elem", "map_pop_elem", "map_peek_elem"],
        M::SkStorage => &["sk_storage_get", "sk_storage_delete", "kptr_xchg"],
        M::InodeStorage => &["inode_storage_get", "inode_storage_delete", "kptr_xchg"],
        M::TaskStorage => &["task_storage_get", "task_storage_delete", "kptr_xchg"],
        M::CgrpStorage => &["cgrp_storage_get", "cgrp_storage_delete", "kptr_xchg"],
        M::BloomFilter => &["map_push_elem", "map_peek_elem"],
        M::InsnArray => &[],
        _ => return None,
    })
}

/// The map types that a helper (without `bpf_`) goes with; `None`: any that goes with it.
fn maps_of(helper: &str) -> Option<&'static [MapType]> {
    use MapType as M;
    Some(match helper {
        "tail_call" => &[M::ProgArray],
        "perf_event_read"
        | "perf_event_read_value"
        | "perf_event_output"
        | "skb_output"
        | "xdp_output" => &[M::PerfEventArray],
        "ringbuf_output"
        | "ringbuf_reserve"
        | "ringbuf_query"
        | "ringbuf_reserve_dynptr"
        | "ringbuf_submit_dynptr"
        | "ringbuf_discard_dynptr" => &[M::Ringbuf],
        "user_ringbuf_drain" => &[M::UserRingbuf],
        "get_stackid" => &[M::StackTrace],
        "skb_under_cgroup" | "current_task_under_cgroup" => &[M::CgroupArray],
        "redirect_map" => &[M::Devmap, M::DevmapHash, M::Cpumap, M::Xskmap],
        "sk_redirect_map" | "msg_redirect_map" | "sock_map_update" => &[M::Sockmap],
        "sk_redirect_hash" | "msg_redirect_hash" | "sock_hash_update" => &[M::Sockhash],
        "get_local_storage" => &[M::CgroupStorage, M::PercpuCgroupStorage],
        "sk_select_reuseport" => &[M::ReuseportSockarray, M::Sockmap, M::Sockhash],
        "map_pop_elem" => &[M::Queue, M::Stack],
        "map_peek_elem" | "map_push_elem" => &[M::Queue, M::Stack, M::BloomFilter],
        "map_lookup_percpu_elem" => &[M::PercpuArray, M::PercpuHash, M::LruPercpuHash],
        "sk_storage_get" | "sk_storage_delete" => &[M::SkStorage],
        "inode_storage_get" | "inode_storage_delete" => &[M::InodeStorage],
        "task_storage_get" | "task_storage_delete" => &[M::TaskStorage],
        "cgrp_storage_get" | "cgrp_storage_delete" => &[M::CgrpStorage],
        _ => return None,
    })
}

impl Helper {
    /// Whether the helper works on maps of a type. Says nothing about helpers that take no map.
    ///
    /// ```
    /// use skep_abi::{Helper, MapType};
    ///
    /// let output = Helper::by_name("ringbuf_output").unwrap();
    /// assert!(output.takes_map(MapType::Ringbuf));
    /// assert!(!output.takes_map(MapType::Array));
    /// ```
    #[must_use]
    pub fn takes_map(&self, map: MapType) -> bool {
        let name = self.short_name();
        helpers_of(map).is_none_or(|helpers| helpers.contains(&name))
            && maps_of(name).is_none_or(|maps| maps.contains(&map))
    }

    /// The map types that the helper works on, where they are few.
    #[must_use]
    pub fn map_types(&self) -> Option<&'static [MapType]> {
        maps_of(self.short_name())
    }

    /// Whether programs of a type may change `sockmap`s and `sockhash`es by the helper, if it is one
    /// of those for any map (`bpf_map_update_elem`, `bpf_map_delete_elem`).
    #[must_use]
    pub fn changes_sockets(&self, program: ProgramType, attach: Option<AttachType>) -> bool {
        use ProgramType as P;
        let delete = match self.short_name() {
            "map_update_elem" => false,
            "map_delete_elem" => true,
            _ => return false,
        };
        match program {
            P::SocketFilter
            | P::SchedCls
            | P::SchedAct
            | P::Xdp
            | P::SkReuseport
            | P::FlowDissector
            | P::SkLookup => true,
            P::Tracing => attach == Some(AttachType::TraceIter),
            P::SockOps => delete,
            _ => false,
        }
    }
}

impl MapType {
    /// Whether sleepable programs may use maps of this type (as of Linux 6.18).
    #[must_use]
    pub fn is_for_sleepable(self) -> bool {
        use MapType as M;
        matches!(
            self,
            M::Hash
                | M::LruHash
                | M::Array
                | M::PercpuHash
                | M::PercpuArray
                | M::LruPercpuHash
                | M::ArrayOfMaps
                | M::HashOfMaps
                | M::Ringbuf
                | M::UserRingbuf
                | M::InodeStorage
                | M::SkStorage
                | M::TaskStorage
                | M::CgrpStorage
                | M::Queue
                | M::Stack
                | M::Arena
                | M::InsnArray
        )
    }
}
