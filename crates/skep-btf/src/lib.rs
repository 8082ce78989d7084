//! BTF, the BPF Type Format: the types of a kernel, a module or a BPF object, in a few megabytes.
//!
//! [`Btf`] reads it in place: no copy, no allocation a type, either byte order, old and new headers.
//!
//! ```
//! use skep_btf::{Btf, Kind, KindTag};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if !std::path::Path::new("/sys/kernel/btf/vmlinux").exists() { return Ok(()); }
//! let kernel = Btf::parse(std::fs::read("/sys/kernel/btf/vmlinux")?)?;
//! let id = kernel.find("task_struct", KindTag::Struct).ok_or("no task_struct")?;
//! if let Kind::Struct(task) = kernel.type_by_id(id)?.kind() {
//!     for member in task.members() {
//!         println!("{:5} {}", member.bit_offset / 8, member.name());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Builder`] writes it, [`Builder::append`] and [`dedup()`] make one BTF of several,
//! [`Minimizer`] cuts one down to what is needed of it. [`verify`](verify::verify) tells whether a
//! kernel would take it.
//!
//! The format: `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h` of Linux.
#![warn(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects
    )
)]

mod append;
mod btf;
mod builder;
mod c;
mod data;
mod dedup;
mod elements;
mod error;
mod fields;
mod header;
mod id_map;
mod ids;
mod json;
mod kind;
pub mod managed;
mod minimize;
mod names;
mod new_type;
mod raw;
mod resolve;
mod retain;
mod rust;
mod starts;
mod strings;
mod types;
pub mod value;
pub mod verify;
mod walk;
mod words;

pub use btf::Btf;
pub use builder::Builder;
pub use c::{CDump, c_header};
pub use data::BtfData;
pub use dedup::{Deduped, dedup};
pub use elements::{Element, Elements, Enumerator, Member, Parameter, SectionEntry};
pub use error::{Error, Place, Result};
pub use id_map::IdMap;
pub use ids::{StringOffset, TypeId};
pub use json::{JsonDump, JsonType};
pub use kind::KindTag;
pub use minimize::{Minimizer, Need};
pub use names::{Candidates, Named, essential_name};
pub use new_type::{NewMember, NewType};
pub use raw::{RawDump, RawType};
pub use rust::rust_module;
pub use skep_isa::Endian;
pub use types::{
    Array, Composite, DataSection, DeclTag, Enum, Function, FunctionLinkage, FunctionPrototype,
    Int, IntEncoding, Kind, Type, Variable, VariableLinkage,
};

#[cfg(test)]
mod tests;
