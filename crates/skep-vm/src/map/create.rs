//! Creating maps: the type's rules, then the type's own memory.

use skep_abi::MapType;
use skep_host::Errno;

use super::{Kind, Shape, array::Array, hash::Hash};

/// Makes the memory of a map.
///
/// # Errors
/// The kernel's numbers for shapes that the type does not take; `EINVAL` for a type that this
/// machine does not have.
pub(crate) fn create(shape: Shape) -> Result<Box<dyn Kind>, Errno> {
    Ok(match shape.map_type {
        MapType::Array => Box::new(Array::new(shape)?),
        MapType::Hash
        | MapType::PercpuHash
        | MapType::LruHash
        | MapType::LruPercpuHash
        | MapType::Rhash => Box::new(Hash::new(shape)?),
        _ => return super::things::create(&shape),
    })
}
