//! What hooks hang on: cgroups, devices, the network namespace; and the commands that attach and
//! ask without links.

use std::{path::Path, sync::Arc};

use skep_abi::{AttachFlags, AttachType, Command, MapType, QueryFlags};
use skep_host::{
    CgroupFd, Errno, Error, ProgramAttach, ProgramFd, ProgramQuery, QueryAnswer, Result,
};

use super::{
    link::{
        self,
        place::{self, Place},
    },
    program,
};
use crate::{
    Vm,
    machine::{Attached, Cgroup, HookKey, Object, Order, Point, cgroup::MODE},
    map::Map,
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

/// Whether a device is the loopback device, whose driver has no hook of its own.
pub(super) fn is_loopback(vm: &Vm, ifindex: u32) -> Raw<bool> {
    let net = vm.0.net.now();
    let device = net.device(ifindex).ok_or(Errno::ENODEV)?;
    Ok(device.name == "lo")
}

/// Whether there is a device whose programs have an order, at this hook.
pub(super) fn ordered_device(vm: &Vm, ifindex: u32, attach: AttachType) -> Raw<()> {
    let loopback = is_loopback(vm, ifindex)?;
    match Place::of(attach) {
        Place::Netkit if loopback => Err(Errno::ENXIO),
        _ => Ok(()),
    }
}

/// Whether a map has sockets that programs can be for.
pub(super) fn has_sockets(map: &Map) -> bool {
    matches!(map.shape.map_type, MapType::Sockmap | MapType::Sockhash)
}

/// The hook of a map of sockets.
///
/// # Errors
/// `EOPNOTSUPP`: it has none; `EBUSY`: it has another kind of verdict.
pub(super) fn of_sockets(vm: &Vm, map: &Map, attach: AttachType) -> Raw<Arc<Point>> {
    if !has_sockets(map) {
        return Err(Errno::EOPNOTSUPP);
    }
    let key = |attach| HookKey::Sockmap {
        map: map.id,
        attach,
    };
    let rival = match attach {
        AttachType::SkSkbVerdict => Some(AttachType::SkSkbStreamVerdict),
        AttachType::SkSkbStreamVerdict => Some(AttachType::SkSkbVerdict),
        _ => None,
    };
    let rival = rival.and_then(|rival| vm.0.hooks.known(&key(rival)));
    if rival.is_some_and(|rival| !rival.is_empty()) {
        return Err(Errno::EBUSY);
    }
    Ok(vm.0.hooks.point(key(attach)))
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

/// A program that must be there, and of the type that goes with an attach type. None has the
/// number of what is open in every process, and is no program.
fn of_type<'p>(vm: &Vm, fd: Option<&'p ProgramFd>, attach: AttachType) -> Raw<&'p Arc<Program>> {
    let program = optional(vm, fd)?.ok_or(Errno::EINVAL)?;
    let fits = program.program_type.attach_types().contains(&attach);
    fits.then_some(program).ok_or(Errno::EINVAL)
}

fn order(vm: &Vm, request: &ProgramAttach<'_>) -> Order {
    Order {
        flags: request.flags,
        relative: link::relative(vm, request.flags, request.relative),
        revision: request.expected_revision,
    }
}

fn attached(vm: &Vm, request: &ProgramAttach<'_>) -> Raw<()> {
    let (attach, flags, target) = (request.attach_type, request.flags, request.target);
    let place = Place::of(attach);
    if !place.attach_flags()?.contains(flags) {
        return Err(Errno::EINVAL);
    }
    let has_order = matches!(place, Place::Device | Place::Netkit | Place::Cgroup);
    if !has_order && (request.relative != 0 || request.expected_revision != 0) {
        return Err(Errno::EINVAL);
    }
    let program = of_type(vm, request.program, attach)?;
    link::check_type(program, attach)?;
    let entry = Attached::new(Arc::clone(program), 0);
    let order = order(vm, request);
    let plain = || {
        let plain = flags.is_empty() && request.replace.is_none();
        plain.then_some(()).ok_or(Errno::EINVAL)
    };
    match place {
        Place::Device | Place::Netkit => {
            let ifindex = place::ifindex(target);
            ordered_device(vm, ifindex, attach)?;
            let replaced = match flags.contains(AttachFlags::REPLACE) {
                true => Some(of_type(vm, request.replace, attach)?),
                false => None,
            };
            let point = vm.0.hooks.point(HookKey::Device { ifindex, attach });
            point.change(|programs| order.attach(programs, entry, replaced))
        }
        Place::Cgroup => {
            let cgroup = place::cgroup(vm, target)?;
            let replaced = match flags.contains(AttachFlags::REPLACE | AttachFlags::ALLOW_MULTI) {
                true => Some(of_type(vm, request.replace, attach)?),
                false => None,
            };
            let kept = MODE | AttachFlags::PREORDER;
            let entry = Attached {
                flags: (flags & kept).bits(),
                ..entry
            };
            vm.0.hooks
                .attach_cgroup(cgroup, attach, entry, &order, replaced)
        }
        Place::Sockmap => {
            plain()?;
            let map = place::map(vm, target)?;
            // The new program takes the old one's place, unless a link holds that.
            of_sockets(vm, &map, attach)?.change(|programs| {
                if programs.list.iter().any(|known| known.link != 0) {
                    return Err(Errno::EBUSY);
                }
                programs.list = vec![entry];
                Ok(())
            })
        }
        Place::Netns if attach == AttachType::FlowDissector => {
            plain()?;
            // It is the caller's own namespace.
            if place::is_some(target) {
                return Err(Errno::EINVAL);
            }
            let point = vm.0.hooks.point(HookKey::Netns { attach });
            point.change(|programs| {
                match programs.list.first() {
                    Some(known) if known.link != 0 => return Err(Errno::EEXIST),
                    Some(known) if Arc::ptr_eq(&known.program, &entry.program) => {
                        return Err(Errno::EINVAL);
                    }
                    _ => programs.list = vec![entry],
                }
                Ok(())
            })
        }
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn detach(vm: &Vm, request: &ProgramAttach<'_>) -> Result<()> {
    detached(vm, request).map_err(|errno| failed(Command::ProgDetach, request.attach_type, errno))
}

fn detached(vm: &Vm, request: &ProgramAttach<'_>) -> Raw<()> {
    let (attach, target) = (request.attach_type, request.target);
    let place = Place::of(attach);
    let plain = request.flags.is_empty() && request.relative == 0;
    match place {
        Place::Device | Place::Netkit => {
            if !place.attach_flags()?.contains(request.flags) {
                return Err(Errno::EINVAL);
            }
            let program = match request.program {
                Some(_) => Some(of_type(vm, request.program, attach)?),
                None => None,
            };
            let ifindex = place::ifindex(target);
            ordered_device(vm, ifindex, attach)?;
            let order = order(vm, request);
            let point = vm.0.hooks.known(&HookKey::Device { ifindex, attach });
            let point = point.ok_or(Errno::ENOENT)?;
            point.change(|programs| order.detach(programs, program))
        }
        Place::Cgroup if plain => {
            let id = place::cgroup(vm, target)?.id;
            // What is no such program is none.
            let program = of_type(vm, request.program, attach).ok();
            let revision = request.expected_revision;
            vm.0.hooks.detach_cgroup(id, attach, program, revision)
        }
        // Where the kernel looks for a hook of the cgroup all the same.
        Place::Target if plain && attach == AttachType::LsmMac => {
            place::cgroup(vm, target)?;
            Err(Errno::EINVAL)
        }
        _ if !plain || request.expected_revision != 0 => Err(Errno::EINVAL),
        Place::Sockmap if request.replace.is_none() => {
            let map = place::map(vm, target)?;
            let program = of_type(vm, request.program, attach)?;
            take_off(&*of_sockets(vm, &map, attach)?, program, Errno::EBUSY)
        }
        Place::Netns if attach == AttachType::FlowDissector && !place::is_some(target) => {
            let program = of_type(vm, request.program, attach)?;
            let point = vm.0.hooks.point(HookKey::Netns { attach });
            take_off(&point, program, Errno::EINVAL)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Takes the one program of a hook off it.
///
/// # Errors
/// `linked`: a link holds the place; `ENOENT`: another program is there, or none.
fn take_off(point: &Point, program: &Arc<Program>, linked: Errno) -> Raw<()> {
    point.change(|programs| match programs.list.first() {
        Some(known) if known.link != 0 => Err(linked),
        Some(known) if Arc::ptr_eq(&known.program, program) => {
            programs.list.clear();
            Ok(())
        }
        _ => Err(Errno::ENOENT),
    })
}

pub(super) fn query(vm: &Vm, query: &ProgramQuery<'_>) -> Result<QueryAnswer> {
    queried(vm, query).map_err(|errno| failed(Command::ProgQuery, query.attach_type, errno))
}

fn queried(vm: &Vm, query: &ProgramQuery<'_>) -> Raw<QueryAnswer> {
    let attach = query.attach_type;
    if !QueryFlags::QUERY_EFFECTIVE.contains(query.flags) {
        return Err(Errno::EINVAL);
    }
    let effective = query.flags.contains(QueryFlags::QUERY_EFFECTIVE);
    let own_alone = || (!effective).then_some(()).ok_or(Errno::EINVAL);
    let of_key = |key: HookKey| {
        let known = vm.0.hooks.programs(&key);
        known.map_or((Vec::new(), 1, 0), |now| {
            (now.list.clone(), now.revision, now.flags)
        })
    };
    let ids = |list: &[Attached]| list.iter().map(|entry| entry.program.id).collect();
    match Place::of(attach) {
        Place::Device | Place::Netkit => {
            let ifindex = place::ifindex(query.target);
            ordered_device(vm, ifindex, attach)?;
            own_alone()?;
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
        Place::Cgroup => {
            let cgroup = place::cgroup(vm, query.target)?;
            let key = HookKey::Cgroup {
                id: cgroup.id,
                attach,
            };
            let (own, revision, flags) = match attach {
                // One of many hooks, whose revisions and flags are not told.
                AttachType::LsmCgroup => (of_key(key).0, 0, 0),
                _ => of_key(key),
            };
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
        Place::Sockmap => {
            own_alone()?;
            let map = place::map(vm, query.target)?;
            let list = &of_sockets(vm, &map, attach)?.programs().list;
            Ok(QueryAnswer {
                programs: ids(list),
                ..QueryAnswer::default()
            })
        }
        Place::Netns => {
            own_alone()?;
            place::netns(vm, query.target)?;
            let (list, _, _) = of_key(HookKey::Netns { attach });
            Ok(QueryAnswer {
                programs: ids(&list),
                ..QueryAnswer::default()
            })
        }
        _ => Err(Errno::EINVAL),
    }
}
