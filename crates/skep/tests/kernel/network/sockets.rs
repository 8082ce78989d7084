//! What is between packets and sockets: the choice of the socket, and what sockets in a map
//! receive and send.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};
use skep::{
    AttachOptions, Update,
    boundary::{Cause, LinkDetails},
};
use skep_testing::{
    Outcome, PATIENCE, Stop, Test, ensure, eventually, expect_err, in_netns, needs_kernel,
    needs_option,
};

use super::PORT;
use crate::support::{Running, object};

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("network::sk_lookup_refuses_a_port", lookup).of_hook("sk_lookup"),
        Test::new("network::a_flow_dissector_sees_what_is_hashed", dissector)
            .of_hook("flow_dissector"),
        Test::new("network::sk_reuseport_chooses_a_socket", choice).of_hook("sk_reuseport"),
        Test::new("network::sk_reuseport_migrate_is_asked_too", migration)
            .of_hook("sk_reuseport/migrate"),
        Test::new("network::a_socket_filter_chooses_a_socket", number)
            .of_hook("socket (reuseport)"),
        Test::new("network::sk_skb_parsers_frame_a_stream", parser).of_hook("sk_skb/stream_parser"),
        Test::new("network::sk_skb_stream_verdicts_drop", stream).of_hook("sk_skb/stream_verdict"),
        Test::new("network::sk_skb_verdicts_drop", verdict).of_hook("sk_skb/verdict"),
        Test::new("network::sk_msg_holds_what_is_sent", message).of_hook("sk_msg"),
        Test::new("network::infrared_pulses_are_seen", infrared).of_hook("lirc_mode2"),
    ]
}

/// One program of `sockets.bpf.c`.
pub(super) fn running(program: &str) -> Outcome<Running> {
    let mut object = object("sockets")?;
    object.only_programs(&[program])?;
    Running::of(object)
}

pub(super) fn refuse(running: &Running, so: bool) -> Outcome {
    running.set("refuse", &u32::from(so).to_ne_bytes())
}

/// Sends a datagram to an address; whether it comes.
fn comes(receiver: &UdpSocket, patience: Duration) -> Outcome<bool> {
    receiver.set_read_timeout(Some(patience))?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    sender.send_to(b"x", receiver.local_addr()?)?;
    match receiver.recv(&mut [0; 4]) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

const SHORT: Duration = Duration::from_millis(50);

fn lookup() -> Outcome {
    needs_kernel(5, 9)?;
    in_netns(|_| {
        let running = running("lookup")?;
        let receiver = UdpSocket::bind(("127.0.0.1", PORT))?;
        let options = AttachOptions {
            netns: Some("/proc/thread-self/ns/net".into()),
            ..AttachOptions::default()
        };
        let program = running.loaded.program("lookup")?;
        let link = program.attach_with(&options)?;
        ensure(comes(&receiver, PATIENCE)?, || {
            "it lets nothing pass".into()
        })?;
        ensure(running.number("hits")? == 1, || "not seen".into())?;
        refuse(&running, true)?;
        ensure(!comes(&receiver, SHORT)?, || "it lets all pass".into())?;
        // Several may be there; the kernel takes what one of them says.
        drop(program.attach_with(&options)?);
        link.detach()?;
        ensure(comes(&receiver, PATIENCE)?, || "it is still there".into())?;
        let nowhere = AttachOptions {
            netns: Some("/run/netns/nowhere".into()),
            ..AttachOptions::default()
        };
        let error = expect_err("no namespace", program.attach_with(&nowhere))?;
        let text = error.to_string();
        ensure(text.contains("/run/netns/nowhere"), || text.clone())
    })
}

/// A device with two queues hashes what it sends, to choose one.
fn dissector() -> Outcome {
    needs_kernel(5, 8)?;
    in_netns(|tools| {
        let running = running("dissector")?;
        let made = tools.ip("link add near numtxqueues 2 type veth peer name far numrxqueues 2");
        if made.is_err() {
            return Err(Stop::lacks("veth devices"));
        }
        tools.ip("link set far up")?;
        tools.ip("link set near up")?;
        tools.ip("addr add 10.77.0.1/24 dev near")?;
        tools.ip("neigh add 10.77.0.2 lladdr 02:00:00:00:00:02 dev near")?;
        let send = || UdpSocket::bind("10.77.0.1:0")?.send_to(b"x", "10.77.0.2:9");
        send()?;
        ensure(running.number("hits")? == 0, || "not attached".into())?;
        let program = running.loaded.program("dissector")?;
        let mut link = program.attach()?;
        send()?;
        eventually("a dissection", || Ok(running.number("hits")? > 0))?;
        let error = expect_err("a second one", program.attach())?;
        let cause = error.cause().map(ToString::to_string).unwrap_or_default();
        ensure(cause.contains("one flow dissector"), || {
            format!("{error}: {cause}")
        })?;
        let other = self::running("dissector")?;
        link.update(other.loaded.program("dissector")?)?;
        send()?;
        eventually("by the other", || Ok(other.number("hits")? > 0))?;
        link.detach()?;
        let hits = other.number("hits")?;
        send()?;
        ensure(other.number("hits")? == hits, || "it is still there".into())
    })
}

/// Two sockets that share a port.
fn group() -> Outcome<[UdpSocket; 2]> {
    let address = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    let shared = |port| -> Outcome<UdpSocket> {
        let socket: OwnedFd = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        bind(&socket, &SocketAddr::V4(address(port)))?;
        let socket = UdpSocket::from(socket);
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    };
    let first = shared(0)?;
    let second = shared(first.local_addr()?.port())?;
    Ok([first, second])
}

fn of_socket(socket: &impl std::os::fd::AsRawFd) -> AttachOptions {
    AttachOptions {
        socket: Some(socket.as_raw_fd()),
        ..AttachOptions::default()
    }
}

/// Each socket of a group gets what it is chosen for.
fn led(running: &Running, sockets: &[UdpSocket; 2]) -> Outcome {
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    for (number, socket) in (0_u32..).zip(sockets) {
        running.set("chosen", &number.to_ne_bytes())?;
        for _ in 0..4 {
            sender.send_to(b"x", socket.local_addr()?)?;
            socket.recv(&mut [0; 4])?;
        }
    }
    let hits = running.number("hits")?;
    ensure(hits == 8, || format!("{hits} choices, not 8"))
}

fn choice() -> Outcome {
    needs_kernel(4, 19)?;
    in_netns(|_| {
        let running = running("choice")?;
        let sockets = group()?;
        let members = running.loaded.map("group")?;
        for (number, socket) in (0_u32..).zip(&sockets) {
            members
                .slots::<u32>()?
                .set_file(&number, socket, Update::Any)?;
        }
        let program = running.loaded.program("choice")?;
        let link = program.attach_with(&of_socket(&sockets[0]))?;
        led(&running, &sockets)?;
        refuse(&running, true)?;
        for socket in &sockets {
            socket.set_read_timeout(Some(SHORT))?;
        }
        UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", sockets[0].local_addr()?)?;
        let none = sockets
            .iter()
            .all(|socket| socket.recv(&mut [0; 4]).is_err());
        ensure(none, || "it was not dropped".into())?;
        let hits = running.number("hits")?;
        match link.detach() {
            Ok(()) => {}
            // Without a way to take it off, it goes with the sockets.
            Err(_) if needs_kernel(5, 3).is_err() => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", sockets[0].local_addr()?)?;
        let some = || {
            sockets
                .iter()
                .any(|socket| socket.recv(&mut [0; 4]).is_ok())
        };
        eventually("without a choice", || Ok(some()))?;
        ensure(running.number("hits")? == hits, || {
            "it is still there".into()
        })?;

        let alone = UdpSocket::bind("127.0.0.1:0")?;
        let error = expect_err("a port of its own", program.attach_with(&of_socket(&alone)))?;
        let fix = error.fix().unwrap_or_default();
        ensure(fix.contains("SO_REUSEPORT"), || format!("{error}: {fix}"))
    })
}

fn number() -> Outcome {
    let running = running("number")?;
    in_netns(|_| {
        let sockets = group()?;
        let point = skep::boundary::AttachPoint::Reuseport {
            socket: sockets[1].as_raw_fd(),
        };
        let _link = running.loaded.program("number")?.attach_to(&point)?;
        led(&running, &sockets)
    })
}

/// What migrates connections is asked for new ones, too.
fn migration() -> Outcome {
    needs_kernel(5, 14)?;
    in_netns(|_| {
        let running = running("choice_or_migration")?;
        let socket: OwnedFd = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        let any = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
        bind(&socket, &any)?;
        rustix::net::listen(&socket, 8)?;
        let listener = TcpListener::from(socket);
        let program = running.loaded.program("choice_or_migration")?;
        let link = program.attach_with(&of_socket(&listener))?;
        drop(TcpStream::connect(listener.local_addr()?)?);
        let hits = running.number("hits")?;
        ensure(hits == 1, || format!("{hits} choices"))?;
        link.detach()?;
        drop(TcpStream::connect(listener.local_addr()?)?);
        ensure(running.number("hits")? == 1, || "it is still there".into())
    })
}

/// A connection over loopback: who connected, who accepted.
fn connection() -> Outcome<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let there = TcpStream::connect(listener.local_addr()?)?;
    let (here, _) = listener.accept()?;
    here.set_read_timeout(Some(PATIENCE))?;
    Ok((there, here))
}

fn in_map(running: &Running) -> Outcome<AttachOptions> {
    Ok(AttachOptions {
        sockets: Some(running.loaded.map("sockets")?),
        ..AttachOptions::default()
    })
}

fn put(running: &Running, socket: &TcpStream) -> Outcome {
    let sockets = running.loaded.map("sockets")?;
    Ok(sockets.slots::<u32>()?.set_file(&0, socket, Update::Any)?)
}

/// A program of a map's sockets: a link where the kernel has them, and told as such.
fn linked(link: &skep::Link) -> Outcome {
    let info = link.info()?;
    let right = match needs_kernel(6, 10) {
        Ok(()) => {
            matches!(info[..], [ref info] if matches!(info.details, LinkDetails::Sockmap { .. }))
        }
        Err(_) => info.is_empty(),
    };
    ensure(right, || format!("{info:?}"))
}

/// Data that is received passes, and is dropped.
fn receives(program: &str) -> Outcome {
    in_netns(|_| {
        let running = running(program)?;
        let program = running.loaded.program(program)?;
        let link = program.attach_with(&in_map(&running)?)?;
        linked(&link)?;
        let (mut there, mut here) = connection()?;
        put(&running, &here)?;
        there.write_all(b"pass")?;
        here.read_exact(&mut [0; 4])?;
        ensure(running.number("hits")? > 0, || "not seen".into())?;
        refuse(&running, true)?;
        let hits = running.number("hits")?;
        there.write_all(b"drop")?;
        eventually("a verdict", || Ok(running.number("hits")? > hits))?;
        here.set_nonblocking(true)?;
        let dropped = here.read(&mut [0; 4]).is_err();
        ensure(dropped, || "it was not dropped".into())?;
        let again = expect_err("twice", program.attach_with(&in_map(&running)?));
        if needs_kernel(6, 10).is_ok() {
            let error = again?;
            let cause = error.cause().map(ToString::to_string).unwrap_or_default();
            ensure(cause.contains("already"), || format!("{error}: {cause}"))?;
        }
        link.detach()?;
        drop((there, here));
        Ok(())
    })
}

fn stream() -> Outcome {
    needs_kernel(5, 13)?; // without a parser
    receives("stream")
}

fn verdict() -> Outcome {
    needs_kernel(5, 13)?;
    receives("verdict")
}

fn parser() -> Outcome {
    needs_option("CONFIG_BPF_STREAM_PARSER")?;
    in_netns(|_| {
        let mut object = object("sockets")?;
        object.only_programs(&["parser", "stream"])?;
        let running = Running::of(object)?;
        let options = in_map(&running)?;
        let links = running.loaded.attach_all_with(&options)?;
        let (mut there, mut here) = connection()?;
        put(&running, &here)?;
        // Linux 5.10.223 takes a lock twice where a record passes that was parsed, and the machine
        // stands; one that is dropped is seen all the same.
        let passes = needs_kernel(5, 15).is_ok();
        refuse(&running, !passes)?;
        there.write_all(b"pass")?;
        if passes {
            here.read_exact(&mut [0; 4])?;
        }
        let seen = || Ok(running.number("hits")? >= 2);
        eventually("a hit of parser and verdict", seen)?;
        drop(links);
        // What is there stays with the sockets that are in the map; a new one has none.
        let (mut there, mut here) = connection()?;
        let hits = running.number("hits")?;
        there.write_all(b"pass")?;
        here.read_exact(&mut [0; 4])?;
        ensure(running.number("hits")? == hits, || "still there".into())
    })
}

fn message() -> Outcome {
    needs_kernel(4, 17)?;
    in_netns(|_| {
        let running = running("message")?;
        let mut link = running
            .loaded
            .program("message")?
            .attach_with(&in_map(&running)?)?;
        linked(&link)?;
        let (mut there, mut here) = connection()?;
        put(&running, &there)?;
        there.write_all(b"pass")?;
        here.read_exact(&mut [0; 4])?;
        ensure(running.number("hits")? == 1, || "not seen".into())?;
        refuse(&running, true)?;
        let held = expect_err("what is held", there.write_all(b"drop"))?;
        ensure(held.kind() == ErrorKind::PermissionDenied, || {
            held.to_string()
        })?;
        let other = self::running("message")?;
        link.update(other.loaded.program("message")?)?;
        let (mut there, mut here) = connection()?;
        put(&running, &there)?;
        there.write_all(b"pass")?;
        here.read_exact(&mut [0; 4])?;
        ensure(other.number("hits")? == 1, || "not by the other".into())?;
        Ok(link.detach()?)
    })
}

/// A sender of the kernel's own that hears what it sends (`rc-loopback`): no distribution's kernel has
/// these programs, but one that is built for them (`cargo xtask vm --image`).
fn infrared() -> Outcome {
    needs_option("CONFIG_BPF_LIRC_MODE2")?;
    let running = running("pulse")?;
    let on = |device: &Path| AttachOptions {
        infrared: Some(device.to_owned()),
        ..AttachOptions::default()
    };
    let program = running.loaded.program("pulse")?;
    let nowhere = program.attach_with(&on(Path::new("/dev/lirc-of-nobody")));
    let error = expect_err("no receiver", nowhere)?;
    let cause = error.cause().map(ToString::to_string).unwrap_or_default();
    ensure(cause.contains("infrared receiver"), || {
        format!("{error}: {cause}")
    })?;
    needs_option("CONFIG_RC_LOOPBACK")?;
    let device = loopback_receiver()?;
    // Microseconds of light, of none, and of light again.
    let send = || -> Outcome {
        let words = [900_u32, 450, 560].map(u32::to_ne_bytes);
        let mut sender = fs::File::options().write(true).open(&device)?;
        Ok(sender.write_all(words.as_flattened())?)
    };
    let seen = || -> Outcome<(u64, u64)> {
        Ok((running.number("hits")?, running.number("longest_pulse")?))
    };
    send()?;
    ensure(seen()? == (0, 0), || "before it is attached".into())?;
    let link = program.attach_with(&on(&device))?;
    let twice = expect_err("twice", program.attach_with(&on(&device)))?;
    ensure(matches!(twice.cause(), Some(Cause::InUse(_))), || {
        format!("{twice}: {:?}", twice.cause())
    })?;
    send()?;
    eventually("a pulse of 900 µs", || {
        let (hits, longest) = seen()?;
        Ok(hits >= 3 && longest == 900)
    })?;
    link.detach()?;
    let (before, _) = seen()?;
    send()?;
    send()?;
    let (after, _) = seen()?;
    // What was under way may still count.
    ensure(after <= before + 1, || {
        format!("{before} hits, then {after}")
    })
}

/// The receiver of the driver that hears itself.
fn loopback_receiver() -> Outcome<PathBuf> {
    for entry in fs::read_dir("/sys/class/lirc")? {
        let entry = entry?;
        let told = fs::read_to_string(entry.path().join("device/uevent"))?;
        if told.contains("rc-loopback") {
            return Ok(Path::new("/dev").join(entry.file_name()));
        }
    }
    Err(Stop::lacks("the module rc-loopback"))
}
