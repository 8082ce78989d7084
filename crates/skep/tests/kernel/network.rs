//! Packets that really travel, in namespaces and a cgroup of the tests' own.

use std::{
    io::ErrorKind,
    net::UdpSocket,
    os::{fd::AsRawFd as _, unix::net::UnixDatagram},
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
    Cgroup, Outcome, Stop, Test, ensure, eventually, in_netns, needs_kernel, needs_option,
};

use crate::support::{Running, object};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("network::xdp_on_loopback_passes_and_drops", loopback),
        Test::new("network::xdp_sees_what_another_namespace_sends", veth),
        Test::new("network::a_link_takes_another_xdp_program", swap),
        Test::new("network::tcx_sees_both_directions", tcx),
        Test::new("network::a_cgroups_packets_are_counted_and_held", cgroup),
        Test::new("network::a_socket_filter_drops_and_lets_go", socket),
    ]
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

/// Sends itself five packets over loopback; how many came.
fn send_five() -> Outcome<usize> {
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
    count(&receiver)
}

/// How many packets have come.
fn count(receiver: &UdpSocket) -> Outcome<usize> {
    receiver.set_read_timeout(Some(Duration::from_millis(50)))?;
    let mut came = 0;
    loop {
        match receiver.recv(&mut [0; 64]) {
            Ok(_) => came += 1,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(came);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn loopback() -> Outcome {
    needs_kernel(5, 9)?;
    in_netns(|_| {
        let running = network(&["device"])?;
        ensure(send_five()? == 5, || "five without a program".into())?;
        let links = running.loaded.attach_all_with(&on_device("lo"))?;
        ensure(send_five()? == 5 && running.number("at_xdp")? == 5, || {
            "five seen".into()
        })?;
        running.set("drop", &1_u32.to_ne_bytes())?;
        ensure(send_five()? == 0 && running.number("at_xdp")? == 10, || {
            "five dropped".into()
        })?;
        drop(links);
        ensure(send_five()? == 5 && running.number("at_xdp")? == 10, || {
            "it is still there".into()
        })
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
            eventually("five packets", || Ok(running.number("at_xdp")? == 5))?;
            ensure(count(&receiver)? == 5, || "not all came".into())?;
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
        ensure(send_five()? == 0, || "not dropped".into())?;
        link.update(running.loaded.program("device_passes")?)?;
        ensure(send_five()? == 5 && link.name() == "device_passes", || {
            "not swapped".into()
        })?;
        link.detach()?;
        ensure(send_five()? == 5, || "gone".into())
    })
}

fn tcx() -> Outcome {
    needs_kernel(6, 6)?;
    in_netns(|_| {
        let running = network(&["coming", "going"])?;
        let links = running.loaded.attach_all_with(&on_device("lo"))?;
        ensure(send_five()? == 5, || "five".into())?;
        let seen = || Ok::<_, Stop>((running.number("at_ingress")?, running.number("at_egress")?));
        ensure(seen()? == (5, 5), || format!("{:?}", seen()))?;
        drop(links);
        ensure(send_five()? == 5 && seen()? == (5, 5), || {
            "it is still there".into()
        })
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
        ensure(
            send_five()? == 5 && running.number("at_cgroup")? == 0,
            || "outside".into(),
        )?;
        own.join()?;
        ensure(
            send_five()? == 5 && running.number("at_cgroup")? == 5,
            || "inside".into(),
        )?;
        running.set("drop", &1_u32.to_ne_bytes())?;
        ensure(send_five()? == 0, || "not held".into())?;
        drop(links);
        ensure(send_five()? == 5, || "still held".into())
    })
}

fn socket() -> Outcome {
    let running = network(&["received"])?;
    let (near, far) = UnixDatagram::pair()?;
    far.set_read_timeout(Some(Duration::from_millis(50)))?;
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
