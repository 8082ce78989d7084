//! Memory for machine code: written first, executable afterwards, never both.

use std::{ffi::c_void, ptr::NonNull};

use rustix::mm::{self, MapFlags, MprotectFlags, ProtFlags};
use skep_host::Errno;

use crate::memory::{PAGE, round_up};

/// Machine code that may be executed; unmapped when dropped.
pub(super) struct Memory {
    start: NonNull<u8>,
    mapped: usize,
    len: usize,
}

// SAFETY: after `new` nobody writes to it.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Maps `code`.
    ///
    /// # Errors
    /// What the system says to `mmap` and `mprotect`: `EACCES` or `EPERM` where a policy forbids
    /// memory that was written to be executed.
    pub(super) fn new(code: &[u8]) -> Result<Self, Errno> {
        let errno = |error: rustix::io::Errno| Errno(error.raw_os_error());
        let mapped = round_up(code.len().max(1), PAGE).ok_or(Errno::ENOMEM)?;
        // SAFETY: a new mapping, which nothing else uses.
        let start = unsafe {
            mm::mmap_anonymous(
                std::ptr::null_mut(),
                mapped,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        };
        let start = NonNull::new(start.map_err(errno)?.cast::<u8>()).ok_or(Errno::ENOMEM)?;
        let memory = Self {
            start,
            mapped,
            len: code.len(),
        };
        // SAFETY: the mapping has at least this length, is writable, and nobody else knows of it.
        unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), start.as_ptr(), code.len()) };
        // SAFETY: the mapping is ours and whole; nothing is written to it from here on.
        unsafe {
            mm::mprotect(
                start.as_ptr().cast::<c_void>(),
                mapped,
                MprotectFlags::READ | MprotectFlags::EXEC,
            )
        }
        .map_err(errno)?;
        memory.synchronize();
        Ok(memory)
    }

    /// Makes this processor fetch what was written, where caches of code and data are apart. A
    /// thread that gets the program later passes a synchronization of its own.
    fn synchronize(&self) {
        #[cfg(target_arch = "aarch64")]
        {
            let start = self.start.as_ptr().addr();
            // The smallest line that the architecture has.
            for line in (start & !15..start + self.len).step_by(16) {
                // SAFETY: cleans and invalidates lines of our own mapping.
                unsafe { std::arch::asm!("dc cvau, {0}", in(reg) line, options(nostack)) };
            }
            // SAFETY: barriers.
            unsafe { std::arch::asm!("dsb ish", options(nostack)) };
            for line in (start & !15..start + self.len).step_by(16) {
                // SAFETY: as above.
                unsafe { std::arch::asm!("ic ivau, {0}", in(reg) line, options(nostack)) };
            }
            // SAFETY: barriers.
            unsafe { std::arch::asm!("dsb ish", "isb", options(nostack)) };
        }
    }

    /// The code.
    pub(super) fn code(&self) -> &[u8] {
        // SAFETY: mapped and initialized for this length, and never written again.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// The address of the byte at `offset`.
    pub(super) fn at(&self, offset: usize) -> Option<NonNull<u8>> {
        // SAFETY: inside the mapping.
        (offset < self.len).then(|| unsafe { self.start.add(offset) })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; whoever runs the code keeps the program.
        let _ = unsafe { mm::munmap(self.start.as_ptr().cast(), self.mapped) };
    }
}
