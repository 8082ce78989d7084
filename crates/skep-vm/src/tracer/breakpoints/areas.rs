//! Where a process has its slots: mappings of the tracer's own, near the code.

use libc::pid_t;
use skep_host::Errno;

use super::{
    inject,
    maps::{self, Mapping},
    relocate::SLOT,
    thread::Statuses,
};

/// Bytes of a mapping with slots.
const SIZE: u64 = 64 << 10;

/// How far a slot may be from its instruction: a jump's reach, with room for what the instruction
/// refers to around its own code.
const NEAR: u64 = (1 << 31) - (1 << 24);

/// The slots of an address space.
#[derive(Debug, Clone, Default)]
pub(super) struct Areas {
    list: Vec<Area>,
}

#[derive(Debug, Clone)]
struct Area {
    start: u64,
    /// Slots that were ever taken.
    taken: u64,
    free: Vec<u64>,
}

impl Area {
    fn reaches(&self, address: u64) -> bool {
        let end = self.start + SIZE;
        address.abs_diff(self.start) < NEAR && address.abs_diff(end) < NEAR
    }

    fn take(&mut self) -> Option<u64> {
        if let Some(free) = self.free.pop() {
            return Some(free);
        }
        let offset = self.taken * SLOT as u64;
        (offset < SIZE).then(|| {
            self.taken += 1;
            self.start + offset
        })
    }
}

impl Areas {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether an address is in a slot, taken or not.
    pub(super) fn contain(&self, address: u64) -> bool {
        self.list
            .iter()
            .any(|area| (area.start..area.start + SIZE).contains(&address))
    }

    /// The start of the slot that an address is in.
    pub(super) fn slot_of(address: u64) -> u64 {
        // Mappings begin at pages.
        address & !(SLOT as u64 - 1)
    }

    /// A slot that this address reaches, if there is one left.
    pub(super) fn take(&mut self, address: u64) -> Option<u64> {
        let mut near = self.list.iter_mut().filter(|area| area.reaches(address));
        near.find_map(Area::take)
    }

    /// Gives a slot back that no thread can be in.
    pub(super) fn give_back(&mut self, slot: u64) {
        let holds = |area: &&mut Area| (area.start..area.start + SIZE).contains(&slot);
        if let Some(area) = self.list.iter_mut().find(holds) {
            area.free.push(slot);
        }
    }

    /// Maps more of them near a mapping, by a thread that stands where it can make a call at
    /// `instruction`.
    ///
    /// # Errors
    /// `ENOMEM`: there is no place; what `mmap` answers.
    pub(super) fn grow(
        &mut self,
        tid: pid_t,
        instruction: u64,
        mappings: &[Mapping],
        near: &Mapping,
        statuses: &mut Statuses,
    ) -> Result<(), Errno> {
        let place = maps::free_near(mappings, near.start, near.end, SIZE).ok_or(Errno::ENOMEM)?;
        let start = inject::map(tid, instruction, place, SIZE, statuses)?;
        self.list.push(Area {
            start,
            taken: 0,
            free: Vec::new(),
        });
        Ok(())
    }

    /// Unmaps all of them, where no thread can be inside any more.
    ///
    /// # Errors
    /// As [`inject::call`].
    pub(super) fn unmap(
        &mut self,
        tid: pid_t,
        instruction: u64,
        statuses: &mut Statuses,
    ) -> Result<(), Errno> {
        while let Some(area) = self.list.last() {
            inject::unmap(tid, instruction, area.start, SIZE, statuses)?;
            self.list.pop();
        }
        Ok(())
    }
}
