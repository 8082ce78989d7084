//! A block of zeroed memory with an address that programs may hold.

use std::{
    alloc::{self, Layout},
    fmt,
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use rustix::mm::{self, MapFlags, ProtFlags};
use skep_host::Errno;

use super::{PAGE, View};

/// Zeroed memory at a fixed address; given back when dropped.
///
/// Whoever lets programs see it keeps it alive for as long as one may run.
pub(crate) struct Block {
    start: NonNull<u8>,
    len: usize,
    origin: Origin,
}

/// From this length on, memory comes from the system rather than the allocator.
const LARGE: usize = 256 << 10;

/// How far apart from all other memory [`Block::apart`] lies: farther than the offset of an
/// instruction reaches, and whole pages of any size.
const GUARD: usize = 64 << 10;

/// How many blocks of the process may lie apart at once. Each takes two of its mappings, of which
/// there are 65,530 by default (`vm.max_map_count`).
const MOST_APART: usize = 4096;

/// How many there are.
static APART: AtomicUsize = AtomicUsize::new(0);
/// How many there were.
static PLACED: AtomicUsize = AtomicUsize::new(0);

enum Origin {
    /// From the allocator.
    Heap(Layout),
    /// From `mmap`, with this length.
    Mapped(usize),
    /// From `mmap`, with this length, so far behind its start.
    Apart { total: usize, before: usize },
    /// Of length 0.
    Nothing,
}

// SAFETY: the block owns its memory, whose bytes are only ever touched by atomic accesses (`View`)
// and by programs, for which races are what they are for the machine.
unsafe impl Send for Block {}
// SAFETY: as above; shared views only make atomic accesses.
unsafe impl Sync for Block {}

impl Block {
    /// `len` bytes, aligned to 8.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new(len: usize) -> Result<Self, Errno> {
        Self::aligned(len, 8)
    }

    /// `len` bytes from a page's start, a whole number of pages.
    pub(crate) fn pages(len: usize) -> Result<Self, Errno> {
        let len = super::round_up(len, PAGE).ok_or(Errno::ENOMEM)?;
        Self::aligned(len, PAGE)
    }

    /// `len` bytes aligned to `align`, a power of two, with nothing beside them: an access next to
    /// what a program was given is an error then, and never by chance one to something else that
    /// is the program's too. Where a process has thousands of them, the others are as any block.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn apart(len: usize, align: usize) -> Result<Self, Errno> {
        // Miri has no mappings.
        if len == 0 || align > PAGE || cfg!(miri) {
            return Self::aligned(len, align);
        }
        if APART.load(Relaxed) < MOST_APART
            && let Ok(block) = Self::between_guards(len, align)
        {
            return Ok(block);
        }
        Self::aligned(len, align)
    }

    fn between_guards(len: usize, align: usize) -> Result<Self, Errno> {
        let pages = super::round_up(len, PAGE).ok_or(Errno::ENOMEM)?;
        let total = pages.checked_add(2 * GUARD).ok_or(Errno::ENOMEM)?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        let nowhere = std::ptr::null_mut();
        // SAFETY: a new anonymous mapping.
        let start = unsafe { mm::mmap_anonymous(nowhere, total, ProtFlags::empty(), flags) };
        let start = start.map_err(|error| Errno(error.raw_os_error()))?;
        // Were all at a page's start, they would want the same few lines of a processor's cache.
        let unit = align.max(64);
        let places = (pages - len) / unit + 1;
        let before = GUARD + PLACED.fetch_add(1, Relaxed) % places * unit;
        // SAFETY: inside the mapping.
        let (pages_start, start) = unsafe { (start.byte_add(GUARD), start.byte_add(before)) };
        let block = Self {
            start: NonNull::new(start.cast()).ok_or(Errno::ENOMEM)?,
            len,
            origin: Origin::Apart { total, before },
        };
        APART.fetch_add(1, Relaxed);
        let _ = block.start.as_ptr().expose_provenance();
        let access = mm::MprotectFlags::READ | mm::MprotectFlags::WRITE;
        // SAFETY: pages of the mapping, which is the block's alone.
        let opened = unsafe { mm::mprotect(pages_start, pages, access) };
        opened.map_err(|error| Errno(error.raw_os_error()))?;
        Ok(block)
    }

    /// `len` bytes aligned to `align`, a power of two.
    pub(crate) fn aligned(len: usize, align: usize) -> Result<Self, Errno> {
        if len == 0 {
            return Ok(Self {
                start: NonNull::dangling(),
                len,
                origin: Origin::Nothing,
            });
        }
        // The allocator would write zeroes over all of it. Pages of the system are zero anyway,
        // and take memory only once they are used.
        if len >= LARGE && align <= PAGE {
            return Self::map(std::ptr::null_mut(), len, MapFlags::empty());
        }
        let layout = Layout::from_size_align(len, align).map_err(|_| Errno::ENOMEM)?;
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc::alloc_zeroed(layout) };
        let start = NonNull::new(start).ok_or(Errno::ENOMEM)?;
        // What programs compute from integers may point into it.
        let _ = start.as_ptr().expose_provenance();
        Ok(Self {
            start,
            len,
            origin: Origin::Heap(layout),
        })
    }

    /// `len` bytes below 4 GiB, for what programs reach by 32-bit addresses: packets.
    ///
    /// # Errors
    /// `ENOMEM`, also where the system can't be asked for low addresses.
    pub(crate) fn low(len: usize) -> Result<Self, Errno> {
        let len = super::round_up(len.max(1), PAGE).ok_or(Errno::ENOMEM)?;
        // `MAP_32BIT`, which rustix does not name.
        #[cfg(target_arch = "x86_64")]
        let block = Self::map(std::ptr::null_mut(), len, MapFlags::from_bits_retain(0x40))?;
        #[cfg(not(target_arch = "x86_64"))]
        let block = (1..4096_usize)
            .find_map(|slot| {
                let hint = std::ptr::without_provenance_mut(slot << 20);
                let block = Self::map(hint, len, MapFlags::FIXED_NOREPLACE).ok()?;
                (block.address() == (slot << 20) as u64).then_some(block)
            })
            .ok_or(Errno::ENOMEM)?;
        match block.address().checked_add(len as u64) {
            Some(end) if end <= 1 << 32 => Ok(block),
            _ => Err(Errno::ENOMEM),
        }
    }

    /// `len` bytes of address space at a multiple of `align`, of which only what is touched takes
    /// memory. `guard` bytes before and after it belong to nobody.
    pub(crate) fn reserved(len: usize, align: usize, guard: usize) -> Result<Reserved, Errno> {
        Reserved::new(len, align, guard)
    }

    /// The same at `address`, a multiple of a page's size.
    ///
    /// # Errors
    /// `ENOMEM`: something else is there.
    pub(crate) fn reserved_at(address: u64, len: usize, guard: usize) -> Result<Reserved, Errno> {
        Reserved::at(address, len, guard)
    }

    fn map(hint: *mut std::ffi::c_void, len: usize, flags: MapFlags) -> Result<Self, Errno> {
        let flags = flags | MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new anonymous mapping; with `FIXED_NOREPLACE` none that is there is touched.
        let start =
            unsafe { mm::mmap_anonymous(hint, len, ProtFlags::READ | ProtFlags::WRITE, flags) };
        let start = start.map_err(|error| Errno(error.raw_os_error()))?;
        let start = NonNull::new(start.cast::<u8>()).ok_or(Errno::ENOMEM)?;
        let _ = start.as_ptr().expose_provenance();
        Ok(Self {
            start,
            len,
            origin: Origin::Mapped(len),
        })
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> u64 {
        self.start.as_ptr().addr() as u64
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All of it.
    pub(crate) fn all(&self) -> View<'_> {
        // SAFETY: the block's memory lives as long as the borrow, and is only touched atomically.
        unsafe { View::new(self.start, self.len) }
    }

    /// `len` bytes from `offset`, if they are in it.
    #[inline]
    pub(crate) fn view(&self, offset: usize, len: usize) -> Option<View<'_>> {
        self.all().part(offset, len)
    }

    /// The bytes from `address` on, if this block has `len` of them.
    pub(crate) fn at(&self, address: u64, len: usize) -> Option<View<'_>> {
        let offset = address.checked_sub(self.address())?;
        self.view(usize::try_from(offset).ok()?, len)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        match self.origin {
            // SAFETY: allocated by `aligned` with this layout, and not used any more.
            Origin::Heap(layout) => unsafe { alloc::dealloc(self.start.as_ptr(), layout) },
            Origin::Mapped(len) => {
                // SAFETY: mapped by `map` with this length, and not used any more.
                let _ = unsafe { mm::munmap(self.start.as_ptr().cast(), len) };
            }
            Origin::Apart { total, before } => {
                APART.fetch_sub(1, Relaxed);
                // SAFETY: mapped by `between_guards` with this length, so far before the block's
                // start, and not used any more.
                let _ = unsafe { mm::munmap(self.start.as_ptr().byte_sub(before).cast(), total) };
            }
            Origin::Nothing => {}
        }
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} bytes)", self.len)
    }
}

/// A wide range of addresses of which little is used: an arena.
pub(crate) struct Reserved {
    /// The mapping, guards and all.
    whole: Block,
    offset: usize,
    len: usize,
}

impl Reserved {
    fn new(len: usize, align: usize, guard: usize) -> Result<Self, Errno> {
        let total = [len, align, guard, guard]
            .iter()
            .try_fold(0_usize, |sum, part| sum.checked_add(*part))
            .ok_or(Errno::ENOMEM)?;
        let whole = Block::map(std::ptr::null_mut(), total, MapFlags::empty())?;
        let first = whole.address() as usize + guard;
        let start = super::round_up(first, align).ok_or(Errno::ENOMEM)?;
        let offset = start - whole.address() as usize;
        Ok(Self::made(whole, offset, len))
    }

    fn at(address: u64, len: usize, guard: usize) -> Result<Self, Errno> {
        let address = usize::try_from(address).map_err(|_| Errno::ENOMEM)?;
        let start = address.checked_sub(guard).filter(|start| *start > 0);
        let start = start.ok_or(Errno::ENOMEM)?;
        let total = len.checked_add(2 * guard).ok_or(Errno::ENOMEM)?;
        let hint = std::ptr::without_provenance_mut(start);
        let whole = Block::map(hint, total, MapFlags::FIXED_NOREPLACE);
        let whole = whole.map_err(|_| Errno::ENOMEM)?;
        // Old kernels take the flag for a hint.
        if whole.address() as usize != start {
            return Err(Errno::ENOMEM);
        }
        Ok(Self::made(whole, guard, len))
    }

    fn made(whole: Block, offset: usize, len: usize) -> Self {
        // That one page is touched shall say nothing of its neighbours.
        let advice = mm::Advice::LinuxNoHugepage;
        // SAFETY: our own mapping, of which no byte changes by it.
        let _ = unsafe { mm::madvise(whole.start.as_ptr().cast(), whole.len, advice) };
        Self { whole, offset, len }
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> u64 {
        self.whole.address() + self.offset as u64
    }

    /// `len` bytes from `offset`, if they are in it.
    pub(crate) fn view(&self, offset: usize, len: usize) -> Option<View<'_>> {
        let end = offset.checked_add(len)?;
        if end > self.len {
            return None;
        }
        self.whole.view(self.offset + offset, len)
    }

    /// Gives the memory of whole pages back; they read as zero again.
    pub(crate) fn forget(&self, offset: usize, len: usize) {
        if let Some(view) = self.view(offset, len) {
            // SAFETY: the pages are ours, and after it they read as zero: what atomic readers may
            // see at any time.
            let done = unsafe { mm::madvise(view.as_ptr().cast(), len, mm::Advice::LinuxDontNeed) };
            if done.is_err() {
                view.fill(0);
            }
        }
    }
}

impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reserved({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_those_that_lie_apart_blocks_are_as_any() {
        let blocks: Vec<_> = (0..MOST_APART + 8)
            .map(|_| Block::apart(100, 64).unwrap())
            .collect();
        let near = |block: &&Block| matches!(block.origin, Origin::Heap(_));
        assert!(blocks.iter().filter(near).count() >= 8);
        for block in &blocks {
            assert!(block.address().is_multiple_of(64));
            block.all().write(&[7; 100]);
        }
        let whole = |block: &Block| block.all().to_vec() == [7; 100];
        assert!(blocks.iter().all(whole));
    }
}
