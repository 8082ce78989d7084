//! BPF objects as pure data: ELF in, [`Object`] out, and [`Object::link`] makes it ready for a
//! [`Target`] as an [`Image`]. No system call and no privilege is needed, and the same bytes give
//! the same answer on every machine.

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
mod elf;
mod error;
mod ext;
mod externs;
mod functions;
mod image;
mod kconfig;
mod link;
mod maps;
mod names;
mod object;
mod options;
mod references;
mod resolve;
mod section;
mod source;
mod spec;
mod target;

pub use crate::core::{CoreKind, CoreRelocation};
pub use error::{CodePlace, Error, Place, Result};
pub use ext::LineRecord;
pub use image::{
    AttachBtf, Image, ImageFunction, ImageMap, ImageProgram, InfoRecords, MapReference,
    MapReferenceKind, ModuleReference, Poisoned, SourceLine,
};
pub use object::Object;
pub use options::{LinkOptions, MapOptions, ProgramOptions};
pub use section::{AttachKind, SectionName};
pub use spec::{
    Contents, Extern, ExternIndex, ExternKind, Function, FunctionIndex, Linkage, Map, MapIndex,
    Pinning, Program, ProgramIndex, Reference, ReferenceKind, Slot, SlotValue, Variable,
};
pub use target::{BtfFeatures, ModuleBtf, Target};

use skep_btf::{Btf, Endianness};
use skep_isa::Endian;

/// The byte order of a BTF, in the words of the instruction set.
fn endian_of(btf: &Btf) -> Endian {
    match btf.endianness() {
        Endianness::Little => Endian::Little,
        Endianness::Big => Endian::Big,
    }
}
