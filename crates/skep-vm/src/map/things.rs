//! Creating maps whose values are more than bytes in a table: rings, events, things of the machine.

use skep_abi::{MapCreateFlags, MapType};
use skep_host::Errno;

use super::{
    Arena, CgroupArray, CgroupStorage, InsnArray, Kind, LocalStorage, PerfEventArray, Ring, Shape,
    Sockets, StackTraces, StructOps, Targets, UserRing, create::NEITHER,
};
use crate::memory::PAGE;

/// Flags of user space's rights, and of where the memory is.
const COMMON: MapCreateFlags = MapCreateFlags::RDONLY
    .union(MapCreateFlags::WRONLY)
    .union(MapCreateFlags::NUMA_NODE);

/// The flags that a type takes.
fn known_flags(map_type: MapType) -> MapCreateFlags {
    match map_type {
        MapType::Ringbuf => MapCreateFlags::NUMA_NODE.union(MapCreateFlags::RB_OVERWRITE),
        MapType::UserRingbuf => MapCreateFlags::NUMA_NODE,
        MapType::PerfEventArray => COMMON.union(MapCreateFlags::PRESERVE_ELEMS),
        MapType::InsnArray => MapCreateFlags::empty(),
        MapType::Cpumap => MapCreateFlags::NUMA_NODE,
        MapType::ReuseportSockarray => COMMON
            .union(MapCreateFlags::RDONLY_PROG)
            .union(MapCreateFlags::WRONLY_PROG),
        MapType::StackTrace => COMMON.union(MapCreateFlags::STACK_BUILD_ID),
        kind if LocalStorage::is_one(kind) => {
            MapCreateFlags::NO_PREALLOC.union(MapCreateFlags::CLONE)
        }
        _ => COMMON,
    }
}

/// The kernel's checks before such a map is allocated.
///
/// # Errors
/// `EINVAL`, `E2BIG`.
pub(super) fn check(shape: &Shape) -> Result<(), Errno> {
    /// Bytes of a stack: no key is longer.
    const STACK: u32 = skep_abi::limits::STACK_BYTES;
    match shape.map_type {
        MapType::Arena => return Arena::check(shape),
        MapType::CgroupStorage | MapType::PercpuCgroupStorage => {
            return CgroupStorage::check(shape);
        }
        MapType::StructOps => return StructOps::check(shape),
        _ => {}
    }
    let long_key = shape.map_type == MapType::Sockhash && shape.key_size > STACK;
    let rules = shape.map_type.rules();
    let fits = (long_key || rules.key_size.allows(shape.key_size))
        && rules.value_size.allows(shape.value_size)
        && rules.max_entries.allows(shape.max_entries, PAGE as u32)
        && shape.flags.contains(rules.required_flags)
        && known_flags(shape.map_type).contains(shape.flags)
        && !shape.flags.contains(NEITHER);
    if !fits {
        return Err(Errno::EINVAL);
    }
    let long_value = LocalStorage::is_one(shape.map_type) && shape.value_size > LocalStorage::MOST;
    match long_key || long_value {
        true => Err(Errno::E2BIG),
        false => Ok(()),
    }
}

/// Makes the memory of such a map.
///
/// # Errors
/// As [`super::create()`].
pub(super) fn create(shape: &Shape) -> Result<Box<dyn Kind>, Errno> {
    Ok(match shape.map_type {
        MapType::Arena => Box::new(Arena::new(shape)?),
        MapType::CgroupStorage | MapType::PercpuCgroupStorage => {
            Box::new(CgroupStorage::new(shape))
        }
        MapType::PerfEventArray => Box::new(PerfEventArray::new(shape)?),
        MapType::InsnArray => Box::new(InsnArray::new(shape)?),
        kind if LocalStorage::is_one(kind) => Box::new(LocalStorage::new(shape)),
        MapType::StackTrace => Box::new(StackTraces::new(shape)?),
        MapType::Devmap | MapType::DevmapHash | MapType::Cpumap => Box::new(Targets::new(shape)?),
        MapType::Sockmap | MapType::Sockhash | MapType::ReuseportSockarray | MapType::Xskmap => {
            Box::new(Sockets::new(shape)?)
        }
        MapType::CgroupArray => Box::new(CgroupArray::new(shape)?),
        MapType::Ringbuf => Box::new(Ring::new(shape)?),
        MapType::UserRingbuf => Box::new(UserRing::new(shape)?),
        _ => return Err(Errno::EINVAL),
    })
}
