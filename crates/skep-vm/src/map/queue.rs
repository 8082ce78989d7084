//! `BPF_MAP_TYPE_QUEUE` and `BPF_MAP_TYPE_STACK`: values without keys, in order.

use std::sync::{Mutex, MutexGuard, PoisonError};

use skep_abi::MapType;
use skep_host::Errno;

use super::{EXIST, Kind, NOEXIST, Range, Shape};
use crate::memory::{Block, View};

/// A queue or a stack: a ring of values.
#[derive(Debug)]
pub(crate) struct Queue {
    shape: Shape,
    values: Block,
    stride: usize,
    stack: bool,
    ends: Mutex<Ends>,
}

/// Where the values are in the ring.
#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    /// The oldest value's place.
    first: u32,
    len: u32,
}

impl Queue {
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new(shape: Shape) -> Result<Self, Errno> {
        let stride = shape.value_stride();
        let len = stride
            .checked_mul(shape.max_entries as usize)
            .ok_or(Errno::ENOMEM)?;
        Ok(Self {
            values: Block::new(len)?,
            stride,
            stack: shape.map_type == MapType::Stack,
            ends: Mutex::default(),
            shape,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of the value that is `behind` the oldest one.
    fn place(&self, ends: Ends, behind: u32) -> Option<View<'_>> {
        let entries = u64::from(self.shape.max_entries);
        let index = (u64::from(ends.first) + u64::from(behind)) % entries;
        let size = self.shape.value_size as usize;
        self.values.view(index as usize * self.stride, size)
    }

    /// Where the value is that is next to be taken.
    fn next(&self, ends: Ends) -> Option<View<'_>> {
        let last = ends.len.checked_sub(1)?;
        self.place(ends, if self.stack { last } else { 0 })
    }

    fn put(&self, flags: u64, write: impl FnOnce(View<'_>)) -> Result<(), Errno> {
        if flags & NOEXIST != 0 || flags > EXIST {
            return Err(Errno::EINVAL);
        }
        let mut ends = self.lock();
        if ends.len == self.shape.max_entries {
            if flags & EXIST == 0 {
                return Err(Errno::E2BIG);
            }
            // The oldest one makes room, of a stack too.
            ends.first = (ends.first + 1) % self.shape.max_entries;
            ends.len -= 1;
        }
        write(self.place(*ends, ends.len).ok_or(Errno::E2BIG)?);
        ends.len += 1;
        Ok(())
    }

    /// Shows the next value, and takes it out if so told.
    fn get(&self, take: bool, read: impl FnOnce(View<'_>)) -> Result<(), Errno> {
        let mut ends = self.lock();
        read(self.next(*ends).ok_or(Errno::ENOENT)?);
        if take {
            ends.len -= 1;
            if !self.stack {
                ends.first = (ends.first + 1) % self.shape.max_entries;
            }
        }
        Ok(())
    }

    fn get_for_program(&self, take: bool, value: View<'_>) -> Result<(), Errno> {
        let answer = self.get(take, |place| value.copy_from(place));
        if answer.is_err() {
            value.fill(0);
        }
        answer
    }
}

impl Kind for Queue {
    fn push(&self, value: View<'_>, flags: u64) -> Result<(), Errno> {
        self.put(flags, |place| place.copy_from(value))
    }

    fn pop(&self, value: View<'_>) -> Result<(), Errno> {
        self.get_for_program(true, value)
    }

    fn peek(&self, value: View<'_>) -> Result<(), Errno> {
        self.get_for_program(false, value)
    }

    fn region(&self, _address: u64) -> Option<Range> {
        // Programs only get copies.
        None
    }

    fn user_lookup(&self, _key: &[u8], value: &mut [u8], _flags: u64) -> Result<(), Errno> {
        self.get(false, |place| {
            place.read(value);
        })
    }

    fn user_update(&self, _key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.put(flags, |place| {
            place.write(value);
        })
    }

    fn user_delete(&self, _key: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn user_next_key(&self, _key: Option<&[u8]>, _next: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn user_take(&self, _key: &[u8], value: &mut [u8], _flags: u64) -> Result<(), Errno> {
        self.get(true, |place| {
            place.read(value);
        })
    }

    fn user_value_size(&self) -> usize {
        self.shape.value_size as usize
    }

    fn memory_used(&self) -> u64 {
        self.values.len() as u64
    }
}
