//! Creating maps: the type's rules, then the type's own memory.

use skep_abi::{MapCreateFlags, MapType};
use skep_host::Errno;

use super::{
    Kind, Shape,
    array::Array,
    bloom::Bloom,
    hash::Hash,
    held::{self, ArrayOfMaps, HashOfMaps, ProgArray},
    lpm::Trie,
    queue::Queue,
    things,
};

/// Most bytes that the kernel allocates in one piece (`KMALLOC_MAX_SIZE`).
const PIECE: u64 = 1 << 22;
/// Most bytes of a CPU's value (`PCPU_MIN_UNIT_SIZE`).
const CPU_VALUE: u32 = 32 << 10;
/// Bytes of an element of the kernel's hash maps beside key and value.
const HASH_ELEMENT: u64 = 48;
/// Bytes of a node of the kernel's tries beside its value, and of the longest key.
const TRIE_NODE: u64 = 280;
/// Most buckets of a hash map: the kernel counts their bytes in 32 bits, 16 each.
const BUCKETS: u32 = 1 << 27;

/// Flags that say who may read and write.
const ACCESS: MapCreateFlags = MapCreateFlags::RDONLY
    .union(MapCreateFlags::WRONLY)
    .union(MapCreateFlags::RDONLY_PROG)
    .union(MapCreateFlags::WRONLY_PROG);

/// Programs may neither read nor write, which no type takes.
pub(super) const NEITHER: MapCreateFlags =
    MapCreateFlags::RDONLY_PROG.union(MapCreateFlags::WRONLY_PROG);

/// Checks a shape by the type's rules, and settles it: some types round the number of entries.
///
/// # Errors
/// The kernel's numbers for shapes that the type does not take.
pub(crate) fn settle(shape: &mut Shape) -> Result<(), Errno> {
    let has_extra = matches!(
        shape.map_type,
        MapType::BloomFilter | MapType::Arena | MapType::Rhash
    );
    if shape.map_extra != 0 && !has_extra {
        return Err(Errno::EINVAL);
    }
    check(shape)?;
    if matches!(shape.map_type, MapType::Devmap | MapType::DevmapHash) {
        // What a lookup gives is the entry itself.
        shape.flags |= MapCreateFlags::RDONLY_PROG;
    }
    if shape.flags.contains(MapCreateFlags::NO_COMMON_LRU) {
        // Each CPU's list has as many elements as the others.
        let cpus = shape.cpus.max(1);
        let most = shape.max_entries.checked_next_multiple_of(cpus);
        shape.max_entries = most.unwrap_or(shape.max_entries / cpus * cpus);
    }
    Ok(())
}

/// Makes the memory of a map.
///
/// # Errors
/// `ENOMEM`; `EINVAL` for a type that this machine does not have.
pub(crate) fn create(shape: Shape) -> Result<Box<dyn Kind>, Errno> {
    Ok(match shape.map_type {
        MapType::Array | MapType::PercpuArray => Box::new(Array::new(shape)?),
        MapType::Hash
        | MapType::PercpuHash
        | MapType::LruHash
        | MapType::LruPercpuHash
        | MapType::Rhash => Box::new(Hash::new(shape)?),
        MapType::LpmTrie => Box::new(Trie::new(shape)?),
        MapType::Queue | MapType::Stack => Box::new(Queue::new(shape)?),
        MapType::BloomFilter => Box::new(Bloom::new(shape)?),
        MapType::ArrayOfMaps => Box::new(ArrayOfMaps::new(shape)?),
        MapType::HashOfMaps => Box::new(HashOfMaps::new(shape)?),
        MapType::ProgArray => Box::new(ProgArray::new(shape)?),
        _ => return things::create(&shape),
    })
}

/// The kernel's checks before a map is allocated; a few types have some of their own besides.
fn check(shape: &Shape) -> Result<(), Errno> {
    match shape.map_type {
        MapType::Hash | MapType::PercpuHash | MapType::LruHash | MapType::LruPercpuHash => {
            hash(shape)
        }
        MapType::Rhash => resizable(shape),
        MapType::HashOfMaps => {
            if shape.value_size != 4 {
                return Err(Errno::EINVAL);
            }
            hash(shape)?;
            inner(shape)
        }
        MapType::Array | MapType::PercpuArray => array(shape),
        MapType::ProgArray => held_array(shape),
        MapType::ArrayOfMaps => {
            held_array(shape)?;
            inner(shape)
        }
        MapType::LpmTrie => trie(shape),
        MapType::Queue | MapType::Stack => queue(shape),
        MapType::BloomFilter => bloom(shape),
        _ => things::check(shape),
    }
}

/// Only these flags, and not both of reading only and writing only for programs.
fn flags(shape: &Shape, allowed: MapCreateFlags) -> Result<(), Errno> {
    match allowed
        .union(MapCreateFlags::NUMA_NODE)
        .contains(shape.flags)
        && !shape.flags.contains(NEITHER)
    {
        true => Ok(()),
        false => Err(Errno::EINVAL),
    }
}

/// Sizes and entries as the type's row in the table says.
fn sizes(shape: &Shape) -> Result<(), Errno> {
    let rules = shape.map_type.rules();
    let page = crate::memory::PAGE as u32;
    match rules.key_size.allows(shape.key_size)
        && rules.value_size.allows(shape.value_size)
        && rules.max_entries.allows(shape.max_entries, page)
        && shape.flags.contains(rules.required_flags)
    {
        true => Ok(()),
        false => Err(Errno::EINVAL),
    }
}

fn hash(shape: &Shape) -> Result<(), Errno> {
    let known = MapCreateFlags::NO_PREALLOC
        | MapCreateFlags::NO_COMMON_LRU
        | MapCreateFlags::ZERO_SEED
        | ACCESS;
    flags(shape, known)?;
    let lru = matches!(shape.map_type, MapType::LruHash | MapType::LruPercpuHash);
    let per_cpu = shape.map_type.is_per_cpu();
    let lists = shape.flags.contains(MapCreateFlags::NO_COMMON_LRU);
    if lists && !lru {
        return Err(Errno::EINVAL);
    }
    if lru && shape.flags.contains(MapCreateFlags::NO_PREALLOC) {
        return Err(Errno::ENOTSUPP);
    }
    if shape.on_node && (per_cpu || lists) {
        return Err(Errno::EINVAL);
    }
    sizes(shape)?;
    if u64::from(shape.key_size) + u64::from(shape.value_size) >= PIECE - HASH_ELEMENT {
        return Err(Errno::E2BIG);
    }
    cpu_value(shape)?;
    if shape.max_entries > BUCKETS {
        return Err(Errno::E2BIG);
    }
    Ok(())
}

/// `BPF_MAP_TYPE_RHASH`: `map_extra` is how many entries it has room for at first.
fn resizable(shape: &Shape) -> Result<(), Errno> {
    const MOST: u32 = u16::MAX as u32;
    let first = u32::try_from(shape.map_extra);
    if !shape.flags.contains(MapCreateFlags::NO_PREALLOC)
        || shape.flags.contains(MapCreateFlags::ZERO_SEED)
    {
        return Err(Errno::EINVAL);
    }
    if shape.key_size > MOST {
        return Err(Errno::E2BIG);
    }
    match first.map_err(|_| Errno::EINVAL)? {
        first if first > MOST => return Err(Errno::E2BIG),
        first if first > shape.max_entries => return Err(Errno::EINVAL),
        _ => {}
    }
    hash(shape)
}

/// A CPU's value must fit where the kernel keeps those.
fn cpu_value(shape: &Shape) -> Result<(), Errno> {
    match shape.map_type.is_per_cpu() && shape.value_size > CPU_VALUE {
        true => Err(Errno::E2BIG),
        false => Ok(()),
    }
}

fn array(shape: &Shape) -> Result<(), Errno> {
    let mut known = ACCESS;
    if shape.map_type == MapType::Array {
        known |= MapCreateFlags::MMAPABLE | MapCreateFlags::INNER_MAP;
    }
    flags(shape, known)?;
    if shape.on_node && shape.map_type.is_per_cpu() {
        return Err(Errno::EINVAL);
    }
    sizes(shape)?;
    if shape.value_size > i32::MAX as u32 {
        return Err(Errno::E2BIG);
    }
    cpu_value(shape)?;
    memory(shape)
}

fn held_array(shape: &Shape) -> Result<(), Errno> {
    flags(shape, MapCreateFlags::RDONLY | MapCreateFlags::WRONLY)?;
    sizes(shape)?;
    memory(shape)
}

fn inner(shape: &Shape) -> Result<(), Errno> {
    held::check_inner(shape.inner.as_deref().ok_or(Errno::EBADF)?)
}

/// Less than a process of today can ask for: `alloc` need not try.
fn memory(shape: &Shape) -> Result<(), Errno> {
    const MOST: u64 = 1 << 34;
    let values = if shape.map_type.is_per_cpu() {
        shape.cpus
    } else {
        1
    };
    let bytes = (shape.value_stride() as u64)
        .checked_mul(u64::from(shape.max_entries))
        .and_then(|bytes| bytes.checked_mul(u64::from(values)));
    match bytes {
        Some(bytes) if bytes <= MOST => Ok(()),
        _ => Err(Errno::ENOMEM),
    }
}

fn trie(shape: &Shape) -> Result<(), Errno> {
    flags(shape, MapCreateFlags::NO_PREALLOC | ACCESS)?;
    sizes(shape)?;
    match u64::from(shape.value_size) <= PIECE - TRIE_NODE {
        true => Ok(()),
        false => Err(Errno::EINVAL),
    }
}

fn queue(shape: &Shape) -> Result<(), Errno> {
    flags(shape, ACCESS)?;
    sizes(shape)?;
    if u64::from(shape.value_size) > PIECE {
        return Err(Errno::E2BIG);
    }
    memory(shape)
}

fn bloom(shape: &Shape) -> Result<(), Errno> {
    // The only type that says so before all else.
    if u64::from(shape.value_size) > PIECE {
        return Err(Errno::E2BIG);
    }
    flags(shape, MapCreateFlags::ZERO_SEED | ACCESS)?;
    sizes(shape)?;
    match shape.map_extra {
        0..=0xf => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}
