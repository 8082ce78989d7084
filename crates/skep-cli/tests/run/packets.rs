//! `skep run --pcap`, `--out` and `--tap`: what becomes of packets, and what is said of bad files.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use skep::vm::capture::{Capture, Format, Record, Writer};
use skep_testing::{Outcome, Stop, Test, ensure, find_tool};
use tempfile::TempDir;

use crate::support::{Language, example, in_both, run, source};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = in_both! {
        "packets::";
        a_capture_is_counted counted;
        hooks_of_sending_send sending;
        a_command_pings_in_its_own_network tap;
    };
    tests.extend([
        Test::new("packets::what_passes_is_written", written),
        Test::new("packets::json_has_verdicts_and_outcomes", json),
        Test::new("packets::a_cut_capture_is_used_as_far_as_it_goes", cut),
        Test::new("packets::what_is_no_capture_is_refused", refused),
        Test::new("packets::captures_of_tcpdump_are_read", tcpdump),
    ]);
    tests
}

/// A frame of UDP to a port, or of another protocol.
fn frame(protocol: u8, port: u16, len: usize) -> Vec<u8> {
    let mut frame = vec![0; len];
    frame[12..15].copy_from_slice(&[8, 0, 0x45]);
    frame[23] = protocol;
    frame[26..34].copy_from_slice(&[10, 0, 0, 2, 10, 0, 0, 1]);
    frame[36..38].copy_from_slice(&port.to_be_bytes());
    frame
}

/// A capture of `frames`, a microsecond apart.
fn capture(folder: &TempDir, name: &str, frames: &[Vec<u8>]) -> Outcome<PathBuf> {
    let path = folder.path().join(name);
    let format = Format::of_path(&path).unwrap_or(Format::Pcap);
    let mut writer = Writer::new(File::create(&path)?, format)?;
    for (number, bytes) in frames.iter().enumerate() {
        let time = 1_700_000_000_000_000_000 + number as u64 * 1000;
        writer.write(&Record::new(time, bytes))?;
    }
    writer.finish()?;
    Ok(path)
}

/// Ten of UDP and five of TCP.
fn mixed() -> Vec<Vec<u8>> {
    let udp = (0..10).map(|port| frame(17, 50 + port, 60));
    udp.chain((0..5).map(|_| frame(6, 80, 100))).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

fn counted(of: Language) -> Outcome {
    let folder = tempfile::tempdir()?;
    for name in ["in.pcap", "in.pcapng"] {
        let file = capture(&folder, name, &mixed())?;
        run(&of.example("xdp_count"), &["--pcap", text(&file)])?
            .ended_with(0)?
            .saying(&["host: vm (--pcap)", "15 packets: 15 passed"])?
            .with_row(&["xdp", "count", "XDP_PASS", "15"])?
            .with_row(&["udp", "10", "600"])?
            .with_row(&["tcp", "5", "500"])?;
    }
    Ok(())
}

/// Packets of a file: times in nanoseconds and bytes.
fn read(path: &Path) -> Outcome<Vec<(u64, Vec<u8>)>> {
    let mut capture = Capture::new(File::open(path)?)?;
    let mut all = Vec::new();
    while let Some(packet) = capture.next()? {
        all.push((packet.timestamp, packet.bytes.to_vec()));
    }
    Ok(all)
}

/// Some are dropped, some changed and sent, some seen by tc behind that, and one is a fault.
fn written() -> Outcome {
    let folder = tempfile::tempdir()?;
    let mut frames = mixed();
    frames.push(frame(17, 1, 42));
    let file = capture(&folder, "in.pcap", &frames)?;
    let out = folder.path().join("out.pcapng");
    run(
        &source("packets.bpf.c"),
        &["--pcap", text(&file), "--out", text(&out), "--checked"],
    )?
    .ended_with(0)?
    .saying(&[
        "16 packets: 11 passed, 2 sent, 2 dropped, 1 faulted",
        "13 written to",
        "a run ended with a fault",
        "fault: packet 16, xdp: program `front`, instruction",
    ])?
    .with_row(&["xdp", "front", "XDP_DROP", "1"])?
    .with_row(&["xdp", "front", "XDP_TX", "2"])?
    .with_row(&["xdp", "front", "XDP_PASS", "12"])?
    .with_row(&["xdp", "front", "fault", "1"])?
    .with_row(&["tcx/ingress", "behind", "TC_ACT_SHOT", "1"])?
    .with_row(&["tcx/ingress", "behind", "TC_ACT_OK", "11"])?
    // The time that the program is told is the packet's, in microseconds since the first.
    .with_row(&["53", "3"])?;
    let left = read(&out)?;
    let sent = left.iter().filter(|(_, bytes)| bytes[0] == 0xee);
    let times: Vec<u64> = sent.map(|(time, _)| time % 1_000_000).collect();
    ensure(left.len() == 13 && times == [1000, 2000], || {
        format!("{} packets, sent at {times:?}", left.len())
    })
}

fn json() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = capture(&folder, "in.pcap", &mixed())?;
    let ran = run(
        &example("xdp_count"),
        &["--pcap", text(&file), "--format", "json"],
    )?
    .ended_with(0)?;
    let rows = ran.json()?;
    let verdict = serde_json::json!({
        "hook": "xdp", "program": "count", "verdict": "XDP_PASS", "value": 2, "packets": 15,
    });
    ensure(rows.contains(&verdict), || format!("no {verdict} in {ran}"))?;
    let outcomes = rows.iter().find(|row| row["passed"] == 15);
    ensure(outcomes.is_some_and(|row| row["dropped"] == 0), || {
        format!("no outcomes in {ran}")
    })
}

fn sending(of: Language) -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = capture(&folder, "in.pcap", &mixed())?;
    run(&of.example("cgroup_egress"), &["--pcap", text(&file)])?
        .ended_with(0)?
        .saying(&["15 packets: 15 sent"])?
        .with_row(&["cgroup_skb/egress", "meter", "allow", "15"])?
        .with_row(&["10.0.0.1", "80", "6", "5"])?;
    Ok(())
}

fn cut() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = capture(&folder, "in.pcap", &mixed())?;
    let bytes = fs::read(&file)?;
    let short = folder.path().join("short.pcap");
    fs::write(&short, &bytes[..24 + 3 * 76 + 40])?;
    run(&example("xdp_count"), &["--pcap", text(&short)])?
        .ended_with(1)?
        .saying(&[
            "3 packets: 3 passed",
            "further: the file ends in a packet: 76 bytes expected, 40 there at byte 252",
        ])?
        .with_row(&["xdp", "count", "XDP_PASS", "3"])?
        .with_row(&["udp", "3", "180"])?;
    Ok(())
}

fn refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = capture(&folder, "in.pcap", &mixed())?;
    let (file, count) = (text(&file), example("xdp_count"));
    let count_file = text(&count).to_owned();
    run(&count, &["--pcap", &count_file])?
        .ended_with(1)?
        .saying(&["no capture: a pcap or pcapng file expected"])?;
    run(&count, &["--pcap", file, "--out", file])?
        .ended_with(2)?
        .saying(&["--out is the file that --pcap reads"])?;
    run(&count, &["--pcap", file, "--host", "kernel"])?
        .ended_with(2)?
        .saying(&["--pcap is for the virtual machine"])?;
    run(&example("opensnoop"), &["--pcap", file])?
        .ended_with(2)?
        .saying(&["none of these programs sees packets"])?;
    // 802.11: nothing can be made of it.
    let mut bytes = fs::read(file)?;
    bytes[20..24].copy_from_slice(&105_u32.to_ne_bytes());
    let other = folder.path().join("wifi.pcap");
    fs::write(&other, &bytes)?;
    run(&count, &["--pcap", text(&other)])?
        .ended_with(1)?
        .saying(&["packets of 802.11 (link type 105): Ethernet, raw IP"])?;
    Ok(())
}

/// What it can't have here is told, with what helps.
fn tap(of: Language) -> Outcome {
    let folder = tempfile::tempdir()?;
    let ping = skep_testing::compile_native(&source("ping.c"), folder.path())?;
    let ran = run(
        &of.example("xdp_echo"),
        &["--tap", "--", text(&ping), "10.7.0.9"],
    )?;
    if ran.stderr.contains("fix:") && ran.stderr.contains("--tap") {
        return Err(Stop::lacks("a TAP device in a namespace of a user's own"));
    }
    ran.ended_with(7)?
        .printing(&["answer 0\nanswer 1\nanswer 2\n"])?
        .saying(&["host: vm (--tap)", "4 packets: 4 sent"])?
        .with_row(&["xdp", "echo", "XDP_TX", "4"])?
        .with_row(&["10.7.0.9", "3"])?;
    Ok(())
}

/// One that tcpdump wrote, of packets of this machine's own, if it is there.
fn tcpdump() -> Outcome {
    let tcpdump = find_tool("tcpdump")?;
    let folder = tempfile::tempdir()?;
    let file = capture(&folder, "in.pcap", &mixed())?;
    let again = folder.path().join("again.pcap");
    let status = std::process::Command::new(tcpdump)
        .args(["-r", text(&file), "-w", text(&again), "tcp"])
        .status()?;
    ensure(status.success(), || format!("tcpdump: {status}"))?;
    run(&example("xdp_count"), &["--pcap", text(&again)])?
        .ended_with(0)?
        .with_row(&["tcp", "5", "500"])?;
    Ok(())
}
