//! Kernel functions on arenas: pages.

use skep_host::Errno;

use super::Table;
use crate::{
    FaultKind,
    helper::{Arguments, Outcome, errno, shim, status},
    map::Arena,
    run::Run,
};

pub(super) static TABLE: Table = &[
    ("bpf_arena_alloc_pages", shim!(alloc_pages)),
    ("bpf_arena_free_pages", shim!(free_pages)),
    ("bpf_arena_reserve_pages", shim!(reserve_pages)),
];

fn arena<'r>(run: &'r Run<'_>, map: u64) -> Result<Option<&'r Arena>, FaultKind> {
    Ok(run.map(map)?.of::<Arena>())
}

/// `bpf_arena_alloc_pages(map, addr, page_cnt, node_id, flags)`
fn alloc_pages(run: &Run<'_>, [map, address, count, node, flags]: Arguments) -> Outcome {
    // `NUMA_NO_NODE`, or the only node.
    let known_node = matches!(node as u32 as i32, -1 | 0);
    let arena = arena(run, map)?;
    if let Some(arena) = arena {
        run.pay(arena.steps(count as u32))?;
    }
    Ok(match arena {
        Some(arena) if flags == 0 && known_node => arena.allocate(address, count as u32),
        _ => 0,
    })
}

/// `bpf_arena_free_pages(map, ptr, page_cnt)`
fn free_pages(run: &Run<'_>, [map, address, count, ..]: Arguments) -> Outcome {
    if let (Some(arena), 1.., 1..) = (arena(run, map)?, address, count as u32) {
        run.pay(arena.steps(count as u32))?;
        arena.free(address, count as u32);
        run.forget_regions();
    }
    Ok(0)
}

/// `bpf_arena_reserve_pages(map, ptr, page_cnt)`
fn reserve_pages(run: &Run<'_>, [map, address, count, ..]: Arguments) -> Outcome {
    let arena = arena(run, map)?;
    if let Some(arena) = arena {
        run.pay(arena.steps(count as u32))?;
    }
    Ok(match arena {
        None => errno(Errno::EINVAL),
        Some(_) if count as u32 == 0 => 0,
        Some(arena) => status(arena.reserve(address, count as u32)),
    })
}
