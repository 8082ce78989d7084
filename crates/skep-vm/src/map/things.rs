//! Creating maps whose values are more than bytes in a table: rings, events, things of the machine.

use skep_abi::MapType;
use skep_host::Errno;

use super::{Kind, PerfEventArray, Ring, Shape, UserRing};

/// Makes the memory of such a map.
///
/// # Errors
/// As [`super::create`].
pub(super) fn create(shape: &Shape) -> Result<Box<dyn Kind>, Errno> {
    Ok(match shape.map_type {
        MapType::PerfEventArray => Box::new(PerfEventArray::new(shape)?),
        MapType::Ringbuf => Box::new(Ring::new(shape)?),
        MapType::UserRingbuf => Box::new(UserRing::new(shape)?),
        _ => return Err(Errno::EINVAL),
    })
}
