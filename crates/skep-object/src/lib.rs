//! BPF objects as pure data: ELF in, [`Object`] out, and [`Object::link`] makes it ready for a
//! [`Target`] as an [`Image`]. No system call and no privilege is needed, and the same bytes give
//! the same answer on every machine.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use skep_btf::Btf;
//! use skep_object::{LinkOptions, Object, Target};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // What the file says.
//! let object = Object::open("opensnoop.bpf.o")?;
//! for map in object.maps() {
//!     println!("{}: {} of {} entries", map.name, map.map_type, map.max_entries);
//! }
//! // What this machine offers.
//! let btf = Btf::parse(std::fs::read("/sys/kernel/btf/vmlinux")?)?;
//! let target = Target::new("6.18".parse()?).with_kernel_btf(Arc::new(btf));
//! // What the user wants.
//! let mut options = LinkOptions::new();
//! options.variable("target_pid", 812_u32.to_ne_bytes());
//! options.map("events").max_entries(1 << 20);
//!
//! let image = object.link(&options, &target)?;
//! for program in &image.programs {
//!     println!("{}: {} instructions", program.name, program.instructions.len());
//!     for poisoned in &program.poisoned {
//!         println!("  not on this kernel: {}", poisoned.description);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The way through the crate: [`Object`] is read from sections, symbols and relocations (`elf`),
//! `.BTF.ext` (`ext`), functions, maps, data and externs (a file each); [`Object::link`] relocates
//! (`core`, `resolve`, `attach`, `kconfig`), lays out (`code` and `refer`; `kernel_struct` for
//! struct_ops), fixes the BTF up (`btf_fixup`) and does without what the target lacks (`features`,
//! `downgrade`). A program of several files comes through [`StaticLinker`] first (`linker`), which
//! makes one object of many and knows nothing of targets.

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
#![forbid(unsafe_code)]

mod attach;
mod btf_fixup;
mod code;
mod core;
mod data;
mod downgrade;
mod edit;
mod elf;
mod error;
mod ext;
mod externs;
mod features;
mod functions;
mod image;
mod jump_tables;
mod kconfig;
mod kernel_struct;
mod legacy_maps;
mod link;
mod linker;
mod maps;
mod names;
mod object;
mod options;
mod order;
mod refer;
mod references;
mod resolve;
mod rewrite;
mod ring_or_perf;
mod run_config;
mod section;
mod source;
mod spec;
mod struct_ops;
mod target;

pub use crate::core::{CoreKind, CoreRelocation, Needs};
pub use edit::{
    Binding, FileRecords, FileRelocation, FileSection, FileSymbol, ObjectFile, SymbolKind,
};
pub use error::{CodePlace, Error, Place, Result, SymbolPlace};
pub use ext::LineRecord;
pub use features::{Downgrade, Features};
pub use image::{
    AttachBtf, Image, ImageFunction, ImageJumpTable, ImageMap, ImageProgram, InfoRecords,
    MapReference, MapReferenceKind, ModuleReference, Poisoned, SourceLine,
};
pub use linker::StaticLinker;
pub use object::Object;
pub use options::{LinkOptions, MapOptions, ParseOptions, ProgramOptions};
pub use rewrite::{Rewrite, RewriteError, Snippet};
pub use run_config::XdpRunConfig;
pub use section::{AttachKind, SectionHandler, SectionHandlers, SectionName};
pub use spec::{
    Contents, Extern, ExternIndex, ExternKind, Function, FunctionIndex, JumpTable, JumpTableIndex,
    Linkage, Map, MapIndex, Pinning, Program, ProgramIndex, Reference, ReferenceKind, Slot,
    SlotValue, Variable,
};
pub use target::{ModuleBtf, Target};
