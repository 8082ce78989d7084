//! The virtual machine under fuzz: random programs and maps, and what must hold of them.
//!
//! - [`oracle::program`]: bytes as a program, on both engines in one machine, at the same
//!   addresses: the same end, the same memory.
//! - [`oracle::engines`]: structured programs with maps, on both engines: the same end, context,
//!   packet, maps and rings.
//! - [`kernel`]: what this machine's kernel accepts ends as it does there, checked and verified.
//! - [`oracle::maps`]: random scripts on maps beside a simple model of each.

mod case;
mod choices;
mod code;
mod generate;
pub mod kernel;
pub mod maps;
mod mutate;
pub mod oracle;
mod run;

pub(crate) use case::TEXTS;
pub use case::{Body, Case, MAPS, MapShape};
pub use choices::Choices;
pub use generate::{Features, KFUNCS, generate};
pub use mutate::{Damage, mutate};
pub(crate) use oracle::patient;
pub(crate) use run::functions;
pub use run::{Contents, End, Load, Outcome, features, load, run};
