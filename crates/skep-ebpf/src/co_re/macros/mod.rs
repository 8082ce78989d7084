//! The macros, as programs see them; `skep-ebpf-macros` reads their tokens.

mod declare;
mod place;
mod read;
mod types;

pub use declare::*;
pub use place::*;
pub use read::*;
pub use types::*;
