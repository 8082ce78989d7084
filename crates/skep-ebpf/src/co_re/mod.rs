//! CO-RE: kernel types declared by the fields a program uses, and accesses that are relocated for
//! the kernel the program is loaded into.
//!
//! `#[kernel]` declares a type of the kernel. Only the fields that are used need be there, in any
//! order; where they are, every loader looks up in the kernel's BTF:
//!
//! ```
//! use skep_ebpf::prelude::*;
//!
//! #[kernel]
//! struct task_struct {
//!     pid: i32,
//!     tgid: i32,
//!     real_parent: *const task_struct,
//! }
//!
//! fn parent(task: &task_struct) -> i32 {
//!     core_load!(task.real_parent.tgid)
//! }
//! ```
//!
//! A kernel type has no size and no fields for Rust: `&task_struct` promises no memory. The macros
//! ([`core_load!`](crate::core_load) and its siblings) take a place: a value that points to a
//! kernel type, then fields and elements. A pointer on the way is followed.
//!
//! `skep gen vmlinux --rust --root task_struct > vmlinux.rs` writes such declarations of the
//! running kernel's types, for `mod vmlinux;`; without `--root` all of them, which takes rustc a
//! minute to read.
//!
//! # How it works
//! Each access is one instruction in inline assembly, with a record of what it accesses in the
//! section `.skep.core`: kind, type and path, in a small language of its own (`text.rs`). `skep build` makes of these
//! the relocations of `.BTF.ext` which Skep, libbpf and bpftool resolve. An access whose value is
//! not used leaves neither instruction nor record.

mod access;
mod bits;
mod load;
pub(crate) mod macros;
mod path;
mod read;
mod record;
mod text;
mod types;

/// What the macros expand to; no interface.
#[doc(hidden)]
pub mod hidden {
    pub use super::{
        access::{
            declare, enumerator, enumerator_exists, exists, noted, offset, probe, root, signed,
            size, type_exists, type_id, type_id_local, type_matches, type_of, type_root, type_size,
            walk,
        },
        load::{address, follow, load, number},
        path::{Cursor, DeclaredField, Element, Enumerator, Field, Path, Root, element},
        read::{KernelMemory, Memory, UserMemory, Whole, enter, read, read_into, read_text},
        text::Text,
        types::{Base, Enter, KernelType, Named},
    };
}

pub use bits::FromBits;
pub use load::Load;
pub use macros::*;
pub use read::{Destination, Read, ReadText};
pub use types::{Bits, Enumeration, Kernel};
