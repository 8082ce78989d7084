//! The memory of a mapped array (`BPF_F_MMAPABLE`, 5.5), which programs and this process share:
//! values are read and written without a system call.

use std::fmt;

use skep_abi::{MapCreateFlags, MapType};
use skep_host::{Access, Memory, words};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::Map;
use crate::{Error, Result};

/// Bytes of the words that memory is read and written by.
const WORD: usize = 8;

/// The memory of an array, shared with programs that write to it at any time.
///
/// It is read and written by whole 64-bit words, each atomically. So a value of up to 8 bytes
/// that does not cross a multiple of 8 is never torn, and what a program writes beside it is not
/// lost; a larger one may be seen half written.
pub struct MapMemory {
    map: String,
    memory: Box<dyn Memory>,
    stride: usize,
    value_size: usize,
    entries: usize,
}

impl Map {
    /// Maps the memory of an array that was made with
    /// [`MMAPABLE`](MapCreateFlags::MMAPABLE), such as the sections of global variables. Since
    /// 5.5. A frozen or read-only map's memory can only be read.
    ///
    /// # Errors
    /// The map is no array or can't be mapped.
    #[doc(alias = "BPF_F_MMAPABLE")]
    pub fn memory(&self) -> Result<MapMemory> {
        self.expect_type(&[MapType::Array])?;
        if !self.is_mmapable() {
            return Err(Error::map(
                self,
                "its memory can't be mapped: give it map_flags BPF_F_MMAPABLE",
            ));
        }
        let stride = self.value_size().next_multiple_of(WORD);
        let entries = usize::try_from(self.max_entries()).unwrap_or(usize::MAX);
        let len = stride
            .checked_mul(entries)
            .and_then(|len| len.checked_next_multiple_of(self.host.page_size()))
            .ok_or_else(|| Error::map(self, "it is larger than this machine's memory"))?;
        let map = |access| self.host.map_memory(&self.fd, 0, len, access);
        // The kernel says no (`EPERM`, `EACCES`) to writing to what is frozen or read-only.
        let memory = map(Access::ReadWrite).or_else(|_| map(Access::Read))?;
        Ok(MapMemory {
            map: self.name().to_owned(),
            memory,
            stride,
            value_size: self.value_size(),
            entries,
        })
    }
}

impl Map {
    /// Whether it was made so that its memory can be mapped.
    pub(crate) fn is_mmapable(&self) -> bool {
        MapCreateFlags::from_bits_retain(self.info.flags).contains(MapCreateFlags::MMAPABLE)
    }
}

impl MapMemory {
    /// How many entries the array has.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// It has no entries.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Whether it can be written to.
    pub fn is_writable(&self) -> bool {
        self.memory.writable().is_some()
    }

    /// The value of an entry.
    ///
    /// # Errors
    /// There is no such entry, or values have another size than `V`.
    pub fn get<V: FromBytes + IntoBytes>(&self, index: usize) -> Result<V> {
        let mut value = V::new_zeroed();
        self.read(self.place(index, size_of::<V>())?, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Sets the value of an entry.
    ///
    /// # Errors
    /// There is no such entry, values have another size than `V`, or the memory can only be read.
    pub fn set<V: IntoBytes + Immutable>(&self, index: usize, value: &V) -> Result<()> {
        self.write(self.place(index, size_of::<V>())?, value.as_bytes())
    }

    fn place(&self, index: usize, size: usize) -> Result<usize> {
        if size != self.value_size {
            let size_of_values = self.value_size;
            return Err(self.fault(format!(
                "the value is {size} bytes, and the map's is {size_of_values}"
            )));
        }
        if index >= self.entries {
            return Err(self.fault(format!("it has {} entries, not {index}", self.entries)));
        }
        Ok(index * self.stride)
    }

    /// Copies bytes out, from `offset` on.
    ///
    /// # Errors
    /// They are not inside the array.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        self.check(offset, bytes.len())?;
        words::read(self.memory.long_words(), offset, bytes);
        Ok(())
    }

    /// Writes bytes, from `offset` on.
    ///
    /// # Errors
    /// They are not inside the array, or the memory can only be read.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        self.check(offset, bytes.len())?;
        let Some(words) = self.memory.writable() else {
            return Err(self.fault("it is frozen or read-only".into()));
        };
        words::write(words, offset, bytes);
        Ok(())
    }

    fn check(&self, offset: usize, len: usize) -> Result<()> {
        let end = offset.checked_add(len);
        if end.is_some_and(|end| end <= self.stride * self.entries) {
            return Ok(());
        }
        Err(self.fault(format!("there are no {len} bytes at {offset:#x}")))
    }

    fn fault(&self, reason: String) -> Error {
        Error::Map {
            map: self.map.clone(),
            reason,
        }
    }
}

impl fmt::Debug for MapMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapMemory")
            .field("map", &self.map)
            .field("entries", &self.entries)
            .field("writable", &self.is_writable())
            .finish_non_exhaustive()
    }
}
