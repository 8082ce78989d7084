//! `BPF_MAP_TYPE_INSN_ARRAY`: jump tables. Users name instructions, one a value; once a program
//! uses the map, it finds their places there and jumps to them by `gotox`.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release, SeqCst},
        },
    },
};

use skep_host::Errno;
use skep_isa::InsnIndex;

use super::{Kind, Map, Range, Shape, Visit};
use crate::{
    memory::{Block, View},
    program::PLACES,
};

/// Bytes of a `bpf_insn_array_value`: the original offset, that in the program as it was loaded,
/// that in its machine code, padding.
const VALUE: usize = 16;
/// Bytes of a place, as programs see them.
const PLACE: usize = 8;
const LOADED: usize = 4;

/// A jump table.
#[derive(Debug)]
pub(crate) struct InsnArray {
    entries: u32,
    values: Block,
    places: Block,
    /// A program uses it: there can be one.
    used: AtomicBool,
}

/// That a program uses a jump table, for as long as the program lives.
#[derive(Debug)]
pub(crate) struct Claim(Arc<Map>);

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(table) = self.0.of::<InsnArray>() {
            table.used.store(false, Release);
        }
    }
}

impl InsnArray {
    /// # Errors
    /// `EINVAL`, `ENOMEM`.
    pub(crate) fn new(shape: &Shape) -> Result<Self, Errno> {
        let entries = shape.max_entries as usize;
        let bytes = |one: usize| entries.checked_mul(one).ok_or(Errno::ENOMEM);
        Ok(Self {
            entries: shape.max_entries,
            values: Block::apart(bytes(VALUE)?, 8)?,
            places: Block::new(bytes(PLACE)?)?,
            used: AtomicBool::new(false),
        })
    }

    fn value(&self, index: u32) -> Option<View<'_>> {
        self.values.view(index as usize * VALUE, VALUE)
    }

    /// The instructions that a jump table names; `None` for other maps.
    pub(crate) fn insns(map: &Arc<Map>) -> Option<Vec<InsnIndex>> {
        map.of::<Self>().map(Self::named)
    }

    fn named(&self) -> Vec<InsnIndex> {
        let named = (0..self.entries).filter_map(|index| self.value(index)?.u32_at(0));
        named.map(InsnIndex).collect()
    }

    /// Makes it the table of one program; `is_insn` says where instructions begin. Answers the
    /// instructions that it holds.
    ///
    /// # Errors
    /// `EINVAL`: it is not frozen, or holds what is no instruction; `EBUSY`: another program has
    /// it.
    pub(crate) fn claim(
        map: &Arc<Map>,
        is_insn: impl Fn(InsnIndex) -> bool,
    ) -> Result<(Claim, Vec<InsnIndex>), Errno> {
        let table = map.of::<Self>().ok_or(Errno::EINVAL)?;
        if !map.frozen.load(SeqCst) {
            return Err(Errno::EINVAL);
        }
        let insns = table.named();
        if !insns.iter().all(|at| is_insn(*at)) {
            return Err(Errno::EINVAL);
        }
        table
            .used
            .compare_exchange(false, true, Acquire, Acquire)
            .map_err(|_| Errno::EBUSY)?;
        let claim = Claim(Arc::clone(map));
        for (index, at) in insns.iter().enumerate() {
            let places = table.places.all();
            places.set_u64(index * PLACE, PLACES + u64::from(at.0));
            if let Some(value) = table.value(index as u32) {
                value.set_u32(LOADED, at.0);
            }
        }
        Ok((claim, insns))
    }
}

impl Kind for InsnArray {
    fn lookup(&self, _cpu: u32, key: View<'_>) -> Option<View<'_>> {
        let index = key.u32_at(0).filter(|index| *index < self.entries)?;
        self.value(index)
    }

    fn update(&self, _: u32, _: View<'_>, _: View<'_>, _: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn for_each(&self, _cpu: u32, visit: Visit<'_>) -> Result<u32, Errno> {
        let mut seen = 0;
        for index in 0..self.entries {
            let Some(value) = self.value(index) else {
                break;
            };
            seen += 1;
            if visit(View::of(&mut index.to_ne_bytes()), value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(seen)
    }

    /// The table of places, not the values.
    fn direct_value(&self, offset: u32) -> Result<u64, Errno> {
        let index = offset as usize / PLACE;
        if !offset.is_multiple_of(PLACE as u32) || index >= self.entries as usize {
            return Err(Errno::EINVAL);
        }
        Ok(self.places.address() + u64::from(offset))
    }

    fn region(&self, address: u64) -> Option<Range> {
        let blocks = [&self.places, &self.values];
        let block = blocks
            .into_iter()
            .find(|block| block.at(address, 1).is_some())?;
        Some(Range {
            start: block.address(),
            len: block.len() as u64,
            writable: false,
        })
    }

    fn user_lookup(&self, key: &[u8], value: &mut [u8], _flags: u64) -> Result<(), Errno> {
        let index = super::index(key)?;
        let found = self.value(index).ok_or(Errno::ENOENT)?;
        found.read(value);
        Ok(())
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let place = self.value(super::index(key)?).ok_or(Errno::E2BIG)?;
        if flags & super::LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        if flags & super::NOEXIST != 0 {
            return Err(Errno::EEXIST);
        }
        let word = |at| super::index(value.get(at..).unwrap_or_default());
        if word(LOADED)? != 0 || word(2 * LOADED)? != 0 {
            return Err(Errno::EINVAL);
        }
        place.set_u32(0, word(0)?);
        Ok(())
    }

    fn user_delete(&self, _key: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn user_next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        super::next_index(self.entries, key, next)
    }

    fn user_value_size(&self) -> usize {
        VALUE
    }

    fn memory_used(&self) -> u64 {
        (self.values.len() + self.places.len()) as u64
    }
}
