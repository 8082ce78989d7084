//! The kernel's BPF vocabulary as data: commands, types, flags, return codes, helpers, contexts,
//! and which kernel has what. One table each, names both ways; everything else asks this crate.
//!
//! The numbers, layouts and prototypes are generated from the uapi headers of the newest Linux
//! (`cargo xtask generate abi`); what the headers do not say stands in the tables under `data`.
//!
//! ```
//! use skep_abi::{KernelVersion, MapType};
//!
//! let map = MapType::from_name("ringbuf").unwrap();
//! assert_eq!(map, MapType::from_name("BPF_MAP_TYPE_RINGBUF").unwrap());
//! assert_eq!(map.raw(), 27);
//! assert_eq!(map.since(), KernelVersion::new(5, 8));
//! ```

#[rustfmt::skip]
mod generated;
mod macros;
mod version;
mod vocabulary;

pub use generated::codes::*;
pub use generated::enums::*;
pub use generated::flags::*;
pub use version::{KernelVersion, ParseKernelVersionError};
pub use vocabulary::{KernelEnum, OrRaw};

/// Single constants of the uapi headers.
pub mod constants {
    pub use crate::generated::constants::*;
}
