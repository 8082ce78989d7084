//! Devices, cgroups, sockets and network namespaces: hooks whose place no section name says.

use std::{
    fs,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use skep_abi::{AttachType, ProgramType};
use skep_host::{AttachPoint, FilterParent, FilterSlot, HostKind, NetkitEnd, Route, RouteTo};

use super::{AttachOptions, direction, xdp_share};
use crate::{Link, Program, Result};

pub(super) fn xdp(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let ifindex = device(program, options)?;
    let mode = options.xdp_mode;
    match &options.xdp_share {
        Some(share) => xdp_share::attach(program, ifindex, mode, share),
        None => program.attach_to(&AttachPoint::Xdp { ifindex, mode }),
    }
}

pub(super) fn tcx(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    if program.section().program_type() == ProgramType::SchedAct {
        return Err(program.cannot_attach(
            "an action has no place but behind a filter: pin it, and name the pin to `tc`, as in \
             `tc filter add dev DEVICE ingress matchall action bpf object-pinned PIN`",
        ));
    }
    let order = options.order;
    // `tc` means the hook in either form, `tcx` the newer one alone.
    let newer = program.section().name().starts_with("tcx");
    let info = program.host().info();
    let old = info.kind == HostKind::Kernel && info.version < AttachType::TcxIngress.since();
    let filter = match (options.filter, options.filter_parent) {
        (None, None) => (old && !newer).then(FilterSlot::default),
        _ if newer => {
            return Err(program.cannot_attach(
                "tcx programs are no filters: name its section `tc/ingress` or `tc/egress`",
            ));
        }
        (slot, _) => Some(slot.unwrap_or_default()),
    };
    if let (Some(slot), Some(parent)) = (filter, options.filter_parent) {
        return program.attach_to(&AttachPoint::Clsact { parent, slot });
    }
    let ifindex = device(program, options)?;
    let direction = direction(program)
        .ok_or_else(|| program.cannot_attach("its section says neither ingress nor egress"))?;
    program.attach_to(&match filter {
        Some(slot) => AttachPoint::Clsact {
            parent: FilterParent::Device { ifindex, direction },
            slot: FilterSlot {
                position: order.position,
                ..slot
            },
        },
        None => AttachPoint::Tcx {
            ifindex,
            direction,
            order,
        },
    })
}

pub(super) fn netkit(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let ifindex = device(program, options)?;
    let end = match program.section().attach_type() {
        Some(AttachType::NetkitPeer) => NetkitEnd::Peer,
        _ => NetkitEnd::Primary,
    };
    program.attach_to(&AttachPoint::Netkit {
        ifindex,
        end,
        order: options.order,
    })
}

pub(super) fn netfilter(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let hook = options.netfilter.ok_or_else(|| {
        program
            .cannot_attach("a netfilter program needs its hook, as in `--netfilter ipv4/local-in`")
    })?;
    program.attach_to(&AttachPoint::Netfilter(hook))
}

pub(super) fn cgroup(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let attach_type = program.section().attach_type().ok_or_else(|| {
        program.cannot_attach(
            "its section does not say which hook; name it, as in `cgroup_skb/egress`",
        )
    })?;
    let path = match &options.cgroup {
        Some(path) => path.clone(),
        None => cgroup_root().ok_or_else(|| {
            program.cannot_attach(
                "no cgroup v2 tree is mounted: `mount -t cgroup2 none /sys/fs/cgroup`",
            )
        })?,
    };
    let cgroup = program.host().cgroup_open(&path)?;
    program.attach_to(&AttachPoint::Cgroup {
        cgroup: &cgroup,
        attach_type,
        mode: options.cgroup_mode,
        order: options.order,
    })
}

pub(super) fn netns(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let attach_type = program
        .section()
        .attach_type()
        .ok_or_else(|| program.cannot_attach("its section says no attach type"))?;
    // A thread can be in another one than its process, and its sockets are there.
    let own = Path::new("/proc/thread-self/ns/net");
    let path = options.netns.as_deref().unwrap_or(own);
    let file = fs::File::open(path).map_err(|error| {
        program.cannot_attach(&format!(
            "cannot open network namespace {}: {error}",
            path.display()
        ))
    })?;
    program.attach_to(&AttachPoint::Netns {
        netns: file.as_raw_fd(),
        attach_type,
    })
}

pub(super) fn socket_filter(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let socket = options.socket.ok_or_else(|| {
        program
            .cannot_attach("a socket filter needs the socket to filter (`AttachOptions::socket`)")
    })?;
    program.attach_to(&AttachPoint::SocketFilter { socket })
}

pub(super) fn reuseport(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let socket = options.socket.ok_or_else(|| {
        program.cannot_attach(
            "it chooses among sockets that share a port, and needs one of them \
             (`AttachOptions::socket`)",
        )
    })?;
    program.attach_to(&AttachPoint::Reuseport { socket })
}

pub(super) fn sockmap(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let attach_type = program.section().attach_type().ok_or_else(|| {
        program.cannot_attach(
            "its section does not say what it does; name it: `sk_skb/stream_parser`, \
             `sk_skb/stream_verdict` or `sk_skb/verdict`",
        )
    })?;
    let sockets = options.sockets.as_ref().ok_or_else(|| {
        program.cannot_attach(
            "its section does not say whose sockets: name their sockmap or sockhash \
             (`--sockets MAP`)",
        )
    })?;
    program.attach_to(&AttachPoint::Sockmap {
        map: sockets.fd(),
        attach_type,
    })
}

pub(super) fn lwt(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let RouteTo {
        destination,
        length,
        gateway,
    } = options.route.ok_or_else(|| {
        program.cannot_attach(
            "it needs the destination of the route that is made for it, as in `--route \
             10.1.0.0/16`",
        )
    })?;
    let device = device(program, options)?;
    program.attach_to(&AttachPoint::Lwt(Route {
        gateway,
        ..Route::new(destination, length, device)
    }))
}

pub(super) fn infrared(program: &Arc<Program>, options: &AttachOptions) -> Result<Link> {
    let device = options.infrared.clone().ok_or_else(|| {
        program.cannot_attach("it needs an infrared receiver, as in `--infrared /dev/lirc0`")
    })?;
    program.attach_to(&AttachPoint::Lirc { device })
}

fn device(program: &Program, options: &AttachOptions) -> Result<u32> {
    let name = options.device.as_deref().ok_or_else(|| {
        program.cannot_attach("it needs a network device: give one (`--device lo`)")
    })?;
    Ok(program.host().device_index(name)?)
}

/// Where the cgroup v2 tree is mounted: alone, or beside v1.
fn cgroup_root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let path = words.next()?;
        (words.next()? == "cgroup2").then(|| PathBuf::from(path))
    })
}
