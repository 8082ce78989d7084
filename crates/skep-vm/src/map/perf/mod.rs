//! `BPF_MAP_TYPE_PERF_EVENT_ARRAY`: one output event a CPU, each with a ring of its own
//! (`event.rs`).

mod event;

use std::sync::Arc;

use skep_host::Errno;

use super::{Kind, Shape, slots::Slots};
use crate::{
    machine::{Files, Object},
    memory::View,
};

pub(crate) use event::PerfEvent;

/// Events by index; by convention that is the CPU.
#[derive(Debug)]
pub(crate) struct PerfEventArray {
    events: Slots<PerfEvent>,
    files: Arc<Files>,
}

impl PerfEventArray {
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new(shape: &Shape) -> Result<Self, Errno> {
        Ok(Self {
            events: Slots::new(shape.max_entries)?,
            files: Arc::clone(&shape.files),
        })
    }

    /// The event that a program means by an index, or by `BPF_F_CURRENT_CPU`.
    ///
    /// # Errors
    /// `E2BIG`, `ENOENT`.
    pub(crate) fn event(&self, index: u32, cpu: u32) -> Result<Arc<PerfEvent>, Errno> {
        let index = if index == u32::MAX { cpu } else { index };
        if index >= self.events.len() {
            return Err(Errno::E2BIG);
        }
        self.events.get(index).ok_or(Errno::ENOENT)
    }
}

impl Kind for PerfEventArray {
    fn update(&self, _: u32, _: View<'_>, _: View<'_>, _: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn user_lookup(&self, _: &[u8], _: &mut [u8], _: u64) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let index = super::index(key)?;
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        if index >= self.events.len() {
            return Err(Errno::E2BIG);
        }
        let fd = super::index(value)?.cast_signed();
        let Ok(Object::Other(other)) = self.files.by_number(fd) else {
            return Err(Errno::EBADF);
        };
        let event = other.downcast::<PerfEvent>().map_err(|_| Errno::EBADF)?;
        self.events.set(index, event)
    }

    fn user_delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.events.take(super::index(key)?).map(drop)
    }

    fn user_next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        super::next_index(self.events.len(), key, next)
    }

    fn user_value_size(&self) -> usize {
        4
    }

    fn memory_used(&self) -> u64 {
        self.events.memory_used()
    }
}

// Mapped memory, which Miri does not have.
#[cfg(all(test, not(miri)))]
mod tests;
