//! The memory of an arena, which programs and this process share at one address.

use std::{fmt, sync::Arc};

use skep_abi::{KernelVersion, MapCreateFlags, MapType};
use skep_host::{Access, Host, Memory};
use skep_object::ImageMap;

use crate::{Error, Map, Result, words};

/// The memory of an arena ([`Map::arena`]), mapped at the address at which programs hand out
/// pointers into it. Clones share the mapping. Since Linux 6.9.
///
/// Pages come into being when a program allocates them or someone touches them; programs and
/// other threads may write at any time, so bytes are copied, word by word.
#[derive(Clone)]
pub struct Arena {
    name: Arc<str>,
    memory: Arc<dyn Memory>,
    /// Pages that no program allocated can be touched.
    faults_in: bool,
}

impl Map {
    /// The memory of an arena. It is mapped at the first call, which the load makes, and stays
    /// as long as the map or an [`Arena`] of it.
    ///
    /// # Errors
    /// It is no arena, or its address is taken: `map_extra` names one that something else has in
    /// this process; or it names none, and another process mapped the arena first.
    #[doc(alias = "BPF_MAP_TYPE_ARENA")]
    pub fn arena(&self) -> Result<Arena> {
        self.expect_type(&[MapType::Arena])?;
        let info = self.known_info();
        let flags = MapCreateFlags::from_bits_retain(info.flags);
        let mut mapped = self
            .arena_memory()
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let memory = match &*mapped {
            Some(memory) => Arc::clone(memory),
            None => {
                let len = self.max_entries() as usize * self.host().page_size();
                let memory: Arc<dyn Memory> = self
                    .host()
                    .map_memory(self.fd(), 0, len, Access::ReadWrite)?
                    .into();
                mapped.insert(memory).clone()
            }
        };
        Ok(Arena {
            name: self.name().into(),
            memory,
            faults_in: !flags.contains(MapCreateFlags::SEGV_ON_FAULT),
        })
    }
}

impl Arena {
    /// The address of its first byte, in this process and for programs.
    pub fn address(&self) -> u64 {
        self.memory.words().as_ptr().addr() as u64
    }

    /// Its bytes, those of pages that are not there yet included.
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// Whether it has none, which no arena does.
    pub fn is_empty(&self) -> bool {
        self.memory.is_empty()
    }

    /// Where in it an address lies that a program gave.
    pub fn offset_of(&self, address: u64) -> Option<usize> {
        let offset = usize::try_from(address.checked_sub(self.address())?).ok()?;
        (offset < self.len()).then_some(offset)
    }

    /// The mapping itself. Touching a page that no program has allocated ends the process if the
    /// arena was made with `BPF_F_SEGV_ON_FAULT`.
    pub fn memory(&self) -> &dyn Memory {
        &*self.memory
    }

    /// Copies `bytes.len()` bytes from `offset` on.
    ///
    /// # Errors
    /// They reach beyond the arena, or it was made with `BPF_F_SEGV_ON_FAULT`.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        self.check(offset, bytes.len())?;
        words::read(self.memory.long_words(), offset, bytes);
        Ok(())
    }

    /// Writes bytes from `offset` on. What stands beside them in a word stays what it is, also
    /// if a program changes it at this moment.
    ///
    /// # Errors
    /// They reach beyond the arena, or it was made with `BPF_F_SEGV_ON_FAULT`.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        self.check(offset, bytes.len())?;
        let Some(words) = self.memory.writable() else {
            return Err(self.fault("it is mapped for reading only"));
        };
        words::write(words, offset, bytes);
        Ok(())
    }

    fn check(&self, offset: usize, len: usize) -> Result<()> {
        if offset.checked_add(len).is_none_or(|end| end > self.len()) {
            let end = self.len();
            return Err(self.fault(&format!(
                "{len} bytes at {offset:#x} reach beyond its {end:#x} bytes"
            )));
        }
        if !self.faults_in {
            return Err(self.fault(
                "it was made with BPF_F_SEGV_ON_FAULT: only what a program allocated can be \
                 touched, through `Arena::memory`",
            ));
        }
        Ok(())
    }

    fn fault(&self, reason: &str) -> Error {
        Error::Map {
            map: self.name.to_string(),
            reason: reason.to_owned(),
        }
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("name", &self.name)
            .field("address", &self.address())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Where in an arena an object's variables are: in its last pages, so that what programs allocate
/// begins at the first.
///
/// Instructions say it in bytes, of which kernels before 7.0 take only so many; in an arena that
/// is larger, the variables are in the first pages there.
pub(crate) fn data_offset(host: &dyn Host, map: &ImageMap, data: usize) -> Result<u32> {
    const LIMIT: u64 = 1 << 29;
    let page = host.page_size() as u64;
    let size = u64::from(map.max_entries) * page;
    let Some(last) = size.checked_sub((data as u64).next_multiple_of(page)) else {
        return Err(Error::Map {
            map: map.name.clone(),
            reason: format!(
                "its variables take {data} bytes, and {} pages of {page} bytes do not hold them",
                map.max_entries
            ),
        });
    };
    let everywhere = host.info().version >= KernelVersion::new(7, 0);
    let offset = if last < LIMIT || everywhere { last } else { 0 };
    // The kernel itself refuses arenas of more than 4 GiB.
    Ok(u32::try_from(offset).unwrap_or(0))
}
