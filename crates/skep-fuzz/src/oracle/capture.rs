//! Captures: both formats, in both byte orders.

use std::io::Read;

use skep_vm::capture::{Capture, Ethernet, Format, Record, Writer};

/// One of each format that is written, one of the other byte order, and blocks of all kinds.
pub(crate) fn captures() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for format in [Format::Pcap, Format::PcapNanoseconds, Format::PcapNg] {
        let mut writer = Writer::new(Vec::new(), format).expect("memory");
        for len in [60, 0, 1, 300] {
            let record = Record::new(1_700_000_000_000_000_000, &[0x45; 300][..len]);
            writer.write(&record).expect("memory");
        }
        all.push(writer.finish().expect("memory"));
    }
    all.push(swapped());
    all.push(blocks());
    all
}

/// pcap of the other byte order, of raw IP.
fn swapped() -> Vec<u8> {
    let words = [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 65535, 101, 7, 8, 4, 9];
    let bytes = words
        .iter()
        .flat_map(|word| word.swap_bytes().to_ne_bytes());
    bytes.chain([0x45, 0, 0, 4]).collect()
}

/// pcapng with two interfaces, one with options, and a packet of each kind.
fn blocks() -> Vec<u8> {
    let block = |kind: u32, words: &[u32]| {
        let len = words.len() as u32 * 4 + 12;
        let all = [kind, len]
            .into_iter()
            .chain(words.iter().copied())
            .chain([len]);
        all.flat_map(u32::to_le_bytes).collect::<Vec<_>>()
    };
    [
        block(0x0a0d_0d0a, &[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]),
        block(1, &[1, 64, 9 | 1 << 16, 9, 14 | 8 << 16, 5, 0, 0]),
        block(1, &[113, 0, 9 | 1 << 16, 0x8a]),
        block(6, &[0, 1, 2, 8, 60, 3, 4]),
        block(5, &[0, 1, 2]),
        block(2, &[1, 1, 2, 4, 4, 5]),
        block(3, &[8, 6, 7]),
        block(0x0a0d_0d0a, &[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]),
        block(1, &[276, 0]),
        block(6, &[0, 1, 2, 24, 24, 8, 0, 0, 0, 0, 0]),
    ]
    .concat()
}

/// Gives bytes in pieces, so that packets stand over the edges of what is read at once.
struct Pieces<'a>(&'a [u8]);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = self.0.len().min(7).min(buffer.len());
        let (now, later) = self.0.split_at(len);
        buffer[..len].copy_from_slice(now);
        self.0 = later;
        Ok(len)
    }
}

/// What is known of a packet.
type Known = (u64, Vec<u8>, u32, u32);

fn read(input: impl Read, whole: usize) -> (Vec<Known>, Option<u64>) {
    let mut packets = Vec::new();
    let mut capture = match Capture::new(input) {
        Ok(capture) => capture,
        Err(error) => {
            super::readable(&error);
            return (packets, Some(error.offset));
        }
    };
    loop {
        match capture.next() {
            Ok(Some(packet)) => {
                let mut buffer = Ethernet::default();
                let frame = packet.link.ethernet(packet.bytes, [0; 6], &mut buffer);
                assert!(frame.is_none() || packet.link.is_supported());
                assert!(packet.bytes.len() <= whole, "more bytes than there are");
                let bytes = packet.bytes.to_vec();
                packets.push((packet.timestamp, bytes, packet.original_len, packet.link.0));
            }
            Ok(None) => return (packets, None),
            Err(error) => {
                super::readable(&error);
                assert!(error.offset <= whole as u64, "a place behind the end");
                assert!(matches!(capture.next(), Ok(None)), "an error is the end");
                return (packets, Some(error.offset));
            }
        }
    }
}

/// Input: a capture. What is read of it does not depend on how it comes, and what is written of
/// that is read again.
pub(crate) fn capture(input: &[u8]) {
    let (packets, error) = read(input, input.len());
    let in_pieces = read(Pieces(input), input.len());
    assert!(
        in_pieces == (packets.clone(), error),
        "it depends on how it comes"
    );
    let mut writer = Writer::new(Vec::new(), Format::PcapNg).expect("memory");
    for (timestamp, bytes, original_len, _) in &packets {
        let mut record = Record::new(*timestamp, bytes);
        record.original_len = *original_len;
        writer.write(&record).expect("memory");
    }
    let file = writer.finish().expect("memory");
    let (again, error) = read(&file[..], file.len());
    assert_eq!(error, None);
    for (first, second) in packets.iter().zip(&again) {
        assert_eq!((first.0, &first.1), (second.0, &second.1));
    }
    assert_eq!(packets.len(), again.len());
}
