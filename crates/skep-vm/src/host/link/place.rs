//! What an attach type is attached to: one table, which links, attaching, detaching and queries
//! go by; and the targets of requests, each as that kind of thing.
//!
//! The kernel has one number for all targets, a descriptor or the index of a device, and reads it
//! as the attach type says. So a cgroup is no map, and a map is a device that is not there.

use std::{path::PathBuf, sync::Arc};

use skep_abi::{AttachFlags, AttachType, ProgramType};
use skep_host::{Errno, LinkTarget};

use super::Raw;
use crate::{
    Vm,
    host::{map, program, tree},
    machine::{Cgroup, Object, cgroup::MODE},
    map::Map,
    program::Program,
};

/// What programs of an attach type are attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::host) enum Place {
    Cgroup,
    /// A network namespace.
    Netns,
    /// A map of sockets.
    Sockmap,
    /// The one XDP program of a device.
    Xdp,
    /// The ordered programs of a device: tcx.
    Device,
    /// Those of an end of a netkit pair.
    Netkit,
    /// A netfilter hook of the network namespace.
    Netfilter,
    /// An open perf event.
    PerfEvent,
    /// What the program's own BTF target says.
    Target,
    /// An iterator.
    Iterator,
    /// Functions of the kernel, or places of a binary.
    Probes,
    /// Nothing by `bpf(2)` here: programs in maps, reuseport groups, struct_ops members, infrared
    /// receivers.
    Nothing,
}

/// Types of programs that are attached to cgroups only.
const CGROUP_PROGRAMS: [ProgramType; 7] = [
    ProgramType::CgroupSkb,
    ProgramType::CgroupSock,
    ProgramType::CgroupSockAddr,
    ProgramType::CgroupSockopt,
    ProgramType::CgroupDevice,
    ProgramType::CgroupSysctl,
    ProgramType::SockOps,
];

impl Place {
    pub(in crate::host) fn of(attach: AttachType) -> Self {
        use AttachType as T;
        match attach {
            T::LsmCgroup => Self::Cgroup,
            T::SkLookup | T::FlowDissector => Self::Netns,
            T::SkSkbStreamParser | T::SkSkbStreamVerdict | T::SkSkbVerdict | T::SkMsgVerdict => {
                Self::Sockmap
            }
            T::Xdp => Self::Xdp,
            T::TcxIngress | T::TcxEgress => Self::Device,
            T::NetkitPrimary | T::NetkitPeer => Self::Netkit,
            T::Netfilter => Self::Netfilter,
            T::PerfEvent => Self::PerfEvent,
            T::TraceIter => Self::Iterator,
            T::TraceKprobeMulti
            | T::TraceKprobeSession
            | T::TraceUprobeMulti
            | T::TraceUprobeSession => Self::Probes,
            T::XdpDevmap
            | T::XdpCpumap
            | T::SkReuseportSelect
            | T::SkReuseportSelectOrMigrate
            | T::StructOps
            | T::LircMode2 => Self::Nothing,
            _ if CGROUP_PROGRAMS
                .iter()
                .any(|kind| kind.attach_types().contains(&attach)) =>
            {
                Self::Cgroup
            }
            _ => Self::Target,
        }
    }

    /// The flags that attaching without a link knows.
    ///
    /// # Errors
    /// `EINVAL`: there is no attaching without one.
    pub(in crate::host) fn attach_flags(self) -> Raw<AttachFlags> {
        let kept = MODE | AttachFlags::REPLACE | AttachFlags::PREORDER;
        let ordered = AttachFlags::REPLACE | ORDER;
        Ok(match self {
            Self::Device | Self::Netkit => ordered,
            Self::Cgroup => kept | ordered,
            Self::PerfEvent | Self::Netfilter | Self::Probes | Self::Nothing => {
                return Err(Errno::EINVAL);
            }
            _ => kept,
        })
    }
}

/// Flags that say where among others a program is to be.
pub(super) const ORDER: AttachFlags = AttachFlags::BEFORE
    .union(AttachFlags::AFTER)
    .union(AttachFlags::ID)
    .union(AttachFlags::LINK);

/// Whether a program may be attached as this.
///
/// # Errors
/// `EINVAL`: it is of another type, or was loaded to be attached as something else.
pub(in crate::host) fn check_type(program: &Program, attach: AttachType) -> Raw<()> {
    use ProgramType as P;
    let kind = program.program_type;
    let loaded = program::loaded_as(program);
    let fits = match kind {
        P::Ext => return Ok(()),
        P::CgroupSock | P::CgroupSockAddr | P::CgroupSockopt | P::SkLookup => {
            loaded == Some(attach)
        }
        P::CgroupSkb => loaded == Some(attach) || !program.meta.only_as_loaded,
        P::Kprobe => {
            loaded.is_none_or(|loaded| Place::of(loaded) != Place::Probes || loaded == attach)
        }
        P::Tracing | P::Lsm => loaded == Some(attach),
        _ => true,
    };
    let has_place = Place::of(attach) != Place::Nothing;
    (fits && has_place && kind.attach_types().contains(&attach))
        .then_some(())
        .ok_or(Errno::EINVAL)
}

/// Whether a program may be attached where it can or can't sleep: of some types it is only known
/// then.
///
/// # Errors
/// `EINVAL`: it is sleepable, and may not.
pub(in crate::host) fn check_sleeping(program: &Program, may: bool) -> Raw<()> {
    match program.meta.sleepable() && !may {
        true => Err(Errno::EINVAL),
        false => Ok(()),
    }
}

/// The number of a target, as the kernel sees it.
fn number(target: LinkTarget<'_>) -> i32 {
    match target {
        LinkTarget::Device(ifindex) => ifindex.cast_signed(),
        LinkTarget::Cgroup(fd) => fd.raw(),
        LinkTarget::File(fd) => fd,
        LinkTarget::Map(fd) => fd.raw(),
        _ => 0,
    }
}

/// Whether a target is a number at all: 0, which requests without one have.
pub(in crate::host) fn is_some(target: LinkTarget<'_>) -> bool {
    number(target) != 0
}

/// A number that stands for a device.
pub(in crate::host) fn ifindex(target: LinkTarget<'_>) -> u32 {
    match target {
        // Descriptors are given out by chance, and devices are not meant by them.
        LinkTarget::Cgroup(_) | LinkTarget::Map(_) => 0,
        target => number(target).cast_unsigned(),
    }
}

/// A file that this process has open.
fn own_file(fd: i32) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{fd}"))
}

/// What a descriptor is that is not what was asked for: `EBADF`, it is closed; `EINVAL`.
fn stranger(vm: &Vm, fd: i32) -> Errno {
    match vm.0.registry.files.by_number(fd) {
        Err(Errno::EBADF) if own_file(fd).symlink_metadata().is_err() => Errno::EBADF,
        _ => Errno::EINVAL,
    }
}

/// The cgroup that is asked for.
///
/// # Errors
/// `EBADF`: it is none.
pub(in crate::host) fn cgroup<'c>(vm: &Vm, target: LinkTarget<'c>) -> Raw<&'c Arc<Cgroup>> {
    match target {
        LinkTarget::Cgroup(fd) => tree::cgroup(vm, fd),
        _ => Err(Errno::EBADF),
    }
}

/// The map that is asked for.
///
/// # Errors
/// `EINVAL`: it is none; `EBADF`: it is closed.
pub(in crate::host) fn map(vm: &Vm, target: LinkTarget<'_>) -> Raw<Arc<Map>> {
    match target {
        LinkTarget::Map(fd) => map::map(vm, fd).map(|(map, _)| Arc::clone(map)),
        LinkTarget::Cgroup(_) | LinkTarget::None => Err(Errno::EINVAL),
        target => match vm.0.registry.files.by_number(number(target)) {
            Ok(Object::Map(map, _)) => Ok(Arc::clone(&map)),
            _ => Err(stranger(vm, number(target))),
        },
    }
}

/// Whether the network namespace is asked for: by a file of this process, as the machine has one
/// of its own.
///
/// # Errors
/// `EINVAL`: it is none; `EBADF`: it is closed.
pub(in crate::host) fn netns(vm: &Vm, target: LinkTarget<'_>) -> Raw<()> {
    let fd = match target {
        LinkTarget::File(fd) => fd,
        LinkTarget::Device(ifindex) => ifindex.cast_signed(),
        _ => return Err(Errno::EINVAL),
    };
    let named = std::fs::read_link(own_file(fd));
    match named {
        Ok(name) if name.to_string_lossy().starts_with("net:[") => Ok(()),
        _ => Err(stranger(vm, fd)),
    }
}
