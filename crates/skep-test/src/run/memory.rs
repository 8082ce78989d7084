//! The memory of a test's task: what its context points to.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use skep::{boundary::Errno, vm::UserMemory};

/// Bytes of a page: memory comes in whole ones, as programs read strings some bytes at a time.
const PAGE: usize = 4096;
/// Where it begins.
const START: u64 = 0x1_0000;

/// Pages with what tests put there; between two things there is nothing.
#[derive(Default)]
pub(crate) struct UserSpace {
    pages: Mutex<BTreeMap<u64, Vec<u8>>>,
}

impl UserSpace {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<u8>>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts bytes somewhere; answers where.
    pub(crate) fn put(&self, bytes: &[u8]) -> u64 {
        let mut pages = self.lock();
        let end = pages.iter().next_back().map(|(start, bytes)| {
            start
                .saturating_add(bytes.len() as u64)
                .saturating_add(PAGE as u64)
        });
        let at = end.unwrap_or(START).max(START);
        pages.insert(at, whole(bytes, 0));
        at
    }

    /// Puts bytes at an address; `false` if something is there.
    pub(crate) fn put_at(&self, address: u64, bytes: &[u8]) -> bool {
        let inside = address % PAGE as u64;
        let first = address.saturating_sub(inside);
        let memory = whole(bytes, usize::try_from(inside).unwrap_or(0));
        let end = first.saturating_add(memory.len() as u64);
        let mut pages = self.lock();
        let taken = pages
            .range(..end)
            .next_back()
            .is_some_and(|(start, known)| start.saturating_add(known.len() as u64) > first);
        if !taken {
            pages.insert(first, memory);
        }
        !taken
    }
}

/// Bytes with zeros around them, up to the ends of their pages.
fn whole(bytes: &[u8], inside: usize) -> Vec<u8> {
    let mut memory = vec![0; inside];
    memory.extend_from_slice(bytes);
    let len = memory.len().max(1).next_multiple_of(PAGE);
    memory.resize(len, 0);
    memory
}

impl fmt::Debug for UserSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserSpace({} things)", self.lock().len())
    }
}

/// The bytes from an address on, in what begins at `start`.
fn part(start: u64, memory: &[u8], address: u64, len: usize) -> Option<std::ops::Range<usize>> {
    let from = usize::try_from(address.checked_sub(start)?).ok()?;
    let to = from.checked_add(len)?;
    (to <= memory.len()).then_some(from..to)
}

impl UserMemory for UserSpace {
    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), Errno> {
        let pages = self.lock();
        let (start, memory) = pages.range(..=address).next_back().ok_or(Errno::EFAULT)?;
        let range = part(*start, memory, address, out.len()).ok_or(Errno::EFAULT)?;
        out.copy_from_slice(memory.get(range).ok_or(Errno::EFAULT)?);
        Ok(())
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let mut pages = self.lock();
        let found = pages.range_mut(..=address).next_back();
        let (start, memory) = found.ok_or(Errno::EFAULT)?;
        let range = part(*start, memory, address, bytes.len()).ok_or(Errno::EFAULT)?;
        memory
            .get_mut(range)
            .ok_or(Errno::EFAULT)?
            .copy_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_lie_apart() {
        let memory = UserSpace::default();
        let one = memory.put(b"one\0");
        let two = memory.put(b"two\0");
        let mut bytes = [0; 4];
        assert_eq!(memory.read(one, &mut bytes), Ok(()));
        assert_eq!(&bytes, b"one\0");
        assert_eq!(memory.read(two, &mut bytes), Ok(()));
        assert_eq!(&bytes, b"two\0");
        assert!(two - one > PAGE as u64);
        assert_eq!(
            memory.read(one + PAGE as u64, &mut bytes),
            Err(Errno::EFAULT)
        );
        assert_eq!(memory.read(0, &mut bytes), Err(Errno::EFAULT));
        assert_eq!(memory.read(u64::MAX, &mut bytes), Err(Errno::EFAULT));
        assert!(memory.put_at(0x7000_0123, b"x"));
        assert!(!memory.put_at(0x7000_0fff, b"y"));
        assert_eq!(memory.write(0x7000_0124, b"abc"), Ok(()));
        assert_eq!(memory.read(0x7000_0123, &mut bytes), Ok(()));
        assert_eq!(&bytes, b"xabc");
    }
}
