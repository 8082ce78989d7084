//! Packets through programs in Rust, one run at a time.

use skep::boundary::TestRun;
use skep_testing::{Outcome, Test, ensure, needs_kernel};

use super::{Running, running};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("rust_hooks::headers_are_read_and_written", echo),
        Test::new("rust_hooks::packets_end_where_they_end", cut),
        Test::new("rust_hooks::tags_are_gone_through", vlans),
        Test::new("rust_hooks::bytes_are_reached_by_a_number", pointed),
        Test::new("rust_hooks::packets_are_reshaped", shaped),
        Test::new("rust_hooks::addresses_are_translated", translated),
        Test::new("rust_hooks::flows_are_dissected", dissected),
    ]
}

/// What a program says of a packet, and the packet afterwards.
fn run(running: &Running, program: &str, packet: &[u8]) -> Outcome<(u32, Vec<u8>)> {
    let mut after = vec![0; packet.len() + 64];
    let outcome = running.loaded.program(program)?.test_run(&mut TestRun {
        data_in: packet,
        data_out: &mut after,
        ..TestRun::default()
    })?;
    after.truncate(outcome.data_out_size as usize);
    Ok((outcome.return_value, after))
}

/// The sum that the Internet's checksums are made of.
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)));
    let sum = words.sum::<u32>();
    let sum = (sum >> 16) + (sum & 0xffff);
    (sum >> 16) + (sum & 0xffff)
}

/// An Ethernet frame with UDP to a port, from 10.0.0.1 to 10.0.0.9, with so many words of options.
fn udp(port: u16, options: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    let start = frame.len();
    let data = b"twelve bytes";
    let header = 20 + usize::from(options) * 4;
    let length = (header + 8 + data.len()) as u16;
    frame.extend([0x45 + options, 0]);
    frame.extend(length.to_be_bytes());
    frame.extend([0, 1, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 9]);
    frame.extend(std::iter::repeat_n(1, header - 20));
    let checksum = !(sum(&frame[start..]) as u16);
    frame[start + 10..start + 12].copy_from_slice(&checksum.to_be_bytes());
    let at = frame.len();
    frame.extend(4000_u16.to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.extend((8 + data.len() as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(data);
    let checksum = udp_checksum(&frame, start, at);
    frame[at + 6..at + 8].copy_from_slice(&checksum.to_be_bytes());
    frame
}

/// What UDP's checksum is to be; 0 if it is right.
fn udp_checksum(frame: &[u8], ip: usize, at: usize) -> u16 {
    let length = (frame.len() - at) as u16;
    let pseudo = [&frame[ip + 12..ip + 20], &[0, 17], &length.to_be_bytes()].concat();
    !(sum(&[&pseudo, &frame[at..]].concat()) as u16)
}

const PASS: u32 = 2;
const TX: u32 = 3;

fn echo() -> Outcome {
    let running = running("xdp", &["echo"])?;
    for options in [0, 3, 10] {
        let packet = udp(7, options);
        let (action, after) = run(&running, "echo", &packet)?;
        ensure(action == TX, || format!("{options} options: {action}"))?;
        let header = 20 + usize::from(options) * 4;
        // The header's checksum, with which its sum is complete.
        ensure(sum(&after[14..14 + header]) == 0xffff, || {
            format!("{after:x?}")
        })?;
        ensure(after[22] == 63, || format!("TTL {}", after[22]))?;
        let swapped = after[..6] == packet[6..12]
            && after[6..12] == packet[..6]
            && after[26..30] == packet[30..34]
            && after[30..34] == packet[26..30]
            && after[14 + header..][..4] == [0, 7, 0x0f, 0xa0];
        ensure(swapped, || format!("{after:x?}"))?;
        ensure(udp_checksum(&after, 14, 14 + header) == 0, || {
            "UDP's checksum".into()
        })?;
    }
    let (action, after) = run(&running, "echo", &udp(8, 0))?;
    ensure(action == PASS && after == udp(8, 0), || format!("{action}"))
}

/// Nothing of a packet's end is taken for a header, wherever it is cut.
fn cut() -> Outcome {
    let running = running("xdp", &["echo"])?;
    let packet = udp(7, 4);
    for length in 14..packet.len() {
        let (action, after) = run(&running, "echo", &packet[..length])?;
        let whole = length >= 14 + 36 + 8;
        let right = match whole {
            true => action == TX,
            false => action == PASS && after == packet[..length],
        };
        ensure(right, || format!("{length} bytes: {action}, {after:x?}"))?;
    }
    // A header that says it is shorter than it is.
    let mut short = packet.clone();
    short[14] = 0x44;
    let (action, _) = run(&running, "echo", &short)?;
    ensure(action == PASS, || format!("{action}"))
}

fn vlans() -> Outcome {
    let running = running("xdp", &["vlans"])?;
    for tags in 0..4 {
        let mut packet = vec![0; 12];
        for _ in 0..tags {
            packet.extend([0x81, 0, 0, 7]);
        }
        packet.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 58, 64]);
        packet.extend([0; 32]);
        packet.extend([128, 0, 0, 0, 0, 1, 0, 1]);
        let (action, _) = run(&running, "vlans", &packet)?;
        let wanted = if tags <= 2 { 1 } else { PASS };
        ensure(action == wanted, || format!("{tags} tags: {action}"))?;
    }
    Ok(())
}

fn pointed() -> Outcome {
    let running = running("xdp", &["pointed"])?;
    let mut packet: Vec<u8> = (0..100).collect();
    for (at, wanted) in [(20, PASS), (98, PASS), (99, 1), (100, 1), (255, 1)] {
        packet[14] = at;
        let (action, after) = run(&running, "pointed", &packet)?;
        ensure(action == wanted, || format!("{at}: {action}"))?;
        if action == PASS {
            let sum = after[usize::from(at) + 1];
            ensure(sum == 2 * at + 1, || format!("{at}: {sum}"))?;
        }
    }
    Ok(())
}

fn shaped() -> Outcome {
    needs_kernel(5, 18)?; // the length over fragments
    let running = running("xdp", &["shape", "copied", "redirected"])?;
    let packet = udp(9, 0);
    let (action, after) = run(&running, "shape", &packet)?;
    ensure(action == PASS, || format!("{action}"))?;
    // The metadata comes first.
    let wanted = [&[1, 2, 3, 4], &[9; 4], &packet[..packet.len() - 2]].concat();
    ensure(after == wanted, || format!("{after:x?}"))?;
    let mut long = packet.clone();
    long.resize(64, 0);
    let (action, after) = run(&running, "copied", &long)?;
    ensure(action == TX && after[..6] == long[6..12], || {
        format!("{action}: {after:x?}")
    })?;
    let (action, _) = run(&running, "copied", &packet)?;
    ensure(action == PASS, || format!("{action}"))?;
    let (action, _) = run(&running, "redirected", &packet)?;
    ensure(action == 4, || format!("{action}"))
}

fn translated() -> Outcome {
    let running = running("skb", &["translate"])?;
    let packet = udp(7, 0);
    let (action, after) = run(&running, "translate", &packet)?;
    ensure(action == 0, || format!("{action}"))?;
    ensure(
        after[30..34] == [10, 0, 0, 2] && after[36..38] == [0, 9],
        || format!("{after:x?}"),
    )?;
    ensure(sum(&after[14..34]) == 0xffff, || {
        "the header's checksum".into()
    })?;
    ensure(udp_checksum(&after, 14, 34) == 0, || {
        "UDP's checksum".into()
    })?;
    let (action, after) = run(&running, "translate", &udp(8, 0))?;
    ensure(action == 0 && after == udp(8, 0), || {
        format!("{action}: {after:x?}")
    })
}

/// `struct bpf_flow_keys` is what a run of a dissector gives.
fn dissected() -> Outcome {
    needs_kernel(6, 1)?; // before, a run tells whether it was dissected, not the verdict
    let running = running("skb", &["dissect"])?;
    let (verdict, keys) = run(&running, "dissect", &udp(7, 0))?;
    ensure(verdict == 0, || format!("{verdict}"))?;
    ensure(
        keys[..4] == [14, 0, 34, 0] && keys[9] == 17 && keys[10..12] == [8, 0],
        || format!("{keys:x?}"),
    )
}
