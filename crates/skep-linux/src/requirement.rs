//! What map types, program types and hooks ask of a kernel and a process, beyond what
//! `skep-abi` says of versions and capabilities: build options, and what attaching takes.

use std::iter;

use skep_abi::{AttachType, Capability, KernelVersion, LinkType, MapType, ProgramType};
use skep_host::{AttachPoint, Cause, Feature, Hook};

use crate::{LinuxHost, cause::too_old};

/// What something needs of the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Requirement {
    /// All of these options.
    pub(crate) options: &'static [&'static str],
    /// At least this version.
    pub(crate) since: Option<KernelVersion>,
}

impl Requirement {
    const fn options(options: &'static [&'static str]) -> Self {
        Self {
            options,
            since: None,
        }
    }

    const fn since(major: u8, minor: u8, options: &'static [&'static str]) -> Self {
        Self {
            options,
            since: Some(KernelVersion::new(major, minor)),
        }
    }

    /// The first thing that this kernel lacks, as far as it can be known.
    pub(crate) fn lacking(&self, host: &LinuxHost, what: &str) -> Option<Cause> {
        if let Some(since) = self.since
            && let Some(cause) = too_old(host, what, since)
        {
            return Some(cause);
        }
        let config = host.kernel_config().ok()?;
        let option = self.options.iter().find(|option| !config.is_set(option))?;
        Some(Cause::KernelOption(option))
    }
}

/// The options behind a program type.
pub(crate) fn of_program(program_type: ProgramType) -> Requirement {
    Requirement::options(match program_type {
        ProgramType::Kprobe
        | ProgramType::Tracepoint
        | ProgramType::PerfEvent
        | ProgramType::RawTracepoint
        | ProgramType::RawTracepointWritable => &["CONFIG_BPF_EVENTS"],
        ProgramType::Tracing | ProgramType::Ext => &["CONFIG_DEBUG_INFO_BTF"],
        ProgramType::StructOps => &["CONFIG_BPF_JIT", "CONFIG_DEBUG_INFO_BTF"],
        ProgramType::Lsm => &["CONFIG_BPF_LSM", "CONFIG_DEBUG_INFO_BTF"],
        ProgramType::CgroupSkb
        | ProgramType::CgroupSock
        | ProgramType::CgroupSockAddr
        | ProgramType::CgroupDevice
        | ProgramType::CgroupSysctl
        | ProgramType::CgroupSockopt
        | ProgramType::SockOps => &["CONFIG_CGROUP_BPF"],
        ProgramType::LwtIn | ProgramType::LwtOut | ProgramType::LwtXmit => &["CONFIG_LWTUNNEL_BPF"],
        ProgramType::LwtSeg6local => &["CONFIG_IPV6_SEG6_BPF"],
        ProgramType::LircMode2 => &["CONFIG_BPF_LIRC_MODE2"],
        ProgramType::Netfilter => &["CONFIG_NETFILTER_BPF_LINK"],
        _ => &["CONFIG_BPF_SYSCALL"],
    })
}

/// The options behind a feature that a kernel of its version can be without.
pub(crate) fn of_feature(feature: &Feature) -> Requirement {
    Requirement::options(match feature {
        Feature::ProgramType(kind) => return of_program(*kind),
        Feature::AttachType(AttachType::TraceKprobeMulti | AttachType::TraceKprobeSession)
        | Feature::LinkType(LinkType::KprobeMulti)
        | Feature::Hook(Hook::KprobeMulti) => &["CONFIG_KPROBES", "CONFIG_FPROBE"],
        Feature::AttachType(AttachType::TraceUprobeMulti | AttachType::TraceUprobeSession)
        | Feature::LinkType(LinkType::UprobeMulti)
        | Feature::Hook(Hook::UprobeMulti) => &["CONFIG_UPROBES"],
        Feature::AttachType(AttachType::NetkitPrimary | AttachType::NetkitPeer)
        | Feature::LinkType(LinkType::Netkit) => &["CONFIG_NETKIT"],
        Feature::AttachType(AttachType::TcxIngress | AttachType::TcxEgress)
        | Feature::LinkType(LinkType::Tcx) => &["CONFIG_NET_XGRESS"],
        _ => &[],
    })
}

/// The options behind a map type.
pub(crate) fn of_map(map_type: MapType) -> Requirement {
    Requirement::options(match map_type {
        MapType::PerfEventArray | MapType::StackTrace => &["CONFIG_PERF_EVENTS"],
        MapType::CgroupArray | MapType::CgrpStorage => &["CONFIG_CGROUPS"],
        MapType::CgroupStorage | MapType::PercpuCgroupStorage => &["CONFIG_CGROUP_BPF"],
        MapType::Xskmap => &["CONFIG_XDP_SOCKETS"],
        MapType::Sockmap | MapType::Sockhash => &["CONFIG_BPF_SYSCALL", "CONFIG_INET"],
        MapType::InodeStorage => &["CONFIG_BPF_LSM"],
        MapType::StructOps => &["CONFIG_BPF_JIT"],
        _ => &["CONFIG_BPF_SYSCALL"],
    })
}

/// What a hook needs beside its program type.
pub(crate) fn of_point(point: &AttachPoint<'_>) -> Option<Requirement> {
    Some(match point {
        AttachPoint::Tracepoint {
            category, cookie, ..
        } => {
            let options: &[_] = if category == "syscalls" {
                &["CONFIG_FTRACE_SYSCALLS"]
            } else {
                &["CONFIG_BPF_EVENTS"]
            };
            match cookie {
                Some(1..) => Requirement {
                    options,
                    since: Some(KernelVersion::new(5, 15)),
                },
                _ => Requirement::options(options),
            }
        }
        AttachPoint::RawTracepoint {
            cookie: Some(1..), ..
        } => Requirement::since(6, 10, &[]),
        AttachPoint::Tracing {
            cookie: Some(1..), ..
        } => Requirement::since(6, 0, &[]),
        AttachPoint::Replace {
            cookie: Some(1..), ..
        } => Requirement::since(6, 0, &[]),
        AttachPoint::Replace {
            elsewhere: Some(_), ..
        } => Requirement::since(5, 10, &[]),
        AttachPoint::TracingMulti { .. } => {
            Requirement::since(7, 2, &["CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS"])
        }
        AttachPoint::Uprobe { .. } => Requirement::options(&["CONFIG_UPROBE_EVENTS"]),
        AttachPoint::UprobeMulti { mode, .. } => match mode {
            skep_host::MultiMode::Session => Requirement::since(6, 13, &["CONFIG_UPROBE_EVENTS"]),
            _ => Requirement::since(6, 6, &["CONFIG_UPROBE_EVENTS"]),
        },
        AttachPoint::Kprobe { .. } => Requirement::since(4, 17, &["CONFIG_KPROBE_EVENTS"]),
        AttachPoint::KprobeMulti { mode, .. } => match mode {
            skep_host::MultiMode::Session => Requirement::since(6, 10, &["CONFIG_FPROBE"]),
            _ => Requirement::since(5, 18, &["CONFIG_FPROBE"]),
        },
        AttachPoint::Netkit { .. } => Requirement::since(6, 7, &["CONFIG_NETKIT"]),
        AttachPoint::Netfilter(_) => Requirement::since(6, 4, &["CONFIG_NETFILTER_BPF_LINK"]),
        AttachPoint::Xdp { .. } => Requirement::since(5, 9, &[]),
        AttachPoint::Tcx { .. } => Requirement::since(6, 6, &["CONFIG_NET_XGRESS"]),
        AttachPoint::Iterator(_) => Requirement::since(5, 8, &[]),
        _ => return None,
    })
}

/// The capabilities that creating a map of this type takes.
pub(crate) fn map_capabilities(map_type: MapType) -> Vec<Capability> {
    let own = map_type.rules().capability;
    let own = own.filter(|&capability| capability != Capability::Bpf);
    iter::once(Capability::Bpf).chain(own).collect()
}

/// The capabilities that attaching as this takes: those of tracing, or of the network.
pub(crate) fn attach_capabilities(attach_type: AttachType) -> Vec<Capability> {
    let traces = match attach_type {
        AttachType::PerfEvent => true,
        _ => attach_type.program_type().is_some_and(|kind| {
            kind.capabilities()
                .any(|needed| needed == Capability::Perfmon)
        }),
    };
    if traces {
        vec![Capability::Bpf, Capability::Perfmon]
    } else {
        vec![Capability::NetAdmin]
    }
}

/// The program is called by a patched kernel or BPF function.
pub(crate) fn trampoline(program_type: ProgramType, attach_type: Option<AttachType>) -> bool {
    match program_type {
        ProgramType::Lsm | ProgramType::Ext => true,
        ProgramType::Tracing => !matches!(
            attach_type,
            Some(AttachType::TraceRawTp | AttachType::TraceIter)
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_take_what_the_table_says_beside_bpf() {
        assert_eq!(map_capabilities(MapType::Hash), [Capability::Bpf]);
        assert_eq!(map_capabilities(MapType::LpmTrie), [Capability::Bpf]);
        assert_eq!(
            map_capabilities(MapType::Xskmap),
            [Capability::Bpf, Capability::NetAdmin]
        );
    }

    #[test]
    fn all_that_traces_takes_perfmon() {
        let (tracing, network) = (
            [Capability::Bpf, Capability::Perfmon],
            [Capability::NetAdmin],
        );
        for kind in [
            AttachType::TraceFentry,
            AttachType::TraceFsession,
            AttachType::TraceUprobeSession,
            AttachType::PerfEvent,
            AttachType::LsmMac,
            AttachType::LsmCgroup,
        ] {
            assert_eq!(attach_capabilities(kind), tracing, "{kind}");
        }
        for kind in [
            AttachType::CgroupInetEgress,
            AttachType::TcxIngress,
            AttachType::SkLookup,
        ] {
            assert_eq!(attach_capabilities(kind), network, "{kind}");
        }
    }
}
