//! What a machine has beside CPUs: a file each.

pub(crate) mod calls;
pub(crate) mod cgroup;
mod clock;
pub(crate) mod fire;
pub(crate) mod graph;
pub(crate) mod hooks;
pub(crate) mod link;
mod locks;
mod memory;
pub(crate) mod net;
pub(crate) mod objects;
pub(crate) mod order;
mod registry;
mod storage;
pub(crate) mod struct_ops;
pub(crate) mod task;
mod ticks;
mod timers;
mod trace;
pub(crate) mod tree;
pub(crate) mod types;

pub(crate) use cgroup::{Cgroup, Cgroups};
pub use clock::Clock;
pub(crate) use clock::ClockKind;
pub(crate) use hooks::{Attached, HookKey, Hooks, Point, Programs, Watcher};
pub(crate) use link::Link;
pub(crate) use locks::Locks;
pub(crate) use memory::{Charge, MapMemory};
pub(crate) use net::Net;
pub(crate) use objects::Objects;
pub(crate) use order::{Order, Relative};
pub(crate) use registry::{
    BtfObject, Files, MOST_MAPS, Object, Registry, Rights, lock, object_name,
};
pub(crate) use storage::{Owned, Storage, Value};
pub(crate) use task::Tasks;
pub use task::{AddressSpace, Namespaces, Task, TaskInfo, UserMemory};
pub(crate) use ticks::{Ticking, Ticks};
pub(crate) use timers::Timers;
pub(crate) use trace::Trace;
