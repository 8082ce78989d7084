//! `BPF_MAP_TYPE_STACK_TRACE`: stacks by a number that is made of their contents.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::AcqRel, Ordering::Relaxed},
    },
};

use skep_abi::{MapCreateFlags, StackFlags};
use skep_host::Errno;

use super::{Kind, Shape, slots::Slots};
use crate::memory::View;

/// Most frames of a stack (`sysctl kernel.perf_event_max_stack`).
pub(crate) const DEPTH: usize = 127;
/// Bytes of an address, and of a `bpf_stack_build_id`.
const ADDRESS: usize = 8;
const BUILD_ID: usize = 32;

/// Stacks by number.
#[derive(Debug)]
pub(crate) struct StackTraces {
    stacks: Slots<Stack>,
    /// How many there are, and how many there can be.
    used: AtomicU32,
    most: u32,
    value_size: usize,
    build_ids: bool,
}

#[derive(Debug)]
struct Stack {
    hash: u32,
    bytes: Vec<u8>,
}

impl StackTraces {
    /// # Errors
    /// `EINVAL`: values have more than so many frames; `E2BIG`, `ENOMEM`.
    pub(crate) fn new(shape: &Shape) -> Result<Self, Errno> {
        let build_ids = shape.flags.contains(MapCreateFlags::STACK_BUILD_ID);
        let unit = if build_ids { BUILD_ID } else { ADDRESS };
        let value_size = shape.value_size as usize;
        if !value_size.is_multiple_of(unit) || value_size / unit > DEPTH {
            return Err(Errno::EINVAL);
        }
        let buckets = shape.max_entries.checked_next_power_of_two();
        Ok(Self {
            stacks: Slots::new(buckets.ok_or(Errno::E2BIG)?)?,
            used: AtomicU32::new(0),
            most: shape.max_entries,
            value_size,
            build_ids,
        })
    }

    /// The number of a stack, which is kept unless it is already.
    ///
    /// # Errors
    /// `EEXIST`: another stack has the number; `ENOMEM`: there are as many as there can be.
    pub(crate) fn id(&self, addresses: &[u64], flags: StackFlags) -> Result<u32, Errno> {
        let frames = self.value_size / self.unit();
        let addresses = addresses.get(..frames).unwrap_or(addresses);
        let mut hash = DefaultHasher::new();
        addresses.hash(&mut hash);
        let hash = hash.finish() as u32;
        let id = hash & (self.stacks.len() - 1);
        let bytes = || encode(addresses, self.build_ids);
        let there = self.stacks.get(id);
        if let Some(there) = &there {
            let fast = flags.contains(StackFlags::FAST_STACK_CMP);
            if there.hash == hash && (fast || there.bytes == bytes()) {
                return Ok(id);
            }
            if !flags.contains(StackFlags::REUSE_STACKID) {
                return Err(Errno::EEXIST);
            }
        }
        let more = |used: u32| (used < self.most).then_some(used + 1);
        self.used
            .fetch_update(AcqRel, Relaxed, more)
            .map_err(|_| Errno::ENOMEM)?;
        let stack = Stack {
            hash,
            bytes: bytes(),
        };
        if self.stacks.swap(id, Some(Arc::new(stack)))?.is_some() {
            self.used.fetch_sub(1, AcqRel);
        }
        Ok(id)
    }

    fn unit(&self) -> usize {
        if self.build_ids { BUILD_ID } else { ADDRESS }
    }

    fn remove(&self, id: u32) -> Result<(), Errno> {
        self.stacks.take(id)?;
        self.used.fetch_sub(1, AcqRel);
        Ok(())
    }
}

/// Addresses as bytes; with build ids, as `bpf_stack_build_id`s that have none.
pub(crate) fn encode(addresses: &[u64], build_ids: bool) -> Vec<u8> {
    /// `BPF_STACK_BUILD_ID_IP`
    const BY_ADDRESS: u32 = 2;
    let mut bytes = Vec::new();
    for address in addresses {
        if build_ids {
            bytes.extend(BY_ADDRESS.to_ne_bytes());
            bytes.extend([0; 20]);
        }
        bytes.extend(address.to_ne_bytes());
    }
    bytes
}

impl Kind for StackTraces {
    fn update(&self, _: u32, _: View<'_>, _: View<'_>, _: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn delete(&self, key: View<'_>) -> Result<(), Errno> {
        self.remove(key.u32_at(0).ok_or(Errno::EINVAL)?)
    }

    fn user_lookup(&self, key: &[u8], value: &mut [u8], _flags: u64) -> Result<(), Errno> {
        let stack = self.stacks.get(super::index(key)?).ok_or(Errno::ENOENT)?;
        value.fill(0);
        for (to, from) in value.iter_mut().zip(&stack.bytes) {
            *to = *from;
        }
        Ok(())
    }

    fn user_update(&self, _: &[u8], _: &[u8], _: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn user_delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.remove(super::index(key)?)
    }

    fn user_next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        let first = match key.map(super::index).transpose()? {
            Some(id) if self.stacks.get(id).is_some() => id + 1,
            _ => 0,
        };
        let mut ids = first..self.stacks.len();
        let found = ids.find(|id| self.stacks.get(*id).is_some());
        next.copy_from_slice(&found.ok_or(Errno::ENOENT)?.to_ne_bytes());
        Ok(())
    }

    fn user_take(&self, key: &[u8], value: &mut [u8], flags: u64) -> Result<(), Errno> {
        self.user_lookup(key, value, flags)?;
        self.remove(super::index(key)?)
    }

    fn user_value_size(&self) -> usize {
        self.value_size
    }

    fn memory_used(&self) -> u64 {
        self.stacks.memory_used() + u64::from(self.most) * (self.value_size as u64 + 24)
    }
}
