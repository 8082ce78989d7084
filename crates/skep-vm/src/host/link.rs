//! Links: made on every hook that the machine has, swapped, detached.

pub(super) mod place;
mod targets;

use std::{collections::BTreeMap, sync::Arc};

use skep_abi::{AttachFlags, AttachType, Command, LinkType, ProgramType};
use skep_host::{
    Cause, Errno, Error, LinkCreate, LinkDetails, LinkFd, LinkInfo, LinkOptions, LinkSource,
    ProgramFd, Result,
};

use super::{map, program};
use crate::{
    Vm,
    machine::{Attached, Cgroup, HookKey, Link, Object, Order, Point, Relative, calls},
    map::Map,
    program::Program,
};

use place::ORDER;
pub(super) use place::{Place, check_sleeping, check_type};
pub(super) use targets::{iterator, netfilter, netns, ordered, sockmap, xdp};
use targets::{many, struct_ops, tracing};

pub(super) type Raw<T> = std::result::Result<T, Errno>;

/// Opens a link once more.
pub(super) fn open(vm: &Vm, link: Arc<Link>) -> Raw<LinkFd> {
    vm.0.registry
        .files
        .open(Object::Link(link))
        .map(LinkFd::new)
}

/// The link behind a descriptor.
pub(super) fn link<'l>(vm: &Vm, fd: &'l LinkFd) -> Raw<&'l Arc<Link>> {
    match vm.0.registry.files.object(fd.descriptor())? {
        Object::Link(link) => Ok(link),
        _ => Err(Errno::EINVAL),
    }
}

fn failed(command: Command, fd: &LinkFd, errno: Errno) -> Error {
    Error::command(command, format!("link descriptor {}", fd.raw()), errno)
}

pub(super) fn info(vm: &Vm, fd: &LinkFd) -> Result<LinkInfo> {
    let link = link(vm, fd).map_err(|errno| failed(Command::ObjGetInfoByFd, fd, errno))?;
    Ok(link.info())
}

pub(super) fn detach(vm: &Vm, fd: &LinkFd) -> Result<()> {
    link(vm, fd)
        .and_then(|link| link.detach())
        .map_err(|errno| failed(Command::LinkDetach, fd, errno))
}

pub(super) fn update(
    vm: &Vm,
    fd: &LinkFd,
    new: LinkSource<'_>,
    expected: Option<LinkSource<'_>>,
) -> Result<()> {
    updated(vm, fd, new, expected).map_err(|errno| failed(Command::LinkUpdate, fd, errno))
}

fn updated(vm: &Vm, fd: &LinkFd, new: LinkSource<'_>, expected: Option<LinkSource<'_>>) -> Raw<()> {
    let link = link(vm, fd)?;
    match (new, expected) {
        (LinkSource::Program(new), None) => link.update(program::program(vm, new)?, None),
        (LinkSource::Program(new), Some(LinkSource::Program(old))) => {
            let old = program::program(vm, old)?;
            link.update(program::program(vm, new)?, Some(old))
        }
        (LinkSource::StructOps(new), None) => link.update_map(map::map(vm, new)?.0, None),
        (LinkSource::StructOps(new), Some(LinkSource::StructOps(old))) => {
            let old = map::map(vm, old)?.0;
            link.update_map(map::map(vm, new)?.0, Some(old))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// A program on hooks that is to become a link.
pub(super) struct New<'a> {
    pub(super) vm: &'a Vm,
    pub(super) program: &'a Arc<Program>,
    pub(super) link_type: LinkType,
    pub(super) details: LinkDetails,
}

impl New<'_> {
    /// Makes the link with the program on one hook, where `put` puts it.
    pub(super) fn on(
        self,
        key: HookKey,
        cookie: u64,
        put: impl FnOnce(&Point, Attached) -> Raw<()>,
    ) -> Raw<LinkFd> {
        let point = self.vm.0.hooks.point(key);
        let program = Arc::clone(self.program);
        self.finish(None, |id| {
            let entry = Attached {
                link: id,
                ..Attached::new(program, cookie)
            };
            let owner = entry.owner;
            put(&point, entry)?;
            Ok(vec![(point, owner)])
        })
    }

    /// Makes the link with the program on many hooks, a cookie each.
    pub(super) fn on_all(self, places: Vec<(HookKey, u64, Option<u32>)>) -> Raw<LinkFd> {
        let (vm, program) = (self.vm, Arc::clone(self.program));
        self.finish(None, |id| {
            // Each hook is changed once, however many of the places are the same.
            let mut of_key = BTreeMap::<HookKey, Vec<Attached>>::new();
            for (key, cookie, pid) in places {
                let entry = Attached {
                    link: id,
                    pid,
                    ..Attached::new(Arc::clone(&program), cookie)
                };
                of_key.entry(key).or_default().push(entry);
            }
            let mut points = Vec::new();
            for (key, entries) in of_key {
                let point = vm.0.hooks.point(key);
                points.extend(
                    entries
                        .iter()
                        .map(|entry| (Arc::clone(&point), entry.owner)),
                );
                point.add_all(entries)?;
            }
            Ok(points)
        })
    }

    /// Makes the link once it is on its hooks.
    pub(super) fn finish(
        self,
        map: Option<Arc<Map>>,
        points: impl FnOnce(u32) -> Raw<Vec<(Arc<Point>, u64)>>,
    ) -> Raw<LinkFd> {
        let program = Some(Arc::clone(self.program));
        let (link_type, details) = (self.link_type, self.details);
        let made = self.vm.0.registry.links.try_make(|id| {
            let points = points(id)?;
            Ok(Link::new(id, link_type, details, program, map, points))
        })?;
        open(self.vm, made)
    }
}

/// Whom the order of a request speaks of. What is wrong with that is told when it is needed.
pub(super) fn relative(vm: &Vm, flags: AttachFlags, number: u32) -> Relative {
    let by_id = flags.contains(AttachFlags::ID);
    let registry = &vm.0.registry;
    let link = || match (by_id, number) {
        (true, id) => registry.links.by_id(id).ok_or(Errno::ENOENT),
        (false, 0) => Err(Errno::EINVAL),
        (false, fd) => match registry.files.by_number(fd.cast_signed())? {
            Object::Link(link) => Ok(link),
            _ => Err(Errno::EINVAL),
        },
    };
    let program = || match by_id {
        true => registry.programs.by_id(number).ok_or(Errno::ENOENT),
        false => registry.files.program(number.cast_signed()),
    };
    if flags.contains(AttachFlags::LINK) {
        let known = link().map(|link| {
            let program = link.program();
            Relative::Link(link.id, program.map(|program| program.program_type))
        });
        return known.unwrap_or_else(Relative::Wrong);
    }
    if !by_id && number == 0 {
        return Relative::Nobody;
    }
    program().map_or_else(Relative::Wrong, Relative::Program)
}

pub(super) fn create(vm: &Vm, request: &LinkCreate<'_>) -> Result<LinkFd> {
    created(vm, request).map_err(|errno| {
        let object = format!("hook {}", request.attach_type.name());
        Error::command(Command::LinkCreate, object, errno)
    })
}

pub(super) fn created(vm: &Vm, request: &LinkCreate<'_>) -> Raw<LinkFd> {
    let program = match request.program {
        LinkSource::Program(_) if request.attach_type == AttachType::StructOps => {
            return Err(Errno::EINVAL);
        }
        LinkSource::Program(fd) => program::program(vm, fd)?,
        LinkSource::StructOps(fd) => return struct_ops(vm, map::map(vm, fd)?.0, request.flags),
    };
    let attach = request.attach_type;
    check_type(program, attach)?;
    let unflagged = || (request.flags == 0).then_some(()).ok_or(Errno::EINVAL);
    match Place::of(attach) {
        Place::Cgroup => {
            let order = order(vm, request);
            let known = ORDER | AttachFlags::PREORDER;
            if !known.contains(order.flags) {
                return Err(Errno::EINVAL);
            }
            let cgroup = place::cgroup(vm, request.target)?;
            on_cgroup(vm, program, cgroup, attach, order)
        }
        Place::Netns => {
            unflagged()?;
            place::netns(vm, request.target)?;
            netns(vm, program, attach)
        }
        Place::Sockmap => {
            unflagged()?;
            sockmap(vm, program, &place::map(vm, request.target)?, attach)
        }
        Place::Xdp => xdp(vm, program, place::ifindex(request.target), request.flags),
        Place::Device | Place::Netkit => {
            let ifindex = place::ifindex(request.target);
            ordered(vm, program, ifindex, attach, &order(vm, request))
        }
        Place::Netfilter => {
            unflagged()?;
            netfilter(vm, program, request.options)
        }
        Place::PerfEvent => {
            unflagged()?;
            // The machine's perf events are no descriptors.
            Err(Errno::EBADF)
        }
        Place::Iterator => {
            unflagged()?;
            if place::is_some(request.target) {
                return Err(Errno::EINVAL);
            }
            let scope = match request.options {
                LinkOptions::Iterator(scope) => scope,
                _ => skep_host::IterTarget::All,
            };
            iterator(vm, program, scope)
        }
        Place::Probes => {
            unflagged()?;
            many(vm, program, attach, request.options)
        }
        Place::Target => {
            let (target, cookie) = match request.options {
                LinkOptions::Tracing {
                    target_btf_id,
                    cookie,
                } => (target_btf_id, cookie),
                _ => (0, 0),
            };
            if target != 0 {
                return Err(Errno::EOPNOTSUPP);
            }
            if attach != AttachType::TraceRawTp && place::is_some(request.target) {
                return Err(Errno::EINVAL);
            }
            tracing(vm, program, cookie)
        }
        Place::Nothing => Err(Errno::EINVAL),
    }
}

/// A cgroup's hook, beside others.
pub(super) fn on_cgroup(
    vm: &Vm,
    program: &Arc<Program>,
    cgroup: &Cgroup,
    attach: AttachType,
    mut order: Order,
) -> Raw<LinkFd> {
    order.flags |= AttachFlags::ALLOW_MULTI;
    let new = New {
        vm,
        program,
        link_type: LinkType::Cgroup,
        details: LinkDetails::Cgroup {
            cgroup: cgroup.id,
            attach_type: attach.raw(),
        },
    };
    let key = HookKey::Cgroup {
        id: cgroup.id,
        attach,
    };
    let point = vm.0.hooks.point(key);
    new.finish(None, |id| {
        let entry = Attached {
            link: id,
            flags: (order.flags & AttachFlags::PREORDER).bits(),
            ..Attached::new(Arc::clone(program), 0)
        };
        let owner = entry.owner;
        vm.0.hooks
            .attach_cgroup(cgroup, attach, entry, &order, None)?;
        Ok(vec![(point, owner)])
    })
}

/// Where among others a link is to be.
fn order(vm: &Vm, request: &LinkCreate<'_>) -> Order {
    let flags = AttachFlags::from_bits_retain(request.flags);
    let (number, revision) = match request.options {
        LinkOptions::Ordered {
            relative,
            expected_revision,
        } => (relative, expected_revision),
        _ => (0, 0),
    };
    Order {
        flags,
        relative: relative(vm, flags, number),
        revision,
    }
}

pub(super) fn raw_tracepoint_open(
    vm: &Vm,
    fd: &ProgramFd,
    name: Option<&str>,
    cookie: u64,
) -> Result<LinkFd> {
    raw_tracepoint(vm, fd, name, cookie).map_err(|errno| {
        let object = format!("raw tracepoint `{}`", name.unwrap_or("of the program"));
        let cause = name
            .filter(|_| errno == Errno::ENOENT)
            .map(|name| not_found(vm, name));
        Error::command(Command::RawTracepointOpen, object, errno).because(cause)
    })
}

/// A tracepoint that is not there, with those that are near.
pub(super) fn not_found(vm: &Vm, name: &str) -> Cause {
    let known = vm.0.hooks.tracepoints();
    let short = known.iter().filter_map(|known| match name.contains('/') {
        true => Some(known.as_str()),
        // Each system call has a formatted tracepoint only.
        false if known.starts_with("syscalls/") => None,
        false => known.rsplit('/').next(),
    });
    let mut near = skep_abi::near_names(name, short);
    if let Some(kernels) = calls::renamed(name) {
        near = vec![kernels];
    }
    if near.is_empty() {
        return Cause::NotInUserSpace(format!("tracepoint `{name}`"));
    }
    Cause::NotFound {
        kind: "tracepoint",
        name: name.to_owned(),
        near,
    }
}

pub(super) fn raw_tracepoint(
    vm: &Vm,
    fd: &ProgramFd,
    name: Option<&str>,
    cookie: u64,
) -> Raw<LinkFd> {
    let program = program::program(vm, fd)?;
    let is_raw = matches!(
        program.program_type,
        ProgramType::RawTracepoint | ProgramType::RawTracepointWritable
    );
    let Some(name) = name else {
        return match is_raw {
            true => Err(Errno::EFAULT),
            false => tracing(vm, program, cookie),
        };
    };
    if !is_raw {
        return Err(Errno::EINVAL);
    }
    if !vm.0.hooks.has_raw_tracepoint(name) {
        return Err(Errno::ENOENT);
    }
    check_sleeping(program, matches!(name, "sys_enter" | "sys_exit"))?;
    let new = New {
        vm,
        program,
        link_type: LinkType::RawTracepoint,
        details: LinkDetails::RawTracepoint {
            name: name.to_owned(),
            cookie,
        },
    };
    let key = HookKey::RawTracepoint {
        name: name.to_owned(),
    };
    new.on(key, cookie, |point, entry| {
        point.add(entry, usize::MAX, Errno::E2BIG)
    })
}
