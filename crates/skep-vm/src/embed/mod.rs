//! For whoever builds a machine into a program of their own: helpers, hooks and structs of
//! functions of their own.

pub mod feed;
mod helpers;
mod hook;
mod once;
mod packets;
mod prototype;
mod struct_ops;

pub use helpers::{Call, HelperError};
pub use hook::{Fired, Hook};
pub use once::{Input, Lent, Ran};
pub use packets::{Frame, Packets, Verdict};
pub use prototype::{Parameter, Prototype};
pub use struct_ops::{Argument, StructOps, StructOpsInstance, StructOpsType};

pub(crate) use helpers::{Custom, CustomHelpers};
