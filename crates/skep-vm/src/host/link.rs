//! Links: made on every hook that the machine has, swapped, detached.

mod targets;

use std::sync::Arc;

use skep_abi::{AttachFlags, AttachType, Command, LinkType, ProgramType};
use skep_host::{
    Cause, Errno, Error, LinkCreate, LinkDetails, LinkFd, LinkInfo, LinkOptions, LinkSource,
    LinkTarget, ProgramFd, Result,
};

use super::{map, program};
use crate::{
    Vm,
    machine::{Attached, HookKey, Link, Object, Order, Point, Relative, calls},
    map::Map,
    program::Program,
};

use targets::{many, struct_ops, tracing};
pub(super) use targets::{netfilter, netns, ordered, sockmap, xdp};

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
            let mut points = Vec::new();
            for (key, cookie, pid) in places {
                let point = vm.0.hooks.point(key);
                let entry = Attached {
                    link: id,
                    pid,
                    ..Attached::new(Arc::clone(&program), cookie)
                };
                let owner = entry.owner;
                point.add(entry, usize::MAX, Errno::E2BIG)?;
                points.push((point, owner));
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

/// Whom the order of a request speaks of.
pub(super) fn relative(vm: &Vm, flags: AttachFlags, number: u32) -> Raw<Relative> {
    let by_id = flags.contains(AttachFlags::ID);
    let registry = &vm.0.registry;
    if flags.contains(AttachFlags::LINK) {
        let link = match by_id {
            true => registry.links.by_id(number).ok_or(Errno::ENOENT)?,
            false => match registry.files.by_number(number as i32)? {
                Object::Link(link) => link,
                _ => return Err(Errno::EINVAL),
            },
        };
        return Ok(Relative::Link(link.id));
    }
    match (by_id, number) {
        (false, 0) => Ok(Relative::Nobody),
        (true, id) => {
            let program = registry.programs.by_id(id).ok_or(Errno::ENOENT)?;
            Ok(Relative::Program(program))
        }
        (false, fd) => registry.files.program(fd as i32).map(Relative::Program),
    }
}

/// Whether a program may be attached as this.
///
/// # Errors
/// `EINVAL`: it is of another type, or was loaded to be attached as something else.
pub(super) fn check_type(program: &Program, attach: AttachType) -> Raw<()> {
    use skep_abi::ExpectedAttachType;
    let facts = program.program_type.attach_types();
    if !facts.contains(&attach) {
        return Err(Errno::EINVAL);
    }
    let loaded = program::loaded_as(program);
    let fits = match program.program_type.expected_attach_type() {
        ExpectedAttachType::Required => loaded == Some(attach),
        ExpectedAttachType::Optional => loaded.is_none_or(|loaded| loaded == attach),
        _ => true,
    };
    fits.then_some(()).ok_or(Errno::EINVAL)
}

pub(super) fn create(vm: &Vm, request: &LinkCreate<'_>) -> Result<LinkFd> {
    created(vm, request).map_err(|errno| {
        let object = format!("hook {}", request.attach_type.name());
        Error::command(Command::LinkCreate, object, errno)
    })
}

pub(super) fn created(vm: &Vm, request: &LinkCreate<'_>) -> Raw<LinkFd> {
    let program = match request.program {
        LinkSource::Program(fd) => program::program(vm, fd)?,
        LinkSource::StructOps(fd) => return struct_ops(vm, map::map(vm, fd)?.0, request.flags),
    };
    let attach = request.attach_type;
    let new = |link_type, details| New {
        vm,
        program,
        link_type,
        details,
    };
    match (attach, request.target) {
        (AttachType::TraceIter, _) => {
            let LinkOptions::Iterator(target) = request.options else {
                return super::iter::link(vm, program, skep_host::IterTarget::All);
            };
            super::iter::link(vm, program, target)
        }
        (AttachType::Xdp, LinkTarget::Device(ifindex)) => {
            check_type(program, attach)?;
            xdp(vm, program, ifindex, request.flags)
        }
        (
            AttachType::TcxIngress
            | AttachType::TcxEgress
            | AttachType::NetkitPrimary
            | AttachType::NetkitPeer,
            LinkTarget::Device(ifindex),
        ) => {
            check_type(program, attach)?;
            let order = order(vm, request)?;
            ordered(new, vm, ifindex, attach, order)
        }
        (AttachType::SkLookup | AttachType::FlowDissector, _) => {
            check_type(program, attach)?;
            netns(vm, program, attach)
        }
        (AttachType::Netfilter, _) => netfilter(vm, program, request.options),
        (_, LinkTarget::Cgroup(cgroup)) => {
            on_cgroup(vm, program, cgroup, attach, order(vm, request)?)
        }
        (_, LinkTarget::Map(fd)) => {
            check_type(program, attach)?;
            sockmap(vm, program, map::map(vm, fd)?.0, attach)
        }
        (_, LinkTarget::None) => {
            let (target, cookie) = match request.options {
                LinkOptions::Tracing {
                    target_btf_id,
                    cookie,
                } => (target_btf_id, cookie),
                LinkOptions::None => (0, 0),
                options => return many(vm, program, attach, options),
            };
            if target != 0 || program.program_type == ProgramType::Ext {
                return Err(Errno::EOPNOTSUPP);
            }
            tracing(vm, program, cookie)
        }
        (_, LinkTarget::Device(_)) => Err(Errno::EINVAL),
        _ => Err(Errno::EBADF),
    }
}

/// A cgroup's hook, beside others.
pub(super) fn on_cgroup(
    vm: &Vm,
    program: &Arc<Program>,
    cgroup: &skep_host::CgroupFd,
    attach: AttachType,
    mut order: Order,
) -> Raw<LinkFd> {
    check_type(program, attach)?;
    let cgroup = super::tree::cgroup(vm, cgroup)?;
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
fn order(vm: &Vm, request: &LinkCreate<'_>) -> Raw<Order> {
    let flags = AttachFlags::from_bits_retain(request.flags);
    let known = AttachFlags::BEFORE
        | AttachFlags::AFTER
        | AttachFlags::ID
        | AttachFlags::LINK
        | AttachFlags::PREORDER;
    if !known.contains(flags) {
        return Err(Errno::EINVAL);
    }
    let (number, revision) = match request.options {
        LinkOptions::Ordered {
            relative,
            expected_revision,
        } => (relative, expected_revision),
        _ => (0, 0),
    };
    Ok(Order {
        flags,
        relative: relative(vm, flags, number)?,
        revision,
    })
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
