//! The entries of maps whose values are things, not bytes: events, cgroups, sockets.

use arc_swap::ArcSwapOption;
use skep_host::Errno;

use std::{fmt, sync::Arc};

/// A thing an index, or none. Readers wait for nobody.
pub(crate) struct Slots<T>(Box<[ArcSwapOption<T>]>);

impl<T> Slots<T> {
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new(entries: u32) -> Result<Self, Errno> {
        let mut slots = Vec::new();
        slots
            .try_reserve_exact(entries as usize)
            .map_err(|_| Errno::ENOMEM)?;
        slots.resize_with(entries as usize, ArcSwapOption::empty);
        Ok(Self(slots.into_boxed_slice()))
    }

    /// How many there can be.
    pub(crate) fn len(&self) -> u32 {
        self.0.len() as u32
    }

    /// What is there.
    pub(crate) fn get(&self, index: u32) -> Option<Arc<T>> {
        self.0.get(index as usize)?.load_full()
    }

    /// Puts a thing there.
    ///
    /// # Errors
    /// `E2BIG`: there is no such place.
    pub(crate) fn set(&self, index: u32, thing: Arc<T>) -> Result<(), Errno> {
        self.0
            .get(index as usize)
            .ok_or(Errno::E2BIG)?
            .store(Some(thing));
        Ok(())
    }

    /// Puts a thing there, or none; answers what was there before.
    ///
    /// # Errors
    /// `E2BIG`: there is no such place.
    pub(crate) fn swap(&self, index: u32, thing: Option<Arc<T>>) -> Result<Option<Arc<T>>, Errno> {
        let slot = self.0.get(index as usize).ok_or(Errno::E2BIG)?;
        Ok(slot.swap(thing))
    }

    /// Takes out what is there.
    ///
    /// # Errors
    /// `E2BIG`: there is no such place; `ENOENT`: nothing is there.
    pub(crate) fn take(&self, index: u32) -> Result<Arc<T>, Errno> {
        let slot = self.0.get(index as usize).ok_or(Errno::E2BIG)?;
        slot.swap(None).ok_or(Errno::ENOENT)
    }

    /// Bytes of memory that it takes, roughly.
    pub(crate) fn memory_used(&self) -> u64 {
        self.0.len() as u64 * 8
    }
}

impl<T> fmt::Debug for Slots<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.0.iter().filter(|slot| slot.load().is_some()).count();
        write!(f, "Slots({used} of {})", self.0.len())
    }
}
