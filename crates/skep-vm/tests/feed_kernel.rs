//! The same object and the same packets on the kernel and on the machine: what each program saw
//! and answered, and what leaves each device, are the same.
//!
//! On the kernel the packets come by TAP devices, in a network namespace of the test's own.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, socket_with};

use skep::{Host, Link, Loaded, Object, Update};
use skep_abi::KernelVersion;
use skep_host::{AttachPoint, Errno, Host as _, Order, TcxDirection, TestRun, XdpMode};
use skep_testing::{Lacking, Outcome, Stop, ensure, in_netns, skip};
use skep_vm::{
    Device, Frame, Network, Vm,
    feed::{FeedOptions, PacketHook},
    tap::Tap,
};

/// What programs saw: program, verdict, port, fact; and how often.
type Seen = BTreeMap<[u32; 4], u64>;
/// What left each device, sorted.
type Left = [Vec<Vec<u8>>; 2];

const ADDRESS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

/// Frames of UDP to every port of the program's, from two ports each, some of them tagged.
fn frames() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for port in (1_u16..14).chain(20..32) {
        for source in [1000_u16, 1001] {
            let mut frame = vec![0; 80];
            // To somebody else: the kernel's own stack answers nothing.
            frame[..6].copy_from_slice(&[2, 9, 9, 9, 9, 9]);
            frame[6..12].copy_from_slice(&[2, 8, 8, 8, 8, 8]);
            frame[12..14].copy_from_slice(&[8, 0]);
            frame[14..18].copy_from_slice(&[0x45, 0, 0, 66]);
            frame[22..24].copy_from_slice(&[64, 17]);
            frame[26..34].copy_from_slice(&[10, 99, 0, 2, 10, 99, 0, 1]);
            frame[34..36].copy_from_slice(&source.to_be_bytes());
            frame[36..38].copy_from_slice(&port.to_be_bytes());
            frame[39] = 46;
            if port == 20 && source == 1001 {
                frame.splice(12..12, [0x81, 0, 0x20, 5]);
            }
            all.push(frame);
        }
    }
    all
}

fn object(other: u32) -> Outcome<Object> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/wire.bpf.c");
    let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
    let mut object = Object::parse("wire", &bytes)?;
    object.global("other")?.set(other)?;
    Ok(object)
}

/// Puts programs on both devices, a socket and into maps.
fn attach(loaded: &Loaded, devices: [u32; 2], mode: XdpMode, socket: i32) -> Outcome<Vec<Link>> {
    let [here, other] = devices;
    let entry = |to: u32, program: &str| {
        let fd = loaded.program(program)?.fd().raw();
        Ok::<_, Stop>([to.to_ne_bytes(), fd.to_ne_bytes()].concat())
    };
    let set = |map: &str, key: u32, value: &[u8]| {
        loaded
            .map(map)?
            .update(&key.to_ne_bytes(), value, Update::Any)?;
        Ok::<_, Stop>(())
    };
    set("devices", 0, &entry(other, "there")?)?;
    set("cpus", 0, &entry(64, "further")?)?;
    set("both", 0, &here.to_ne_bytes())?;
    set("both", 1, &other.to_ne_bytes())?;
    let tcx = |name: &str, ifindex, direction| {
        let order = Order::default();
        loaded.program(name)?.attach_to(&AttachPoint::Tcx {
            ifindex,
            direction,
            order,
        })
    };
    let ifindex = here;
    Ok(vec![
        loaded
            .program("first")?
            .attach_to(&AttachPoint::Xdp { ifindex, mode })?,
        tcx("next", here, TcxDirection::Ingress)?,
        tcx("last", here, TcxDirection::Ingress)?,
        tcx("out", other, TcxDirection::Egress)?,
        tcx("again", other, TcxDirection::Ingress)?,
        loaded
            .program("filter")?
            .attach_to(&AttachPoint::SocketFilter { socket })?,
    ])
}

/// What the programs have noted.
fn seen(loaded: &Loaded) -> Outcome<Seen> {
    let map = loaded.map("seen")?;
    let mut all = Seen::new();
    for entry in map.typed::<[u32; 4], u64>()?.iter() {
        let (key, count) = entry?;
        all.insert(key, count);
    }
    Ok(all)
}

fn on_vm(frames: &[Vec<u8>]) -> Outcome<(Seen, Left)> {
    let vm = Vm::new()?;
    let mut network = Network::default();
    network.devices.push(Device::new(2, "here", ADDRESS[0]));
    network.devices.push(Device::new(3, "there", ADDRESS[1]));
    vm.set_network(network)?;
    let host = Host::new(Arc::new(vm.clone()));
    let loaded = object(3)?.load(&host)?;
    let _links = attach(&loaded, [2, 3], XdpMode::Auto, 0)?;
    let mut options = FeedOptions::new(2);
    options.keep_outputs = true;
    let mut left = Left::default();
    let report = vm.feed(&options, |feed| {
        for bytes in frames {
            let mut frame = Frame::new(bytes);
            frame.ifindex = 2;
            feed.packet(&frame);
            for output in feed.outputs() {
                if let Some(device) = output.device {
                    left[device as usize - 2].push(output.bytes.to_vec());
                }
            }
        }
        feed.report()
    })?;
    let seen = seen(&loaded)?;
    for program in 1..=8 {
        assert!(seen.keys().any(|key| key[0] == program), "{program} ran");
    }
    // What the report counts is what the programs have counted themselves.
    for (program, hook, verdict, name) in [
        (1, PacketHook::Xdp, 0, "XDP_ABORTED"),
        (1, PacketHook::Xdp, 1, "XDP_DROP"),
        (1, PacketHook::Xdp, 2, "XDP_PASS"),
        (1, PacketHook::Xdp, 3, "XDP_TX"),
        (1, PacketHook::Xdp, 4, "XDP_REDIRECT"),
        (1, PacketHook::Xdp, 99, "other values"),
        (2, PacketHook::Devmap, 2, "XDP_PASS"),
        (3, PacketHook::Cpumap, 1, "XDP_DROP"),
        (6, PacketHook::Egress, u32::MAX, "TC_ACT_UNSPEC"),
    ] {
        let own = seen
            .iter()
            .filter(|(key, _)| (key[0], key[1]) == (program, verdict));
        let own: u64 = own.map(|(_, count)| count).sum();
        assert!(own > 0, "{name}");
        // A tagged packet is none that this program knows.
        let tagged = u64::from((program, verdict) == (1, 2));
        assert_eq!(
            report.verdicts(hook, name),
            own + tagged,
            "{name} at {hook}"
        );
    }
    left.iter_mut().for_each(|left| left.sort());
    Ok((seen, left))
}

/// A socket that sees the packets of all devices.
fn packet_socket() -> Outcome<OwnedFd> {
    /// `ETH_P_ALL`
    const EVERY: u32 = 3;
    let protocol = NonZeroU32::new(u32::from((EVERY as u16).to_be()));
    Ok(socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        protocol.map(Protocol::from_raw),
    )?)
}

fn on_kernel(frames: &[Vec<u8>], mode: XdpMode, expect: &(Seen, Left)) -> Outcome<(Seen, Left)> {
    let mut result = None;
    in_netns(|tools| {
        let open = |name, address: [u8; 4]| {
            let tap = Tap::open(name, address.into(), 24);
            tap.map_err(|error| Stop::lacks(format!("a TAP device: {error}")))
        };
        let taps = [
            open("here", [10, 98, 0, 1])?,
            open("there", [10, 97, 0, 1])?,
        ];
        tools.ip("link set here address 02:00:00:00:00:01")?;
        tools.ip("link set there address 02:00:00:00:00:02")?;
        let linux = skep_linux::LinuxHost::new()?;
        let devices = [linux.device_index("here")?, linux.device_index("there")?];
        let host = Host::kernel()?;
        let loaded = object(devices[1])?.load(&host)?;
        let socket = packet_socket()?;
        let _links = attach(&loaded, devices, mode, socket.as_raw_fd())?;
        for frame in frames {
            taps[0].write(frame)?;
        }
        let mut left = Left::default();
        let mut buffer = vec![0; 65536];
        // What goes by another CPU comes later.
        for _ in 0..100 {
            for (tap, left) in taps.iter().zip(&mut left) {
                while let Some(len) = tap.read(&mut buffer)? {
                    // What the kernel says for itself is not to the test's address.
                    let frame = &buffer[..len];
                    if frame[..6] == [2, 9, 9, 9, 9, 9] {
                        left.push(frame.to_vec());
                    }
                }
            }
            let mut sorted = left.clone();
            sorted.iter_mut().for_each(|left| left.sort());
            let now = (seen(&loaded)?, sorted);
            let done = now == *expect;
            result = Some(now);
            if done {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    })?;
    result.ok_or_else(|| Stop::fail("nothing was seen"))
}

fn compare(mode: XdpMode) -> Outcome {
    let frames = frames();
    let vm = on_vm(&frames)?;
    if !rustix::process::geteuid().is_root() {
        return Err(Stop::lacks("root"));
    }
    let kernel = on_kernel(&frames, mode, &vm)?;
    let only = |one: &Seen, other: &Seen| {
        let differ = one
            .iter()
            .filter(|(key, count)| other.get(*key) != Some(count));
        differ
            .map(|(key, count)| (*key, *count))
            .collect::<Vec<_>>()
    };
    let (ours, theirs) = (only(&vm.0, &kernel.0), only(&kernel.0, &vm.0));
    assert!(
        ours.is_empty() && theirs.is_empty(),
        "[program, verdict, port, fact] and count; the machine: {ours:?}, the kernel: {theirs:?}"
    );
    assert_eq!(vm.1, kernel.1, "what left: the machine, the kernel");
    Ok(())
}

// ── programs that are bound to a device ─────────────────────────────────────────────────────────

/// What a host lets a bound program do, and what its program is answered.
type Bound = (Vec<(&'static str, Option<Errno>)>, Vec<i32>);

/// Binds the program to the first device, puts it where it may be and where not, and reads what it
/// wrote down of the packet that `send` sends.
fn bound(host: &Host, devices: [u32; 2], send: impl FnOnce() -> Outcome) -> Outcome<Bound> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/bound.bpf.c");
    let bytes = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
    let mut object = Object::parse("bound", &bytes)?;
    let Err(free) = object.load(host) else {
        return Err(Stop::fail("a program that no device is asked for loads"));
    };
    let log = free.log().unwrap_or_default();
    ensure(log.contains("metadata"), || format!("{free}: {log}"))?;
    object.program("asks")?.bound_to(0x7fff_ffff);
    let errno = |error: &skep::Error| match error {
        skep::Error::Host(error) => error.errno(),
        _ => None,
    };
    let mut answers = vec![(
        "no device",
        object.load(host).err().as_ref().and_then(errno),
    )];
    object.program("asks")?.bound_to(devices[0]);
    let loaded = object.load(host)?;
    let program = loaded.program("asks")?;
    for (what, ifindex, mode) in [
        ("another device", devices[1], XdpMode::Native),
        ("generic", devices[0], XdpMode::Generic),
    ] {
        let attached = program.attach_to(&AttachPoint::Xdp { ifindex, mode });
        answers.push((what, attached.err().as_ref().and_then(errno)));
    }
    let mut run = TestRun {
        data_in: &[0; 64],
        ..TestRun::default()
    };
    let run = program.test_run(&mut run);
    answers.push(("test run", run.err().as_ref().and_then(errno)));
    let (ifindex, mode) = (devices[0], XdpMode::Native);
    let _link = program.attach_to(&AttachPoint::Xdp { ifindex, mode })?;
    send()?;
    let mut variables = object.spec().variables().iter();
    let variable = variables.find(|variable| variable.name == "answers");
    let variable = variable.ok_or_else(|| Stop::fail("no variable `answers`"))?;
    let bytes = loaded.global(variable)?;
    let (words, _) = bytes.as_chunks::<4>();
    Ok((
        answers,
        words.iter().map(|word| i32::from_ne_bytes(*word)).collect(),
    ))
}

fn compare_bound() -> Outcome {
    let vm = Vm::new()?;
    let mut network = Network::default();
    network.devices.push(Device::new(2, "here", ADDRESS[0]));
    network.devices.push(Device::new(3, "there", ADDRESS[1]));
    vm.set_network(network)?;
    let frame = [0; 64];
    let ours = bound(&Host::new(Arc::new(vm.clone())), [2, 3], || {
        vm.feed(&FeedOptions::new(2), |feed| {
            let mut frame = Frame::new(&frame);
            frame.ifindex = 2;
            feed.packet(&frame);
        })?;
        Ok(())
    })?;
    // Nobody knows the hash, the time or the tag (`EOPNOTSUPP`); and it has run.
    assert_eq!(ours.1, [-95, -95, -95, 1]);
    if !rustix::process::geteuid().is_root() {
        return Err(Stop::lacks("root"));
    }
    let mut theirs = None;
    in_netns(|tools| {
        let open = |name, address: [u8; 4]| {
            let tap = Tap::open(name, address.into(), 24);
            tap.map_err(|error| Stop::lacks(format!("a TAP device: {error}")))
        };
        let (here, _there) = (
            open("here", [10, 98, 0, 1])?,
            open("there", [10, 97, 0, 1])?,
        );
        tools.ip("link set here address 02:00:00:00:00:01")?;
        let linux = skep_linux::LinuxHost::new()?;
        if linux.info().version < KernelVersion::new(6, 8) {
            return Err(Stop::Skip(Lacking::Kernel(KernelVersion::new(6, 8))));
        }
        let devices = [linux.device_index("here")?, linux.device_index("there")?];
        theirs = Some(bound(&Host::kernel()?, devices, || {
            here.write(&frame)?;
            Ok(())
        })?);
        Ok(())
    })?;
    assert_eq!(Some(ours), theirs, "the machine, the kernel");
    Ok(())
}

/// Tells of what was lacking.
fn check(name: &str, outcome: Outcome) {
    match outcome {
        Ok(()) => {}
        Err(Stop::Skip(lacking)) => skip("skep-vm", name, &lacking),
        Err(stop) => panic!("{stop:?}"),
    }
}

#[test]
fn bound_to_a_device() {
    check("feed_kernel::bound_to_a_device", compare_bound());
}

#[test]
fn native_xdp() {
    check("feed_kernel::native_xdp", compare(XdpMode::Native));
}

#[test]
fn generic_xdp() {
    check("feed_kernel::generic_xdp", compare(XdpMode::Generic));
}
