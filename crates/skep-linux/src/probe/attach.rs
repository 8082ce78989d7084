//! Probes of attach and link types. Types that a load must name are tried by loading; the others
//! by attaching to nowhere: a kernel that knows the type misses the place, one that does not calls
//! the type invalid.

use skep_abi::{AttachType, ExpectedAttachType, LinkType, MapType, ProgramType};
use skep_host::{
    Errno, Feature, Hook, Host, LinkCreate, LinkOptions, LinkTarget, MapCreate, Probe, ProgramFd,
    Result,
};
use zerocopy::IntoBytes;

use super::{
    hook,
    least::{self, NAME, Refused},
    map, not_known, program_type,
};
use crate::{
    LinuxHost, attr,
    sys::{SysResult, bpf},
};

/// The index of no device.
const NO_DEVICE: u32 = 0x7fff_fff0;
/// The number of no descriptor.
const NO_FILE: i32 = -1;

/// Whether programs can be attached as a type: the kernel knows it, and programs for it load.
pub(super) fn attach_type(host: &LinuxHost, kind: AttachType) -> Probe {
    let Some(program) = program_of(kind) else {
        return match kind {
            AttachType::StructOps => map::struct_ops_link(host),
            _ => Probe::unknown("no type of programs goes with it"),
        };
    };
    let feature = Feature::AttachType(kind);
    // Kernels before it loaded programs for any attach type.
    if program == ProgramType::SkReuseport
        && let Some(no) = super::older(host, &feature)
    {
        return no;
    }
    if program.expected_attach_type() == ExpectedAttachType::Required {
        return match least::load(host, program, Some(kind)) {
            Ok(_) => Probe::Yes,
            Err(refused) => of_refusal(host, &feature, &refused, program),
        };
    }
    match program_type(host, program) {
        Probe::Yes => {}
        other => return other,
    }
    match kind {
        AttachType::Xdp => hook::xdp_link(host, &feature),
        AttachType::TcxIngress
        | AttachType::TcxEgress
        | AttachType::NetkitPrimary
        | AttachType::NetkitPeer => nowhere(
            host,
            &feature,
            program,
            kind,
            LinkTarget::Device(NO_DEVICE),
            Errno::ENODEV,
        ),
        AttachType::PerfEvent => {
            let target = LinkTarget::File(NO_FILE);
            nowhere(host, &feature, program, kind, target, Errno::EBADF)
        }
        AttachType::XdpDevmap | AttachType::XdpCpumap => by_map(host, &feature, kind),
        AttachType::TraceKprobeMulti => super::hook(host, Hook::KprobeMulti),
        AttachType::TraceKprobeSession => hook::kprobe_multi(host, kind),
        AttachType::TraceUprobeMulti => super::hook(host, Hook::UprobeMulti),
        AttachType::TraceUprobeSession => hook::uprobe_multi(host, kind),
        _ => without_program(host, &feature, kind),
    }
}

/// The program type to try an attach type with.
fn program_of(kind: AttachType) -> Option<ProgramType> {
    match kind {
        AttachType::PerfEvent => Some(ProgramType::Tracepoint),
        AttachType::StructOps => None,
        _ => kind.program_type(),
    }
}

/// Whether links of a type can be made.
pub(super) fn link_type(host: &LinuxHost, kind: LinkType) -> Probe {
    let feature = Feature::LinkType(kind);
    let nowhere = |program, attach| {
        let target = LinkTarget::File(NO_FILE);
        nowhere(host, &feature, program, attach, target, Errno::EBADF)
    };
    match kind {
        LinkType::RawTracepoint => super::hook(host, Hook::RawTracepoint),
        LinkType::Tracing => super::hook(host, Hook::Fentry),
        LinkType::Cgroup => nowhere(ProgramType::CgroupSkb, AttachType::CgroupInetIngress),
        LinkType::Iter => super::hook(host, Hook::Iterator),
        LinkType::Netns => nowhere(ProgramType::FlowDissector, AttachType::FlowDissector),
        LinkType::Xdp => attach_type(host, AttachType::Xdp),
        LinkType::PerfEvent => attach_type(host, AttachType::PerfEvent),
        LinkType::KprobeMulti => super::hook(host, Hook::KprobeMulti),
        LinkType::StructOps => map::struct_ops_link(host),
        LinkType::Netfilter => super::hook(host, Hook::Netfilter),
        LinkType::Tcx => attach_type(host, AttachType::TcxIngress),
        LinkType::UprobeMulti => super::hook(host, Hook::UprobeMulti),
        LinkType::Netkit => attach_type(host, AttachType::NetkitPrimary),
        LinkType::Sockmap => nowhere(ProgramType::SkMsg, AttachType::SkMsgVerdict),
        LinkType::TracingMulti => attach_type(host, AttachType::TraceFentryMulti),
        _ => Probe::unknown("this version of Skep does not know how to try it"),
    }
}

/// A link to a place that is not there.
fn nowhere(
    host: &LinuxHost,
    feature: &Feature,
    program: ProgramType,
    attach_type: AttachType,
    target: LinkTarget<'_>,
    missed: Errno,
) -> Probe {
    let loaded = match least::load(host, program, Some(attach_type)) {
        Ok(loaded) => loaded,
        Err(refused) => return of_refusal(host, feature, &refused, program),
    };
    let linked = host.link_create(&LinkCreate {
        program: (&loaded).into(),
        target,
        attach_type,
        flags: 0,
        options: LinkOptions::None,
    });
    match linked {
        Ok(_) => Probe::Yes,
        Err(error) => match error.errno() {
            Some(errno) if errno == missed => Probe::Yes,
            Some(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOTSUPP) => not_known(host, feature),
            _ => Probe::refused(&error),
        },
    }
}

/// Without a program: the type is looked at before the program's descriptor.
fn without_program(host: &LinuxHost, feature: &Feature, kind: AttachType) -> Probe {
    let mut request = attr::ProgAttach {
        target: NO_FILE as u32,
        attach_bpf_fd: NO_FILE as u32,
        attach_type: kind.raw(),
        ..Default::default()
    };
    // SAFETY: the attribute carries no address.
    match unsafe { bpf(skep_abi::Command::ProgAttach, &mut request) } {
        Ok(_) | Err(Errno::EBADF) => Probe::Yes,
        Err(Errno::EINVAL) => not_known(host, feature),
        Err(errno) => of_errno(host, skep_abi::Command::ProgAttach, errno, kind),
    }
}

pub(super) fn of_errno(
    host: &LinuxHost,
    command: skep_abi::Command,
    errno: Errno,
    kind: AttachType,
) -> Probe {
    let error = skep_host::Error::command(command, format!("attach type {kind}"), errno);
    let subject = crate::cause::Subject::Attach(kind);
    Probe::refused(&error.because(host.cause(command, errno, subject)))
}

/// A load that was refused: by a verifier that had gone as far as to read the program, or before.
pub(super) fn of_refusal(
    host: &LinuxHost,
    feature: &Feature,
    refused: &Refused,
    program: ProgramType,
) -> Probe {
    let probe = refused.probe(host, program);
    let invalid = match refused {
        Refused::By(error) => error.errno() == Some(Errno::EINVAL),
        Refused::NoTarget(_) => true,
    };
    match probe {
        Probe::Unknown { .. } if invalid => super::older(host, feature).unwrap_or(probe),
        other => other,
    }
}

/// Programs that run out of a map, put into one.
fn by_map(host: &LinuxHost, feature: &Feature, kind: AttachType) -> Probe {
    let try_it = || -> Result<(), Refused> {
        let program = least::load(host, ProgramType::Xdp, Some(kind))?;
        Ok(put(host, kind, &program)?)
    };
    match try_it() {
        Ok(()) => Probe::Yes,
        Err(Refused::By(error)) if error.errno() == Some(Errno::EINVAL) => not_known(host, feature),
        Err(refused) => refused.probe(host, ProgramType::Xdp),
    }
}

fn put(host: &LinuxHost, kind: AttachType, program: &ProgramFd) -> Result<()> {
    // `bpf_devmap_val` is a device and a program, `bpf_cpumap_val` a queue's length and a program:
    // the loopback device, and a queue of one on the first CPU.
    let map_type = match kind {
        AttachType::XdpDevmap => MapType::Devmap,
        _ => MapType::Cpumap,
    };
    let map = host.map_create(&MapCreate::new(map_type, NAME, 4, 8, 1))?;
    let value = [1, program.raw()];
    host.map_update_elem(&map, &0_u32.to_ne_bytes(), value.as_bytes(), 0)
}

/// Asks a command for what is not there; `EBADF` shows that the kernel knows the command.
pub(super) fn knows<A: IntoBytes + zerocopy::FromBytes>(
    command: skep_abi::Command,
    mut request: A,
) -> SysResult<bool> {
    // SAFETY: the callers' attributes carry descriptors only, no addresses.
    match unsafe { bpf(command, &mut request) } {
        Ok(_) | Err(Errno::EBADF) => Ok(true),
        Err(Errno::EINVAL) => Ok(false),
        Err(errno) => Err(errno),
    }
}
