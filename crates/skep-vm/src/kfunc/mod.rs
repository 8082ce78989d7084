//! Kernel functions: what programs call by name, through the machine's own BTF. Like helpers, each
//! is a function of the run and five registers.

mod arena;
mod cgroups;
mod context;
mod cpumask;
mod dynptr;
mod graph;
mod iterators;
mod locks;
mod misc;
mod objects;
mod packet;
mod reading;
mod strings;
mod tasks;
#[cfg(test)]
mod tests;
mod workqueue;

use skep_abi::Kfunc;

use crate::{engine::Shim, run::Run};

/// A file's functions by their names: the newest ones. By its older name a function takes more
/// arguments, which the verifier gives, and which say nothing here.
pub(crate) type Table = &'static [(&'static str, Shim)];

/// Which kernel functions the machine has: a table a file.
static TABLES: &[Table] = &[
    arena::TABLE,
    cgroups::TABLE,
    context::TABLE,
    cpumask::TABLE,
    dynptr::TABLE,
    graph::TABLE,
    iterators::TABLE,
    locks::TABLE,
    misc::TABLE,
    objects::TABLE,
    packet::TABLE,
    reading::TABLE,
    strings::TABLE,
    tasks::TABLE,
    workqueue::TABLE,
];

/// Gives back what the run still holds of what these functions gave it.
pub(crate) fn give_up(run: &Run<'_>) {
    locks::give_up(run);
    run.release_objects();
}

/// The names of all, the newest ones.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().copied().flatten().map(|(name, _)| *name)
}

/// A kernel function by its name, or the one that it had before; with its newest. Asked when programs
/// are loaded.
pub(crate) fn by_name(name: &str) -> Option<(&'static str, Shim)> {
    let name = Kfunc::by_name(name).map_or(name, |known| known.newest_name());
    let mut all = TABLES.iter().flat_map(|table| table.iter());
    all.find(|(known, _)| *known == name).copied()
}
