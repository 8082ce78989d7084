//! Captures of all kinds, whole, cut and damaged.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "tests"
)]

use super::*;

/// A number in one order or the other.
fn u32s(big: bool, words: &[u32]) -> Vec<u8> {
    let words = words.iter().flat_map(|word| match big {
        true => word.to_be_bytes(),
        false => word.to_le_bytes(),
    });
    words.collect()
}

fn u16s(big: bool, words: &[u16]) -> Vec<u8> {
    let words = words.iter().flat_map(|word| match big {
        true => word.to_be_bytes(),
        false => word.to_le_bytes(),
    });
    words.collect()
}

fn pcap(big: bool, magic: u32, link: u32, packets: &[(u32, u32, &[u8], u32)]) -> Vec<u8> {
    let mut file = u32s(big, &[magic]);
    file.extend(u16s(big, &[2, 4]));
    file.extend(u32s(big, &[0, 0, 65535, link]));
    for (seconds, part, bytes, original) in packets {
        file.extend(u32s(big, &[*seconds, *part, bytes.len() as u32, *original]));
        file.extend_from_slice(bytes);
    }
    file
}

fn block(big: bool, kind: u32, content: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    content.resize(content.len().next_multiple_of(4), 0);
    let len = content.len() as u32 + 12;
    [u32s(big, &[kind, len]), content, u32s(big, &[len])].concat()
}

fn section(big: bool) -> Vec<u8> {
    let content = [u32s(big, &[0x1a2b_3c4d]), u16s(big, &[1, 0]), vec![0xff; 8]];
    block(big, 0x0a0d_0d0a, &content.concat())
}

fn interface(big: bool, link: u16, snap: u32, options: &[u8]) -> Vec<u8> {
    let content = [u16s(big, &[link, 0]), u32s(big, &[snap]), options.to_vec()];
    block(big, 1, &content.concat())
}

fn enhanced(big: bool, number: u32, time: u64, bytes: &[u8], original: u32) -> Vec<u8> {
    let head = [
        number,
        (time >> 32) as u32,
        time as u32,
        bytes.len() as u32,
        original,
    ];
    let mut content = u32s(big, &head);
    content.extend_from_slice(bytes);
    block(big, 6, &content)
}

/// What is left of a packet to be compared.
type Seen = (u64, Vec<u8>, u32, u32, u32);

fn read(file: &[u8]) -> (Vec<Seen>, Option<String>) {
    let mut seen = Vec::new();
    let mut capture = match Capture::new(file) {
        Ok(capture) => capture,
        Err(error) => return (seen, Some(error.to_string())),
    };
    loop {
        match capture.next() {
            Ok(Some(packet)) => seen.push((
                packet.timestamp,
                packet.bytes.to_vec(),
                packet.original_len,
                packet.link.0,
                packet.interface,
            )),
            Ok(None) => return (seen, None),
            Err(error) => {
                let said = error.to_string();
                assert!(matches!(capture.next(), Ok(None)), "an error is the end");
                return (seen, Some(said));
            }
        }
    }
}

#[test]
fn pcap_of_both_orders_and_units() {
    for big in [false, true] {
        for (magic, unit) in [(0xa1b2_c3d4, 1000), (0xa1b2_3c4d, 1)] {
            let file = pcap(big, magic, 1, &[(7, 5, b"abc", 3), (8, 6, b"", 1500)]);
            let seen = vec![
                (7_000_000_000 + 5 * unit, b"abc".to_vec(), 3, 1, 0),
                (8_000_000_000 + 6 * unit, vec![], 1500, 1, 0),
            ];
            assert_eq!(read(&file), (seen, None));
        }
    }
}

#[test]
fn pcapng_of_both_orders_with_several_interfaces() {
    for big in [false, true] {
        let nine = [u16s(big, &[9, 1]), vec![9, 0, 0, 0], vec![0; 4]].concat();
        let two = [u16s(big, &[9, 1]), vec![0x8a, 0, 0, 0]].concat();
        let later = match big {
            true => u32s(big, &[0, 100]),
            false => u32s(big, &[100, 0]),
        };
        let shifted = [u16s(big, &[14, 8]), later].concat();
        let simple = [u32s(big, &[9]), b"sim".to_vec()].concat();
        let old = [
            u16s(big, &[1, 0]),
            u32s(big, &[0, 1, 3, 60]),
            b"old".to_vec(),
        ]
        .concat();
        let file = [
            section(big),
            interface(big, 1, 3, &[]),
            interface(big, 101, 0, &nine),
            // A comment's block, and one of a vendor's.
            block(big, 5, &[0; 20]),
            enhanced(big, 0, 2_000_001, b"first", 5),
            block(big, 0x8000_0001, &[1, 2, 3]),
            enhanced(big, 1, 77, b"second", 600),
            block(big, 3, &simple),
            block(big, 2, &old),
            // A section of the other order has interfaces of its own.
            section(!big),
            interface(!big, 113, 0, &[]),
            enhanced(!big, 0, 1, b"x", 1),
            section(big),
            interface(big, 1, 0, &two),
            interface(big, 1, 0, &shifted),
            enhanced(big, 0, 1024 + 512, b"y", 1),
            enhanced(big, 1, 5, b"z", 1),
        ];
        let seen = vec![
            (2_000_001_000, b"first".to_vec(), 5, 1, 0),
            (77, b"second".to_vec(), 600, 101, 1),
            (0, b"sim".to_vec(), 9, 1, 0),
            (1, b"old".to_vec(), 60, 101, 1),
            (1000, b"x".to_vec(), 1, 113, 0),
            (1_500_000_000, b"y".to_vec(), 1, 1, 0),
            (100_000_005_000, b"z".to_vec(), 1, 1, 1),
        ];
        assert_eq!(read(&file.concat()), (seen, None));
    }
}

#[test]
fn what_is_written_is_read() {
    let long = vec![7; 70_000];
    let packets: [(u64, &[u8], u32); 4] = [
        (1_700_000_000_123_456_789, b"one", 3),
        (1_700_000_000_123_456_790, &long, 70_000),
        (u64::from(u32::MAX) * 1_000_000_000, b"", 0),
        (5, b"four5", 60),
    ];
    for (format, unit) in [
        (Format::Pcap, 1000),
        (Format::PcapNanoseconds, 1),
        (Format::PcapNg, 1),
    ] {
        let mut writer = Writer::new(Vec::new(), format).unwrap();
        for (time, bytes, original_len) in packets {
            let mut record = Record::new(time, bytes);
            record.original_len = original_len;
            writer.write(&record).unwrap();
        }
        assert_eq!(writer.count(), 4);
        let file = writer.finish().unwrap();
        assert_eq!(Capture::new(&file[..]).unwrap().format(), format);
        let seen = packets
            .map(|(time, bytes, original)| (time / unit * unit, bytes.to_vec(), original, 1, 0));
        assert_eq!(read(&file), (seen.to_vec(), None));
    }
}

/// Wherever a file ends, all packets that are whole come first, and then where it broke off.
#[test]
fn a_file_that_is_cut_gives_what_is_whole() {
    let pcap = pcap(
        false,
        0xa1b2_c3d4,
        1,
        &[(7, 5, b"abcd", 4), (8, 6, b"efgh", 4)],
    );
    let pcapng = [
        section(false),
        interface(false, 1, 0, &[]),
        enhanced(false, 0, 1, b"abcd", 4),
        enhanced(false, 0, 2, b"efgh", 4),
    ]
    .concat();
    for (file, ends) in [(pcap, vec![24, 44, 64]), (pcapng, vec![28, 48, 84, 120])] {
        assert_eq!(file.len(), *ends.last().unwrap());
        for len in 0..file.len() {
            let (seen, error) = read(&file[..len]);
            let packets = &ends[ends.len() - 2..];
            let whole = packets.iter().filter(|end| **end <= len).count();
            assert_eq!(seen.len(), whole, "{len}");
            assert_eq!(error.is_some(), !ends.contains(&len), "{len}: {error:?}");
        }
    }
}

#[test]
fn errors_say_where_and_what() {
    let good = pcap(true, 0xa1b2_c3d4, 1, &[(7, 5, b"abc", 3)]);
    let check = |file: &[u8], packets: usize, said: &str| {
        let (seen, error) = read(file);
        assert_eq!(seen.len(), packets);
        assert_eq!(error.as_deref(), Some(said));
    };
    check(
        &good[..42],
        0,
        "the file ends in a packet: 19 bytes expected, 18 there at byte 24",
    );
    let mut long = good.clone();
    long.extend(u32s(true, &[0, 0, 0xffff_ffff, 9]));
    check(
        &long,
        1,
        "a packet's length is 4294967295: at most 16 MiB expected at byte 51",
    );
    check(
        b"GET / HTTP/1.1\r\n\r\n........",
        0,
        "no capture: a pcap or pcapng file expected, this begins with 47 45 54 20 at byte 0",
    );
    check(
        &[0x1f, 0x8b, 8, 0, 0],
        0,
        "no capture: a pcap or pcapng file expected, this begins with 1f 8b 08 00, which is \
         packed: unpack it with `gzip -d`; at byte 0",
    );
    check(
        &[section(true), enhanced(true, 3, 0, b"abc", 3)].concat(),
        0,
        "a packet's interface is 3: one that was described before expected at byte 36",
    );
    let mut odd = [
        section(true),
        interface(true, 1, 0, &[]),
        enhanced(true, 0, 0, b"abc", 3),
    ]
    .concat();
    let last = odd.len() - 1;
    odd[last] ^= 4;
    check(
        &odd,
        0,
        "the length at the end of a block is 32: the same as at its begin expected at byte 80",
    );
    odd[55] = 2;
    check(
        &odd,
        0,
        "a block's length is 2: a multiple of 4 that holds the block expected at byte 52",
    );
}

/// Bytes with headers of several kinds become Ethernet frames.
#[test]
fn other_links_become_ethernet() {
    let v4 = [0x45, 0, 0, 20];
    let device = [2, 0, 0, 0, 0, 1];
    let frame = |link: LinkType, bytes: &[u8]| {
        let mut buffer = Ethernet::default();
        link.ethernet(bytes, device, &mut buffer)
            .map(<[u8]>::to_vec)
    };
    let made = |to: [u8; 6], from: [u8; 6], kind: u16| {
        Some([&to[..], &from, &kind.to_be_bytes(), &v4].concat())
    };
    assert_eq!(frame(LinkType::RAW, &v4), made(device, [0; 6], 0x800));
    assert_eq!(frame(LinkType::RAW, &[0x15]), None);
    assert_eq!(frame(LinkType::RAW, &[]), None);
    let null = [&[2, 0, 0, 0], &v4[..]].concat();
    assert_eq!(frame(LinkType::NULL, &null), made(device, [0; 6], 0x800));
    let looped = [&[0, 0, 0, 30], &v4[..]].concat();
    assert_eq!(frame(LinkType::LOOP, &looped), made(device, [0; 6], 0x86dd));
    let peer = [9, 8, 7, 6, 5, 4];
    for (kind, to) in [(0_u16, device), (1, [0xff; 6]), (4, [0; 6])] {
        let head = [kind.to_be_bytes(), [0, 1], [0, 6]].concat();
        let sll = [&head[..], &peer, &[0, 0], &[8, 6], &v4].concat();
        assert_eq!(frame(LinkType::LINUX_SLL, &sll), made(to, peer, 0x806));
        let head = [8, 6, 0, 0, 0, 0, 0, 3, 0, 1, kind as u8, 6];
        let sll2 = [&head[..], &peer, &[0, 0], &v4].concat();
        assert_eq!(frame(LinkType::LINUX_SLL2, &sll2), made(to, peer, 0x806));
    }
    assert!(!LinkType(127).is_supported());
    assert_eq!(LinkType(127).to_string(), "802.11 radiotap (link type 127)");
}
