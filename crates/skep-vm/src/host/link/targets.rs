//! The hooks that links are made on: what each of them asks.

use std::{path::PathBuf, sync::Arc};

use skep_abi::{AttachType, LinkType, MapType, ProgramType};
use skep_btf::{Kind, TypeId};
use skep_host::{Errno, IterTarget, LinkDetails, LinkFd, LinkOptions};

use super::{New, Raw, open};
use crate::{
    Vm,
    host::{attach, iter, program, tree},
    machine::{Attached, HookKey, Link, Order},
    map::{Map, StructOps},
    program::Program,
};

/// tcx and netkit.
pub(in crate::host) fn ordered(
    vm: &Vm,
    program: &Arc<Program>,
    ifindex: u32,
    attach: AttachType,
    order: &Order,
) -> Raw<LinkFd> {
    tree::ordered_device(vm, ifindex, attach)?;
    let link_type = match attach {
        AttachType::TcxIngress | AttachType::TcxEgress => LinkType::Tcx,
        _ => LinkType::Netkit,
    };
    let new = New {
        vm,
        program,
        link_type,
        details: LinkDetails::Device {
            ifindex,
            attach_type: attach.raw(),
        },
    };
    let key = HookKey::Device { ifindex, attach };
    new.on(key, 0, |point, entry| {
        point.change(|programs| order.attach(programs, entry, None))
    })
}

/// One program a device.
pub(in crate::host) fn xdp(
    vm: &Vm,
    program: &Arc<Program>,
    ifindex: u32,
    flags: u32,
) -> Raw<LinkFd> {
    /// `XDP_FLAGS_SKB_MODE`, `XDP_FLAGS_DRV_MODE`, `XDP_FLAGS_HW_MODE`
    const GENERIC: u32 = 2;
    const NATIVE: u32 = 4;
    const OFFLOAD: u32 = 8;
    const MODES: u32 = GENERIC | NATIVE | OFFLOAD;
    let loopback = tree::is_loopback(vm, ifindex).map_err(|_| Errno::EINVAL)?;
    if flags & !MODES != 0 || flags.count_ones() > 1 {
        return Err(Errno::EINVAL);
    }
    let bound = program.meta.ifindex;
    let new = New {
        vm,
        program,
        link_type: LinkType::Xdp,
        details: LinkDetails::Device {
            ifindex,
            attach_type: 0,
        },
    };
    new.on(HookKey::Xdp { ifindex }, 0, |point, entry| {
        point.change(|programs| {
            if flags != OFFLOAD && !programs.list.is_empty() {
                return Err(Errno::EBUSY);
            }
            // A bound program is for its device's driver, and one of a map for that.
            let elsewhere = bound != 0 && (bound != ifindex || flags & GENERIC != 0);
            let of_map = matches!(
                program::loaded_as(&entry.program),
                Some(AttachType::XdpDevmap | AttachType::XdpCpumap)
            );
            if elsewhere || of_map {
                return Err(Errno::EINVAL);
            }
            if flags == OFFLOAD || (flags == NATIVE && loopback) {
                return Err(Errno::EOPNOTSUPP);
            }
            programs.list.push(entry);
            Ok(())
        })
    })
}

pub(in crate::host) fn netns(vm: &Vm, program: &Arc<Program>, attach: AttachType) -> Raw<LinkFd> {
    let most = if attach == AttachType::FlowDissector {
        1
    } else {
        64
    };
    let new = New {
        vm,
        program,
        link_type: LinkType::Netns,
        details: LinkDetails::Netns {
            inode: tree::NETNS,
            attach_type: attach.raw(),
        },
    };
    new.on(HookKey::Netns { attach }, 0, |point, entry| {
        point.change(|programs| {
            // Links are not beside a program without one.
            if programs.list.iter().any(|known| known.link == 0) {
                return Err(Errno::EEXIST);
            }
            if programs.list.len() >= most {
                return Err(Errno::E2BIG);
            }
            programs.list.push(entry);
            Ok(())
        })
    })
}

pub(in crate::host) fn netfilter(
    vm: &Vm,
    program: &Arc<Program>,
    options: LinkOptions<'_>,
) -> Raw<LinkFd> {
    /// `NFPROTO_IPV4`, `NFPROTO_IPV6`
    const FAMILIES: [u32; 2] = [2, 10];
    /// Hooks of a family (`NF_INET_NUMHOOKS`).
    const HOOKS: u32 = 5;
    /// `NF_IP_PRI_CONNTRACK_DEFRAG`
    const DEFRAGMENTS: i32 = -400;
    let (protocol_family, hook, priority, flags) = match options {
        LinkOptions::Netfilter {
            protocol_family,
            hook,
            priority,
            flags,
        } => (protocol_family, hook, priority, flags),
        // What is not given is zero, and no family.
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    if program.program_type != ProgramType::Netfilter {
        return Err(Errno::EINVAL);
    }
    if !FAMILIES.contains(&protocol_family) {
        return Err(Errno::EAFNOSUPPORT);
    }
    if hook >= HOOKS {
        return Err(Errno::EPROTO);
    }
    if !skep_abi::NetfilterLinkFlags::IP_DEFRAG.contains(flags) {
        return Err(Errno::EOPNOTSUPP);
    }
    if matches!(priority, i32::MIN | i32::MAX) || (!flags.is_empty() && priority <= DEFRAGMENTS) {
        return Err(Errno::ERANGE);
    }
    let new = New {
        vm,
        program,
        link_type: LinkType::Netfilter,
        details: LinkDetails::Netfilter {
            protocol_family,
            hook,
            priority,
            flags: flags.bits(),
        },
    };
    let key = HookKey::Netfilter {
        protocol_family,
        hook,
    };
    new.on(key, 0, |point, mut entry| {
        if point
            .programs()
            .list
            .iter()
            .any(|known| known.priority == priority)
        {
            return Err(Errno::EBUSY);
        }
        entry.priority = priority;
        point.add(entry, 1024, Errno::E2BIG)
    })
}

pub(in crate::host) fn sockmap(
    vm: &Vm,
    program: &Arc<Program>,
    map: &Arc<Map>,
    attach: AttachType,
) -> Raw<LinkFd> {
    if !tree::has_sockets(map) {
        return Err(Errno::EINVAL);
    }
    let new = New {
        vm,
        program,
        link_type: LinkType::Sockmap,
        details: LinkDetails::Sockmap {
            map: map.id,
            attach_type: attach.raw(),
        },
    };
    let point = tree::of_sockets(vm, map, attach)?;
    new.finish(Some(Arc::clone(map)), |id| {
        let entry = Attached {
            link: id,
            ..Attached::new(Arc::clone(program), 0)
        };
        let owner = entry.owner;
        point.add(entry, 1, Errno::EBUSY)?;
        Ok(vec![(point, owner)])
    })
}

/// A struct_ops map: the link is what registers it.
pub(super) fn struct_ops(vm: &Vm, map: &Arc<Map>, flags: u32) -> Raw<LinkFd> {
    if map.shape.map_type != MapType::StructOps || flags != 0 {
        return Err(Errno::EINVAL);
    }
    let made = vm.0.registry.links.try_make(|id| {
        let registered = StructOps::register(map)?;
        Ok::<_, Errno>(Link::of_struct_ops(id, map, registered))
    })?;
    open(vm, made)
}

/// An iterator. Those over all that there is do not look at what else they are given, and one over
/// tasks reads the number of a map as a thread's: the kernel has one record for all.
pub(in crate::host) fn iterator(
    vm: &Vm,
    program: &Arc<Program>,
    scope: IterTarget<'_>,
) -> Raw<LinkFd> {
    let types = program.meta.attach_btf.as_ref();
    let function = types.and_then(|types| {
        let id = TypeId(program.meta.attach_btf_id);
        types.btf.type_by_id(id).ok()
    });
    let name = function.map_or("", |function| function.name());
    let scope = match (name, scope) {
        ("bpf_iter_bpf_map_elem", scope) => scope,
        ("bpf_iter_task", IterTarget::Map(fd)) => IterTarget::Thread(fd.raw().cast_unsigned()),
        ("bpf_iter_task", scope) => scope,
        _ => IterTarget::All,
    };
    iter::link(vm, program, scope)
}

/// What the program's own BTF target says: a tracepoint, or a function that the embedder defines.
pub(super) fn tracing(vm: &Vm, program: &Arc<Program>, cookie: u64) -> Raw<LinkFd> {
    let attach = program::loaded_as(program).unwrap_or(AttachType::CgroupInetIngress);
    if !matches!(
        program.program_type,
        ProgramType::Tracing | ProgramType::Lsm
    ) {
        return Err(Errno::EINVAL);
    }
    let (Some(btf), id) = (&program.meta.attach_btf, program.meta.attach_btf_id) else {
        return Err(Errno::EOPNOTSUPP);
    };
    let found = btf.btf.type_by_id(TypeId(id)).map_err(|_| Errno::EINVAL)?;
    let key = match (found.kind(), attach) {
        (Kind::Typedef { .. }, AttachType::TraceRawTp) => {
            let name = found
                .name()
                .strip_prefix("btf_trace_")
                .ok_or(Errno::EINVAL)?;
            if !vm.0.hooks.has_raw_tracepoint(name) {
                return Err(Errno::ENOENT);
            }
            let name = name.to_owned();
            HookKey::RawTracepoint { name }
        }
        (Kind::Function(_), attach) => {
            if !vm.0.hooks.has_function(found.name()) {
                return Err(Errno::ENOENT);
            }
            HookKey::Function {
                name: found.name().to_owned(),
                attach: Some(attach),
            }
        }
        _ => return Err(Errno::EINVAL),
    };
    let details = LinkDetails::Tracing {
        attach_type: attach.raw(),
        target_object: btf.id,
        target_btf: id,
        cookie,
    };
    let new = New {
        vm,
        program,
        link_type: LinkType::Tracing,
        details,
    };
    new.on(key, cookie, |point, entry| {
        // A tracepoint's program may be on it twice, a function's not.
        let twice = |known: &Attached| Arc::ptr_eq(&known.program, &entry.program);
        if attach != AttachType::TraceRawTp && point.programs().list.iter().any(twice) {
            return Err(Errno::EBUSY);
        }
        point.add(entry, usize::MAX, Errno::E2BIG)
    })
}

/// Many functions of the machine, or many places of a binary.
pub(super) fn many(
    vm: &Vm,
    program: &Arc<Program>,
    attach: AttachType,
    options: LinkOptions<'_>,
) -> Raw<LinkFd> {
    if program.program_type != ProgramType::Kprobe || program::loaded_as(program) != Some(attach) {
        return Err(Errno::EINVAL);
    }
    match options {
        LinkOptions::KprobeMulti {
            symbols,
            cookies,
            flags,
            ..
        } => {
            let names = symbols.iter().map(str::to_owned).collect();
            attach::functions(vm, program, names, cookies, flags.bits())
        }
        LinkOptions::UprobeMulti {
            path,
            path_fd: None,
            offsets,
            semaphores,
            cookies,
            pid,
            flags,
        } => {
            let binary = PathBuf::from(path.to_string_lossy().into_owned());
            let at = |list: &[u64], index: usize| list.get(index).copied().unwrap_or(0);
            let places = offsets
                .iter()
                .enumerate()
                .map(|(index, offset)| skep_host::UprobePlace {
                    offset: *offset,
                    semaphore: at(semaphores, index),
                    cookie: at(cookies, index),
                });
            let pid = (pid != 0).then_some(pid);
            attach::uprobes(
                vm,
                program,
                binary,
                &places.collect::<Vec<_>>(),
                pid,
                flags.bits(),
            )
        }
        _ => Err(Errno::EINVAL),
    }
}
