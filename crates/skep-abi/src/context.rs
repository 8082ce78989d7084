//! How fields of contexts and sockets are accessed: by which sizes, and where only some attach
//! types, capabilities or elements allow it.

use crate::{AttachType, Capability, FieldLayout, ProgramType};

/// By which sizes a field is read and written. Every access is aligned to its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldSizes {
    /// One element as a whole.
    Whole,
    /// Written as a whole, read as a whole or in parts of an element.
    Narrow,
    /// As `Narrow`, but parts begin with the first byte.
    NarrowFromStart,
    /// As `Narrow`, but parts have at least two bytes.
    NarrowPairs,
    /// As `Narrow`, and two elements at once by 8 bytes.
    Wide,
    /// By any size inside the array.
    Any,
    /// As `Narrow`, and together with the padding behind it.
    WithPadding,
}

/// What an access of a field needs, where it is not always allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldCondition {
    /// One of these attach types.
    AttachTypes(&'static [AttachType]),
    /// A capability of the loader.
    Capability(Capability),
    /// That it is of the array's first element.
    FirstElement,
}

/// By which sizes a field of a structure that programs access by fields is read and written.
#[must_use]
pub fn field_sizes(structure: &str, field: &str) -> FieldSizes {
    use FieldSizes::*;
    match (structure, field) {
        ("__sk_buff", "cb") => Any,
        (
            "__sk_buff",
            "data" | "data_meta" | "data_end" | "remote_ip4" | "local_ip4" | "remote_ip6"
            | "local_ip6" | "flow_keys" | "tstamp" | "sk" | "tstamp_type" | "hwtstamp",
        ) => Whole,
        ("__sk_buff", _) => Narrow,
        (
            "bpf_sock",
            "state" | "family" | "type" | "protocol" | "src_port" | "rx_queue_mapping",
        ) => NarrowFromStart,
        ("bpf_sock", "src_ip4" | "src_ip6" | "dst_ip4" | "dst_ip6") => Narrow,
        ("bpf_sock", "dst_port") | ("bpf_sk_lookup", "remote_port") => WithPadding,
        ("bpf_sock_addr", "user_ip6" | "msg_src_ip6") => Wide,
        ("bpf_sock_addr", "user_ip4" | "msg_src_ip4" | "user_port") => Narrow,
        ("bpf_sock_ops", "skb_tcp_flags") => NarrowFromStart,
        ("sk_reuseport_md", "eth_protocol") => NarrowPairs,
        ("sk_reuseport_md", "ip_protocol" | "bind_inany" | "len") => Narrow,
        ("bpf_cgroup_dev_ctx", "access_type") | ("bpf_sysctl", _) => Narrow,
        ("bpf_sk_lookup", "sk" | "cookie") => Whole,
        ("bpf_sk_lookup", _) => Narrow,
        _ => Whole,
    }
}

impl FieldSizes {
    /// Whether an access of `size` bytes at `offset` of the structure is one that the field's sizes
    /// allow.
    #[must_use]
    pub fn allow(self, field: &FieldLayout, offset: u32, size: u32, write: bool) -> bool {
        let Some(inside) = offset.checked_sub(field.offset) else {
            return false;
        };
        if size == 0 || !offset.is_multiple_of(size) || inside >= field.byte_len() {
            return false;
        }
        let end = inside + size;
        let whole = size == field.size && inside.is_multiple_of(field.size);
        let part = !write && size < field.size && inside % field.size + size <= field.size;
        match self {
            Self::Whole => whole,
            Self::Narrow => whole || part,
            Self::NarrowFromStart => whole || part && inside == 0,
            Self::NarrowPairs => whole || part && size >= 2,
            Self::Wide => whole || part || size == 8 && end <= field.byte_len(),
            Self::Any => end <= field.byte_len(),
            Self::WithPadding => whole || part || !write && inside == 0 && size == 4,
        }
    }
}

const SOCK_OWNED: &[AttachType] = &[
    AttachType::CgroupInetSockCreate,
    AttachType::CgroupInetSockRelease,
];
const POST_BIND: &[AttachType] = &[
    AttachType::CgroupInet4PostBind,
    AttachType::CgroupInet6PostBind,
];
const ADDRESS_4: &[AttachType] = &[
    AttachType::CgroupInet4Bind,
    AttachType::CgroupInet4Connect,
    AttachType::CgroupInet4Getpeername,
    AttachType::CgroupInet4Getsockname,
    AttachType::CgroupUdp4Sendmsg,
    AttachType::CgroupUdp4Recvmsg,
];
const ADDRESS_6: &[AttachType] = &[
    AttachType::CgroupInet6Bind,
    AttachType::CgroupInet6Connect,
    AttachType::CgroupInet6Getpeername,
    AttachType::CgroupInet6Getsockname,
    AttachType::CgroupUdp6Sendmsg,
    AttachType::CgroupUdp6Recvmsg,
];

impl ProgramType {
    /// What an access of a context field needs, where it is only allowed sometimes
    /// ([`Access::SOMETIMES`](crate::Access::SOMETIMES)). `None`: nothing more.
    #[must_use]
    pub fn context_condition(self, field: &str, write: bool) -> Option<FieldCondition> {
        use FieldCondition::*;
        Some(match (self, field) {
            (Self::Xdp, "egress_ifindex") => AttachTypes(&[AttachType::XdpDevmap]),
            (Self::CgroupSkb, "data" | "data_end") => Capability(crate::Capability::Bpf),
            (Self::CgroupSkb, "tstamp") if write => Capability(crate::Capability::Bpf),
            (Self::CgroupSock, "bound_dev_if" | "mark" | "priority") => AttachTypes(SOCK_OWNED),
            (Self::CgroupSock, "src_ip4") => AttachTypes(&[AttachType::CgroupInet4PostBind]),
            (Self::CgroupSock, "src_ip6") => AttachTypes(&[AttachType::CgroupInet6PostBind]),
            (Self::CgroupSock, "src_port") => AttachTypes(POST_BIND),
            (Self::SockOps, "args" | "replylong") if write => FirstElement,
            (Self::CgroupSockAddr, "user_ip4") => AttachTypes(ADDRESS_4),
            (Self::CgroupSockAddr, "user_ip6") => AttachTypes(ADDRESS_6),
            (Self::CgroupSockAddr, "msg_src_ip4") => AttachTypes(&[AttachType::CgroupUdp4Sendmsg]),
            (Self::CgroupSockAddr, "msg_src_ip6") => AttachTypes(&[AttachType::CgroupUdp6Sendmsg]),
            (Self::CgroupSockopt, "level" | "optname") if write => {
                AttachTypes(&[AttachType::CgroupSetsockopt])
            }
            (Self::CgroupSockopt, "retval") => AttachTypes(&[AttachType::CgroupGetsockopt]),
            _ => return None,
        })
    }
}

/// How full sockets (`bpf_sock`) and those that may be requests or in time-wait are read: not the
/// first six fields of the latter but two.
#[must_use]
pub fn socket_field_is_common(field: &str) -> bool {
    !matches!(field, "type" | "protocol" | "mark" | "priority")
}
