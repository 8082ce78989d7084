//! Damage to well-formed input: a small generator of its own, so that a seed gives the same bytes
//! on every machine and with every version of everything.

use std::ops::Range;

use crate::elf;

/// Numbers at which readers go wrong.
const INTERESTING: [u32; 12] = [
    0,
    1,
    2,
    8,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff8,
    0xffff_ffff,
    0x0100_0000,
];

/// Damages inputs, by a seed.
#[derive(Debug, Clone)]
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// The one of this seed.
    pub fn new(seed: u64) -> Self {
        // Any odd multiple spreads small seeds; the state must not be zero.
        let state = (seed.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { state: state | 1 }
    }

    /// One of the seeds, damaged in one to eight places, at times with pieces of another.
    pub fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        let parts = elf::parts(&bytes);
        for _ in 0..=self.below(8) {
            let other = &seeds[self.below(seeds.len())];
            self.damage(&mut bytes, &parts, other);
        }
        bytes
    }

    fn damage(&mut self, bytes: &mut Vec<u8>, parts: &[Range<usize>], other: &[u8]) {
        let at = self.place(bytes.len(), parts);
        if at >= bytes.len() {
            return bytes.push(self.next() as u8);
        }
        let most = 1 << self.below(7);
        let len = 1 + self.below(most);
        let end = (at + len).min(bytes.len());
        match self.below(10) {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = self.next() as u8,
            2..=4 => self.word(bytes, at),
            5 => bytes[at..end].fill(0),
            6 => {
                let from = self.below(bytes.len() - (end - at) + 1);
                bytes.copy_within(from..from + (end - at), at);
            }
            7 => {
                let from = self.below(other.len().max(1));
                let piece = other.iter().skip(from);
                for (to, from) in bytes[at..end].iter_mut().zip(piece) {
                    *to = *from;
                }
            }
            8 => {
                // Inserting or removing moves all that follows: seldom what reaches deep.
                if self.below(4) == 0 {
                    bytes.drain(at..end);
                } else {
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
            _ => {
                if self.below(8) == 0 {
                    bytes.truncate(at);
                }
            }
        }
    }

    /// A number of 2 or 4 bytes, at a place that fits it: an interesting one, or a near one.
    fn word(&mut self, bytes: &mut [u8], at: usize) {
        let big = self.below(4) == 0;
        let size = if self.below(3) == 0 { 2 } else { 4 };
        let at = at & !(size - 1);
        let Some(place) = bytes.get_mut(at..at + size) else {
            return;
        };
        if big {
            place.reverse();
        }
        let old = place
            .iter()
            .rev()
            .fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        let new = match self.below(3) {
            0 => INTERESTING[self.below(INTERESTING.len())],
            1 => old.wrapping_add(self.below(17) as u32).wrapping_sub(8),
            _ => old ^ 1 << self.below(32),
        };
        place.copy_from_slice(&new.to_le_bytes()[..size]);
        if big {
            place.reverse();
        }
    }

    /// A place: anywhere, or in a part, each part as likely as the others.
    fn place(&mut self, len: usize, parts: &[Range<usize>]) -> usize {
        match self.below(parts.len() + 1).checked_sub(1) {
            Some(part) => {
                let part = &parts[part];
                part.start + self.below(part.len().max(1))
            }
            None => self.below(len.max(1)),
        }
    }

    /// A number below `bound`, which is not zero.
    fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 32) as usize * bound) >> 32
    }

    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
