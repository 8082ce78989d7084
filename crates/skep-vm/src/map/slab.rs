//! Elements of one size at fixed addresses: what hash tables are made of.
//!
//! An element is a header, a key and a value side by side; values that are written in place lie
//! apart, so that who writes them and who looks for keys do not share cache lines, those of each
//! CPU together. Preallocated tables have all elements in one piece; the others grow by pieces
//! twice as long each time. No piece ever moves or goes away before the slab does.

use std::sync::{Mutex, OnceLock, PoisonError};

use skep_host::Errno;

use super::{Range, Shape};
use crate::memory::{Block, View};

/// Elements of the first piece of a slab that grows.
const FIRST: u32 = 64;
/// Pieces behind the first: each doubles what there is, up to 2^32 elements.
const PIECES: usize = 26;

/// See above.
#[derive(Debug)]
pub(super) struct Slab {
    /// Bytes of an element's header.
    header: usize,
    /// Bytes of a key.
    key: usize,
    /// Where the value begins in an element.
    value_at: usize,
    /// Bytes of a value.
    value: usize,
    /// Bytes of an element.
    stride: usize,
    /// Bytes of a value among those of its area; 0 where values are in the elements.
    value_stride: usize,
    /// Areas of values that lie apart.
    areas: u32,
    capacity: u32,
    first_len: u32,
    first: Piece,
    more: [OnceLock<Piece>; PIECES],
    growing: Mutex<()>,
    writable: bool,
}

#[derive(Debug)]
struct Piece {
    elements: Block,
    values: Option<Block>,
    /// Bytes of an area of values.
    area: usize,
}

/// Where values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// In the elements.
    Inside,
    /// In an area of their own, with gaps, so that who leaves a value is not in the next.
    Words,
    /// In an area a CPU.
    EachCpu,
}

/// An element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    /// Its number in the slab.
    pub(super) index: u32,
    /// Header, key, and value if it does not lie apart.
    pub(super) all: View<'a>,
}

impl Slab {
    /// `capacity` elements with headers of `header` bytes.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn new(
        shape: &Shape,
        header: usize,
        capacity: u32,
        values: Values,
        preallocated: bool,
    ) -> Result<Self, Errno> {
        let key = shape.key_size as usize;
        let value = shape.value_size as usize;
        let value_at = header + key.next_multiple_of(8);
        let (inline, value_stride, areas) = match values {
            Values::Inside => (shape.value_stride(), 0, 1),
            Values::Words => (0, 2 * shape.value_stride(), 1),
            Values::EachCpu => (0, shape.value_stride(), shape.cpus.max(1)),
        };
        let first_len = match preallocated {
            true => capacity,
            false => capacity.min(FIRST),
        };
        let stride = value_at + inline;
        let first = Piece::new(first_len, stride, value_stride, areas)?;
        Ok(Self {
            header,
            key,
            value_at,
            value,
            stride,
            value_stride,
            areas,
            capacity,
            first_len,
            first,
            more: [const { OnceLock::new() }; PIECES],
            growing: Mutex::new(()),
            writable: shape.writable_by_programs(),
        })
    }

    /// How many elements it can have.
    pub(super) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Which piece an element is in, its place there, and the piece's length.
    fn place(&self, index: u32) -> (usize, u32, u32) {
        let doublings = (index / self.first_len).ilog2();
        let start = self.first_len << doublings;
        let len = start.min(self.capacity - start);
        (doublings as usize, index - start, len)
    }

    /// Makes sure that there is memory for an element.
    ///
    /// # Errors
    /// `ENOMEM`; `E2BIG` beyond the capacity.
    pub(super) fn ensure(&self, index: u32) -> Result<(), Errno> {
        if index < self.first_len {
            return Ok(());
        }
        if index >= self.capacity {
            return Err(Errno::E2BIG);
        }
        let (piece, _, len) = self.place(index);
        let slot = self.more.get(piece).ok_or(Errno::E2BIG)?;
        if slot.get().is_some() {
            return Ok(());
        }
        let _growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.get().is_none() {
            let piece = Piece::new(len, self.stride, self.value_stride, self.areas)?;
            // Only set under the lock.
            let _ = slot.set(piece);
        }
        Ok(())
    }

    #[inline(always)]
    fn piece(&self, index: u32) -> Option<(&Piece, u32)> {
        if index < self.first_len {
            return Some((&self.first, index));
        }
        self.later_piece(index)
    }

    fn later_piece(&self, index: u32) -> Option<(&Piece, u32)> {
        if index >= self.capacity {
            return None;
        }
        let (piece, index, _) = self.place(index);
        Some((self.more.get(piece)?.get()?, index))
    }

    /// An element that there is memory for.
    #[inline(always)]
    pub(super) fn element(&self, index: u32) -> Option<Element<'_>> {
        let (piece, place) = self.piece(index)?;
        let all = piece
            .elements
            .view(place as usize * self.stride, self.stride)?;
        Some(Element { index, all })
    }

    /// An element's key, with the zeroes that fill it up to 8 bytes.
    #[inline]
    pub(super) fn padded_key<'a>(&self, element: Element<'a>) -> Option<View<'a>> {
        element.all.part(self.header, self.value_at - self.header)
    }

    /// An element's key.
    #[inline]
    pub(super) fn key<'a>(&self, element: Element<'a>) -> Option<View<'a>> {
        element.all.part(self.header, self.key)
    }

    /// An element's value, in this area if values lie apart.
    #[inline]
    pub(super) fn value<'a>(&'a self, element: Element<'a>, area: u32) -> Option<View<'a>> {
        if self.value_stride == 0 {
            return element.all.part(self.value_at, self.value);
        }
        if area >= self.areas {
            return None;
        }
        let (piece, place) = self.piece(element.index)?;
        let values = piece.values.as_ref()?;
        let offset = piece.area * area as usize + place as usize * self.value_stride;
        values.view(offset, self.value)
    }

    /// The value that has an address.
    pub(super) fn region(&self, address: u64) -> Option<Range> {
        let mut pieces =
            std::iter::once(&self.first).chain(self.more.iter().map_while(OnceLock::get));
        pieces.find_map(|piece| self.region_in(piece, address))
    }

    fn region_in(&self, piece: &Piece, address: u64) -> Option<Range> {
        let (start, lead) = match &piece.values {
            None => {
                let offset = offset_in(&piece.elements, address)?;
                let offset_in_element = (offset % self.stride as u64) as usize;
                let lead = offset_in_element.checked_sub(self.value_at)?;
                (address - lead as u64, lead)
            }
            Some(values) => {
                let offset = offset_in(values, address)?;
                let lead = (offset % piece.area as u64 % self.value_stride as u64) as usize;
                (address - lead as u64, lead)
            }
        };
        (lead < self.value).then_some(Range {
            start,
            len: self.value as u64,
            writable: self.writable,
        })
    }

    /// Bytes of all pieces.
    pub(super) fn memory_used(&self) -> u64 {
        let pieces = std::iter::once(&self.first).chain(self.more.iter().map_while(OnceLock::get));
        pieces
            .map(|piece| {
                let values = piece.values.as_ref().map_or(0, Block::len);
                (piece.elements.len() + values) as u64
            })
            .sum()
    }
}

fn offset_in(block: &Block, address: u64) -> Option<u64> {
    let offset = address.checked_sub(block.address())?;
    (offset < block.len() as u64).then_some(offset)
}

impl Piece {
    fn new(len: u32, stride: usize, value_stride: usize, areas: u32) -> Result<Self, Errno> {
        let bytes = (len as usize).checked_mul(stride).ok_or(Errno::ENOMEM)?;
        let area = (len as usize)
            .checked_mul(value_stride)
            .and_then(|area| area.checked_next_multiple_of(64))
            .ok_or(Errno::ENOMEM)?;
        let all = area.checked_mul(areas as usize).ok_or(Errno::ENOMEM)?;
        let values = match all {
            0 => None,
            all => Some(Block::apart(all, 64)?),
        };
        Ok(Self {
            elements: Block::apart(bytes, 64)?,
            values,
            area,
        })
    }
}
