//! What stands behind the refusals of hooks.

use skep_abi::{AttachType, Capability, ProgramType};
use skep_host::{AttachPoint, Cause, Errno};

use super::{lockdown, missing, too_old_for};
use crate::{LinuxHost, perf, process, requirement};

/// The likely cause of a hook's refusal.
pub(crate) fn of_attach(
    host: &LinuxHost,
    errno: Errno,
    program_type: ProgramType,
    point: &AttachPoint<'_>,
) -> Option<Cause> {
    match (errno, point) {
        (Errno::EPERM | Errno::EACCES, AttachPoint::SocketFilter { .. }) => Some(Cause::Other {
            what: "the socket's filter is locked (SO_LOCK_FILTER)".into(),
            fix: "attach to a socket whose filter is not locked".into(),
        }),
        (Errno::EPERM | Errno::EACCES, _) => {
            let needed = match point {
                AttachPoint::Tracepoint { .. }
                | AttachPoint::RawTracepoint { .. }
                | AttachPoint::Tracing { .. }
                | AttachPoint::Replace { .. }
                | AttachPoint::Uprobe { .. }
                | AttachPoint::UprobeMulti { .. }
                | AttachPoint::Kprobe { .. }
                | AttachPoint::KprobeMulti { .. }
                | AttachPoint::TracingMulti { .. }
                | AttachPoint::PerfEvent { .. }
                | AttachPoint::Iterator(_) => vec![Capability::Bpf, Capability::Perfmon],
                AttachPoint::Cgroup { attach_type, .. } => {
                    requirement::attach_capabilities(*attach_type)
                }
                _ => vec![Capability::NetAdmin],
            };
            let by_perf_event = matches!(
                point,
                AttachPoint::Tracepoint { .. }
                    | AttachPoint::Kprobe { .. }
                    | AttachPoint::Uprobe { .. }
                    | AttachPoint::PerfEvent { .. }
            );
            missing(host, needed)
                .or_else(|| by_perf_event.then(|| perf::restricted(host))?)
                .or_else(|| lockdown(host, "tracing that could show kernel memory"))
                .or_else(|| cgroup_in_the_way(point))
                .or_else(|| peer_of_netkit(errno, point))
                .or_else(|| point_lacks(host, point))
        }
        (Errno::EBUSY | Errno::EEXIST, AttachPoint::Xdp { .. }) => Some(Cause::InUse(
            "the device has an XDP program already, or one in another mode".into(),
        )),
        (Errno::EOPNOTSUPP, AttachPoint::Xdp { .. }) => Some(Cause::Other {
            what: "the device's driver has no XDP of this mode, or not with its present MTU".into(),
            fix: "use the generic mode (`XdpMode::Generic`), which every device has".into(),
        }),
        (
            Errno::ENODEV,
            AttachPoint::Xdp { ifindex, .. }
            | AttachPoint::Tcx { ifindex, .. }
            | AttachPoint::Netkit { ifindex, .. },
        ) => Some(Cause::NotFound {
            kind: "network device with index",
            name: ifindex.to_string(),
            near: Vec::new(),
        }),
        (Errno::EBADF, AttachPoint::Cgroup { .. }) => Some(Cause::Other {
            what: "the directory is no cgroup of the second version".into(),
            fix: cgroup2_hint(),
        }),
        (
            Errno::EBADF | Errno::ENOTSOCK,
            AttachPoint::SocketFilter { socket } | AttachPoint::Reuseport { socket },
        )
        | (Errno::ENOTSUPP, AttachPoint::SocketFilter { socket }) => Some(Cause::Other {
            what: format!("descriptor {socket} is not an open socket"),
            fix: "keep the socket open while attaching".into(),
        }),
        (Errno::EINVAL, AttachPoint::Reuseport { socket }) => Some(Cause::Other {
            what: format!("socket {socket} does not share its port with others"),
            fix: "set SO_REUSEPORT on it before it is bound".into(),
        }),
        (Errno::ENOTSUPP, AttachPoint::Reuseport { socket }) => Some(Cause::Other {
            what: format!("socket {socket} is neither a TCP nor a UDP socket"),
            fix: "attach a `socket` program, or to a socket of TCP or UDP".into(),
        }),
        (Errno::E2BIG | Errno::EEXIST, AttachPoint::Netns { attach_type, .. }) => {
            Some(in_namespace(*attach_type))
        }
        (Errno::EBUSY | Errno::EEXIST, AttachPoint::Sockmap { .. }) => Some(Cause::InUse(
            "the map has such a program already, or one that does not go with it (`sk_skb/verdict` \
             beside `sk_skb/stream_verdict`): take that off, or use another map"
                .into(),
        )),
        (Errno::EOPNOTSUPP, AttachPoint::Sockmap { attach_type, .. }) => Some(Cause::Other {
            what: format!(
                "the map takes no program as {}, or this one is of another kind",
                attach_type.name()
            ),
            fix: "use a sockmap or sockhash, and a program of a section `sk_msg`, \
                  `sk_skb/stream_parser`, `sk_skb/stream_verdict` or `sk_skb/verdict`"
                .into(),
        }),
        (Errno::ENOENT, AttachPoint::Tcx { .. } | AttachPoint::Netkit { .. }) => {
            Some(Cause::Other {
                what: "the program to stand beside is not attached there".into(),
                fix: "list what is attached, and name one of those".into(),
            })
        }
        (
            Errno::ESTALE,
            AttachPoint::Tcx { order, .. }
            | AttachPoint::Netkit { order, .. }
            | AttachPoint::Cgroup { order, .. },
        ) => Some(Cause::InUse(format!(
            "the hook is not at revision {} any more: others came or went since; query it again",
            order.revision
        ))),
        (Errno::EEXIST, AttachPoint::Tcx { .. } | AttachPoint::Netkit { .. }) => {
            Some(Cause::InUse(
                "this very program is on this hook already, which holds each program once".into(),
            ))
        }
        (Errno::ERANGE, AttachPoint::Tcx { .. } | AttachPoint::Netkit { .. }) => {
            Some(Cause::InUse(
                "the hook is full (64 programs), or what to stand beside is on it in another way \
                 (by a link, or without one)"
                    .into(),
            ))
        }
        (Errno::EINVAL | Errno::ENOTSUPP | Errno::EOPNOTSUPP, _) => point_lacks(host, point)
            .or_else(|| attach_type_of(point).and_then(|kind| too_old_for(host, kind)))
            .or_else(|| {
                requirement::of_program(program_type).lacking(host, program_type.short_name())
            }),
        _ => None,
    }
}

/// What the kernel lacks for a hook.
fn point_lacks(host: &LinuxHost, point: &AttachPoint<'_>) -> Option<Cause> {
    requirement::of_point(point)?.lacking(host, &point.to_string())
}

fn attach_type_of(point: &AttachPoint<'_>) -> Option<AttachType> {
    Some(match point {
        AttachPoint::Tracing { attach_type, .. }
        | AttachPoint::Cgroup { attach_type, .. }
        | AttachPoint::Sockmap { attach_type, .. }
        | AttachPoint::Netns { attach_type, .. } => *attach_type,
        AttachPoint::Xdp { .. } => AttachType::Xdp,
        AttachPoint::Tcx { .. } => AttachType::TcxIngress,
        AttachPoint::Iterator(_) => AttachType::TraceIter,
        _ => return None,
    })
}

/// Who is in the way in a network namespace.
fn in_namespace(attach_type: AttachType) -> Cause {
    Cause::InUse(match attach_type {
        AttachType::FlowDissector => {
            "a namespace has one flow dissector, and if the first one (that of the system) has one \
             no other has: take that off (`bpftool net show`)"
                .into()
        }
        _ => "the namespace has its 64 programs of this kind already".into(),
    })
}

fn cgroup2_hint() -> String {
    match process::mounts()
        .into_iter()
        .find(|mount| mount.kind == "cgroup2")
    {
        Some(mount) => format!("choose one below `{}`", mount.point.display()),
        None => "mount it: `mount -t cgroup2 none /sys/fs/cgroup`".into(),
    }
}

/// Programs of both ends of a pair are attached to one of them.
fn peer_of_netkit(errno: Errno, point: &AttachPoint<'_>) -> Option<Cause> {
    let peer = errno == Errno::EACCES && matches!(point, AttachPoint::Netkit { .. });
    peer.then(|| Cause::Other {
        what: "the device is the peer of its pair".into(),
        fix: "attach to the other device of the netkit pair, its primary end: programs of               `netkit/peer`, too"
            .into(),
    })
}

fn cgroup_in_the_way(point: &AttachPoint<'_>) -> Option<Cause> {
    matches!(point, AttachPoint::Cgroup { .. }).then(|| {
        Cause::InUse(
            "a program above or on this cgroup is attached alone and lets no other beside it"
                .into(),
        )
    })
}
