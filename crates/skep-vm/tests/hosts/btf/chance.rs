//! Types that chance has made, and changed.

use std::fmt::Write as _;

use skep_host::Host;
use skep_testing::{Outcome, ensure};

use super::{A, B, DASH, DATA, FLAG, GOOD, INT, STRINGS, btf, expect, info, load};
use crate::support::Record;

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % u64::from(end)) as u32
    }

    fn pick(&mut self, from: &[u32]) -> u32 {
        from[self.below(from.len() as u32) as usize]
    }

    fn seldom(&mut self) -> bool {
        self.below(16) == 0
    }
}

/// A type that is mostly right by itself, and leads anywhere among the first `count`.
fn any_type(random: &mut Random, count: u32) -> Vec<u32> {
    let kind = random.pick(&[
        1, 2, 3, 4, 4, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 13, 14, 15, 15, 16, 17, 18, 19, 3, 2, 8,
        10,
    ]);
    let target = |random: &mut Random| match random.seldom() {
        true => random.below(count + 3),
        false => random.below(count) + 1,
    };
    let flag = match random.below(8) {
        0 => FLAG,
        _ => 0,
    };
    let name = |random: &mut Random| match random.seldom() {
        true => random.pick(&[0, DASH]),
        false => random.pick(&[A, B]),
    };
    match kind {
        1 => {
            let size = random.pick(&[1, 2, 3, 4, 8, 16]);
            let word = match random.below(4) {
                0 => random.below(size * 8) + 1,
                1 => random.below(8) << 16 | (size * 8 - 8),
                _ => size * 8,
            };
            vec![INT, info(1, 0), size, word]
        }
        2 | 9 | 10 | 11 => vec![0, info(kind, 0), target(random)],
        8 => vec![name(random), info(8, 0), target(random)],
        18 => vec![A, info(18, 0) | flag, target(random)],
        3 => {
            let index = match random.below(4) {
                0 => target(random),
                _ => 1,
            };
            let len = random.pick(&[0, 1, 2, 3, 1 << 16, 1 << 28]);
            vec![0, info(3, 0), 0, target(random), index, len]
        }
        4 | 5 => {
            let members = random.below(4);
            let flag = random.pick(&[0, FLAG]);
            let size = random.pick(&[4, 8, 16, 64, 64, 1 << 20, u32::MAX]);
            let mut words = vec![name(random), info(kind, members) | flag, size];
            let mut offset = 0;
            for _ in 0..members {
                let width = match random.below(8) {
                    0 if flag != 0 => random.below(40) << 24,
                    _ => 0,
                };
                words.extend([name(random), target(random), offset | width]);
                if kind == 4 {
                    offset += random.pick(&[0, 8, 32, 64, 64, 3]);
                }
            }
            words
        }
        6 => vec![
            name(random),
            info(6, 1) | flag,
            random.pick(&[1, 2, 4, 8]),
            B,
            1,
        ],
        19 => vec![
            name(random),
            info(19, 1) | flag,
            random.pick(&[1, 4, 8]),
            B,
            1,
            0,
        ],
        7 => vec![A, info(7, 0) | flag, 0],
        12 => vec![name(random), info(12, random.below(2)), target(random)],
        13 => {
            let parameters = random.below(4);
            let mut words = vec![0, info(13, parameters), target(random)];
            for number in 1..=parameters {
                match number == parameters && random.below(2) == 0 {
                    true => words.extend([0, 0]),
                    false => words.extend([name(random), target(random)]),
                }
            }
            words
        }
        14 => vec![name(random), info(14, 0), target(random), random.below(2)],
        15 => {
            let entries = random.below(4);
            let step = random.pick(&[4, 8, 64, 1 << 18]);
            let mut words = vec![DATA, info(15, entries), step * entries + 1];
            for number in 0..entries {
                words.extend([target(random), number * step, step]);
            }
            words
        }
        16 => vec![A, info(16, 0), random.pick(&[2, 4, 8, 12, 16])],
        _ => {
            let component = random.pick(&[0, 1, 2, u32::MAX, u32::MAX]);
            vec![A, info(17, 0) | flag, target(random), component]
        }
    }
}

/// What was loaded and is not as it was expected can be read off the key.
fn note(host: &dyn Host, record: &mut Record, label: &str, bytes: &[u8]) -> bool {
    let mut key = format!("btf {label}:");
    for word in bytes.as_chunks::<4>().0.iter().skip(6) {
        let _ = write!(key, " {:x}", u32::from_ne_bytes(*word));
    }
    let loaded = load(host, bytes);
    record.done(key, &loaded);
    loaded.is_ok()
}

/// Types that are right one by one, and lead to each other as it comes.
pub(super) fn made(host: &dyn Host, record: &mut Record) -> Outcome {
    let mut taken = 0;
    let rounds = 2000;
    for seed in 0..rounds {
        let mut random = Random(seed);
        let count = 1 + random.below(9);
        let mut words = vec![INT, info(1, 0), 4, 32];
        for _ in 1..count {
            words.extend(any_type(&mut random, count));
        }
        let label = format!("by chance {seed}");
        taken += u64::from(note(host, record, &label, &btf(&words, STRINGS)));
    }
    ensure(taken > rounds / 20 && taken < rounds, || {
        format!("{taken} of {rounds} were taken")
    })
}

/// One BTF of all kinds, with one to three halves of words changed.
pub(super) fn mutated(host: &dyn Host, record: &mut Record) -> Outcome {
    #[rustfmt::skip]
    let types = [
        INT, info(1, 0), 4, 32,
        0, info(2, 0), 4,
        0, info(3, 0), 0, 1, 1, 4,
        A, info(4, 3), 40, A, 1, 0, B, 2, 64, A, 3, 128,
        A, info(5, 2) | FLAG, 8, A, 1, 3 << 24, B, 2, 0,
        A, info(6, 1), 4, B, 1,
        A, info(7, 0), 0,
        A, info(8, 0), 4,
        0, info(9, 0), 8,
        0, info(10, 0), 9,
        0, info(11, 0), 2,
        0, info(13, 2), 1, A, 11, 0, 0,
        B, info(12, 1), 12,
        B, info(14, 0), 10, 1,
        DATA, info(15, 1), 40, 14, 0, 40,
        A, info(16, 0), 8,
        A, info(17, 0), 13, 0,
        A, info(18, 0), 10,
        A, info(19, 1), 8, B, 1, 0,
    ];
    let whole = btf(&types, STRINGS);
    expect(host, record, "of all kinds", &whole, GOOD)?;
    let mut taken = 0;
    let rounds = 2000;
    for seed in 0..rounds {
        let mut random = Random(seed);
        let mut bytes = whole.clone();
        for _ in 0..random.pick(&[1, 1, 2, 3]) {
            let at = random.below(bytes.len() as u32 / 2) as usize * 2;
            let old = u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
            let new = match random.below(6) {
                0 => old ^ 1 << random.below(16),
                1 => old.wrapping_add(1),
                2 => old.wrapping_sub(1),
                3 => random.below(20) as u16,
                4 => random.pick(&[8, 24, 32, 64, 0x8000, 0xffff, 0x100]) as u16,
                _ => (random.below(21) << 8) as u16,
            };
            bytes[at..at + 2].copy_from_slice(&new.to_ne_bytes());
        }
        taken += u64::from(note(host, record, &format!("mutated {seed}"), &bytes));
    }
    ensure(taken > rounds / 20 && taken < rounds, || {
        format!("{taken} of {rounds} were taken")
    })
}
