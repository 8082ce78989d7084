//! What a machine has beside CPUs: a file each.

mod clock;
mod hooks;
mod net;
mod registry;
mod task;
mod timers;
mod trace;

pub(crate) use clock::Clock;
pub(crate) use hooks::Hooks;
pub(crate) use net::Net;
pub(crate) use registry::Registry;
pub(crate) use task::Tasks;
pub(crate) use timers::Timers;
pub(crate) use trace::Trace;
