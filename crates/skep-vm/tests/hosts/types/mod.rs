//! Map types: creation, every operation with every flag, random scripts, and the same from inside
//! programs; kernel and machine answer alike.

mod create;
mod odd;
mod outer;
mod programs;
mod resizable;
mod script;
mod special;
mod typed;

use skep_abi::{MapCreateFlags, MapType};
use skep_testing::Test;

pub(crate) use script::Spec;

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = create::tests();
    tests.extend(script::tests());
    tests.extend(programs::tests());
    tests.extend(odd::tests());
    tests.extend(outer::tests());
    tests.extend(resizable::tests());
    tests.extend(special::tests());
    tests.extend(typed::tests());
    tests
}

/// A map of each type that user space fills with bytes, with the flags that matter.
pub(crate) fn specs() -> Vec<Spec> {
    let grows = MapCreateFlags::NO_PREALLOC;
    vec![
        Spec::new("array", MapType::Array, 4, 12, 4),
        Spec::new("mapped array", MapType::Array, 4, 12, 4).with(MapCreateFlags::MMAPABLE),
        Spec::new("percpu array", MapType::PercpuArray, 4, 12, 4),
        Spec::new("hash", MapType::Hash, 5, 12, 4),
        Spec::new("growing hash", MapType::Hash, 8, 3, 4).with(grows),
        Spec::new("hash of long keys", MapType::Hash, 37, 8, 4),
        Spec::new("zero seed hash", MapType::Hash, 8, 8, 4).with(MapCreateFlags::ZERO_SEED),
        Spec::new("percpu hash", MapType::PercpuHash, 4, 12, 4),
        Spec::new("growing percpu hash", MapType::PercpuHash, 8, 8, 4).with(grows),
        // Large enough that nothing is evicted: kernels begin before a map is full.
        Spec::new("lru hash", MapType::LruHash, 5, 12, 4096),
        Spec::new("lru percpu hash", MapType::LruPercpuHash, 4, 12, 4096),
        Spec::new("lru lists", MapType::LruHash, 8, 8, 4096).with(MapCreateFlags::NO_COMMON_LRU),
        Spec::new("trie", MapType::LpmTrie, 6, 5, 4).with(grows),
        Spec::new("long trie", MapType::LpmTrie, 20, 8, 6).with(grows),
        Spec::new("queue", MapType::Queue, 0, 12, 3),
        Spec::new("stack", MapType::Stack, 0, 8, 3),
        Spec::new("bloom filter", MapType::BloomFilter, 0, 8, 4096),
    ]
}
