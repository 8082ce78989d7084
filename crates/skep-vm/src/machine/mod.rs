//! What a machine has beside CPUs: a file each.

mod clock;
pub(crate) mod graph;
mod hooks;
mod locks;
mod memory;
pub(crate) mod net;
pub(crate) mod objects;
mod registry;
mod storage;
mod task;
mod timers;
mod trace;
pub(crate) mod tree;
pub(crate) mod types;

pub use clock::Clock;
pub(crate) use clock::ClockKind;
pub(crate) use hooks::Hooks;
pub(crate) use locks::Locks;
pub(crate) use memory::{Charge, MapMemory};
pub(crate) use net::Net;
pub(crate) use objects::Objects;
pub(crate) use registry::{
    BtfObject, Files, MOST_MAPS, Object, Registry, Rights, lock, object_name,
};
pub(crate) use storage::{Owned, Storage, Value};
pub(crate) use task::Tasks;
pub use task::{Namespaces, Task, TaskInfo, UserMemory};
pub(crate) use timers::Timers;
pub(crate) use trace::Trace;
