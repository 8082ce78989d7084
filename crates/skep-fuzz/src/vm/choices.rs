//! Where random programs take their choices from: an input's bytes, and when those are used up a
//! stream that the bytes are the seed of. So eight bytes make a whole program, and a fuzzer that
//! changes a byte changes one choice.

/// Numbers at which arithmetic goes wrong.
const INTERESTING: [u64; 20] = [
    0,
    1,
    2,
    7,
    8,
    31,
    32,
    63,
    64,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
];

/// Choices, by an input.
#[derive(Debug, Clone)]
pub struct Choices<'a> {
    bytes: &'a [u8],
    state: u64,
}

impl<'a> Choices<'a> {
    /// Those of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        let state = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self {
            bytes,
            state: state | 1,
        }
    }

    /// Bytes for a number: near numbers give far choices.
    pub fn bytes_of(seed: u64) -> [u8; 8] {
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    }

    /// xorshift64*, once the bytes are used up.
    fn stream(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((byte, rest)) => {
                self.bytes = rest;
                *byte
            }
            None => (self.stream() >> 56) as u8,
        }
    }

    /// Any number.
    pub fn word(&mut self) -> u64 {
        match self.bytes.split_first_chunk() {
            Some((word, rest)) => {
                self.bytes = rest;
                u64::from_le_bytes(*word)
            }
            None => self.stream(),
        }
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        match bound {
            0..=256 => (usize::from(self.byte()) * bound) >> 8,
            _ => ((self.word() >> 32) as usize * bound) >> 32,
        }
    }

    /// True in one of `times` cases.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// A number, more often than not one at which something may go wrong.
    pub fn value(&mut self) -> u64 {
        match self.below(4) {
            0 => self.word(),
            1 => u64::from(self.byte()),
            2 => self.of(&INTERESTING),
            _ => self.of(&INTERESTING).wrapping_neg(),
        }
    }

    /// The same for an immediate.
    pub fn imm(&mut self) -> i32 {
        self.value() as i32
    }
}
