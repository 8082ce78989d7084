//! Checksums of the Internet protocols (RFC 1071).

/// The sum of some bytes as words, not folded.
fn words(bytes: &[u8]) -> u64 {
    let pairs = bytes.chunks(2).map(|pair| {
        let high = pair.first().copied().unwrap_or(0);
        let low = pair.get(1).copied().unwrap_or(0);
        u64::from(u16::from_be_bytes([high, low]))
    });
    pairs.fold(0, u64::wrapping_add)
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Of a header alone.
pub(super) fn plain(bytes: &[u8]) -> u16 {
    fold(words(bytes))
}

/// Of a segment with the addresses of its IP header (both in a row) and its protocol.
pub(super) fn with_addresses(addresses: &[u8], protocol: u8, segment: &[u8]) -> u16 {
    let len = segment.len() as u64;
    fold(words(addresses) + u64::from(protocol) + len + words(segment))
}
