//! A ring's memory: some pages, then data pages that appear twice, so that a record which runs
//! over the end lies in one piece.

use std::{ffi::c_void, fmt, ptr::NonNull};

use rustix::{
    fs::{MemfdFlags, ftruncate, memfd_create},
    mm::{self, MapFlags, ProtFlags},
};
use skep_host::Errno;

use super::View;

/// `head` bytes, then `data` bytes twice behind one another; all whole pages.
pub(crate) struct Mirror {
    start: NonNull<u8>,
    head: usize,
    data: usize,
}

// SAFETY: as for `Block`: it owns its mapping, whose bytes are touched by atomic accesses only.
unsafe impl Send for Mirror {}
// SAFETY: as above.
unsafe impl Sync for Mirror {}

impl Mirror {
    /// # Errors
    /// `ENOMEM`, or what the system says to `memfd_create` and `mmap`.
    pub(crate) fn new(head: usize, data: usize) -> Result<Self, Errno> {
        let errno = |error: rustix::io::Errno| Errno(error.raw_os_error());
        let total = data
            .checked_mul(2)
            .and_then(|twice| twice.checked_add(head))
            .ok_or(Errno::ENOMEM)?;
        let file = memfd_create("skep ring", MemfdFlags::CLOEXEC).map_err(errno)?;
        ftruncate(&file, (head + data) as u64).map_err(errno)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping of address space, which nothing else uses.
        let start = unsafe {
            mm::mmap_anonymous(
                std::ptr::null_mut(),
                total,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        };
        let start = start.map_err(errno)?.cast::<u8>();
        let mirror = Self {
            start: NonNull::new(start).ok_or(Errno::ENOMEM)?,
            head,
            data,
        };
        for (at, from, len) in [(0, 0, head + data), (head + data, head, data)] {
            // SAFETY: `at..at + len` is inside the range reserved above, which nothing else uses
            // yet; the file has these bytes.
            let mapped = unsafe {
                let place = mirror.start.as_ptr().add(at).cast::<c_void>();
                mm::mmap(
                    place,
                    len,
                    access,
                    MapFlags::SHARED | MapFlags::FIXED,
                    &file,
                    from as u64,
                )
            };
            mapped.map_err(errno)?;
        }
        let _ = mirror.start.as_ptr().expose_provenance();
        Ok(mirror)
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> u64 {
        self.start.as_ptr().addr() as u64
    }

    /// All of it, the data twice.
    pub(crate) fn all(&self) -> View<'_> {
        // SAFETY: the mapping lives as long as the borrow, and is only touched atomically.
        unsafe { View::new(self.start, self.head + 2 * self.data) }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and not used any more.
        let _ = unsafe { mm::munmap(self.start.as_ptr().cast(), self.head + 2 * self.data) };
    }
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mirror({} + {} bytes)", self.head, self.data)
    }
}
