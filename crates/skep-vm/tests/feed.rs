//! Packets through what is attached to devices of a machine: order, verdicts, what leaves.

use std::time::Duration;

use skep_abi::{AttachType, MapType, ProgramType};
use skep_host::{
    AttachPoint, Attachment, CgroupMode, Host, MapCreate, Order, ProgramFd, ProgramLoad,
    TcxDirection, XdpMode,
};
use skep_isa::{Endian, assemble, encode_slots};
use skep_vm::{
    Clock, Config, Device, Frame, Network, Vm,
    capture::{Capture, Format, Record, Writer},
    feed::{FeedOptions, Outcome, PacketHook, Report, Way},
};

/// A machine with the devices `in` (2) and `out` (3).
fn machine() -> Vm {
    let vm = Vm::with(Config::checked()).expect("a machine");
    let mut network = Network::default();
    network.devices.push(Device::new(2, "in", [2; 6]));
    network.devices.push(Device::new(3, "out", [3; 6]));
    vm.set_network(network).expect("memory");
    vm
}

fn load_for(
    vm: &Vm,
    program_type: ProgramType,
    attach: Option<AttachType>,
    name: &str,
    text: &str,
) -> ProgramFd {
    let code = encode_slots(&assemble(text).expect("a program"), Endian::NATIVE);
    let mut request = ProgramLoad::new(program_type, name, &code);
    request.expected_attach_type = attach;
    vm.prog_load(&request).expect("a program that loads").fd
}

fn xdp(vm: &Vm, ifindex: u32, text: &str) -> Attachment {
    let program = load_for(vm, ProgramType::Xdp, None, "xdp", text);
    let mode = XdpMode::Auto;
    vm.attach(
        "xdp",
        &program,
        ProgramType::Xdp,
        &AttachPoint::Xdp { ifindex, mode },
    )
    .expect("attached")
}

fn tcx(vm: &Vm, ifindex: u32, direction: TcxDirection, name: &str, text: &str) -> Attachment {
    let program = load_for(vm, ProgramType::SchedCls, None, name, text);
    let order = Order::default();
    let point = AttachPoint::Tcx {
        ifindex,
        direction,
        order,
    };
    vm.attach(name, &program, ProgramType::SchedCls, &point)
        .expect("attached")
}

fn cgroup(vm: &Vm, attach_type: AttachType, name: &str, text: &str) -> Attachment {
    let program = load_for(vm, ProgramType::CgroupSkb, Some(attach_type), name, text);
    let cgroup = vm.cgroup_open("/".as_ref()).expect("the root");
    let point = AttachPoint::Cgroup {
        cgroup: &cgroup,
        attach_type,
        mode: CgroupMode::Link,
        order: Order::default(),
    };
    vm.attach(name, &program, ProgramType::CgroupSkb, &point)
        .expect("attached")
}

fn socket(vm: &Vm, socket: i32, text: &str) -> Attachment {
    let program = load_for(vm, ProgramType::SocketFilter, None, "socket", text);
    vm.attach(
        "socket",
        &program,
        ProgramType::SocketFilter,
        &AttachPoint::SocketFilter { socket },
    )
    .expect("attached")
}

/// A frame of UDP from 10.0.0.2:4000 to 10.0.0.1:53.
fn udp() -> Vec<u8> {
    let mut frame = vec![0; 60];
    frame[..6].copy_from_slice(&[2; 6]);
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14] = 0x45;
    frame[23] = 17;
    frame[26..30].copy_from_slice(&[10, 0, 0, 2]);
    frame[30..34].copy_from_slice(&[10, 0, 0, 1]);
    frame[34..38].copy_from_slice(&[0x0f, 0xa0, 0, 53]);
    frame
}

/// The outcome of each frame that device 2 gets, what left, and the report.
type Fed = (Vec<Outcome>, Vec<(Option<u32>, Vec<u8>)>, Report);

fn feed_with(vm: &Vm, way: Way, frames: &[&[u8]]) -> Fed {
    let mut options = FeedOptions::new(2);
    options.keep_outputs = true;
    options.way = way;
    vm.feed(&options, |feed| {
        let mut left = Vec::new();
        let mut outcomes = Vec::new();
        for bytes in frames {
            let mut frame = Frame::new(bytes);
            frame.ifindex = 2;
            outcomes.push(feed.packet(&frame));
            let outputs = feed.outputs();
            left.extend(outputs.map(|output| (output.device, output.bytes.to_vec())));
        }
        (outcomes, left, feed.report())
    })
    .expect("a device")
}

fn feed(vm: &Vm, frames: &[&[u8]]) -> Fed {
    feed_with(vm, Way::Auto, frames)
}

#[test]
fn every_verdict_of_xdp() {
    for (value, outcome, name, left) in [
        (0, Outcome::Dropped, "XDP_ABORTED", None),
        (1, Outcome::Dropped, "XDP_DROP", None),
        (2, Outcome::Passed, "XDP_PASS", Some(None)),
        (3, Outcome::Sent, "XDP_TX", Some(Some(2))),
        // Redirected, but to nowhere.
        (4, Outcome::Dropped, "XDP_REDIRECT", None),
        (99, Outcome::Dropped, "other values", None),
    ] {
        let vm = machine();
        // The first byte changes, so that what leaves is what the program left.
        let text =
            format!("r2 = *(u32 *)(r1 + 0)\nr3 = 7\n*(u8 *)(r2 + 0) = r3\nr0 = {value}\nexit");
        let _link = xdp(&vm, 2, &text);
        // What XDP sends by itself does not go through egress.
        let _egress = tcx(&vm, 2, TcxDirection::Egress, "out", "r0 = 2\nexit");
        let (outcomes, out, report) = feed(&vm, &[&udp(), &udp()]);
        assert_eq!(outcomes, [outcome; 2], "{name}");
        assert_eq!(report.verdicts(PacketHook::Xdp, name), 2);
        assert_eq!(report.count(outcome), 2);
        assert_eq!(out.len(), if left.is_some() { 2 } else { 0 });
        for (device, bytes) in out {
            assert_eq!(Some(device), left);
            assert_eq!((bytes[0], bytes.len()), (7, 60));
        }
        assert_eq!(report.verdicts(PacketHook::Egress, "TC_ACT_SHOT"), 0);
    }
}

#[test]
fn what_is_no_frame_is_seen_by_nobody() {
    let vm = machine();
    let _link = xdp(&vm, 2, "r0 = 1\nexit");
    let (outcomes, _, report) = feed(&vm, &[&[0; 13], &[], &[0; 14], &vec![0; 100_000]]);
    assert_eq!(outcomes[0], Outcome::Unusable);
    assert_eq!(outcomes[1], Outcome::Unusable);
    assert_eq!(outcomes[2], Outcome::Dropped);
    assert_eq!(outcomes[3], Outcome::Unusable);
    assert_eq!(report.verdicts(PacketHook::Xdp, "XDP_DROP"), 1);
    assert_eq!(report.outcomes.iter().sum::<u64>(), report.packets);
}

/// Four bytes that XDP puts before the packet are what tc finds there.
#[test]
fn metadata_goes_from_xdp_to_tc() {
    let vm = machine();
    let _xdp = xdp(
        &vm,
        2,
        "r6 = r1\nr2 = -4\ncall 54\nif r0 != 0 goto bad\nr2 = *(u32 *)(r6 + 8)\nr3 = 77\n\
         *(u32 *)(r2 + 0) = r3\nr0 = 2\nexit\nbad:\nr0 = 1\nexit",
    );
    let _tc = tcx(
        &vm,
        2,
        TcxDirection::Ingress,
        "meta",
        "r2 = *(u32 *)(r1 + 140)\nr3 = *(u32 *)(r1 + 76)\nr4 = r2\nr4 += 4\nr0 = 2\n\
         if r4 != r3 goto out\nr5 = *(u32 *)(r2 + 0)\nif r5 != 77 goto out\nr0 = 0\nout: exit",
    );
    let mut tagged = udp();
    tagged.splice(12..12, [0x81, 0, 0x20, 5]);
    let (outcomes, out, _) = feed(&vm, &[&udp(), &tagged, &udp()]);
    assert_eq!(outcomes, [Outcome::Passed; 3]);
    // The tag was taken out and is put back.
    assert_eq!(out[1].1, tagged);
}

#[test]
fn tags_are_beside_the_packet_for_tc() {
    let vm = machine();
    // vlan_present, vlan_tci, vlan_proto and the protocol behind the tag.
    let _tc = tcx(
        &vm,
        2,
        TcxDirection::Ingress,
        "tag",
        "r0 = 2\nr2 = *(u32 *)(r1 + 20)\nif r2 != 1 goto out\nr2 = *(u32 *)(r1 + 24)\n\
         if r2 != 0x2005 goto out\nr2 = *(u32 *)(r1 + 28)\nif r2 != 0x81 goto out\n\
         r2 = *(u32 *)(r1 + 16)\nif r2 != 8 goto out\nr2 = *(u32 *)(r1 + 0)\n\
         if r2 != 60 goto out\nr0 = 0\nout: exit",
    );
    let mut tagged = udp();
    tagged.splice(12..12, [0x81, 0, 0x20, 5]);
    let (outcomes, out, _) = feed(&vm, &[&tagged, &tagged[..16]]);
    assert_eq!(outcomes, [Outcome::Passed, Outcome::Dropped]);
    assert_eq!(out, [(None, tagged)]);
}

/// Programs of a chain see what those before have written, until one does not say "next".
#[test]
fn a_chain_of_tc_ends_where_it_says() {
    for (values, outcome, runs) in [
        ([-1, -1, -1], Outcome::Passed, [1, 1, 1]),
        ([-1, 0, 2], Outcome::Passed, [1, 1, 0]),
        ([-1, 2, 0], Outcome::Dropped, [1, 1, 0]),
        // What tcx does not know ends the chain, and the packet passes.
        ([3, 2, 2], Outcome::Passed, [1, 0, 0]),
        ([-1, -1, 2], Outcome::Dropped, [1, 1, 1]),
    ] {
        let vm = machine();
        let links: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(at, value)| {
                let text = format!(
                    "r0 = 2\nr2 = *(u32 *)(r1 + 8)\nif r2 != {at} goto out\nr2 += 1\n\
                     *(u32 *)(r1 + 8) = r2\nr0 = {value}\nout: exit"
                );
                tcx(&vm, 2, TcxDirection::Ingress, &format!("tc{at}"), &text)
            })
            .collect();
        let (outcomes, _, report) = feed(&vm, &[&udp()]);
        assert_eq!(outcomes, [outcome], "{values:?}");
        let counted = report.programs.iter().map(|program| {
            program
                .verdicts
                .iter()
                .map(|verdict| verdict.count)
                .sum::<u64>()
        });
        assert_eq!(counted.collect::<Vec<_>>(), runs, "{values:?}");
        drop(links);
    }
}

#[test]
fn one_cgroup_program_that_denies_is_enough() {
    let arp = {
        let mut frame = udp();
        frame[12..14].copy_from_slice(&[8, 6]);
        frame
    };
    for (values, outcome) in [
        ([1, 1], Outcome::Passed),
        ([1, 0], Outcome::Dropped),
        ([0, 1], Outcome::Dropped),
    ] {
        let vm = machine();
        let at = AttachType::CgroupInetIngress;
        let _links = values.map(|value| {
            // The packet begins with IP's header.
            let text = format!(
                "r6 = r1\nr2 = 0\nr3 = r10\nr3 += -8\nr4 = 1\ncall 26\nr2 = *(u8 *)(r10 - 8)\n\
                 r0 = 0\nif r2 != 0x45 goto out\nr0 = {value}\nout: exit"
            );
            cgroup(&vm, at, "cg", &text)
        });
        let (outcomes, out, report) = feed(&vm, &[&udp(), &arp]);
        // What is no IP packet comes to no such socket.
        assert_eq!(outcomes, [outcome, Outcome::Passed], "{values:?}");
        let allowed = report.verdicts(PacketHook::CgroupIngress, "allow");
        let denied = report.verdicts(PacketHook::CgroupIngress, "deny");
        assert_eq!(allowed + denied, 2, "all programs run");
        let whole = out.iter().all(|(_, bytes)| bytes.len() == 60);
        assert!(whole, "with its link-layer header");
    }
}

/// A packet for hooks of sending alone is sent; else it is received, whatever is there too.
#[test]
fn packets_are_sent_where_only_that_is_hooked() {
    let vm = machine();
    let _cgroup = cgroup(&vm, AttachType::CgroupInetEgress, "cg", "r0 = 3\nexit");
    let text = "r0 = 2\nr2 = *(u32 *)(r1 + 36)\nif r2 != 0 goto out\nr2 = *(u32 *)(r1 + 40)\n\
                if r2 != 2 goto out\nr0 = 0\nout: exit";
    let _tc = tcx(&vm, 2, TcxDirection::Egress, "tc", text);
    let (outcomes, out, report) = feed(&vm, &[&udp()]);
    assert_eq!(outcomes, [Outcome::Sent]);
    assert_eq!(out, [(Some(2), udp())]);
    let congested = report.verdicts(PacketHook::CgroupEgress, "allow, congested");
    assert_eq!(congested, 1);
    let _xdp = xdp(&vm, 2, "r0 = 2\nexit");
    assert_eq!(feed(&vm, &[&udp()]).0, [Outcome::Passed]);
    assert_eq!(feed_with(&vm, Way::Sent, &[&udp()]).0, [Outcome::Sent]);
}

#[test]
fn socket_filters_keep_copies() {
    let vm = machine();
    // The type of what is in the frame: the filter sees it from its first byte.
    let text = "r6 = r1\nr0 = *(u16 *)skb[12]\nif r0 != 0x800 goto none\nr0 = 42\nexit\nnone:\nr0 = 0\nexit";
    let _first = socket(&vm, 10, text);
    let mut arp = udp();
    arp[13] = 6;
    let (outcomes, out, report) = feed(&vm, &[&udp(), &arp]);
    assert_eq!(outcomes, [Outcome::Passed, Outcome::Dropped]);
    assert_eq!(out, [(None, udp()[..42].to_vec())]);
    assert_eq!(report.verdicts(PacketHook::Socket, "kept cut"), 1);
    assert_eq!(report.verdicts(PacketHook::Socket, "dropped"), 1);
    let _second = socket(&vm, 11, "r0 = 65535\nexit");
    let (outcomes, out, report) = feed(&vm, &[&udp(), &arp]);
    assert_eq!(outcomes, [Outcome::Passed; 2]);
    assert_eq!(out[0].1.len(), 60);
    assert_eq!(report.verdicts(PacketHook::Socket, "kept whole"), 2);
}

#[test]
fn redirects_of_tc_go_through_the_other_device() {
    let vm = machine();
    let to = |flags| format!("r1 = 3\nr2 = {flags}\ncall 23\nexit");
    let link = tcx(&vm, 2, TcxDirection::Ingress, "to", &to(0));
    let egress = tcx(&vm, 3, TcxDirection::Egress, "eg", "r0 = -1\nexit");
    let (outcomes, out, report) = feed(&vm, &[&udp()]);
    assert_eq!(
        (&outcomes[..], &out[..]),
        (&[Outcome::Sent][..], &[(Some(3), udp())][..])
    );
    assert_eq!(report.verdicts(PacketHook::Egress, "TC_ACT_UNSPEC"), 1);
    drop((link, egress));
    // Into the other device, whose XDP program sees it.
    let _link = tcx(&vm, 2, TcxDirection::Ingress, "to", &to(1));
    let text = "r2 = *(u32 *)(r1 + 12)\nr0 = 1\nif r2 != 3 goto out\nr0 = 2\nout: exit";
    let _xdp = xdp(&vm, 3, text);
    let (outcomes, _, report) = feed(&vm, &[&udp()]);
    assert_eq!(outcomes, [Outcome::Passed]);
    assert_eq!(report.verdicts(PacketHook::Xdp, "XDP_PASS"), 1);
}

#[test]
fn circles_end() {
    let vm = machine();
    let _there = tcx(
        &vm,
        2,
        TcxDirection::Ingress,
        "a",
        "r1 = 3\nr2 = 1\ncall 23\nexit",
    );
    let _back = tcx(
        &vm,
        3,
        TcxDirection::Ingress,
        "b",
        "r1 = 2\nr2 = 1\ncall 23\nexit",
    );
    let (outcomes, _, report) = feed(&vm, &[&udp()]);
    assert_eq!(outcomes, [Outcome::Dropped]);
    assert_eq!(report.loops, 1);
    let vm = machine();
    let text = "r2 = 2\nr3 = 1\ncall 13\nr0 = 0\nexit";
    let _clones = tcx(&vm, 2, TcxDirection::Ingress, "a", text);
    let (outcomes, _, report) = feed(&vm, &[&udp()]);
    assert_eq!(outcomes, [Outcome::Passed]);
    assert!(report.loops > 0 && report.copies > 1000);
}

#[test]
fn copies_go_their_own_way() {
    let vm = machine();
    let text = "r2 = 3\nr3 = 0\ncall 13\nr0 = 0\nexit";
    let _clones = tcx(&vm, 2, TcxDirection::Ingress, "a", text);
    let _egress = tcx(&vm, 3, TcxDirection::Egress, "e", "r0 = 0\nexit");
    let (outcomes, out, report) = feed(&vm, &[&udp()]);
    assert_eq!(outcomes, [Outcome::Passed]);
    assert_eq!(out, [(None, udp()), (Some(3), udp())]);
    assert_eq!(report.copies, 1);
    assert_eq!(report.verdicts(PacketHook::Egress, "TC_ACT_OK"), 1);
}

/// What a program had sent before it went wrong is on its way, and not the next packet's.
#[test]
fn copies_of_a_faulty_run_leave_with_their_packet() {
    let vm = machine();
    let text = "r6 = r1\n r7 = *(u32 *)(r1 + 0)\n if r7 < 100 goto out\n r2 = 3\n r3 = 0\n call 13
         r1 = 0\n r0 = *(u64 *)(r1 + 0)\n exit
         out: r0 = -1\n exit";
    let _clones = tcx(&vm, 2, TcxDirection::Ingress, "a", text);
    let mut long = udp();
    long.resize(200, 0);
    let (outcomes, out, report) = feed(&vm, &[&long, &udp()]);
    assert_eq!(outcomes, [Outcome::Faulted, Outcome::Passed]);
    assert_eq!(out, [(Some(3), long), (None, udp())]);
    assert_eq!(report.copies, 1);
}

/// Programs of maps' entries run, and decide.
#[test]
fn programs_in_maps_run() {
    for (map_type, attach, value, outcome) in [
        (MapType::Devmap, AttachType::XdpDevmap, 2, Outcome::Sent),
        (MapType::Devmap, AttachType::XdpDevmap, 1, Outcome::Dropped),
        (MapType::Devmap, AttachType::XdpDevmap, 3, Outcome::Dropped),
        (MapType::DevmapHash, AttachType::XdpDevmap, 2, Outcome::Sent),
        (MapType::Cpumap, AttachType::XdpCpumap, 2, Outcome::Passed),
        (MapType::Cpumap, AttachType::XdpCpumap, 1, Outcome::Dropped),
    ] {
        let vm = machine();
        // The entry's device is where the packet goes to.
        let device = if map_type == MapType::Cpumap { 0 } else { 3 };
        let text = format!(
            "r0 = 1\nr2 = *(u32 *)(r1 + 12)\nif r2 != 2 goto out\nr2 = *(u32 *)(r1 + 20)\n\
             if r2 != {device} goto out\nr2 = *(u32 *)(r1 + 0)\nr3 = *(u8 *)(r2 + 0)\nr3 += 1\n\
             *(u8 *)(r2 + 0) = r3\nr0 = {value}\nout: exit"
        );
        let there = load_for(&vm, ProgramType::Xdp, Some(attach), "there", &text);
        let request = MapCreate::new(map_type, "targets", 4, 8, 1);
        let map = vm.map_create(&request).expect("a map");
        let entry = [3_u32.to_ne_bytes(), there.raw().to_ne_bytes()].concat();
        vm.map_update_elem(&map, &0_u32.to_ne_bytes(), &entry, 0)
            .expect("an entry");
        let text = format!("r1 = map[fd:{}]\nr2 = 0\nr3 = 0\ncall 51\nexit", map.raw());
        let _xdp = xdp(&vm, 2, &text);
        let (outcomes, out, report) = feed(&vm, &[&udp(), &udp()]);
        assert_eq!(outcomes, [outcome; 2], "{map_type:?} {value}");
        let hook = match map_type {
            MapType::Cpumap => PacketHook::Cpumap,
            _ => PacketHook::Devmap,
        };
        let name = ["", "XDP_DROP", "XDP_PASS", "XDP_TX"][value];
        assert_eq!(report.verdicts(hook, name), 2);
        assert!(out.iter().all(|(_, bytes)| bytes[0] == 3));
        assert_eq!(out.is_empty(), outcome == Outcome::Dropped);
    }
}

#[test]
fn broadcasts_go_to_all_but_where_they_came_from() {
    let vm = machine();
    let request = MapCreate::new(MapType::Devmap, "all", 4, 4, 4);
    let map = vm.map_create(&request).expect("a map");
    for (key, device) in [(0_u32, 1_u32), (1, 2), (2, 3)] {
        vm.map_update_elem(&map, &key.to_ne_bytes(), &device.to_ne_bytes(), 0)
            .expect("an entry");
    }
    let text = format!("r1 = map[fd:{}]\nr2 = 0\nr3 = 24\ncall 51\nexit", map.raw());
    let _xdp = xdp(&vm, 2, &text);
    let (outcomes, out, report) = feed(&vm, &[&udp()]);
    assert_eq!(outcomes, [Outcome::Sent]);
    assert_eq!(out, [(Some(1), udp()), (Some(3), udp())]);
    assert_eq!(report.copies, 1);
}

#[test]
fn frames_that_a_device_does_not_take_are_dropped() {
    let vm = machine();
    let _xdp = xdp(&vm, 2, "r1 = 3\nr2 = 0\ncall 23\nexit");
    let mut long = udp();
    long.resize(1519, 0);
    let (outcomes, ..) = feed(&vm, &[&long[..1518], &long]);
    assert_eq!(outcomes, [Outcome::Sent, Outcome::Dropped]);
}

#[test]
fn faults_are_counted_and_the_first_kept() {
    let vm = machine();
    let _xdp = xdp(
        &vm,
        2,
        "r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 60)\nr0 = 2\nexit",
    );
    let mut long = udp();
    long.push(0);
    let frames: Vec<&[u8]> = (0..100)
        .map(|at| if at % 2 == 0 { &long[..60] } else { &long[..] })
        .collect();
    let (_, _, report) = feed(&vm, &frames);
    assert_eq!(report.count(Outcome::Faulted), 50);
    assert_eq!(report.count(Outcome::Passed), 50);
    assert_eq!(report.programs[0].faults, 50);
    assert_eq!(report.faults.len(), 16);
    assert_eq!(report.faults[1].packet, 3);
    let said = report.faults[0].fault.to_string();
    assert!(said.contains("program `xdp`, instruction 1"), "{said}");
}

/// A program is told the capture's time, and runs on it give the same every time.
#[test]
fn the_clock_follows_the_capture() {
    let clock = Clock::manual(Duration::from_secs(1));
    let mut config = Config::checked();
    config.clock = clock.clone();
    let vm = Vm::with(config).expect("a machine");
    let mut network = Network::default();
    network.devices.push(Device::new(2, "in", [2; 6]));
    vm.set_network(network).expect("memory");
    // The time in the packet's first bytes.
    let _xdp = xdp(
        &vm,
        2,
        "r6 = *(u32 *)(r1 + 0)\ncall 5\n*(u64 *)(r6 + 0) = r0\nr0 = 2\nexit",
    );
    let times = [
        2_000_000_000_u64,
        2_000_000_007,
        1_999_999_999,
        3_000_000_000,
    ];
    let mut writer = Writer::new(Vec::new(), Format::PcapNg).expect("written");
    for time in times {
        writer.write(&Record::new(time, &udp())).expect("written");
    }
    let file = writer.finish().expect("written");
    let mut options = FeedOptions::new(2);
    options.keep_outputs = true;
    let (seen, report) = vm
        .feed(&options, |feed| {
            let mut capture = Capture::new(&file[..]).expect("a capture");
            let mut seen = Vec::new();
            let count = feed.capture::<_, skep_vm::capture::CaptureError>(
                &mut capture,
                u64::MAX,
                |feed, _, _| {
                    let outputs = feed.outputs();
                    seen.extend(outputs.map(|output| {
                        u64::from_ne_bytes(*output.bytes.first_chunk().expect("a packet"))
                    }));
                    Ok(())
                },
            );
            assert_eq!(count.expect("no error"), 4);
            (seen, feed.report())
        })
        .expect("a device");
    assert_eq!(seen, [times[0], times[1], times[1], times[3]]);
    assert_eq!(report.backwards, 1);
}
