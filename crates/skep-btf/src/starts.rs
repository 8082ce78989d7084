//! Where types start. The types of an object are looked at in any order, again and again: each has
//! its place written down. Of a kernel's hundred thousand few are ever asked for: every fourth has,
//! and the way from there to the others is short.

use crate::Btf;
use std::iter::FusedIterator;

/// Where each type starts, in bytes from the start of the data.
#[derive(Debug)]
pub(crate) struct Starts {
    /// Of every type whose index has no bits of `within`.
    marks: Vec<u32>,
    /// How many bits of an index say how many types lie between a mark and it.
    shift: u32,
    count: u32,
}

impl Starts {
    /// None yet, with a mark for each type.
    pub(crate) fn dense(expected: usize) -> Self {
        Self::new(0, expected)
    }

    /// None yet, with a mark for every fourth type.
    pub(crate) fn sparse(expected: usize) -> Self {
        Self::new(2, expected)
    }

    fn new(shift: u32, expected: usize) -> Self {
        Self {
            marks: Vec::with_capacity(expected >> shift),
            shift,
            count: 0,
        }
    }

    /// Adds the next type.
    #[inline(always)]
    pub(crate) fn push(&mut self, start: u32) {
        if self.count & self.within() == 0 {
            self.marks.push(start);
        }
        self.count = self.count.wrapping_add(1);
    }

    /// How many types there are.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Where a type starts, of which `after` tells where the one after it does.
    #[inline]
    pub(crate) fn of(&self, index: u32, after: impl Fn(u32) -> u32) -> Option<u32> {
        let mark = self.marks.get((index >> self.shift) as usize)?;
        let steps = index & self.within();
        (index < self.count).then(|| (0..steps).fold(*mark, |start, _| after(start)))
    }

    /// The start of a type that has a mark.
    #[inline]
    fn mark(&self, index: u32) -> Option<u32> {
        if index & self.within() != 0 {
            return None;
        }
        self.marks.get((index >> self.shift) as usize).copied()
    }

    fn within(&self) -> u32 {
        (1_u32 << self.shift).wrapping_sub(1)
    }
}

/// The starts of a BTF's own types, in order.
#[derive(Debug, Clone)]
pub(crate) struct EachStart<'a> {
    btf: &'a Btf,
    /// The BTF's, asked for once: whoever holds them is behind a call.
    bytes: &'a [u8],
    starts: &'a Starts,
    /// Indices of the next type and of the one after the last.
    next: u32,
    end: u32,
    /// The last one's.
    start: u32,
}

impl<'a> EachStart<'a> {
    pub(crate) fn of(btf: &'a Btf, starts: &'a Starts) -> Self {
        Self {
            btf,
            bytes: btf.bytes(),
            starts,
            next: 0,
            end: starts.count,
            start: 0,
        }
    }
}

impl Iterator for EachStart<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.next >= self.end {
            return None;
        }
        // A way that begins anew at each mark, instead of one from the first type to the last: the
        // processor goes several at once.
        self.start = match self.starts.mark(self.next) {
            Some(mark) => mark,
            None => self.btf.after(self.bytes, self.start),
        };
        self.next = self.next.wrapping_add(1);
        Some(self.start)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end.saturating_sub(self.next) as usize;
        (left, Some(left))
    }
}

impl DoubleEndedIterator for EachStart<'_> {
    fn next_back(&mut self) -> Option<u32> {
        if self.next >= self.end {
            return None;
        }
        self.end = self.end.wrapping_sub(1);
        self.btf.start_of(self.end)
    }
}

impl ExactSizeIterator for EachStart<'_> {}
impl FusedIterator for EachStart<'_> {}
