//! Packets through a program by the embedder's interface: verdicts, what is left, faults.

use std::net::Ipv4Addr;

use skep_abi::{MapType, ProgramType};
use skep_host::{Host, MapCreate, ProgramFd, ProgramLoad};
use skep_isa::{Endian, assemble, encode_slots};
use skep_vm::{
    Config, Device, Engine, FaultKind, Frame, Neighbour, Network, Redirect, Route, RouteKind,
    SocketInfo, Vm,
};

fn machine() -> Vm {
    let mut config = Config::checked();
    config.engine = Engine::Interpreter;
    Vm::with(config).expect("a machine")
}

fn load(vm: &Vm, program_type: ProgramType, text: &str) -> ProgramFd {
    let code = encode_slots(&assemble(text).expect("a program"), Endian::NATIVE);
    let request = ProgramLoad::new(program_type, "packets", &code);
    vm.prog_load(&request).expect("a program that loads").fd
}

/// A frame of UDP from 10.0.0.2:4000 to 10.0.0.1:53.
fn udp() -> Vec<u8> {
    let mut frame = vec![0; 60];
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14] = 0x45;
    frame[23] = 17;
    frame[26..30].copy_from_slice(&[10, 0, 0, 2]);
    frame[30..34].copy_from_slice(&[10, 0, 0, 1]);
    frame[34..38].copy_from_slice(&[0x0f, 0xa0, 0, 53]);
    frame
}

#[test]
fn frames_do_not_see_each_other() {
    let vm = machine();
    // Two bytes of headroom, and the last two bytes of the packet.
    let text = "
        r6 = r1
        r2 = -2
        call 44
        if r0 != 0 goto out
        r2 = *(u32 *)(r6 + 0)
        r3 = *(u32 *)(r6 + 4)
        r0 = *(u16 *)(r2 + 0)
        r4 = *(u16 *)(r3 - 2)
        r0 += r4
        r5 = 0x7777
        *(u16 *)(r2 + 0) = r5
        exit
    out:
        r0 = -1
        exit";
    let program = load(&vm, ProgramType::Xdp, text);
    vm.packets(&program, |packets| {
        for len in [64_usize, 1500, 64, 14, 9000] {
            let bytes = vec![1; len];
            let verdict = packets.run(&Frame::new(&bytes)).expect("no fault");
            assert_eq!(verdict.value, 0x0101);
            assert_eq!(packets.len(), len + 2);
            let mut left = vec![0; len + 2];
            assert_eq!(packets.copy_to(&mut left), len + 2);
            assert_eq!(left[..3], [0x77, 0x77, 1]);
        }
    })
    .expect("a program of packets");
}

#[test]
fn a_fault_ends_with_its_packet() {
    let vm = machine();
    let text = "
        r2 = *(u32 *)(r1 + 0)
        r0 = *(u8 *)(r2 + 60)
        exit";
    let program = load(&vm, ProgramType::Xdp, text);
    vm.packets(&program, |packets| {
        for (len, works) in [(64, true), (60, false), (61, true), (14, false)] {
            let bytes = vec![1; len];
            assert_eq!(packets.run(&Frame::new(&bytes)).is_ok(), works, "{len}");
        }
        let longer = vec![0; 1 << 20];
        assert!(packets.run(&Frame::new(&longer)).is_err());
    })
    .expect("a program of packets");
    let other = load(&vm, ProgramType::Kprobe, "r0 = 0\nexit");
    assert!(vm.packets(&other, |_| ()).is_err());
}

#[test]
fn nothing_around_a_packet_is_the_programs() {
    let vm = machine();
    let bytes = udp();
    for (program_type, text) in [
        (
            ProgramType::Xdp,
            "r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 - 1)\nexit",
        ),
        (
            ProgramType::Xdp,
            "r2 = *(u32 *)(r1 + 4)\nr0 = *(u8 *)(r2 + 0)\nexit",
        ),
        (ProgramType::Xdp, "r0 = *(u32 *)(r1 + 24)\nexit"),
        (
            ProgramType::Xdp,
            "r2 = 1\n*(u32 *)(r1 + 4) = r2\nr0 = 0\nexit",
        ),
        (
            ProgramType::SchedCls,
            "r2 = 1\n*(u32 *)(r1 + 80) = r2\nr0 = 0\nexit",
        ),
        (
            ProgramType::SchedCls,
            "r2 = *(u32 *)(r1 + 80)\nr0 = *(u8 *)(r2 + 0)\nexit",
        ),
        (
            ProgramType::CgroupSkb,
            "r2 = *(u32 *)(r1 + 76)\n*(u8 *)(r2 + 0) = r2\nr0 = 0\nexit",
        ),
    ] {
        let program = load(&vm, program_type, text);
        vm.packets(&program, |packets| {
            assert!(packets.run(&Frame::new(&bytes)).is_err(), "{text}");
        })
        .expect("a program of packets");
    }
    let text = "r2 = 7\n*(u32 *)(r1 + 8) = r2\n*(u32 *)(r1 + 64) = r2\nr0 = *(u32 *)(r1 + 8)\nexit";
    let program = load(&vm, ProgramType::SchedCls, text);
    vm.packets(&program, |packets| {
        assert_eq!(
            packets
                .run(&Frame::new(&bytes))
                .map(|verdict| verdict.value),
            Ok(7)
        );
    })
    .expect("a program of packets");
}

#[test]
fn verdicts_say_where_to() {
    let vm = machine();
    let bytes = udp();
    let device = |ifindex, ingress| Some(Redirect::Device { ifindex, ingress });
    for (program_type, text, value, redirect) in [
        (
            ProgramType::Xdp,
            "r1 = 3\nr2 = 0\ncall 23\nexit",
            4,
            device(3, false),
        ),
        (
            ProgramType::Xdp,
            "r1 = 3\nr2 = 0\ncall 23\nr0 = 2\nexit",
            2,
            None,
        ),
        (
            ProgramType::SchedCls,
            "r1 = 3\nr2 = 1\ncall 23\nexit",
            7,
            device(3, true),
        ),
        (
            ProgramType::SchedCls,
            "r1 = 5\nr2 = 0\ncall 155\nexit",
            7,
            Some(Redirect::Peer { ifindex: 5 }),
        ),
        (
            ProgramType::SchedCls,
            "r1 = 5\nr2 = 0\nr3 = 0\nr4 = 0\ncall 152\nexit",
            7,
            Some(Redirect::Neighbour { ifindex: 5 }),
        ),
    ] {
        let program = load(&vm, program_type, text);
        vm.packets(&program, |packets| {
            for _ in 0..2 {
                let verdict = packets.run(&Frame::new(&bytes)).expect("no fault");
                assert_eq!(
                    (verdict.value, verdict.redirect),
                    (value, redirect),
                    "{text}"
                );
            }
        })
        .expect("a program of packets");
    }
    let clones = load(&vm, ProgramType::SchedCls, "r2 = 1\nr3 = 0\ncall 13\nexit");
    vm.packets(&clones, |packets| {
        packets.run(&Frame::new(&bytes)).expect("no fault");
        let sent = packets.take_sent();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].bytes, bytes);
    })
    .expect("a program of packets");
}

#[test]
fn redirects_through_a_map_name_it() {
    let vm = machine();
    let request = MapCreate::new(MapType::Devmap, "devices", 4, 4, 4);
    let map = vm.map_create(&request).expect("a map");
    let set = vm.map_update_elem(&map, &2_u32.to_ne_bytes(), &1_u32.to_ne_bytes(), 0);
    set.expect("an entry");
    let text = |key: u32, flags: u32| {
        format!(
            "r1 = map[fd:{}]\nr2 = {key}\nr3 = {flags}\ncall 51\nexit",
            map.raw()
        )
    };
    let bytes = udp();
    for (key, flags, value) in [(2, 0, 4), (1, 2, 2), (1, 0, 0), (9, 1, 1), (2, 64, 0)] {
        let program = load(&vm, ProgramType::Xdp, &text(key, flags));
        vm.packets(&program, |packets| {
            let verdict = packets.run(&Frame::new(&bytes)).expect("no fault");
            assert_eq!(verdict.value, value, "{key} {flags}");
            let entry = match verdict.redirect {
                Some(Redirect::Map { key, value, .. }) => Some((key, value)),
                _ => None,
            };
            assert_eq!(entry, (value == 4).then_some((2, 1)), "{key} {flags}");
        })
        .expect("a program of packets");
    }
}

#[test]
fn routes_are_the_embedders() {
    let vm = machine();
    let mut network = Network::default();
    let address = |last| Ipv4Addr::new(10, 0, 0, last).into();
    network.devices.push(Device::new(2, "in", [2; 6]));
    network.devices.push(Device::new(3, "out", [3; 6]));
    let mut route = Route::new(address(0), 24, 3);
    route.mtu = Some(1000);
    network.routes.push(route);
    let mut host = Route::new(address(7), 32, 3);
    host.kind = RouteKind::Blackhole;
    network.routes.push(host);
    let mac = [9; 6];
    let (ifindex, address) = (3, address(1));
    network.neighbours.push(Neighbour {
        ifindex,
        address,
        mac,
    });
    vm.set_network(network).expect("memory");
    let bytes = udp();
    for (last, length, flags, value, device) in [
        (1, 0, 0, 0, 3),
        (2, 0, 0, 7, 3),
        (2, 0, 4, 0, 3),
        (7, 0, 0, 1, 2),
        (1, 1001, 0, 8, 2),
        (1, 1000, 0, 0, 3),
    ] {
        let zero: String = (1..=8)
            .map(|at| format!("*(u64 *)(r10 - {}) = r0\n", 8 * at))
            .collect();
        let destination = u32::from_ne_bytes([10, 0, 0, last]);
        let text = format!(
            "r0 = 0\n{zero}r0 = 2\n*(u8 *)(r10 - 64) = r0\n*(u32 *)(r10 - 56) = r0\n\
             r0 = {length}\n*(u16 *)(r10 - 58) = r0\nr0 = {destination}\n*(u32 *)(r10 - 32) = r0\n\
             r2 = r10\nr2 += -64\nr3 = 64\nr4 = {flags}\ncall 69\n\
             r1 = *(u32 *)(r10 - 56)\nr1 <<= 8\nr0 += r1\nexit"
        );
        let program = load(&vm, ProgramType::Xdp, &text);
        vm.packets(&program, |packets| {
            let mut frame = Frame::new(&bytes);
            frame.ifindex = 2;
            let verdict = packets.run(&frame).expect("no fault");
            assert_eq!(
                (verdict.value & 0xff, verdict.value >> 8),
                (value, device),
                "{last} {length}"
            );
        })
        .expect("a program of packets");
    }
}

#[test]
fn sockets_are_the_embedders() {
    let vm = machine();
    let mut network = Network::default();
    let local = "10.0.0.1:53".parse().expect("an address");
    let mut socket = SocketInfo::listening(77, 17, local);
    socket.mark = 5;
    network.sockets.push(socket);
    vm.set_network(network).expect("memory");
    // The tuple is in the packet: addresses and ports behind one another.
    let text = "
        r2 = *(u32 *)(r1 + 0)
        r2 += 26
        r3 = 12
        r4 = -1
        r5 = 0
        call 85
        if r0 == 0 goto out
        r6 = r0
        r0 = *(u32 *)(r6 + 16)
        r7 = *(u16 *)(r6 + 44)
        r0 *= 1000
        r0 += r7
    out:
        exit";
    let program = load(&vm, ProgramType::Xdp, text);
    vm.packets(&program, |packets| {
        let mut bytes = udp();
        for (port, value) in [(53, 5053), (54, 0), (53, 5053)] {
            bytes[37] = port;
            let verdict = packets.run(&Frame::new(&bytes)).expect("no fault");
            assert_eq!(verdict.value, value);
        }
    })
    .expect("a program of packets");
}

#[test]
fn messages_go_to_sockets_of_a_map() {
    let vm = machine();
    let mut network = Network::default();
    let local = "10.0.0.1:53".parse().expect("an address");
    let mut socket = SocketInfo::listening(77, 6, local);
    socket.remote = Some("10.0.0.2:4000".parse().expect("an address"));
    socket.state = 1;
    network.sockets.push(socket);
    vm.set_network(network).expect("memory");
    let request = MapCreate::new(MapType::Sockmap, "sockets", 4, 8, 4);
    let map = vm.map_create(&request).expect("a map");
    let set = vm.map_update_elem(&map, &2_u32.to_ne_bytes(), &77_u64.to_ne_bytes(), 0);
    set.expect("an entry");
    let bytes = udp();
    let request = MapCreate::new(MapType::Sockhash, "by_key", 4, 8, 4);
    let by_key = vm.map_create(&request).expect("a map");
    let set = vm.map_update_elem(&by_key, &2_u32.to_ne_bytes(), &77_u64.to_ne_bytes(), 0);
    set.expect("an entry");
    let cases = [(2, 0, 1), (1, 0, 0), (2, 1, 1), (2, 2, 0)];
    let texts = cases.iter().flat_map(|(key, flags, value)| {
        let of_map = format!(
            "r2 = map[fd:{}]\nr3 = {key}\nr4 = {flags}\ncall 52\nexit",
            map.raw()
        );
        let of_hash = format!(
            "r2 = map[fd:{}]\n*(u32 *)(r10 - 4) = {key}\nr3 = r10\nr3 += -4\nr4 = {flags}\n\
             call 72\nexit",
            by_key.raw()
        );
        [(key, flags, value, of_map), (key, flags, value, of_hash)]
    });
    for (&key, &flags, &value, text) in texts {
        let program = load(&vm, ProgramType::SkSkb, &text);
        vm.packets(&program, |packets| {
            let verdict = packets.run(&Frame::new(&bytes)).expect("no fault");
            assert_eq!(verdict.value, value, "{key} {flags}");
            let wanted = (value == 1).then_some(Redirect::Socket { cookie: 77 });
            assert_eq!(verdict.redirect, wanted, "{key} {flags}");
        })
        .expect("a program of packets");
    }
}

/// Helpers of packets with any arguments: the worst that happens is a fault of the program's own.
#[test]
fn no_arguments_break_the_machine() {
    const HELPERS: &[u32] = &[
        9, 10, 11, 13, 17, 18, 19, 20, 21, 23, 24, 26, 28, 29, 30, 31, 32, 34, 38, 39, 40, 41, 43,
        44, 46, 47, 48, 50, 54, 65, 68, 69, 79, 83, 84, 85, 86, 95, 96, 97, 98, 99, 122, 124, 128,
        129, 135, 151, 152, 155, 163, 188, 189, 190, 192,
    ];
    let vm = machine();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let types = [
        ProgramType::Xdp,
        ProgramType::SchedCls,
        ProgramType::SkSkb,
        ProgramType::CgroupSkb,
        ProgramType::SocketFilter,
    ];
    let allowed = types.map(|program_type| {
        let loads = |helper: &&u32| {
            let slots = assemble(&format!("call {helper}\nexit")).expect("a program");
            let code = encode_slots(&slots, Endian::NATIVE);
            vm.prog_load(&ProgramLoad::new(program_type, "packets", &code))
                .is_ok()
        };
        HELPERS.iter().filter(loads).copied().collect::<Vec<_>>()
    });
    for round in 0..3000 {
        let helpers = &allowed[round % types.len()];
        let mut text = "r6 = r1\nr7 = 0\n".to_owned();
        for at in 1..=8 {
            text += &format!(
                "r1 = {} ll\n*(u64 *)(r10 - {}) = r1\n",
                next() as i64,
                at * 8
            );
        }
        for _ in 0..=next() % 6 {
            for register in 1..=5 {
                let near = (next() % 128) as i64 - 32;
                let numbers = [near, near * 100, next() as i64, i64::from(next() as i32)];
                let edges = [0, -1, i64::from(i32::MIN), i64::from(i32::MAX), i64::MIN];
                text += &match next() % 8 {
                    0 | 1 if register == 1 => "r1 = r6\n".to_owned(),
                    2..=7 if register == 1 => "r1 = r6\n".to_owned(),
                    0 | 1 => format!("r{register} = r10\nr{register} += -{}\n", next() % 64 + 1),
                    2 => format!("r{register} = r7\n"),
                    3 => format!("r{register} = {} ll\n", edges[(next() % 5) as usize]),
                    4 | 5 => format!("r{register} = {near} ll\n"),
                    _ => format!("r{register} = {} ll\n", numbers[(next() % 4) as usize]),
                };
            }
            let helper = helpers[(next() % helpers.len() as u64) as usize];
            text += &format!("call {helper}\nr7 = r0\n");
        }
        text += "r0 = r7\nexit";
        let program_type = types[round % types.len()];
        let program = load(&vm, program_type, &text);
        vm.packets(&program, |packets| {
            for len in [14, 34, 60, 1500, 9000] {
                let mut bytes = vec![(next() & 0xff) as u8; len];
                bytes[12..14].copy_from_slice(&[[8, 0], [0x86, 0xdd], [0x81, 0]][round % 3]);
                if let Err(fault) = packets.run(&Frame::new(&bytes)) {
                    let ours = matches!(fault.kind, FaultKind::Internal(_));
                    assert!(!ours, "{fault}\n{program_type:?}\n{text}");
                }
            }
        })
        .expect("a program of packets");
    }
}
