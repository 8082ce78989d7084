//! The memory of an arena, which programs and this process share at one address, and where in it
//! the variables of an object are.

use std::{fmt, sync::Arc};

use skep_abi::{KernelVersion, MapCreateFlags};

use crate::{Access, Host, MapFd, Memory, Result, words};

/// The memory of an arena, mapped at the address at which programs hand out pointers into it. Clones
/// share the mapping. Since Linux 6.9.
///
/// Errors are in words: who holds one knows the map's name.
#[derive(Clone)]
pub struct ArenaMemory {
    memory: Arc<dyn Memory>,
    /// Pages that no program allocated can be touched.
    faults_in: bool,
}

impl ArenaMemory {
    /// Maps an arena of so many pages, with the flags that it was made with.
    ///
    /// # Errors
    /// Its address is taken: `map_extra` names one that something else has in this process; or it
    /// names none, and another process mapped the arena first.
    pub fn map<H: Host + ?Sized>(
        host: &H,
        map: &MapFd,
        pages: u32,
        flags: MapCreateFlags,
    ) -> Result<Self> {
        let len = pages as usize * host.page_size();
        Ok(Self {
            memory: host.map_memory(map, 0, len, Access::ReadWrite)?.into(),
            faults_in: !flags.contains(MapCreateFlags::SEGV_ON_FAULT),
        })
    }

    /// The mapping itself. Touching a page that no program has allocated ends the process if the
    /// arena was made with `BPF_F_SEGV_ON_FAULT`.
    pub fn memory(&self) -> &dyn Memory {
        &*self.memory
    }

    /// The address of its first byte, in this process and for programs.
    pub fn address(&self) -> u64 {
        self.memory.words().as_ptr().addr() as u64
    }

    /// Where in it an address lies that a program gave.
    pub fn offset_of(&self, address: u64) -> Option<usize> {
        let offset = usize::try_from(address.checked_sub(self.address())?).ok()?;
        (offset < self.memory.len()).then_some(offset)
    }

    /// Copies `bytes.len()` bytes from `offset` on.
    ///
    /// # Errors
    /// They reach beyond the arena, or it was made with `BPF_F_SEGV_ON_FAULT`.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<(), String> {
        self.check(offset, bytes.len())?;
        words::read(self.memory.long_words(), offset, bytes);
        Ok(())
    }

    /// Writes bytes from `offset` on. What stands beside them in a word stays what it is, also if a
    /// program changes it at this moment.
    ///
    /// # Errors
    /// They reach beyond the arena, or it was made with `BPF_F_SEGV_ON_FAULT`.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), String> {
        self.check(offset, bytes.len())?;
        let words = self.memory.writable();
        words::write(words.ok_or("it is mapped for reading only")?, offset, bytes);
        Ok(())
    }

    fn check(&self, offset: usize, len: usize) -> Result<(), String> {
        let all = self.memory.len();
        if offset.checked_add(len).is_none_or(|end| end > all) {
            return Err(format!(
                "{len} bytes at {offset:#x} reach beyond its {all:#x} bytes"
            ));
        }
        match self.faults_in {
            true => Ok(()),
            false => Err(
                "it was made with BPF_F_SEGV_ON_FAULT: only what a program allocated can be \
                 touched, through its mapping"
                    .into(),
            ),
        }
    }
}

impl fmt::Debug for ArenaMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArenaMemory")
            .field("address", &self.address())
            .field("len", &self.memory.len())
            .finish_non_exhaustive()
    }
}

/// Where in an arena of `pages` the variables of an object are, which take `data` bytes: in its last
/// pages, so that what programs allocate begins at the first.
///
/// Instructions say it in bytes, of which kernels before 7.0 take only so many; in an arena that is
/// larger, the variables are in the first pages there.
///
/// # Errors
/// It has no room for them.
pub fn arena_data_offset<H: Host + ?Sized>(
    host: &H,
    pages: u32,
    data: usize,
) -> Result<u32, String> {
    const LIMIT: u64 = 1 << 29;
    let page = host.page_size() as u64;
    let size = u64::from(pages) * page;
    let Some(last) = size.checked_sub((data as u64).next_multiple_of(page)) else {
        return Err(format!(
            "its variables take {data} bytes, and {pages} pages of {page} bytes do not hold them"
        ));
    };
    let everywhere = host.info().version >= KernelVersion::new(7, 0);
    let offset = if last < LIMIT || everywhere { last } else { 0 };
    // The kernel itself refuses arenas of more than 4 GiB.
    Ok(u32::try_from(offset).unwrap_or(0))
}
