//! Packets, in network namespaces of the tests' own, and in a cgroup of their own.

use std::{
    fs::File,
    io::ErrorKind,
    net::UdpSocket,
    os::{fd::AsRawFd, unix::net::UnixDatagram},
    time::Duration,
};

use skep_abi::{AttachType, ProgramType, QueryFlags};
use skep_host::{
    AttachPoint, Attachment, Cause, CgroupMode, Errno, Host, LinkDetails, LinkTarget, Order,
    Position, ProgramFd, ProgramQuery, TcxDirection, XdpMode,
};
use skep_testing::{
    Cgroup, Outcome, PATIENCE, Stop, Test, ensure, eventually, in_netns, needs_kernel, needs_option,
};

use crate::{
    harness::host,
    programs::{count, counter, counting, load},
};

pub(crate) fn trials() -> Vec<Test> {
    vec![
        Test::new("network::socket_filters_drop_and_let_go", socket_filter).of_hook("socket"),
        Test::new("network::xdp_drops_on_loopback", xdp).of_hook("xdp"),
        Test::new("network::a_second_xdp_is_told_who_is_there", xdp_twice),
        Test::new("network::tcx_keeps_the_order", tcx).of_hook("tcx"),
        Test::new("network::cgroup_links_count_egress", cgroup_link),
        Test::new(
            "network::cgroup_programs_without_links_are_taken_off",
            cgroup_modes,
        ),
        Test::new("network::what_is_no_cgroup_is_told", no_cgroup),
        Test::new("network::sk_lookup_attaches_to_a_namespace", netns),
        Test::new(
            "network::unknown_devices_name_those_there_are",
            unknown_device,
        ),
    ]
}

/// Sends itself a packet; whether it comes, in all the time that a test has: a busy machine hands
/// it over when it gets to it.
fn packet_arrives() -> Result<bool, Stop> {
    send_and_wait(PATIENCE)
}

/// Sends itself a packet; whether it stays away.
fn packet_is_lost() -> Result<bool, Stop> {
    Ok(!send_and_wait(Duration::from_millis(100))?)
}

fn send_and_wait(patience: Duration) -> Result<bool, Stop> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(patience))?;
    match socket.send_to(b"hello", socket.local_addr()?) {
        Ok(_) => {}
        // A cgroup's egress program that says no is heard by the sender.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    match socket.recv(&mut [0; 16]) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

fn socket_filter() -> Outcome {
    let (near, far) = UnixDatagram::pair()?;
    far.set_read_timeout(Some(Duration::from_millis(100)))?;
    let hits = counter()?;
    // Answering 0 drops the packet.
    let program = load(ProgramType::SocketFilter, None, &counting(&hits, None, 0))?;
    let point = AttachPoint::SocketFilter {
        socket: far.as_raw_fd(),
    };
    let attachment = host().attach("drop", &program, ProgramType::SocketFilter, &point)?;
    near.send(b"lost")?;
    ensure(far.recv(&mut [0; 8]).is_err() && count(&hits)? == 1, || {
        "it was not dropped".into()
    })?;
    attachment.detach()?;
    near.send(b"kept")?;
    let got = far.recv(&mut [0; 8])?;
    ensure(got == 4 && count(&hits)? == 1, || {
        "the filter is still there".into()
    })?;

    let error = host()
        .attach(
            "drop",
            &program,
            ProgramType::SocketFilter,
            &AttachPoint::SocketFilter { socket: -1 },
        )
        .expect_err("no socket");
    ensure(error.errno() == Some(Errno::EBADF), || error.to_string())
}

fn attach_xdp(program: &ProgramFd, mode: XdpMode) -> skep_host::Result<Attachment> {
    let ifindex = host().device_index("lo")?;
    host().attach(
        "drop",
        program,
        ProgramType::Xdp,
        &AttachPoint::Xdp { ifindex, mode },
    )
}

fn xdp() -> Outcome {
    needs_kernel(5, 9)?;
    in_netns(|_| {
        ensure(packet_arrives()?, || "no packet without a program".into())?;
        let hits = counter()?;
        let drop_all = load(ProgramType::Xdp, None, &counting(&hits, None, 1))?;
        let attachment = attach_xdp(&drop_all, XdpMode::Generic)?;
        ensure(packet_is_lost()?, || "it was not dropped".into())?;
        eventually("a hit", || Ok(count(&hits)? >= 1))?;
        let link = attachment
            .link_fd()
            .ok_or_else(|| Stop::Fail("no link".into()))?;
        let details = host().link_info(link)?.details;
        ensure(
            details
                == (LinkDetails::Device {
                    ifindex: 1,
                    attach_type: 0,
                }),
            || format!("{details:?}"),
        )?;
        // Another program takes its place without a gap.
        let pass = load(ProgramType::Xdp, None, "r0 = 2\n exit")?;
        host().link_update(link, (&pass).into(), Some((&drop_all).into()))?;
        ensure(packet_arrives()?, || {
            "the old program is still there".into()
        })?;
        let stale = host()
            .link_update(link, (&pass).into(), Some((&drop_all).into()))
            .expect_err("it was swapped");
        ensure(stale.errno() == Some(Errno::EPERM), || stale.to_string())?;
        host().link_detach(link)?;
        drop(attachment);
        ensure(packet_arrives()?, || "no packet afterwards".into())
    })
}

fn xdp_twice() -> Outcome {
    needs_kernel(5, 9)?;
    in_netns(|_| {
        let pass = load(ProgramType::Xdp, None, "r0 = 2\n exit")?;
        let _first = attach_xdp(&pass, XdpMode::Generic)?;
        let error = attach_xdp(&pass, XdpMode::Generic).expect_err("a second one");
        ensure(matches!(error.cause(), Some(Cause::InUse(_))), || {
            format!("{error}: {:?}", error.cause())
        })?;
        let native = attach_xdp(&pass, XdpMode::Native).expect_err("loopback has no native mode");
        ensure(native.cause().is_some(), || native.to_string())
    })
}

fn tcx() -> Outcome {
    needs_kernel(6, 6)?;
    in_netns(|_| {
        let hits = counter()?;
        // TCX_NEXT goes on to the next program, TCX_DROP ends it.
        let (next, drop_all) = (-1, 2);
        let counter = load(ProgramType::SchedCls, None, &counting(&hits, None, next))?;
        let dropper = load(
            ProgramType::SchedCls,
            None,
            &format!("r0 = {drop_all}\n exit"),
        )?;
        let attach = |program: &ProgramFd, position| {
            let point = AttachPoint::Tcx {
                ifindex: 1,
                direction: TcxDirection::Ingress,
                order: Order::from(position),
            };
            host().attach("tcx", program, ProgramType::SchedCls, &point)
        };
        let id = |program: &ProgramFd| Ok::<_, Stop>(host().prog_info(program)?.id);
        let order = || -> Result<Vec<u32>, Stop> {
            Ok(host()
                .prog_query(&ProgramQuery {
                    target: LinkTarget::Device(1),
                    attach_type: AttachType::TcxIngress,
                    flags: QueryFlags::empty(),
                })?
                .programs)
        };
        let dropping = attach(&dropper, Position::Last)?;
        let counting = attach(&counter, Position::Last)?;
        ensure(order()? == [id(&dropper)?, id(&counter)?], || {
            "the order".into()
        })?;
        ensure(packet_is_lost()? && count(&hits)? == 0, || {
            "dropped before the count".into()
        })?;
        drop(counting);
        let counting = attach(&counter, Position::First)?;
        ensure(order()? == [id(&counter)?, id(&dropper)?], || {
            "the order".into()
        })?;
        ensure(packet_is_lost()?, || "not dropped".into())?;
        eventually("a count before it", || Ok(count(&hits)? >= 1))?;
        let third = load(ProgramType::SchedCls, None, "r0 = -1\n exit")?;
        let _third = attach(&third, Position::BeforeProgram(id(&dropper)?))?;
        ensure(
            order()? == [id(&counter)?, id(&third)?, id(&dropper)?],
            || "the order".into(),
        )?;
        let lost = attach(&third, Position::AfterProgram(u32::MAX)).expect_err("no such program");
        ensure(lost.errno().is_some(), || lost.to_string())?;
        drop((dropping, counting));
        ensure(packet_arrives()?, || "it is still dropped".into())
    })
}

fn cgroup_point(cgroup: &skep_host::CgroupFd, mode: CgroupMode) -> AttachPoint<'_> {
    AttachPoint::Cgroup {
        cgroup,
        attach_type: AttachType::CgroupInetEgress,
        mode,
        order: Order::default(),
    }
}

fn cgroup_programs() -> Result<(skep_host::MapFd, ProgramFd, ProgramFd), Stop> {
    let hits = counter()?;
    let egress = Some(AttachType::CgroupInetEgress);
    let allow = load(ProgramType::CgroupSkb, egress, &counting(&hits, None, 1))?;
    let deny = load(ProgramType::CgroupSkb, egress, "r0 = 0\n exit")?;
    Ok((hits, allow, deny))
}

fn cgroup_link() -> Outcome {
    needs_kernel(5, 7)?;
    needs_option("CONFIG_CGROUP_BPF")?;
    let own = Cgroup::new()?;
    own.join()?;
    let cgroup = host().cgroup_open(own.path())?;
    let (hits, allow, deny) = cgroup_programs()?;
    let point = cgroup_point(&cgroup, CgroupMode::Link);
    let counting = host().attach("count", &allow, ProgramType::CgroupSkb, &point)?;
    in_netns(|_| {
        ensure(packet_arrives()? && count(&hits)? >= 1, || {
            "not counted".into()
        })?;
        let denying = host().attach("deny", &deny, ProgramType::CgroupSkb, &point)?;
        ensure(packet_is_lost()?, || "not denied".into())?;
        drop(denying);
        ensure(packet_arrives()?, || "still denied".into())
    })?;
    let link = counting
        .link_fd()
        .ok_or_else(|| Stop::Fail("no link".into()))?;
    let details = host().link_info(link)?.details;
    let right = matches!(details, LinkDetails::Cgroup { attach_type: 1, .. });
    ensure(right, || format!("{details:?}"))
}

fn cgroup_modes() -> Outcome {
    needs_option("CONFIG_CGROUP_BPF")?;
    let own = Cgroup::new()?;
    own.join()?;
    let cgroup = host().cgroup_open(own.path())?;
    let (hits, allow, deny) = cgroup_programs()?;
    let attached = || -> Result<usize, Stop> {
        let query = ProgramQuery {
            target: LinkTarget::Cgroup(&cgroup),
            attach_type: AttachType::CgroupInetEgress,
            flags: QueryFlags::empty(),
        };
        Ok(host().prog_query(&query)?.programs.len())
    };
    for mode in [
        CgroupMode::Multi,
        CgroupMode::Override,
        CgroupMode::Exclusive,
    ] {
        let point = cgroup_point(&cgroup, mode);
        let mut attachment = host().attach("deny", &deny, ProgramType::CgroupSkb, &point)?;
        ensure(attached()? == 1, || format!("{mode:?}: not attached"))?;
        in_netns(|_| ensure(packet_is_lost()?, || format!("{mode:?}: not denied")))?;
        attachment
            .holder_mut()
            .ok_or_else(|| Stop::Fail("no holder".into()))?
            .update(&allow)?;
        ensure(attached()? == 1, || format!("{mode:?}: not swapped"))?;
        in_netns(|_| ensure(packet_arrives()?, || format!("{mode:?}: still denied")))?;
        if mode == CgroupMode::Multi {
            drop(attachment)
        } else {
            attachment.detach()?
        }
        ensure(attached()? == 0, || format!("{mode:?}: still attached"))?;
    }
    ensure(count(&hits)? >= 3, || "not counted".into())
}

fn no_cgroup() -> Outcome {
    let directory = host().cgroup_open(std::path::Path::new("/tmp"))?;
    let (_hits, allow, _deny) = cgroup_programs()?;
    let point = cgroup_point(&directory, CgroupMode::Link);
    let error = host()
        .attach("count", &allow, ProgramType::CgroupSkb, &point)
        .expect_err("/tmp");
    ensure(
        error
            .cause()
            .is_some_and(|cause| cause.to_string().contains("cgroup")),
        || format!("{error}: {:?}", error.cause()),
    )
}

fn netns() -> Outcome {
    needs_kernel(5, 9)?;
    in_netns(|_| {
        let program = load(
            ProgramType::SkLookup,
            Some(AttachType::SkLookup),
            "r0 = 1\n exit",
        )?;
        let namespace = File::open("/proc/thread-self/ns/net")?;
        let point = AttachPoint::Netns {
            netns: namespace.as_raw_fd(),
            attach_type: AttachType::SkLookup,
        };
        let attachment = host().attach("pass", &program, ProgramType::SkLookup, &point)?;
        let link = attachment
            .link_fd()
            .ok_or_else(|| Stop::Fail("no link".into()))?;
        let details = host().link_info(link)?.details;
        ensure(matches!(details, LinkDetails::Netns { .. }), || {
            format!("{details:?}")
        })?;
        ensure(packet_arrives()?, || "a lookup that passes".into())
    })
}

fn unknown_device() -> Outcome {
    let error = host().device_index("lO").expect_err("no such device");
    let Some(Cause::NotFound { near, .. }) = error.cause() else {
        return Err(Stop::Fail(format!("{error}")));
    };
    ensure(near.first().is_some_and(|name| name == "lo"), || {
        format!("{near:?}")
    })
}
