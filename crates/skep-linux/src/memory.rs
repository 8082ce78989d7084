//! Mapped memory: of maps and perf events, shared with the kernel, and of the kernel's BTF.

use std::{
    fs, io,
    ops::Range,
    os::fd::{AsRawFd, RawFd},
    ptr::NonNull,
    sync::atomic::AtomicU64,
};

use skep_abi::MapType;
use skep_host::{Access, Error, Host as _, LongWord, MapFd, Memory, Result, Word};

use crate::{
    LinuxHost,
    sys::{SysResult, last_errno},
};

/// A mapping of this process, unmapped when dropped.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is memory of the process and of no thread; it is only read through shared
// references, or through atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(fd: RawFd, offset: u64, len: usize, protection: i32, flags: i32) -> SysResult<Self> {
        Self::at(0, fd, offset, len, protection, flags)
    }

    /// The same at an address, which must be free; 0 leaves the choice to the kernel.
    fn at(
        address: usize,
        fd: RawFd,
        offset: u64,
        len: usize,
        protection: i32,
        flags: i32,
    ) -> SysResult<Self> {
        let offset = i64::try_from(offset).map_err(|_| skep_host::Errno::EINVAL)?;
        let fixed = if address == 0 {
            0
        } else {
            libc::MAP_FIXED_NOREPLACE
        };
        let place = std::ptr::without_provenance_mut(address);
        // SAFETY: a new mapping at a place of the kernel's choice, or at one where nothing is
        // (else it fails), touches no existing memory.
        let start = unsafe { libc::mmap(place, len, protection, flags | fixed, fd, offset) };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Self { start, len }),
            _ => Err(last_errno()),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `start` and `len` are of one mapping that `new` made, and nothing borrowed
        // from it outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Memory that the kernel writes to while we look at it.
#[derive(Debug)]
pub(crate) struct Shared {
    mapping: Mapping,
    access: Access,
}

impl Shared {
    /// Maps `len` bytes of `fd` at `offset`.
    pub(crate) fn new(fd: RawFd, offset: u64, len: usize, access: Access) -> SysResult<Self> {
        Self::at(0, fd, offset, len, access)
    }

    /// The same at an address of this process, which must be free.
    fn at(address: usize, fd: RawFd, offset: u64, len: usize, access: Access) -> SysResult<Self> {
        let protection = match access {
            Access::Read => libc::PROT_READ,
            Access::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        };
        let mapping = Mapping::at(address, fd, offset, len, protection, libc::MAP_SHARED)?;
        Ok(Self { mapping, access })
    }
}

impl Shared {
    fn start(&self) -> *const u8 {
        self.mapping.start.as_ptr()
    }
}

impl Memory for Shared {
    fn words(&self) -> &[Word] {
        // SAFETY: the mapping is page-aligned, `len` bytes long and lives as long as `self`;
        // words are atomics, which may be changed by others, and any bytes are valid for them.
        // They can only be loaded, which every mapping allows.
        unsafe { std::slice::from_raw_parts(self.start().cast(), self.mapping.len / 4) }
    }

    fn long_words(&self) -> &[LongWord] {
        // SAFETY: as in `words`.
        unsafe { std::slice::from_raw_parts(self.start().cast(), self.mapping.len / 8) }
    }

    fn writable(&self) -> Option<&[AtomicU64]> {
        (self.access == Access::ReadWrite).then(|| {
            // SAFETY: as in `words`, and the mapping was made for writing, too.
            unsafe { std::slice::from_raw_parts(self.start().cast(), self.mapping.len / 8) }
        })
    }

    fn committed(&self, range: Range<usize>) -> &[u8] {
        assert!(
            range.start <= range.end && range.end <= self.mapping.len,
            "{range:?} is not inside {} bytes of memory",
            self.mapping.len
        );
        // SAFETY: the range was just held against the mapping, which lives as long as `self`. By
        // the trait's contract the producer has published these bytes and leaves them alone
        // until the caller's next position store.
        unsafe { std::slice::from_raw_parts(self.start().add(range.start), range.len()) }
    }

    fn len(&self) -> usize {
        self.mapping.len
    }
}

/// A file of the kernel's that never changes.
#[derive(Debug)]
pub(crate) struct FileMap(Mapping);

impl FileMap {
    /// Maps `/sys/kernel/btf/vmlinux`, which is `len` bytes long. Since 6.16.
    pub(crate) fn of_kernel_btf(file: &fs::File, len: usize) -> io::Result<Self> {
        Mapping::new(file.as_raw_fd(), 0, len, libc::PROT_READ, libc::MAP_PRIVATE)
            .map(Self)
            .map_err(|errno| io::Error::from_raw_os_error(errno.0))
    }
}

impl AsRef<[u8]> for FileMap {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the mapping is `len` bytes of the kernel's BTF, which is constant as long as
        // the kernel runs (only the kernel's own, never a module's, can be mapped).
        unsafe { std::slice::from_raw_parts(self.0.start.as_ptr(), self.0.len) }
    }
}

pub(crate) fn of_map(
    host: &LinuxHost,
    map: &MapFd,
    offset: u64,
    len: usize,
    access: Access,
) -> Result<Box<dyn Memory>> {
    let made = Shared::new(map.raw(), offset, len, access).or_else(|errno| {
        match arena_address(host, map) {
            Some(address) => Shared::at(address, map.raw(), offset, len, access),
            None => Err(errno),
        }
    });
    match made {
        Ok(memory) => Ok(Box::new(memory)),
        Err(errno) => {
            let name = crate::map::describe(host, map);
            Err(Error::system(
                "map",
                format!("{len} bytes of {name} at {offset:#x}"),
                errno,
            ))
        }
    }
}

/// Where an arena that was made for an address must be mapped: nowhere else.
fn arena_address(host: &LinuxHost, map: &MapFd) -> Option<usize> {
    let info = host.map_info(map).ok()?;
    let is_arena = info.map_type() == Some(MapType::Arena);
    usize::try_from(info.map_extra)
        .ok()
        .filter(|address| is_arena && *address != 0)
}
