//! A number that tells the types of one kernel from those of another, without reading them.

/// The fingerprint of BTF, or of any bytes: equal for equal ones, and for others in all likelihood
/// not. It is no defence against someone who wants it to be.
///
/// Takes some 2 ms for the types of a kernel.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |state: u64, word: u64| (state ^ word).wrapping_mul(PRIME).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    let state = words.iter().fold(bytes.len() as u64, |state, word| {
        mix(state, u64::from_le_bytes(*word))
    });
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let state = mix(state, u64::from_le_bytes(last));
    mix(state, state >> 32)
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn every_byte_and_the_length_count() {
        let bytes: Vec<u8> = (0..=99).collect();
        let whole = fingerprint(&bytes);
        assert_eq!(whole, fingerprint(&bytes.clone()));
        for index in 0..bytes.len() {
            let mut other = bytes.clone();
            other[index] ^= 1;
            assert_ne!(fingerprint(&other), whole, "byte {index}");
            assert_ne!(fingerprint(&bytes[..index]), whole, "{index} bytes");
        }
        assert_ne!(fingerprint(&[0]), fingerprint(&[0, 0]));
    }
}
