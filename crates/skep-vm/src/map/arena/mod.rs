//! `BPF_MAP_TYPE_ARENA`: up to 4 GiB of pages that programs and users share, by address.
//!
//! The kernel has it at two addresses, its own and the user's; here there is one: a window of
//! 4 GiB, all of it reserved, of which pages are given out. Programs only see pages that they
//! allocated, or that a user wrote to (`pages.rs`): elsewhere loads give 0 and stores are lost.

mod pages;

use std::sync::{
    Mutex,
    atomic::{
        AtomicU64,
        Ordering::{Acquire, Release},
    },
};

use skep_abi::MapCreateFlags;
use skep_host::{Access, Errno};

use super::{Kind, Range, Shape};
use crate::{
    machine::{Charge, lock},
    memory::{Block, PAGE, Reserved, View},
};
use pages::Pages;

/// Bytes that an arena takes without a page.
pub(crate) const BYTES: u64 = pages::BYTES;

/// Bytes of the window, the most that an arena can have.
pub(crate) const WINDOW: u64 = 1 << 32;
/// Bytes before and after it that belong to it: instructions have offsets of 16 bits.
pub(crate) const GUARD: u64 = 1 << 16;

/// An arena.
#[derive(Debug)]
pub(crate) struct Arena {
    window: Reserved,
    /// Where in the window its first byte is.
    first: u64,
    /// Bytes that users mapped; 0 until somebody does.
    mapped: AtomicU64,
    pages: Pages,
    /// What the pages that are there take of the machine's memory.
    charge: Charge,
    /// Held while pages are given out or taken back.
    changing: Mutex<()>,
}

impl Arena {
    /// # Errors
    /// `E2BIG`: more than 4 GiB; `ERANGE`: it crosses a multiple of 4 GiB; `EINVAL`.
    pub(super) fn check(shape: &Shape) -> Result<(), Errno> {
        let page = PAGE as u64;
        let wanted = shape.map_extra;
        let flags =
            MapCreateFlags::SEGV_ON_FAULT | MapCreateFlags::MMAPABLE | MapCreateFlags::NO_USER_CONV;
        let fits = shape.key_size == 0
            && shape.value_size == 0
            && shape.max_entries != 0
            && shape.flags.contains(MapCreateFlags::MMAPABLE)
            && flags.contains(shape.flags)
            && wanted.is_multiple_of(page);
        if !fits {
            return Err(Errno::EINVAL);
        }
        let len = u64::from(shape.max_entries) * page;
        if len > WINDOW {
            return Err(Errno::E2BIG);
        }
        match wanted >> 32 == wanted.wrapping_add(len - 1) >> 32 {
            true => Ok(()),
            false => Err(Errno::ERANGE),
        }
    }

    /// # Errors
    /// `ENOMEM`: its address is not free, or can't be had.
    pub(crate) fn new(shape: &Shape) -> Result<Self, Errno> {
        let wanted = shape.map_extra;
        let len = u64::from(shape.max_entries) * PAGE as u64;
        let window = match wanted {
            0 => Block::reserved(WINDOW as usize, WINDOW as usize, GUARD as usize)?,
            _ => Block::reserved_at(wanted & !(WINDOW - 1), WINDOW as usize, GUARD as usize)?,
        };
        Ok(Self {
            window,
            first: wanted & (WINDOW - 1),
            mapped: AtomicU64::new(if wanted == 0 { 0 } else { len }),
            pages: Pages::new(),
            charge: Charge::new(shape.memory()),
            changing: Mutex::new(()),
        })
    }

    /// The first address of its window: a multiple of 4 GiB.
    pub(crate) fn window(&self) -> u64 {
        self.window.address()
    }

    /// Its first address, as users see it too.
    fn start(&self) -> u64 {
        self.window() + self.first
    }

    /// Whether users have mapped it, so that its addresses mean something.
    pub(crate) fn is_mapped(&self) -> bool {
        self.mapped.load(Acquire) != 0
    }

    /// Pages that users have mapped.
    fn most(&self) -> u64 {
        self.mapped.load(Acquire) / PAGE as u64
    }

    /// The page of an address, of which the lower half counts.
    fn page_of(&self, address: u64) -> u64 {
        u64::from((address as u32).wrapping_sub(self.first as u32)) / PAGE as u64
    }

    /// Where in the window a page is.
    fn offset_of(&self, page: u64) -> usize {
        (self.first + page * PAGE as u64) as usize
    }

    /// What it costs to look for `count` pages and to mark them, in instructions.
    pub(crate) fn steps(&self, count: u32) -> u32 {
        let most = u32::try_from(self.most()).unwrap_or(u32::MAX);
        most / 64 + count.min(most)
    }

    /// Gives out `count` pages side by side: at `address`, or wherever they are free for 0.
    /// Answers their address, 0 when there are none or the machine has no memory left for them.
    #[doc(alias = "bpf_arena_alloc_pages")]
    pub(crate) fn allocate(&self, address: u64, count: u32) -> u64 {
        let (count, most) = (u64::from(count), self.most());
        if count == 0 || count > most || !address.is_multiple_of(PAGE as u64) {
            return 0;
        }
        let _changing = lock(&self.changing);
        let page = if address == 0 {
            let touched = |page| self.touched(page);
            match self.pages.find(count, most, touched) {
                Some(page) => page,
                None => return 0,
            }
        } else {
            let page = self.page_of(address);
            if page > most - count || !self.is_free(page, count) {
                return 0;
            }
            page
        };
        if self.charge.more(count * PAGE as u64).is_err() {
            return 0;
        }
        for page in page..page + count {
            self.pages.take(page);
            self.pages.show(page);
        }
        self.start() + page * PAGE as u64
    }

    /// Takes pages back; what is in them is gone.
    #[doc(alias = "bpf_arena_free_pages")]
    pub(crate) fn free(&self, address: u64, count: u32) {
        let page = self.page_of(address);
        let most = self.most();
        if page >= most {
            return;
        }
        let count = u64::from(count).min(most - page);
        let _changing = lock(&self.changing);
        let before = self.pages.shown();
        for page in page..page + count {
            self.pages.hide(page);
            self.pages.give(page);
        }
        self.charge
            .less((before - self.pages.shown()) * PAGE as u64);
        let len = count as usize * PAGE;
        self.window.forget(self.offset_of(page), len);
    }

    /// Sees to it that pages are not given out by themselves.
    ///
    /// # Errors
    /// `EINVAL`: they are outside; `EBUSY`: some are given out.
    #[doc(alias = "bpf_arena_reserve_pages")]
    pub(crate) fn reserve(&self, address: u64, count: u32) -> Result<(), Errno> {
        let (page, count) = (self.page_of(address), u64::from(count));
        if page + count > self.most() {
            return Err(Errno::EINVAL);
        }
        let _changing = lock(&self.changing);
        if !self.is_free(page, count) {
            return Err(Errno::EBUSY);
        }
        for page in page..page + count {
            self.pages.take(page);
        }
        Ok(())
    }

    fn is_free(&self, page: u64, count: u64) -> bool {
        (page..page + count).all(|page| !self.pages.is_taken(page) && !self.touched(page))
    }

    /// Whether a user wrote to a page that was not given out. Then it is, from now on.
    fn touched(&self, page: u64) -> bool {
        let address = self.start() + page * PAGE as u64;
        let touched = self.pages.was_written(address);
        if touched {
            self.pages.take(page);
            if self.pages.show(page) {
                // It is there already, whatever the limit says.
                self.charge.anyhow(PAGE as u64);
            }
        }
        touched
    }

    /// The length of a mapping by a user.
    ///
    /// # Errors
    /// `EINVAL`: it does not begin with the first page; `E2BIG`: it is too long. The kernel asks
    /// this before what the descriptor may do.
    pub(crate) fn mapping(&self, offset: u64, len: usize) -> Result<usize, Errno> {
        let len = crate::memory::round_up(len, PAGE).ok_or(Errno::EINVAL)?;
        if offset != 0 {
            return Err(Errno::EINVAL);
        }
        match len as u64 > WINDOW - self.first {
            true => Err(Errno::E2BIG),
            false => Ok(len),
        }
    }

    /// The bytes of its pages, in whatever state they are, for users.
    fn view(&self, len: usize) -> Option<View<'_>> {
        self.window.view(self.first as usize, len)
    }
}

impl Kind for Arena {
    fn update(&self, _: u32, _: View<'_>, _: View<'_>, _: u64) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn delete(&self, _key: View<'_>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn direct_value(&self, offset: u32) -> Result<u64, Errno> {
        if u64::from(offset) >= self.mapped.load(Acquire) {
            return Err(Errno::ERANGE);
        }
        Ok(self.start() + u64::from(offset))
    }

    fn region(&self, address: u64) -> Option<Range> {
        let offset = address.checked_sub(self.start())?;
        let page = offset / PAGE as u64;
        if page >= self.most() {
            return None;
        }
        if !self.pages.is_shown(page) {
            let _changing = lock(&self.changing);
            if !self.pages.is_shown(page) && !self.touched(page) {
                return None;
            }
        }
        let (first, count) = self.pages.shown_around(page);
        Some(Range {
            start: self.start() + first * PAGE as u64,
            len: count * PAGE as u64,
            writable: true,
        })
    }

    fn user_lookup(&self, _: &[u8], _: &mut [u8], _: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn user_update(&self, _: &[u8], _: &[u8], _: u64) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn user_delete(&self, _key: &[u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn user_next_key(&self, _: Option<&[u8]>, _: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn user_value_size(&self) -> usize {
        0
    }

    fn mappable(&self, offset: u64, len: usize, _access: Access) -> Result<View<'_>, Errno> {
        let len = self.mapping(offset, len)?;
        let before = self
            .mapped
            .compare_exchange(0, len as u64, Release, Acquire)
            .unwrap_or_else(|before| before);
        match before {
            0 => {}
            before if len as u64 > before => return Err(Errno::E2BIG),
            before if (len as u64) < before => return Err(Errno::EINVAL),
            _ => {}
        }
        self.view(len).ok_or(Errno::EINVAL)
    }

    fn memory_used(&self) -> u64 {
        self.pages.shown() * PAGE as u64
    }
}

// Mapped memory, which Miri does not have.
#[cfg(all(test, not(miri)))]
mod tests;
