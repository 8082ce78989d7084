//! [`Strings`]: a string section under construction, in which each string stands once. A table of
//! offsets over the bytes themselves: no allocation a string.

use crate::btf::nul_position;
use crate::{Error, Result, StringOffset, TypeId};
use std::hash::{BuildHasher, RandomState};

/// Four times as much as the kernel takes (`BTF_MAX_NAME_OFFSET`), twenty times what its own types
/// need.
const MAX_LENGTH: usize = 1 << 26;

/// A string section in which each string stands once.
#[derive(Debug, Clone)]
pub(crate) struct Strings {
    /// Where these strings begin: those of a base end there.
    base: u32,
    bytes: Vec<u8>,
    /// Where in `bytes` a string begins, plus one; 0 is a free slot. A power of two of slots.
    slots: Vec<u32>,
    used: usize,
    /// Keyed, so that no one can choose strings that collide.
    hasher: RandomState,
}

impl Strings {
    /// The string section of BTF without a base.
    pub(crate) fn new() -> Self {
        Self::from_section(0, vec![0])
    }

    /// The strings of this section, which stay where they are.
    pub(crate) fn from_section(base: u32, bytes: Vec<u8>) -> Self {
        let mut strings = Self {
            base,
            bytes,
            slots: Vec::new(),
            used: 0,
            hasher: RandomState::new(),
        };
        let mut at = 0;
        while at < strings.bytes.len() {
            strings.reserve();
            let text = strings.at(at);
            let next = at.saturating_add(text.len()).saturating_add(1);
            if let Err(free) = strings.search(text) {
                strings.fill(free, at);
            }
            at = next;
        }
        strings
    }

    /// The section as it is.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the section begins: the length of all strings of the bases.
    pub(crate) fn base(&self) -> u32 {
        self.base
    }

    /// The string at an offset that [`Strings::intern`] gave.
    pub(crate) fn string(&self, offset: StringOffset) -> &[u8] {
        match offset.0.checked_sub(self.base) {
            Some(own) => self.at(own as usize),
            None => &[],
        }
    }

    /// Where a string is, if it is in the section.
    pub(crate) fn find(&self, text: &[u8]) -> Option<StringOffset> {
        match self.search(text) {
            _ if text.is_empty() => Some(StringOffset(0)),
            Ok(own) => Some(StringOffset(self.base.wrapping_add(own))),
            Err(_) => None,
        }
    }

    /// Puts a string into the section, if it is not there, and says where it is.
    pub(crate) fn intern(&mut self, text: &[u8]) -> StringOffset {
        // A NUL would end the string for every reader.
        let text = text.get(..nul_position(text)).unwrap_or(text);
        if text.is_empty() {
            // At 0 in every BTF, split or not.
            return StringOffset(0);
        }
        self.reserve();
        let own = match self.search(text) {
            Ok(found) => found,
            Err(free) => {
                let own = self.bytes.len();
                self.bytes.extend_from_slice(text);
                self.bytes.push(0);
                self.fill(free, own);
                own as u32
            }
        };
        StringOffset(self.base.wrapping_add(own))
    }

    /// That it is no longer than a section should be: names may overlap where they come from, and
    /// here they do not. `id` is the type whose names came last.
    pub(crate) fn check_length(&self, id: TypeId) -> Result<()> {
        match self.bytes.len() > MAX_LENGTH {
            true => Err(Error::DoesNotFit {
                id,
                what: "the length of all names",
            }),
            false => Ok(()),
        }
    }

    fn at(&self, start: usize) -> &[u8] {
        let tail = self.bytes.get(start..).unwrap_or_default();
        tail.get(..nul_position(tail)).unwrap_or(tail)
    }

    fn fill(&mut self, slot: usize, start: usize) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = (start as u32).wrapping_add(1);
            self.used = self.used.wrapping_add(1);
        }
    }

    /// Where a string begins, or the slot that it would take.
    fn search(&self, text: &[u8]) -> Result<u32, usize> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut slot = self.hasher.hash_one(text) as usize & mask;
        loop {
            match self.slots.get(slot).and_then(|start| start.checked_sub(1)) {
                None => return Err(slot),
                Some(start) if self.at(start as usize) == text => return Ok(start),
                Some(_) => slot = slot.wrapping_add(1) & mask,
            }
        }
    }

    /// Makes sure that slots stay free: without one, a search would not end.
    fn reserve(&mut self) {
        if self.used < self.slots.len() / 2 {
            return;
        }
        let len = self.slots.len().saturating_mul(2).max(64);
        let old = std::mem::replace(&mut self.slots, vec![0; len]);
        for start in old.into_iter().filter_map(|start| start.checked_sub(1)) {
            if let Err(free) = self.search(self.at(start as usize))
                && let Some(slot) = self.slots.get_mut(free)
            {
                *slot = start.wrapping_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_stands_once_and_stays_where_it_was() {
        let mut strings = Strings::from_section(100, b"one\0two\0one\0".to_vec());
        assert_eq!(strings.intern(b"one"), StringOffset(100));
        assert_eq!(strings.intern(b"two"), StringOffset(104));
        assert_eq!(strings.intern(b""), StringOffset(0));
        let all: Vec<_> = (0..1000)
            .map(|one| strings.intern(format!("s{one}").as_bytes()))
            .collect();
        for (one, offset) in all.iter().enumerate() {
            let text = format!("s{one}");
            assert_eq!(strings.string(*offset), text.as_bytes());
            assert_eq!(strings.intern(text.as_bytes()), *offset);
        }
        assert_eq!(strings.intern(b"s1\0rest"), all[1]);
    }
}
