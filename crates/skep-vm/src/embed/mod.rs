//! For whoever builds a machine into a program of their own: helpers and hooks of their own.

mod helpers;
mod hook;
mod packets;
mod prototype;

pub use helpers::{Call, HelperError};
pub use hook::{Fired, Hook};
pub use packets::{Frame, Packets, Verdict};
pub use prototype::{Parameter, Prototype};

pub(crate) use helpers::{Custom, CustomHelpers};
