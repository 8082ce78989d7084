//! A map of a light form, as bytes.

use std::path::Path;

use skep_abi::MapType;
use skep_host::{ArenaMemory, Host as _, MapFd};

use crate::{Error, Kernel, MapImage, Result, RingBuffer};

/// A map that the kernel holds.
#[derive(Debug)]
pub struct Map {
    kernel: Kernel,
    fd: MapFd,
    image: &'static MapImage,
    arena: Option<Arena>,
}

/// The memory of an arena, and where in it the variables of the image are.
#[derive(Debug, Clone)]
pub(crate) struct Arena {
    pub(crate) memory: ArenaMemory,
    pub(crate) variables: u32,
}

impl Map {
    pub(crate) fn new(
        kernel: &Kernel,
        fd: MapFd,
        image: &'static MapImage,
        arena: Option<Arena>,
    ) -> Self {
        Self {
            kernel: kernel.clone(),
            fd,
            image,
            arena,
        }
    }

    pub(crate) fn image(&self) -> &'static MapImage {
        self.image
    }

    pub(crate) fn arena_place(&self) -> Option<&Arena> {
        self.arena.as_ref()
    }

    /// Where variables in an arena are.
    pub(crate) fn variables(&self) -> Option<(&ArenaMemory, usize)> {
        let arena = self.arena.as_ref()?;
        Some((&arena.memory, arena.variables as usize))
    }

    pub(crate) fn fault(&self, reason: impl Into<String>) -> Error {
        Error::Map {
            map: self.image.name,
            reason: reason.into(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.image.name
    }

    /// Its type.
    pub fn map_type(&self) -> MapType {
        self.image.inner.map_type
    }

    /// Its descriptor, for the commands of [`skep_host::Host`].
    pub fn fd(&self) -> &MapFd {
        &self.fd
    }

    /// The kernel that holds it.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// A second handle of the same map.
    ///
    /// # Errors
    /// There are too many open files.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            kernel: self.kernel.clone(),
            fd: self.fd.try_clone()?,
            image: self.image,
            arena: self.arena.clone(),
        })
    }

    /// The memory of an arena, mapped at the address at which programs hand out pointers into it;
    /// `None` for other maps. It stays mapped as long as a handle of the map or a clone of it.
    pub fn arena(&self) -> Option<&ArenaMemory> {
        self.arena.as_ref().map(|arena| &arena.memory)
    }

    /// The value under a key; `None` if there is none. Per-CPU maps give all CPUs' values, each
    /// rounded up to 8 bytes.
    ///
    /// # Errors
    /// The key is of another size, or the kernel refused.
    pub fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let inner = &self.image.inner;
        let size = inner.value_size as usize;
        let size = match inner.map_type {
            MapType::PercpuHash
            | MapType::PercpuArray
            | MapType::LruPercpuHash
            | MapType::PercpuCgroupStorage => {
                size.next_multiple_of(8) * self.kernel.possible_cpus()?
            }
            _ => size,
        };
        let mut value = vec![0; size];
        let found = self.kernel.map_lookup_elem(&self.fd, key, &mut value, 0)?;
        Ok(found.then_some(value))
    }

    /// Sets the value under a key, be it there or not.
    ///
    /// # Errors
    /// Key or value are of another size, the map is full, or the kernel refused.
    pub fn update(&self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.kernel.map_update_elem(&self.fd, key, value, 0)?)
    }

    /// Deletes an entry; `Ok(false)` if it was not there.
    ///
    /// # Errors
    /// The key is of another size, or the kernel refused.
    pub fn delete(&self, key: &[u8]) -> Result<bool> {
        Ok(self.kernel.map_delete_elem(&self.fd, key)?)
    }

    /// The key after this one, or the first.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
        let mut next = vec![0; self.image.inner.key_size as usize];
        let found = self.kernel.map_get_next_key(&self.fd, key, &mut next)?;
        Ok(found.then_some(next))
    }

    /// The reading end of a ring buffer.
    ///
    /// # Errors
    /// It is no ring buffer, or its memory can't be mapped.
    pub fn ring(&self) -> Result<RingBuffer> {
        RingBuffer::open(self)
    }

    /// Keeps it at `path` in a bpffs.
    ///
    /// # Errors
    /// The path is taken, or not in a bpffs.
    pub fn pin(&self, path: &Path) -> Result<()> {
        Ok(self.kernel.obj_pin(self.fd.descriptor(), path.into())?)
    }
}
