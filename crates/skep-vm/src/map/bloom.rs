//! `BPF_MAP_TYPE_BLOOM_FILTER`: says of a value that it was never put in, or that it may have
//! been.

use std::sync::atomic::Ordering::Relaxed;

use skep_abi::MapCreateFlags;
use skep_host::Errno;

use super::{Kind, Shape, table};
use crate::memory::{Block, View};

/// Hash functions unless the creator says otherwise.
const FUNCTIONS: u64 = 5;

/// A bloom filter.
#[derive(Debug)]
pub(crate) struct Bloom {
    shape: Shape,
    bits: Block,
    mask: u64,
    functions: u64,
    seed: u64,
}

impl Bloom {
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new(shape: Shape) -> Result<Self, Errno> {
        let functions = match shape.map_extra & 0xf {
            0 => FUNCTIONS,
            functions => functions,
        };
        // With n values and k functions, about n * k / ln 2 bits make the fewest errors; 1 / ln 2
        // is a little more than 7 / 5.
        let wanted = u64::from(shape.max_entries) * functions * 7 / 5;
        let count = wanted.clamp(64, 1 << 32).next_power_of_two();
        let seed = match shape.flags.contains(MapCreateFlags::ZERO_SEED) {
            true => 0,
            false => table::random(),
        };
        Ok(Self {
            bits: Block::new((count / 8) as usize)?,
            mask: count - 1,
            functions,
            seed,
            shape,
        })
    }

    /// The bits of a value: a word each, and its bit in it.
    fn bits(&self, value: View<'_>) -> impl Iterator<Item = (usize, u64)> {
        let hash = table::hash(value, self.seed);
        // Two independent hashes make as many as one likes.
        let step = table::hash(value, !self.seed) | 1;
        let mask = self.mask;
        (0..self.functions).map(move |number| {
            let bit = hash.wrapping_add(step.wrapping_mul(number)) & mask;
            ((bit / 64) as usize * 8, 1 << (bit % 64))
        })
    }

    fn add(&self, value: View<'_>, flags: u64) -> Result<(), Errno> {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        for (word, bit) in self.bits(value) {
            if let Some(word) = self.bits.all().long_word(word) {
                word.fetch_or(bit, Relaxed);
            }
        }
        Ok(())
    }

    fn may_have(&self, value: View<'_>) -> Result<(), Errno> {
        let set = |(word, bit)| self.bits.all().u64_at(word).unwrap_or(0) & bit != 0;
        match self.bits(value).all(set) {
            true => Ok(()),
            false => Err(Errno::ENOENT),
        }
    }
}

impl Kind for Bloom {
    fn delete(&self, _key: View<'_>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn push(&self, value: View<'_>, flags: u64) -> Result<(), Errno> {
        self.add(value, flags)
    }

    fn peek(&self, value: View<'_>) -> Result<(), Errno> {
        self.may_have(value)
    }

    /// The value is what is asked for.
    fn user_lookup(&self, _key: &[u8], value: &mut [u8], _flags: u64) -> Result<(), Errno> {
        super::with_view(value, |value| self.may_have(value))
    }

    fn user_update(&self, _key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        super::with_view(value, |value| self.add(value, flags))
    }

    fn user_delete(&self, _key: &[u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn user_next_key(&self, _key: Option<&[u8]>, _next: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn user_value_size(&self) -> usize {
        self.shape.value_size as usize
    }

    fn memory_used(&self) -> u64 {
        self.bits.len() as u64
    }
}
