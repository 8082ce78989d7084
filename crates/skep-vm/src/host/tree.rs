//! What hooks hang on: cgroups, devices, the network namespace; and the commands that attach and
//! ask without links.

use std::{path::Path, sync::Arc};

use skep_abi::{AttachFlags, AttachType, Command, QueryFlags};
use skep_host::{
    CgroupFd, Errno, Error, LinkTarget, ProgramAttach, ProgramFd, ProgramQuery, QueryAnswer, Result,
};

use super::{link, map, program};
use crate::{
    Vm,
    machine::{Attached, Cgroup, HookKey, Object, Order, cgroup::MODE},
    program::Program,
};

type Raw<T> = std::result::Result<T, Errno>;

/// The inode of the machine's network namespace.
pub(super) const NETNS: u32 = 0xf000_0000;

impl Vm {
    /// Makes a cgroup in the machine's tree, and those above it that are not there, and gives its
    /// id. The tree begins with its root, `/`.
    pub fn make_cgroup(&self, path: &Path) -> u64 {
        self.0.cgroups.make(path).map_or(1, |cgroup| cgroup.id)
    }

    /// Adds a tracepoint: static and raw.
    pub fn define_tracepoint(&self, category: &str, name: &str) {
        self.0.hooks.define(category, name);
    }

    /// Adds a function that programs can be attached to as kprobe, fentry, fexit or lsm.
    pub fn define_function(&self, name: &str) {
        self.0.hooks.define_function(name);
    }
}

/// Whether there is a device.
pub(super) fn device(vm: &Vm, ifindex: u32) -> Raw<()> {
    vm.0.net
        .now()
        .device(ifindex)
        .map(drop)
        .ok_or(Errno::ENODEV)
}

/// The machine has one place for XDP, which stands for both.
pub(super) fn device_xdp(vm: &Vm, ifindex: u32) -> Result<skep_host::DeviceXdp> {
    device(vm, ifindex).map_err(|errno| {
        Error::system("find", format!("the device with index {ifindex}"), errno)
    })?;
    let programs = vm.0.hooks.programs(&HookKey::Xdp { ifindex });
    let first = programs.and_then(|programs| Some(programs.list.first()?.program.id));
    Ok(skep_host::DeviceXdp {
        generic: first.unwrap_or(0),
        ..Default::default()
    })
}

pub(super) fn device_index(vm: &Vm, name: &str) -> Result<u32> {
    let network = vm.0.net.now();
    let known = &network.network.devices;
    let found = known.iter().find(|device| device.name == name);
    found.map(|device| device.ifindex).ok_or_else(|| {
        let near = skep_abi::near_names(name, known.iter().map(|device| device.name.as_str()));
        Error::system("find", format!("device `{name}`"), Errno::ENODEV).because(Some(
            skep_host::Cause::NotFound {
                kind: "device",
                name: name.to_owned(),
                near,
            },
        ))
    })
}

pub(super) fn cgroup_open(vm: &Vm, path: &Path) -> Result<CgroupFd> {
    let open = || {
        let cgroup = vm.0.cgroups.find(path).ok_or(Errno::ENOENT)?;
        vm.0.registry
            .files
            .open(Object::Cgroup(cgroup))
            .map(CgroupFd::new)
    };
    open().map_err(|errno| {
        Error::system("open", format!("cgroup {}", path.display()), errno).because(
            (errno == Errno::ENOENT).then(|| skep_host::Cause::Other {
                what: "the vm has no such cgroup".into(),
                fix: "make it: `Vm::make_cgroup`".into(),
            }),
        )
    })
}

/// The cgroup behind a descriptor.
pub(super) fn cgroup<'c>(vm: &Vm, fd: &'c CgroupFd) -> Raw<&'c Arc<Cgroup>> {
    match vm.0.registry.files.object(fd.descriptor())? {
        Object::Cgroup(cgroup) => Ok(cgroup),
        _ => Err(Errno::EBADF),
    }
}

fn failed(command: Command, attach: AttachType, errno: Errno) -> Error {
    Error::command(command, format!("hook {}", attach.name()), errno)
}

pub(super) fn attach(vm: &Vm, request: &ProgramAttach<'_>) -> Result<()> {
    attached(vm, request).map_err(|errno| failed(Command::ProgAttach, request.attach_type, errno))
}

fn optional<'p>(vm: &Vm, fd: Option<&'p ProgramFd>) -> Raw<Option<&'p Arc<Program>>> {
    fd.map(|fd| program::program(vm, fd)).transpose()
}

fn order(vm: &Vm, request: &ProgramAttach<'_>) -> Raw<Order> {
    Ok(Order {
        flags: request.flags,
        relative: link::relative(vm, request.flags, request.relative)?,
        revision: request.expected_revision,
    })
}

fn attached(vm: &Vm, request: &ProgramAttach<'_>) -> Raw<()> {
    let attach = request.attach_type;
    let program = optional(vm, request.program)?.ok_or(Errno::EBADF)?;
    link::check_type(program, attach)?;
    let replaced = optional(vm, request.replace)?;
    let order = order(vm, request)?;
    let entry = Attached::new(Arc::clone(program), 0);
    match request.target {
        LinkTarget::Device(ifindex) => {
            device(vm, ifindex)?;
            let known = AttachFlags::REPLACE
                | AttachFlags::BEFORE
                | AttachFlags::AFTER
                | AttachFlags::ID
                | AttachFlags::LINK;
            if !known.contains(request.flags) || !is_ordered(attach) {
                return Err(Errno::EINVAL);
            }
            if request.flags.contains(AttachFlags::REPLACE) != replaced.is_some() {
                return Err(Errno::EINVAL);
            }
            let point = vm.0.hooks.point(HookKey::Device { ifindex, attach });
            point.change(|programs| order.attach(programs, entry, replaced))
        }
        LinkTarget::Cgroup(fd) => {
            let cgroup = cgroup(vm, fd)?;
            let known = MODE
                | AttachFlags::REPLACE
                | AttachFlags::PREORDER
                | AttachFlags::BEFORE
                | AttachFlags::AFTER
                | AttachFlags::ID
                | AttachFlags::LINK;
            if !known.contains(request.flags) {
                return Err(Errno::EINVAL);
            }
            let kept = MODE | AttachFlags::PREORDER;
            let entry = Attached {
                flags: (request.flags & kept).bits(),
                ..entry
            };
            vm.0.hooks
                .attach_cgroup(cgroup, attach, entry, &order, replaced)
        }
        LinkTarget::Map(fd) => {
            let (map, _) = map::map(vm, fd)?;
            if !request.flags.is_empty() || replaced.is_some() {
                return Err(Errno::EINVAL);
            }
            let key = HookKey::Sockmap {
                map: map.id,
                attach,
            };
            // The new program takes the old one's place, unless a link holds that.
            vm.0.hooks.point(key).change(|programs| {
                if programs.list.iter().any(|known| known.link != 0) {
                    return Err(Errno::EBUSY);
                }
                programs.list = vec![entry];
                Ok(())
            })
        }
        _ if attach == AttachType::FlowDissector => {
            if !request.flags.is_empty() {
                return Err(Errno::EINVAL);
            }
            let point = vm.0.hooks.point(HookKey::Netns { attach });
            point.change(|programs| match programs.list.is_empty() {
                true => {
                    programs.list.push(entry);
                    Ok(())
                }
                false => Err(Errno::EEXIST),
            })
        }
        _ => Err(Errno::EBADF),
    }
}

/// Hooks of devices, on which programs have an order.
fn is_ordered(attach: AttachType) -> bool {
    matches!(
        attach,
        AttachType::TcxIngress
            | AttachType::TcxEgress
            | AttachType::NetkitPrimary
            | AttachType::NetkitPeer
    )
}

pub(super) fn detach(vm: &Vm, request: &ProgramAttach<'_>) -> Result<()> {
    detached(vm, request).map_err(|errno| failed(Command::ProgDetach, request.attach_type, errno))
}

fn detached(vm: &Vm, request: &ProgramAttach<'_>) -> Raw<()> {
    let attach = request.attach_type;
    let program = optional(vm, request.program)?;
    match request.target {
        LinkTarget::Device(ifindex) => {
            device(vm, ifindex)?;
            if !is_ordered(attach) || request.flags.contains(AttachFlags::REPLACE) {
                return Err(Errno::EINVAL);
            }
            let order = order(vm, request)?;
            let point = vm.0.hooks.known(&HookKey::Device { ifindex, attach });
            let point = point.ok_or(Errno::ENOENT)?;
            point.change(|programs| order.detach(programs, program))
        }
        LinkTarget::Cgroup(fd) => {
            let id = cgroup(vm, fd)?.id;
            let revision = request.expected_revision;
            vm.0.hooks.detach_cgroup(id, attach, program, revision)
        }
        LinkTarget::Map(fd) => {
            let key = HookKey::Sockmap {
                map: map::map(vm, fd)?.0.id,
                attach,
            };
            unordered(vm, &key, program, Errno::ENOENT)
        }
        _ if attach == AttachType::FlowDissector => {
            unordered(vm, &HookKey::Netns { attach }, program, Errno::ENOENT)
        }
        _ => Err(Errno::EBADF),
    }
}

fn unordered(vm: &Vm, key: &HookKey, program: Option<&Arc<Program>>, absent: Errno) -> Raw<()> {
    let point = vm.0.hooks.known(key).ok_or(absent)?;
    point.change(|programs| {
        let place = programs
            .list
            .iter()
            .position(|known| program.is_none_or(|program| Arc::ptr_eq(program, &known.program)));
        let place = place.ok_or(absent)?;
        if programs.list[place].link != 0 {
            return Err(Errno::EBUSY);
        }
        programs.list.remove(place);
        Ok(())
    })
}

pub(super) fn query(vm: &Vm, query: &ProgramQuery<'_>) -> Result<QueryAnswer> {
    queried(vm, query).map_err(|errno| failed(Command::ProgQuery, query.attach_type, errno))
}

fn queried(vm: &Vm, query: &ProgramQuery<'_>) -> Raw<QueryAnswer> {
    let attach = query.attach_type;
    let effective = query.flags.contains(QueryFlags::QUERY_EFFECTIVE);
    let of_key = |key: HookKey| {
        let known = vm.0.hooks.programs(&key);
        known.map_or((Vec::new(), 1, 0), |now| {
            (now.list.clone(), now.revision, now.flags)
        })
    };
    let ids = |list: &[Attached]| list.iter().map(|entry| entry.program.id).collect();
    match query.target {
        LinkTarget::Device(ifindex) => {
            if !is_ordered(attach) || !query.flags.is_empty() {
                return Err(Errno::EINVAL);
            }
            device(vm, ifindex)?;
            let (list, revision, _) = of_key(HookKey::Device { ifindex, attach });
            Ok(QueryAnswer {
                programs: ids(&list),
                links: list.iter().map(|entry| entry.link).collect(),
                program_flags: vec![0; list.len()],
                link_flags: vec![0; list.len()],
                flags: 0,
                revision,
            })
        }
        LinkTarget::Cgroup(fd) => {
            let cgroup = cgroup(vm, fd)?;
            let key = HookKey::Cgroup {
                id: cgroup.id,
                attach,
            };
            let (own, revision, flags) = of_key(key);
            if effective {
                return Ok(QueryAnswer {
                    programs: ids(&vm.0.hooks.effective(cgroup, attach)),
                    ..QueryAnswer::default()
                });
            }
            Ok(QueryAnswer {
                programs: ids(&own),
                program_flags: vec![flags; own.len()],
                flags,
                revision,
                ..QueryAnswer::default()
            })
        }
        LinkTarget::Map(fd) => {
            let key = HookKey::Sockmap {
                map: map::map(vm, fd)?.0.id,
                attach,
            };
            let (list, _, _) = of_key(key);
            Ok(QueryAnswer {
                programs: ids(&list),
                ..QueryAnswer::default()
            })
        }
        _ if matches!(attach, AttachType::FlowDissector | AttachType::SkLookup) => {
            let (list, _, _) = of_key(HookKey::Netns { attach });
            Ok(QueryAnswer {
                programs: ids(&list),
                ..QueryAnswer::default()
            })
        }
        _ => Err(Errno::EINVAL),
    }
}
