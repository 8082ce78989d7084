//! Sums in one's complement, as the Internet's checksums are: 32 bits wide, of words in memory
//! order.

use crate::memory::View;

/// Two sums together.
pub(crate) const fn add(a: u32, b: u32) -> u32 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(carry as u32)
}

/// A sum without another.
pub(crate) const fn sub(a: u32, b: u32) -> u32 {
    add(a, !b)
}

/// The sum of bytes and of `seed`; a last odd byte counts as if a zero followed it.
pub(crate) fn partial(bytes: View<'_>, seed: u32) -> u32 {
    let mut sum = u64::from(seed);
    let mut done = 0;
    while let Some(word) = bytes.u32_at(done) {
        sum += u64::from(word);
        done += 4;
    }
    if let Some(word) = bytes.u16_at(done) {
        sum += u64::from(word);
        done += 2;
    }
    if let Some(byte) = bytes.u8_at(done) {
        sum += u64::from(u16::from_ne_bytes([byte, 0]));
    }
    // The carries of 2^32 words fit in the upper half.
    add(sum as u32, (sum >> 32) as u32)
}

/// The sum of bytes that begin at an offset of others: behind an odd one, bytes change places.
pub(crate) fn block(bytes: View<'_>, offset: u64) -> u32 {
    let sum = partial(bytes, 0);
    if offset.is_multiple_of(2) {
        sum
    } else {
        sum.rotate_right(8)
    }
}

/// In 16 bits, as headers hold it: the complement.
pub(crate) const fn fold(sum: u32) -> u16 {
    !narrow(sum)
}

/// In 16 bits.
pub(crate) const fn narrow(sum: u32) -> u16 {
    let sum = (sum >> 16) + (sum & 0xffff);
    (sum + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_rfc_1071() {
        let mut bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        let sum = fold(partial(View::of(&mut bytes), 0));
        assert_eq!(sum.to_ne_bytes(), [0x22, 0x0d]);
        assert_eq!(sub(add(5, u32::MAX), u32::MAX), 5);
    }

    #[test]
    fn parts_at_odd_offsets_sum_up() {
        let mut bytes = [1, 2, 3, 4, 5, 6, 7];
        let all = View::of(&mut bytes);
        for cut in 0..=7 {
            let (Some(head), Some(tail)) = (all.part(0, cut), all.part(cut, 7 - cut)) else {
                panic!("a part");
            };
            let sum = add(partial(head, 0), block(tail, cut as u64));
            assert_eq!(narrow(sum), narrow(partial(all, 0)), "{cut}");
        }
    }
}
