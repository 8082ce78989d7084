//! What of memory and maps a program may use: each access of its engine, and each address that it
//! gives a helper.

use std::sync::Arc;

use super::{Region, Run, budget::SHORT};
use crate::{
    FaultKind,
    map::{ARENA_GUARD, ARENA_WINDOW, FieldKind, Map, Range},
    memory::View,
    program::MAPS,
};

/// The index of the first inner map, behind all that a program can name itself.
const INNER: usize = 1 << 16;

/// Instructions that an access counts as to where an arena has no page.
const VOID: u32 = 1000;

impl Run<'_> {
    /// Whether an access is the program's; in checked mode only.
    #[inline]
    pub(crate) fn check(&self, address: u64, size: u64, write: bool) -> Region {
        if self.hot.caches.covers(address, size, write) {
            return Region::Ours;
        }
        self.look_up(address, size, write)
    }

    /// Where a guarded access of a verified program goes: to its address if that is the program's,
    /// else to eight bytes that hold 0 and that nobody reads. `aligned`: it must be aligned too.
    #[inline]
    pub(crate) fn guard(&self, address: u64, size: u64, write: bool, aligned: bool) -> u64 {
        let ours = self.check(address, size, write) == Region::Ours;
        if ours && (!aligned || address.is_multiple_of(size)) {
            return address;
        }
        self.hot.nowhere.set(0);
        self.hot.nowhere.as_ptr().expose_provenance() as u64
    }

    /// The region of an access, when it is not the last one.
    #[cold]
    #[inline(never)]
    fn look_up(&self, address: u64, size: u64, write: bool) -> Region {
        match self.region_of(address, write) {
            Some(range)
                if (range.writable || !write)
                    && address - range.start <= range.len
                    && size <= range.len - (address - range.start) =>
            {
                self.hot.caches.remember(range, write);
                Region::Ours
            }
            // The system was asked whether a user has written there.
            _ if self.in_arena(address, size) => match self.pay(VOID) {
                Ok(()) => Region::Void,
                Err(_) => Region::Spent,
            },
            _ => Region::Nothing,
        }
    }

    /// Whether an access is in the window of the program's arena, be there pages or not.
    fn in_arena(&self, address: u64, size: u64) -> bool {
        let Some(window) = self.program().code.arena() else {
            return false;
        };
        let guard = ARENA_GUARD;
        let offset = address.wrapping_sub(window - guard);
        let len = ARENA_WINDOW + 2 * guard;
        size <= len && offset <= len - size
    }

    /// Forgets which regions were touched last: some may be gone.
    pub(crate) fn forget_regions(&self) {
        self.hot.caches.clear();
    }

    /// The region of an address: the run's own, of a map, of an object.
    pub(super) fn region_of(&self, address: u64, write: bool) -> Option<Range> {
        let own = self.regions.borrow().find(address, write);
        own.or_else(|| self.lent_region(address))
            .or_else(|| self.map_region(address, write))
            .or_else(|| self.object_region(address))
    }

    fn map_region(&self, address: u64, write: bool) -> Option<Range> {
        let region = |map: &Arc<Map>| match write || map.shape.readable_by_programs() {
            true => map.kind.region(address),
            false => None,
        };
        let maps = &self.program().maps;
        let found = maps.iter().find_map(region);
        found.or_else(|| self.inner.borrow().iter().find_map(region))
    }

    /// Whether a value of one of the program's maps has a field of this kind at an address.
    pub(crate) fn is_field(&self, address: u64, kind: FieldKind) -> bool {
        let has = |map: &Arc<Map>| {
            let range = map.kind.region(address);
            range.is_some_and(|range| map.shape.fields.has(address - range.start, kind))
        };
        self.program().maps.iter().any(has) || self.inner.borrow().iter().any(has)
    }

    /// A map by the address that the program has for it.
    #[inline]
    pub(crate) fn map(&self, handle: u64) -> Result<&Map, FaultKind> {
        let index = handle.wrapping_sub(MAPS) as usize;
        match self.program().maps.get(index) {
            Some(map) => Ok(map),
            None => self.inner_map(index),
        }
    }

    fn inner_map(&self, index: usize) -> Result<&Map, FaultKind> {
        let inner = self.inner.borrow();
        let found = index
            .checked_sub(INNER)
            .and_then(|index| inner.get(index))
            .ok_or(FaultKind::Argument {
                function: "map argument",
                reason: "this is no map of the program",
            })?;
        let found: *const Map = &**found;
        // SAFETY: `inner` keeps its maps until the run ends; nothing is taken out of it.
        Ok(unsafe { &*found })
    }

    /// Keeps an inner map for the rest of the run, and gives the program's address for it.
    pub(crate) fn keep(&self, map: Arc<Map>) -> u64 {
        let mut inner = self.inner.borrow_mut();
        let known = inner.iter().position(|kept| Arc::ptr_eq(kept, &map));
        let index = known.unwrap_or_else(|| {
            inner.push(map);
            inner.len() - 1
        });
        MAPS + (INNER + index) as u64
    }

    /// How many inner maps are kept.
    pub(crate) fn kept(&self) -> u32 {
        self.inner.borrow().len() as u32
    }

    /// Memory that a program gave a helper: to be read, or with `write` to be written. In either mode
    /// it is looked at: it may be of a context or buffer whose length no verifier knows.
    ///
    /// # Errors
    /// It is not the program's.
    #[inline(always)]
    pub(crate) fn view(&self, address: u64, len: u64, write: bool) -> Result<View<'_>, FaultKind> {
        if len <= SHORT && self.hot.caches.covers(address, len, write) {
            // SAFETY: checked just now; what was granted stays for the run.
            if let Some(view) = unsafe { View::at_address(address, len as usize) } {
                return Ok(view);
            }
        }
        self.view_of(address, len, write)
    }

    /// The same, of what was not touched last, or is long. Apart, so that the helpers which get by
    /// without it have few registers to save.
    #[inline(never)]
    fn view_of(&self, address: u64, len: u64, write: bool) -> Result<View<'_>, FaultKind> {
        if len == 0 {
            return Ok(View::of(&mut []));
        }
        let wrong = FaultKind::Memory {
            address,
            size: len,
            write,
        };
        match self.check(address, len, write) {
            Region::Ours if len > SHORT => self.pay_for(address, len, write)?,
            Region::Ours => {}
            Region::Spent => return Err(self.take_fault().kind),
            Region::Void | Region::Nothing => return Err(wrong),
        }
        // SAFETY: checked just now; what was granted stays for the run.
        unsafe { View::at_address(address, len as usize) }.ok_or(wrong)
    }

    /// The run has addresses of a map's values.
    #[inline]
    pub(crate) fn saw(&self, map: &Map) {
        self.seen.set(self.seen.get() | 1 << (map.id % 64));
    }

    /// The run may have addresses of any map's values.
    pub(crate) fn saw_all(&self) {
        self.seen.set(u64::MAX);
    }

    /// Whether the run may have addresses of a map's values.
    #[inline]
    pub(crate) fn has_seen(&self, map: &Map) -> bool {
        self.seen.get() >> (map.id % 64) & 1 != 0
    }

    /// The address of a map's value for the program, which may use it until it ends.
    #[inline]
    pub(crate) fn given(&self, map: &Map, value: View<'_>) -> u64 {
        let address = value.address();
        self.saw(map);
        if self.checked() {
            // Where programs may only read or only write, each access asks the map.
            if map.shape.writable_by_programs() && map.shape.readable_by_programs() {
                self.hot.caches.given(address, value.len() as u64);
            }
        }
        address
    }
}
