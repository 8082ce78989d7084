//! Maps of sockets: `BPF_MAP_TYPE_SOCKMAP`, `_SOCKHASH`, `_REUSEPORT_SOCKARRAY`, `_XSKMAP`.
//!
//! Users name a socket by its cookie, where a kernel takes a descriptor; the machine's sockets are
//! those of its network. It has no `AF_XDP` sockets, so nothing can be put into an `_XSKMAP`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak},
};

use arc_swap::ArcSwap;
use skep_abi::MapType;
use skep_host::Errno;

use super::{EXIST, Kind, NOEXIST, Shape};
use crate::{
    machine::{lock, net::Socket},
    memory::View,
    vm::Shared,
};

type Table = BTreeMap<Box<[u8]>, Arc<Socket>>;

/// Sockets by index or key. Readers see the table as it was when they looked.
#[derive(Debug)]
pub(crate) struct Sockets {
    map_type: MapType,
    entries: u32,
    value_size: usize,
    table: ArcSwap<Table>,
    changing: Mutex<()>,
    machine: Weak<Shared>,
}

impl Sockets {
    /// # Errors
    /// `E2BIG`: a key is longer than a stack.
    pub(crate) fn new(shape: &Shape) -> Result<Self, Errno> {
        Ok(Self {
            map_type: shape.map_type,
            entries: shape.max_entries,
            value_size: shape.value_size as usize,
            table: ArcSwap::default(),
            changing: Mutex::new(()),
            machine: Weak::clone(&shape.machine),
        })
    }

    fn hashes(&self) -> bool {
        self.map_type == MapType::Sockhash
    }

    /// The socket of a key.
    pub(crate) fn socket(&self, key: &[u8]) -> Option<Arc<Socket>> {
        self.table.load().get(key).cloned()
    }

    /// The index is one of an array.
    fn inside(&self, key: &[u8]) -> Result<bool, Errno> {
        Ok(self.hashes() || super::index(key)? < self.entries)
    }

    /// Puts a socket there.
    ///
    /// # Errors
    /// As the kernel: `EINVAL`, `E2BIG`, `EEXIST`, `ENOENT`.
    pub(crate) fn put(&self, key: &[u8], socket: Arc<Socket>, flags: u64) -> Result<(), Errno> {
        let _changing = lock(&self.changing);
        let mut table = Table::clone(&self.table.load());
        let known = table.contains_key(key);
        if known && flags == NOEXIST {
            return Err(Errno::EEXIST);
        }
        if !known && flags == EXIST {
            return Err(Errno::ENOENT);
        }
        if !known && table.len() >= self.entries as usize {
            return Err(Errno::E2BIG);
        }
        table.insert(key.into(), socket);
        self.table.store(Arc::new(table));
        Ok(())
    }

    /// Takes a socket out; `false` when none was there.
    fn remove(&self, key: &[u8]) -> bool {
        let _changing = lock(&self.changing);
        let mut table = Table::clone(&self.table.load());
        let found = table.remove(key).is_some();
        self.table.store(Arc::new(table));
        found
    }

    /// The error for deleting what is not there.
    fn absent(&self, inside: bool) -> Errno {
        match (self.map_type, inside) {
            (MapType::ReuseportSockarray, false) => Errno::E2BIG,
            (MapType::ReuseportSockarray | MapType::Sockhash, _) => Errno::ENOENT,
            _ => Errno::EINVAL,
        }
    }
}

impl Kind for Sockets {
    /// A socket's memory is no value: see [`Sockets::socket`].
    fn update(&self, _: u32, _: View<'_>, _: View<'_>, _: u64) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn delete(&self, key: View<'_>) -> Result<(), Errno> {
        self.user_delete(&key.to_vec())
    }

    fn user_lookup(&self, key: &[u8], value: &mut [u8], _flags: u64) -> Result<(), Errno> {
        if self.map_type == MapType::Xskmap {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.value_size != 8 {
            return Err(Errno::ENOSPC);
        }
        let socket = self.socket(key).ok_or(Errno::ENOENT)?;
        value.copy_from_slice(&socket.info.cookie.to_ne_bytes());
        Ok(())
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let inside = self.inside(key)?;
        let array = matches!(self.map_type, MapType::ReuseportSockarray | MapType::Xskmap);
        let allowed = || match flags {
            0..=EXIST if inside => Ok(()),
            0..=EXIST => Err(Errno::E2BIG),
            _ => Err(Errno::EINVAL),
        };
        if array {
            allowed()?;
        }
        let number = match value.first_chunk() {
            Some(bytes) => u64::from_ne_bytes(*bytes),
            None => u64::from(super::index(value)?),
        };
        if number > i32::MAX as u64 && (!array || self.value_size == 8) {
            return Err(Errno::EINVAL);
        }
        let machine = self.machine.upgrade().ok_or(Errno::EBADF)?;
        let socket = match self.map_type {
            MapType::Xskmap => None,
            _ => machine.net.now().by_cookie(number),
        };
        let socket = socket.ok_or(Errno::EBADF)?;
        allowed()?;
        self.put(key, socket, flags)
    }

    fn user_delete(&self, key: &[u8]) -> Result<(), Errno> {
        let inside = self.inside(key)?;
        if self.map_type == MapType::Xskmap {
            return inside.then_some(()).ok_or(Errno::EINVAL);
        }
        match inside && self.remove(key) {
            true => Ok(()),
            false => Err(self.absent(inside)),
        }
    }

    fn user_next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        if !self.hashes() {
            return super::next_index(self.entries, key, next);
        }
        let table = self.table.load();
        let after = match key {
            Some(key) if table.contains_key(key) => {
                table.keys().skip_while(|k| ***k != *key).nth(1)
            }
            _ => table.keys().next(),
        };
        next.copy_from_slice(after.ok_or(Errno::ENOENT)?);
        Ok(())
    }

    fn user_value_size(&self) -> usize {
        self.value_size
    }

    fn memory_used(&self) -> u64 {
        u64::from(self.entries) * 8
    }
}
