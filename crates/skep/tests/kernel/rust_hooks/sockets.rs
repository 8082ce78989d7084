//! Sockets, sysctls and devices of a cgroup under programs in Rust.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
};

use skep::{AttachOptions, Link};
use skep_testing::{Cgroup, Outcome, Test, ensure, expect_err, in_netns, needs_kernel};

use super::{Running, running, saw, seen};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("rust_hooks::connections_are_led_elsewhere", connected),
        Test::new("rust_hooks::sockets_are_made_and_bound", bound),
        Test::new("rust_hooks::events_of_connections_are_told", events),
        Test::new("rust_hooks::connections_find_a_socket_in_a_map", steered),
        Test::new("rust_hooks::sysctls_have_names_and_values", sysctl),
        Test::new("rust_hooks::options_are_answered", options),
        Test::new("rust_hooks::devices_are_refused", device),
        Test::new("rust_hooks::packets_of_a_cgroup_are_refused", packets),
    ]
}

/// A program of `sockets.rs` on a cgroup that this process is in.
fn guarded(file: &str, program: &str) -> Outcome<(Running, Link, Cgroup)> {
    let running = running(file, &[program])?;
    let cgroup = Cgroup::new()?;
    cgroup.join()?;
    let options = AttachOptions {
        cgroup: Some(cgroup.path().to_owned()),
        ..AttachOptions::default()
    };
    let link = running.loaded.program(program)?.attach_with(&options)?;
    Ok((running, link, cgroup))
}

fn connected() -> Outcome {
    needs_kernel(5, 8)?; // socket options
    in_netns(|_| {
        let listener = TcpListener::bind("127.0.0.1:10")?;
        let (running, _link, _cgroup) = guarded("sockets", "connect")?;
        let there = TcpStream::connect("127.0.0.1:9")?;
        ensure(there.peer_addr()?.port() == 10, || format!("{there:?}"))?;
        let (_, from) = listener.accept()?;
        ensure(there.local_addr()? == from, || from.to_string())?;
        ensure(seen(&running, 8)? != 0, || "no cookie".into())?;
        let refused = expect_err("127.9.9.9", TcpStream::connect("127.9.9.9:10"))?;
        ensure(refused.raw_os_error() == Some(1), || refused.to_string())
    })
}

fn bound() -> Outcome {
    needs_kernel(5, 8)?;
    in_netns(|_| {
        let (running, _link, _cgroup) = guarded("sockets", "created")?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        saw(&running, 6, 2)?;
        drop(socket);
        Ok(())
    })?;
    in_netns(|_| {
        let (running, _link, _cgroup) = guarded("sockets", "bound")?;
        let socket = TcpListener::bind("127.0.0.1:0")?;
        saw(&running, 7, socket.local_addr()?.port().into())?;
        let refused = expect_err("port 13", TcpListener::bind("127.0.0.1:13"))?;
        ensure(refused.raw_os_error() == Some(1), || refused.to_string())
    })
}

fn events() -> Outcome {
    needs_kernel(5, 10)?;
    in_netns(|_| {
        let (running, _link, _cgroup) = guarded("sockets", "events")?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut there = TcpStream::connect(listener.local_addr()?)?;
        let (mut here, _) = listener.accept()?;
        there.write_all(b"hello")?;
        here.read_exact(&mut [0; 5])?;
        ensure(seen(&running, 1)? != 0, || "no cookie".into())?;
        // Before, programs can set some options of TCP only, and not this one.
        if needs_kernel(6, 1).is_ok() {
            saw(&running, 0, 1)?;
            ensure(there.nodelay()? && here.nodelay()?, || "not set".into())?;
        }
        drop((there, here));
        ensure(seen(&running, 2)? != 0, || "no change of state".into())
    })
}

fn steered() -> Outcome {
    needs_kernel(5, 9)?;
    in_netns(|_| {
        let running = running("sockets", &["steer"])?;
        let server = TcpListener::bind("127.0.0.1:0")?;
        let (key, value) = (0_u32.to_ne_bytes(), u64::try_from(server.as_raw_fd())?);
        let map = running.loaded.map("SERVERS")?;
        map.update(&key, &value.to_ne_bytes(), skep::Update::Any)?;
        let link = running.loaded.program("steer")?.attach()?;
        let there = TcpStream::connect("127.0.0.7:777")?;
        let (_, from) = server.accept()?;
        ensure(there.local_addr()? == from, || from.to_string())?;
        saw(&running, 13, 777)?;
        saw(&running, 14, 6)?;
        drop(link);
        let refused = expect_err("without it", TcpStream::connect("127.0.0.7:777"))?;
        ensure(
            refused.kind() == std::io::ErrorKind::ConnectionRefused,
            || refused.to_string(),
        )
    })
}

fn sysctl() -> Outcome {
    needs_kernel(5, 2)?;
    in_netns(|_| {
        let (running, _link, _cgroup) = guarded("sockets", "sysctl")?;
        let path = "/proc/sys/net/ipv4/ip_forward";
        fs::write(path, "0")?;
        // Whatever is written, the program has it that this is 1.
        ensure(fs::read_to_string(path)?.trim() == "1", || "not 1".into())?;
        saw(&running, 9, "net/ipv4/ip_forward".len() as u64)?;
        saw(&running, 10, "ip_forward".len() as u64)?;
        ensure(seen(&running, 11)? > 0, || "no value".into())
    })
}

fn options() -> Outcome {
    needs_kernel(5, 3)?;
    in_netns(|_| {
        let (_running, link, _cgroup) = guarded("sockets", "told")?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let cpu = || rustix::net::sockopt::socket_incoming_cpu(&socket);
        let told = cpu()?;
        ensure(told == 77, || format!("{told}"))?;
        drop(link);
        let told = cpu()?;
        ensure(told != 77, || "still 77".into())
    })
}

fn device() -> Outcome {
    let (running, _link, _cgroup) = guarded("sockets", "device")?;
    fs::read("/dev/null")?;
    saw(&running, 12, 1)?;
    // The kernel's log is 1:11.
    let refused = expect_err("/dev/kmsg", fs::File::open("/dev/kmsg"))?;
    ensure(refused.raw_os_error() == Some(1), || refused.to_string())
}

fn packets() -> Outcome {
    in_netns(|tools| {
        tools.ip("addr add 10.9.9.9/32 dev lo")?;
        let (_running, link, _cgroup) = guarded("skb", "leaving")?;
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        let port = socket.local_addr()?.port();
        socket.send_to(b"to myself", ("127.0.0.1", port))?;
        socket.recv(&mut [0; 16])?;
        let refused = expect_err("10.9.9.9", socket.send_to(b"no", ("10.9.9.9", port)))?;
        ensure(refused.raw_os_error() == Some(1), || refused.to_string())?;
        link.detach()?;
        socket.send_to(b"to myself", ("10.9.9.9", port))?;
        Ok(socket.recv(&mut [0; 16]).map(drop)?)
    })
}
