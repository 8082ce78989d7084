//! Queues and stacks: values without keys.

use std::marker::PhantomData;

use skep_abi::{MapType, MapUpdateFlags};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::Map;
use crate::Result;

/// A `BPF_MAP_TYPE_QUEUE` (first in, first out) or `BPF_MAP_TYPE_STACK` (last in, first out)
/// seen through a plain type. Since 4.20.
#[derive(Debug, Clone, Copy)]
#[doc(alias = "BPF_MAP_TYPE_QUEUE")]
#[doc(alias = "BPF_MAP_TYPE_STACK")]
pub struct Queue<'a, V> {
    map: &'a Map,
    types: PhantomData<fn() -> V>,
}

impl Map {
    /// A typed view of a queue or stack.
    ///
    /// # Errors
    /// The map is of another type, or its values of another size.
    pub fn queue<V>(&self) -> Result<Queue<'_, V>>
    where
        V: IntoBytes + FromBytes + Immutable,
    {
        self.expect_type(&[MapType::Queue, MapType::Stack])?;
        self.check("value", size_of::<V>(), self.value_size())?;
        Ok(Queue {
            map: self,
            types: PhantomData,
        })
    }

    /// Takes the next value off a queue or stack; `None` when it is empty.
    ///
    /// # Errors
    /// The map is of another type.
    pub fn pop(&self) -> Result<Option<Vec<u8>>> {
        self.expect_type(&[MapType::Queue, MapType::Stack])?;
        let mut value = vec![0; self.value_size()];
        Ok(self.take_into(&[], &mut value)?.then_some(value))
    }
}

impl<V> Queue<'_, V>
where
    V: IntoBytes + FromBytes + Immutable,
{
    /// Puts a value in.
    ///
    /// # Errors
    /// It is full (`E2BIG`).
    pub fn push(&self, value: &V) -> Result<()> {
        self.push_with(value, 0)
    }

    /// Puts a value in; the oldest gives way if it is full.
    ///
    /// # Errors
    /// The host refused.
    pub fn push_over_oldest(&self, value: &V) -> Result<()> {
        self.push_with(value, MapUpdateFlags::EXIST.bits())
    }

    fn push_with(&self, value: &V, flags: u64) -> Result<()> {
        let Map { host, fd, .. } = self.map;
        Ok(host.map_update_elem(fd, &[], value.as_bytes(), flags)?)
    }

    /// Takes the next value off; `None` when it is empty.
    ///
    /// # Errors
    /// The host refused.
    pub fn pop(&self) -> Result<Option<V>> {
        let mut value = V::new_zeroed();
        let found = self.map.take_into(&[], value.as_mut_bytes())?;
        Ok(found.then_some(value))
    }

    /// The next value, which stays; `None` when it is empty.
    ///
    /// # Errors
    /// The host refused.
    pub fn peek(&self) -> Result<Option<V>> {
        let mut value = V::new_zeroed();
        let found = self.map.lookup_into(&[], value.as_mut_bytes())?;
        Ok(found.then_some(value))
    }
}
