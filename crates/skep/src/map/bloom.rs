//! Bloom filters: sets that never forget, and may say yes for what is not in them.

use std::marker::PhantomData;

use skep_abi::MapType;
use zerocopy::{Immutable, IntoBytes};

use super::Map;
use crate::Result;

/// A `BPF_MAP_TYPE_BLOOM_FILTER` seen through a plain type. Since 5.16.
#[derive(Debug, Clone, Copy)]
#[doc(alias = "BPF_MAP_TYPE_BLOOM_FILTER")]
pub struct Bloom<'a, V> {
    map: &'a Map,
    types: PhantomData<fn() -> V>,
}

impl Map {
    /// A typed view of a bloom filter.
    ///
    /// # Errors
    /// The map is of another type, or its values of another size.
    pub fn bloom<V: IntoBytes + Immutable>(&self) -> Result<Bloom<'_, V>> {
        self.expect_type(&[MapType::BloomFilter])?;
        self.check("value", size_of::<V>(), self.value_size())?;
        Ok(Bloom {
            map: self,
            types: PhantomData,
        })
    }
}

impl<V: IntoBytes + Immutable> Bloom<'_, V> {
    /// Puts a value in, for good.
    ///
    /// # Errors
    /// The host refused.
    pub fn insert(&self, value: &V) -> Result<()> {
        let Map { host, fd, .. } = self.map;
        Ok(host.map_update_elem(fd, &[], value.as_bytes(), 0)?)
    }

    /// Whether a value may be in it; `false` is certain.
    ///
    /// # Errors
    /// The host refused.
    pub fn contains(&self, value: &V) -> Result<bool> {
        // The kernel reads the value here, and leaves it as it is.
        let mut value = value.as_bytes().to_vec();
        let Map { host, fd, .. } = self.map;
        Ok(host.map_lookup_elem(fd, &[], &mut value, 0)?)
    }
}
