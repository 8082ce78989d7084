//! Packets that really travel, in namespaces and a cgroup of the tests' own.

mod filters;
mod order;
mod routes;
mod sockets;
mod stack;
mod xdp;

use std::{
    io::ErrorKind,
    net::UdpSocket,
    os::{fd::AsRawFd as _, unix::net::UnixDatagram},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::thread::gettid;
use skep::{
    AttachOptions,
    boundary::{LinkDetails, XdpMode},
};
use skep_testing::{
    Bpffs, Cgroup, Outcome, PATIENCE, Stop, Test, ensure, eventually, expect_err, find_tool,
    in_netns, needs_kernel, needs_option,
};

use crate::support::{Running, object};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = vec![
        Test::new("network::xdp_on_loopback_passes_and_drops", loopback),
        Test::new("network::xdp_sees_what_another_namespace_sends", veth),
        Test::new("network::a_link_takes_another_xdp_program", swap),
        Test::new("network::tcx_sees_both_directions", tcx),
        Test::new("network::an_action_is_named_to_tc_by_its_pin", action).of_hook("action"),
        Test::new("network::a_cgroups_packets_are_counted_and_held", cgroup),
        Test::new("network::a_socket_filter_drops_and_lets_go", socket),
    ];
    for group in [
        filters::tests,
        order::tests,
        sockets::tests,
        routes::tests,
        stack::tests,
        xdp::tests,
    ] {
        tests.extend(group());
    }
    tests
}

/// Some packets to the port that the programs count.
const PORT: u16 = 4242;

fn network(programs: &[&str]) -> Outcome<Running> {
    let mut object = object("network")?;
    object.only_programs(programs)?;
    Running::of(object)
}

fn on_device(name: &str) -> AttachOptions {
    AttachOptions {
        device: Some(name.to_owned()),
        ..AttachOptions::default()
    }
}

/// Sends itself five packets over loopback; what receives them.
fn send_five() -> Outcome<UdpSocket> {
    let receiver = UdpSocket::bind(("127.0.0.1", PORT))?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    for number in 0..5_u8 {
        match sender.send_to(&[number; 32], ("127.0.0.1", PORT)) {
            Ok(_) => {}
            // A cgroup's program that says no is heard by the sender.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(receiver)
}

/// Five packets come. A busy machine hands them over when it gets to it, so they have all the time
/// that a test has.
fn five_come(when: &str, receiver: &UdpSocket) -> Outcome {
    receiver.set_read_timeout(Some(PATIENCE))?;
    for number in 0..5 {
        if let Err(error) = receiver.recv(&mut [0; 64]) {
            return Err(Stop::fail(format!(
                "{when}: after {number} packets: {error}"
            )));
        }
    }
    Ok(())
}

/// No packet comes. What is late is not seen, so wait first for what shows that all were handled.
fn none_come(when: &str, receiver: &UdpSocket) -> Outcome {
    receiver.set_read_timeout(Some(Duration::from_millis(50)))?;
    match receiver.recv(&mut [0; 64]) {
        Ok(_) => Err(Stop::fail(format!("{when}: a packet came"))),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A program's counter says so, at once or when the packets were handled.
fn counted(running: &Running, counter: &str, expect: u64) -> Outcome {
    let mut last = 0;
    eventually(&format!("{counter} = {expect}"), || {
        last = running.number(counter)?;
        Ok(last >= expect)
    })?;
    ensure(last == expect, || {
        format!("{counter} is {last}, not {expect}")
    })
}

fn loopback() -> Outcome {
    needs_kernel(5, 9)?;
    in_netns(|_| {
        let running = network(&["device"])?;
        five_come("without a program", &send_five()?)?;
        let links = running.loaded.attach_all_with(&on_device("lo"))?;
        five_come("passed", &send_five()?)?;
        counted(&running, "at_xdp", 5)?;
        running.set("drop", &1_u32.to_ne_bytes())?;
        let receiver = send_five()?;
        counted(&running, "at_xdp", 10)?;
        none_come("dropped", &receiver)?;
        drop((links, receiver));
        five_come("detached", &send_five()?)?;
        counted(&running, "at_xdp", 10)
    })
}

fn veth() -> Outcome {
    needs_kernel(5, 9)?;
    let running = network(&["device"])?;
    in_netns(|tools| {
        thread::scope(|scope| {
            let (told, tid) = mpsc::channel();
            let (go, gone) = mpsc::channel::<()>();
            let far = scope.spawn(move || {
                in_netns(move |tools| {
                    told.send(gettid().as_raw_nonzero().get())?;
                    if gone.recv().is_err() {
                        return Ok(()); // the near end has failed, and says why
                    }
                    tools.ip("addr add 10.77.0.2/24 dev far")?;
                    tools.ip("link set far up")?;
                    let sender = UdpSocket::bind("10.77.0.2:0")?;
                    for number in 0..5_u8 {
                        sender.send_to(&[number; 32], ("10.77.0.1", PORT))?;
                    }
                    Ok(())
                })
            });
            let Ok(tid) = tid.recv() else {
                return far.join().map_err(|_| Stop::fail("it fell"))?;
            };
            if tools.ip("link add near type veth peer name far").is_err() {
                return Err(Stop::lacks("veth devices"));
            }
            tools.ip(&format!("link set far netns {tid}"))?;
            tools.ip("addr add 10.77.0.1/24 dev near")?;
            tools.ip("link set near up")?;
            let links = running.loaded.attach_all_with(&on_device("near"))?;
            let receiver = UdpSocket::bind(("10.77.0.1", PORT))?;
            go.send(())?;
            far.join().map_err(|_| Stop::fail("it fell"))??;
            five_come("from far", &receiver)?;
            counted(&running, "at_xdp", 5)?;
            let details: Vec<LinkDetails> = links[0]
                .info()?
                .into_iter()
                .map(|info| info.details)
                .collect();
            ensure(matches!(details[..], [LinkDetails::Device { .. }]), || {
                format!("{details:?}")
            })
        })
    })
}

fn swap() -> Outcome {
    needs_kernel(5, 9)?;
    in_netns(|_| {
        let running = network(&["device", "device_passes"])?;
        running.set("drop", &1_u32.to_ne_bytes())?;
        let options = AttachOptions {
            xdp_mode: XdpMode::Generic,
            ..on_device("lo")
        };
        let mut link = running.loaded.program("device")?.attach_with(&options)?;
        let receiver = send_five()?;
        counted(&running, "at_xdp", 5)?;
        none_come("the first", &receiver)?;
        drop(receiver);
        link.update(running.loaded.program("device_passes")?)?;
        five_come("the second", &send_five()?)?;
        ensure(link.name() == "device_passes", || link.name().to_owned())?;
        link.detach()?;
        five_come("detached", &send_five()?)?;
        counted(&running, "at_xdp", 5)
    })
}

fn tcx() -> Outcome {
    needs_kernel(6, 6)?;
    in_netns(|_| {
        let running = network(&["coming", "going"])?;
        let links = running.loaded.attach_all_with(&on_device("lo"))?;
        let both = || {
            counted(&running, "at_ingress", 5)?;
            counted(&running, "at_egress", 5)
        };
        five_come("attached", &send_five()?)?;
        both()?;
        drop(links);
        five_come("detached", &send_five()?)?;
        both()
    })
}

/// Behind a filter that takes every packet; its place is what `tc` says it is.
fn action() -> Outcome {
    needs_option("CONFIG_NET_CLS_BPF")?;
    needs_option("CONFIG_NET_ACT_BPF")?;
    let tc = find_tool("tc")?;
    let bpffs = Bpffs::mount()?;
    let pin = bpffs.path().join("acting");
    in_netns(|_| {
        let running = network(&["acting"])?;
        let program = running.loaded.program("acting")?;
        let error = expect_err("no place", program.attach_with(&on_device("lo")))?.to_string();
        ensure(error.contains("action bpf object-pinned"), || error.clone())?;
        program.pin(&pin)?;
        let tc = |words: &[&str]| -> Outcome {
            let mut command = Command::new(&tc);
            let said = command.args(words).output()?;
            ensure(said.status.success(), || format!("{command:?}: {said:?}"))
        };
        let filter = ["filter", "add", "dev", "lo", "ingress", "bpf"];
        let every = ["bytecode", "1,6 0 0 4294967295,"];
        let path = pin.display().to_string();
        let behind = ["action", "bpf", "object-pinned", &path];
        tc(&["qdisc", "add", "dev", "lo", "clsact"])?;
        tc(&[&filter[..], &every, &behind].concat())?;
        five_come("passed", &send_five()?)?;
        counted(&running, "at_action", 5)?;
        running.set("drop", &1_u32.to_ne_bytes())?;
        let receiver = send_five()?;
        counted(&running, "at_action", 10)?;
        none_come("dropped", &receiver)?;
        drop(receiver);
        tc(&["qdisc", "del", "dev", "lo", "clsact"])?;
        five_come("taken off", &send_five()?)?;
        counted(&running, "at_action", 10)
    })
}

fn cgroup() -> Outcome {
    needs_kernel(5, 7)?;
    needs_option("CONFIG_CGROUP_BPF")?;
    let own = Cgroup::new()?;
    let running = network(&["sending"])?;
    let options = AttachOptions {
        cgroup: Some(own.path().to_owned()),
        ..AttachOptions::default()
    };
    in_netns(|_| {
        let links = running.loaded.attach_all_with(&options)?;
        // Not of this cgroup yet.
        five_come("outside", &send_five()?)?;
        counted(&running, "at_cgroup", 0)?;
        own.join()?;
        five_come("inside", &send_five()?)?;
        counted(&running, "at_cgroup", 5)?;
        running.set("drop", &1_u32.to_ne_bytes())?;
        let receiver = send_five()?;
        none_come("held", &receiver)?;
        drop((links, receiver));
        five_come("let go", &send_five()?)
    })
}

fn socket() -> Outcome {
    let running = network(&["received"])?;
    let (near, far) = UnixDatagram::pair()?;
    // Sent is received: no one hands these over later.
    far.set_nonblocking(true)?;
    let options = AttachOptions {
        socket: Some(far.as_raw_fd()),
        ..AttachOptions::default()
    };
    let links = running.loaded.attach_all_with(&options)?;
    near.send(b"kept")?;
    ensure(far.recv(&mut [0; 8])? == 4, || "kept".into())?;
    running.set("drop", &1_u32.to_ne_bytes())?;
    near.send(b"lost")?;
    ensure(far.recv(&mut [0; 8]).is_err(), || "not dropped".into())?;
    let seen = running.number("at_socket")?;
    ensure(seen == 2, || format!("{seen}"))?;
    drop(links);
    near.send(b"free")?;
    ensure(
        far.recv(&mut [0; 8])? == 4 && running.number("at_socket")? == 2,
        || "it is still there".into(),
    )
}
