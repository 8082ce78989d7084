//! What an object of rustc's still needs before loaders and kernels take it: a list of passes, each
//! a file, over the object taken apart.
//!
//! | pass | does |
//! |---|---|
//! | [`library`] | maps of the library's own get their names |
//! | [`linkage`] | functions and variables are static in BTF where they are local in the file |
//! | [`definitions`] | maps lose the fields that ask for nothing |
//! | [`lines`] | an instruction has one record of its line, and that of the program's own source |
//! | [`names`] | Rust's names become C's, which kernels ask for |
//! | [`record`] | what programs access of the kernel's types becomes CO-RE relocations |
//! | [`references`] | references to the kernel's objects, in maps, are pointers with a tag |
//! | [`enumerations`] | numbers with names become enumerations |
//! | [`show`] | how output is shown becomes typedefs and tags |
//! | [`sections`] | what was only for these passes goes |
//!
//! Then [`check`] looks for what no kernel would take.
//!
//! Debug information other than BTF is left out when the object is taken apart, and equal types
//! become one when it is written.

use skep_object::{ObjectFile, Result};

use super::message::Message;

mod check;
mod definitions;
mod enumerations;
mod inlined;
mod library;
mod lines;
mod linkage;
mod names;
mod own;
mod record;
mod references;
mod sections;
mod show;

pub(super) use own::Own;

type Pass = fn(&mut ObjectFile) -> Result<()>;

/// In this order: records are read before names change.
const PASSES: &[Pass] = &[
    record::run,
    references::run,
    enumerations::run,
    show::run,
    definitions::run,
    library::run,
    linkage::run,
    lines::run,
    names::run,
    sections::run,
];

/// An object as it is to be loaded, and what is wrong with it.
pub(super) struct Finished {
    pub(super) object: Vec<u8>,
    pub(super) problems: Vec<Message>,
}

/// Finishes an object, of a program whose sources are `own`.
///
/// # Errors
/// What [`ObjectFile::parse`] and [`ObjectFile::write`] say, and what the passes find wrong.
pub(super) fn finished(bytes: &[u8], own: &Own) -> Result<Finished> {
    let mut file = ObjectFile::parse(bytes)?;
    lines::of_own(&mut file, bytes, own)?;
    for pass in PASSES {
        pass(&mut file)?;
    }
    Ok(Finished {
        problems: check::problems(&file)?,
        object: file.write()?,
    })
}

#[cfg(test)]
mod tests;
