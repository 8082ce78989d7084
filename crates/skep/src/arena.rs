//! The memory of an arena, which programs and this process share at one address.

use std::{fmt, sync::Arc};

use skep_abi::{MapCreateFlags, MapType};
use skep_host::{ArenaMemory, Host, Memory, arena_data_offset};
use skep_object::ImageMap;

use crate::{Error, Map, Result};

/// The memory of an arena ([`Map::arena`]), mapped at the address at which programs hand out
/// pointers into it. Clones share the mapping. Since Linux 6.9.
///
/// Pages come into being when a program allocates them or someone touches them; programs and
/// other threads may write at any time, so bytes are copied, word by word.
#[derive(Clone)]
pub struct Arena {
    name: Arc<str>,
    memory: ArenaMemory,
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
        let flags = MapCreateFlags::from_bits_retain(self.known_info().flags);
        let mut mapped = self
            .arena_memory()
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let memory = match &*mapped {
            Some(memory) => memory.clone(),
            None => {
                let host = self.host().as_ref();
                let memory = ArenaMemory::map(host, self.fd(), self.max_entries(), flags)?;
                mapped.insert(memory).clone()
            }
        };
        Ok(Arena {
            name: self.name().into(),
            memory,
        })
    }
}

impl Arena {
    /// The address of its first byte, in this process and for programs.
    pub fn address(&self) -> u64 {
        self.memory.address()
    }

    /// Its bytes, those of pages that are not there yet included.
    pub fn len(&self) -> usize {
        self.memory().len()
    }

    /// Whether it has none, which no arena does.
    pub fn is_empty(&self) -> bool {
        self.memory().is_empty()
    }

    /// Where in it an address lies that a program gave.
    pub fn offset_of(&self, address: u64) -> Option<usize> {
        self.memory.offset_of(address)
    }

    /// The mapping itself. Touching a page that no program has allocated ends the process if the
    /// arena was made with `BPF_F_SEGV_ON_FAULT`.
    pub fn memory(&self) -> &dyn Memory {
        self.memory.memory()
    }

    /// Copies `bytes.len()` bytes from `offset` on.
    ///
    /// # Errors
    /// They reach beyond the arena, or it was made with `BPF_F_SEGV_ON_FAULT`.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        let read = self.memory.read(offset, bytes);
        read.map_err(|reason| self.fault(reason))
    }

    /// Writes bytes from `offset` on. What stands beside them in a word stays what it is, also
    /// if a program changes it at this moment.
    ///
    /// # Errors
    /// They reach beyond the arena, or it was made with `BPF_F_SEGV_ON_FAULT`.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        let written = self.memory.write(offset, bytes);
        written.map_err(|reason| self.fault(reason))
    }

    fn fault(&self, reason: String) -> Error {
        Error::Map {
            map: self.name.to_string(),
            reason,
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

/// Where in an arena an object's variables are.
pub(crate) fn data_offset(host: &dyn Host, map: &ImageMap, data: usize) -> Result<u32> {
    let offset = arena_data_offset(host, map.max_entries, data);
    offset.map_err(|reason| Error::Map {
        map: map.name.clone(),
        reason,
    })
}
