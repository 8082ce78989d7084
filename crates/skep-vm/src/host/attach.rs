//! Attaching by attach point: a link wherever the kernel has one.

mod probes;

use std::sync::Arc;

use skep_abi::{AttachFlags, AttachType, LinkType, ProgramType};
use skep_host::{
    AttachPoint, Attachment, Cause, CgroupMode, Detach, Errno, Error, KernelFunctions, LinkDetails,
    LinkFd, MultiMode, NetkitEnd, PerfEvent, PerfScope, Position, ProgramFd, Result, TcxDirection,
    UprobePlace, XdpMode,
};

use super::{
    link::{self, New, Raw},
    map, program, tree,
};
use crate::{
    Vm,
    machine::{Attached, HookKey, Order, Point, calls},
    program::Program,
};

pub(super) use probes::{functions, uprobes};
use probes::{kprobe, uprobe};

/// `BPF_F_KPROBE_MULTI_RETURN` and `BPF_F_UPROBE_MULTI_RETURN`
const RETURN: u32 = 1;

/// The shortest period of timers that sample, in nanoseconds: each tick looks at every task.
const SHORTEST: u64 = 100_000;

pub(super) fn attach(
    vm: &Vm,
    name: &str,
    fd: &ProgramFd,
    point: &AttachPoint<'_>,
) -> Result<Attachment> {
    attached(vm, fd, point).map_err(|errno| {
        let cause = cause(vm, point, errno);
        Error::Attach {
            program: name.to_owned(),
            point: point.to_string(),
            errno,
            cause: None,
        }
        .because(cause)
    })
}

/// Why it failed, in words.
fn cause(vm: &Vm, point: &AttachPoint<'_>, errno: Errno) -> Option<Cause> {
    let none = |kind, name: &str, near| {
        Some(Cause::NotFound {
            kind,
            name: name.to_owned(),
            near,
        })
    };
    let kernel_function =
        |name: &str| Some(Cause::NotInUserSpace(format!("kernel function `{name}`")));
    match (point, errno) {
        (AttachPoint::Tracepoint { category, name, .. }, Errno::ENOENT) => {
            Some(link::not_found(vm, &format!("{category}/{name}")))
        }
        (AttachPoint::RawTracepoint { name, .. }, Errno::ENOENT) => Some(link::not_found(vm, name)),
        (AttachPoint::Kprobe { offset: 1.., .. }, Errno::EOPNOTSUPP) => Some(Cause::Other {
            what: "the vm has no instructions of the kernel, only functions as wholes".into(),
            fix: "leave out the offset, or use the kernel".into(),
        }),
        (AttachPoint::Kprobe { function, .. }, Errno::ENOENT) => {
            let known = vm.0.hooks.functions();
            let mut near = skep_abi::near_names(function, known.iter().map(String::as_str));
            if let Some(kernels) = calls::renamed(function) {
                near = vec![kernels];
            }
            match near {
                near if near.is_empty() => kernel_function(function),
                near => none("function of the vm", function, near),
            }
        }
        (
            AttachPoint::KprobeMulti {
                functions: KernelFunctions::Pattern(pattern),
                ..
            },
            Errno::ENOENT,
        ) => kernel_function(pattern),
        (AttachPoint::PerfEvent { .. }, Errno::EOPNOTSUPP) => Some(Cause::Other {
            what: "the vm counts no page faults, context switches and the like: it has the timers \
                   cpu-clock (0) and task-clock (1)"
                .into(),
            fix: "sample by one of these, or use the kernel (`--host kernel`)".into(),
        }),
        (AttachPoint::PerfEvent { .. }, Errno::EINVAL) => Some(Cause::Other {
            what: "the vm samples on one of its CPUs or in a process, by periods of 100 µs or more"
                .into(),
            fix: "choose a lower frequency, or a CPU that the vm has".into(),
        }),
        (AttachPoint::PerfEvent { .. }, Errno::ENOENT) => {
            Some(Cause::NotInUserSpace("such perf event".into()))
        }
        (
            AttachPoint::Uprobe { binary, .. } | AttachPoint::UprobeMulti { binary, .. },
            Errno::ENOENT,
        ) => none("file", &binary.to_string_lossy(), Vec::new()),
        (AttachPoint::Uprobe { .. } | AttachPoint::UprobeMulti { .. }, Errno::EOPNOTSUPP) => {
            Some(Cause::Other {
                what: "the vm probes binaries on x86-64 only".into(),
                fix: "use the kernel (`--host kernel`)".into(),
            })
        }
        (AttachPoint::Xdp { .. }, Errno::EBUSY) => {
            Some(Cause::InUse("another XDP program is on the device".into()))
        }
        (AttachPoint::Lwt(_), _) => Some(Cause::NotInUserSpace("route".into())),
        (AttachPoint::Lirc { .. }, _) => Some(Cause::NotInUserSpace("infrared receiver".into())),
        (AttachPoint::Reuseport { .. }, _) => Some(Cause::NotInUserSpace(
            "group of sockets that share a port".into(),
        )),
        (_, Errno::ENODEV) => Some(Cause::Other {
            what: "the vm has no such device".into(),
            fix: "add it to the vm's network".into(),
        }),
        _ => None,
    }
}

fn attached(vm: &Vm, fd: &ProgramFd, point: &AttachPoint<'_>) -> Raw<Attachment> {
    let program = program::program(vm, fd)?;
    let link = match point {
        AttachPoint::Tracepoint {
            category,
            name,
            cookie,
        } => tracepoint(vm, program, category, name, cookie.unwrap_or(0)),
        AttachPoint::RawTracepoint { name, cookie } => {
            link::raw_tracepoint(vm, fd, Some(name), cookie.unwrap_or(0))
        }
        AttachPoint::Tracing { cookie, .. } => {
            link::raw_tracepoint(vm, fd, None, cookie.unwrap_or(0))
        }
        AttachPoint::Uprobe {
            at_return,
            binary,
            offset,
            pid,
            semaphore,
            cookie,
            ..
        } => {
            let place = UprobePlace {
                offset: *offset,
                semaphore: *semaphore,
                cookie: cookie.unwrap_or(0),
            };
            uprobe(vm, program, *at_return, binary, place, *pid)
        }
        AttachPoint::UprobeMulti {
            mode,
            binary,
            places,
            pid,
        } => {
            if program::loaded_as(program) != Some(mode.uprobe()) {
                return Err(Errno::EINVAL);
            }
            let flags = if *mode == MultiMode::Return {
                RETURN
            } else {
                0
            };
            uprobes(vm, program, binary.clone(), places, *pid, flags)
        }
        AttachPoint::Kprobe {
            at_return,
            function,
            offset,
            cookie,
            ..
        } => kprobe(
            vm,
            program,
            *at_return,
            function,
            *offset,
            cookie.unwrap_or(0),
        ),
        AttachPoint::KprobeMulti {
            mode,
            functions: names,
            cookies,
        } => {
            if program::loaded_as(program) != Some(mode.kprobe()) {
                return Err(Errno::EINVAL);
            }
            let names = match names {
                KernelFunctions::Names(names) => names.iter().map(str::to_owned).collect(),
                KernelFunctions::Pattern(pattern) => {
                    let mut known = vm.0.hooks.functions();
                    known.retain(|name| skep_abi::glob_matches(pattern, name));
                    known
                }
                KernelFunctions::Addresses(_) => return Err(Errno::ENOENT),
            };
            let flags = if *mode == MultiMode::Return {
                RETURN
            } else {
                0
            };
            functions(vm, program, names, cookies, flags)
        }
        AttachPoint::PerfEvent {
            event,
            scope,
            cookie,
        } => perf_event(vm, program, *event, *scope, cookie.unwrap_or(0)),
        AttachPoint::Xdp { ifindex, mode } => {
            let flags = match mode {
                XdpMode::Auto => 0,
                XdpMode::Generic => 2,
                XdpMode::Native => 4,
                XdpMode::Offload => 8,
            };
            link::check_type(program, AttachType::Xdp)?;
            link::xdp(vm, program, *ifindex, flags)
        }
        AttachPoint::Tcx {
            ifindex,
            direction,
            order,
        } => {
            let attach = match direction {
                TcxDirection::Ingress => AttachType::TcxIngress,
                TcxDirection::Egress => AttachType::TcxEgress,
            };
            on_device(vm, program, *ifindex, attach, *order)
        }
        AttachPoint::Netkit {
            ifindex,
            end,
            order,
        } => {
            let attach = match end {
                NetkitEnd::Primary => AttachType::NetkitPrimary,
                NetkitEnd::Peer => AttachType::NetkitPeer,
            };
            on_device(vm, program, *ifindex, attach, *order)
        }
        AttachPoint::Netfilter(hook) => {
            let flags = match hook.defragment {
                true => skep_abi::NetfilterLinkFlags::IP_DEFRAG,
                false => skep_abi::NetfilterLinkFlags::empty(),
            };
            link::netfilter(
                vm,
                program,
                skep_host::LinkOptions::Netfilter {
                    protocol_family: hook.protocol_family,
                    hook: hook.hook,
                    priority: hook.priority,
                    flags,
                },
            )
        }
        AttachPoint::Sockmap { map, attach_type } => {
            link::check_type(program, *attach_type)?;
            link::sockmap(vm, program, map::map(vm, map)?.0, *attach_type)
        }
        AttachPoint::Cgroup {
            cgroup,
            attach_type,
            mode,
            order,
        } => return on_cgroup(vm, program, cgroup, *attach_type, *mode, *order),
        AttachPoint::SocketFilter { socket } => {
            if program.program_type != ProgramType::SocketFilter {
                return Err(Errno::EINVAL);
            }
            let point = vm.0.hooks.point(HookKey::Socket { socket: *socket });
            let entry = Attached::new(Arc::clone(program), 0);
            let owner = entry.owner;
            // A socket has one filter; a new one takes the old one's place.
            point.change(|programs| {
                programs.list = vec![entry];
                Ok(())
            })?;
            let holder = Unlinked {
                vm: vm.clone(),
                point,
                owner,
            };
            return Ok(Attachment::held(Box::new(holder), None));
        }
        AttachPoint::Iterator(target) => link::iterator(vm, program, *target),
        AttachPoint::Netns { attach_type, .. } => {
            link::check_type(program, *attach_type)?;
            link::netns(vm, program, *attach_type)
        }
        _ => Err(Errno::EOPNOTSUPP),
    };
    link.map(Attachment::link)
}

fn tracepoint(
    vm: &Vm,
    program: &Arc<Program>,
    category: &str,
    name: &str,
    cookie: u64,
) -> Raw<LinkFd> {
    if program.program_type != ProgramType::Tracepoint {
        return Err(Errno::EINVAL);
    }
    if !vm.0.hooks.has_tracepoint(category, name) {
        return Err(Errno::ENOENT);
    }
    link::check_sleeping(program, category == "syscalls")?;
    let new = New {
        vm,
        program,
        link_type: LinkType::PerfEvent,
        details: LinkDetails::Tracepoint {
            name: name.to_owned(),
            cookie,
        },
    };
    let key = HookKey::Tracepoint {
        category: category.to_owned(),
        name: name.to_owned(),
    };
    new.on(key, cookie, |point, entry| {
        point.add(entry, 64, Errno::E2BIG)
    })
}

fn perf_event(
    vm: &Vm,
    program: &Arc<Program>,
    event: PerfEvent,
    scope: PerfScope,
    cookie: u64,
) -> Raw<LinkFd> {
    /// `PERF_TYPE_SOFTWARE`
    const SOFTWARE: u32 = 1;
    /// `PERF_COUNT_SW_CPU_CLOCK`, `PERF_COUNT_SW_TASK_CLOCK`
    const CPU_CLOCK: u64 = 0;
    const TASK_CLOCK: u64 = 1;
    const SECOND: u64 = 1_000_000_000;
    if program.program_type != ProgramType::PerfEvent {
        return Err(Errno::EINVAL);
    }
    let pid = match scope {
        PerfScope::Cpu(cpu) if cpu >= vm.0.cpus.count() => return Err(Errno::EINVAL),
        PerfScope::Cpu(_) => None,
        PerfScope::Process(pid) => Some(pid),
    };
    let (config, period) = match event {
        PerfEvent::CpuClock { frequency } => (0, SECOND.checked_div(frequency)),
        PerfEvent::Software {
            config: config @ (CPU_CLOCK | TASK_CLOCK),
            period,
        } => (config, Some(period)),
        PerfEvent::Software { .. } => return Err(Errno::EOPNOTSUPP),
        // As a kernel without counters of the hardware.
        _ => return Err(Errno::ENOENT),
    };
    let period = period.filter(|period| *period >= SHORTEST);
    let period = period.ok_or(Errno::EINVAL)?;
    let cpu = match scope {
        PerfScope::Cpu(cpu) => Some(cpu),
        PerfScope::Process(_) => None,
    };
    let new = New {
        vm,
        program,
        link_type: LinkType::PerfEvent,
        details: LinkDetails::PerfEvent {
            kind: SOFTWARE,
            config,
            cookie,
        },
    };
    let key = HookKey::PerfEvent {
        config,
        period,
        cpu,
    };
    new.on_all(vec![(key, cookie, pid)])
}

fn on_device(
    vm: &Vm,
    program: &Arc<Program>,
    ifindex: u32,
    attach: AttachType,
    order: skep_host::Order,
) -> Raw<LinkFd> {
    link::check_type(program, attach)?;
    link::ordered(vm, program, ifindex, attach, &place(vm, order))
}

/// A place in the order of a hook.
fn place(vm: &Vm, order: skep_host::Order) -> Order {
    let program = AttachFlags::ID;
    let link = AttachFlags::ID | AttachFlags::LINK;
    let (mut flags, id) = match order.position {
        Position::First => (AttachFlags::BEFORE, 0),
        Position::BeforeProgram(id) => (AttachFlags::BEFORE | program, id),
        Position::AfterProgram(id) => (AttachFlags::AFTER | program, id),
        Position::BeforeLink(id) => (AttachFlags::BEFORE | link, id),
        Position::AfterLink(id) => (AttachFlags::AFTER | link, id),
        // As the kernel does by itself.
        _ => (AttachFlags::empty(), 0),
    };
    let relative = link::relative(vm, flags, id);
    if order.preorder {
        flags |= AttachFlags::PREORDER;
    }
    Order {
        flags,
        relative,
        revision: order.revision,
    }
}

fn on_cgroup(
    vm: &Vm,
    program: &Arc<Program>,
    cgroup: &skep_host::CgroupFd,
    attach: AttachType,
    mode: CgroupMode,
    order: skep_host::Order,
) -> Raw<Attachment> {
    let mut order = place(vm, order);
    link::check_type(program, attach)?;
    let cgroup = tree::cgroup(vm, cgroup)?;
    let flags = match mode {
        CgroupMode::Link => {
            let link = link::on_cgroup(vm, program, cgroup, attach, order);
            return link.map(Attachment::link);
        }
        CgroupMode::Multi => AttachFlags::ALLOW_MULTI,
        CgroupMode::Override => AttachFlags::ALLOW_OVERRIDE,
        CgroupMode::Exclusive => AttachFlags::empty(),
    };
    order.flags |= flags;
    let entry = Attached {
        flags: (flags | order.flags & AttachFlags::PREORDER).bits(),
        ..Attached::new(Arc::clone(program), 0)
    };
    let owner = entry.owner;
    vm.0.hooks
        .attach_cgroup(cgroup, attach, entry, &order, None)?;
    let holder = Unlinked {
        vm: vm.clone(),
        point: vm.0.hooks.point(HookKey::Cgroup {
            id: cgroup.id,
            attach,
        }),
        owner,
    };
    Ok(Attachment::held(Box::new(holder), None))
}

/// A program on a hook without a link.
#[derive(Debug)]
struct Unlinked {
    vm: Vm,
    point: Arc<Point>,
    owner: u64,
}

impl Unlinked {
    fn failed(errno: Errno) -> Error {
        Error::system("detach", "an attachment without a link", errno)
    }
}

impl Detach for Unlinked {
    fn detach(&mut self) -> Result<()> {
        self.point.remove(self.owner).map_err(Self::failed)?;
        self.vm.0.hooks.settle();
        Ok(())
    }

    fn update(&mut self, program: &ProgramFd) -> Result<()> {
        program::program(&self.vm, program)
            .and_then(|program| self.point.replace(self.owner, Arc::clone(program), false))
            .map_err(Self::failed)
    }
}

impl Drop for Unlinked {
    fn drop(&mut self) {
        // Gone already after `detach`.
        if self.point.remove(self.owner).is_ok() {
            self.vm.0.hooks.settle();
        }
    }
}
