//! Finishing what rustc leaves: any bytes end with a result, and what is written can be read.

use std::path::PathBuf;

use skep_object::ObjectFile;

use crate::corpus;

/// An object of rustc's, finished as of a program that has sources of its own.
pub(crate) fn finish(input: &[u8]) {
    let sources = [PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")];
    match skep_build::finish(input, &sources) {
        Ok(finished) => {
            ObjectFile::parse(&finished).expect("what was written can be taken apart");
        }
        Err(error) => super::readable(&error),
    }
}

/// Objects as compilers leave them.
pub(crate) fn objects() -> Vec<Vec<u8>> {
    let objects = corpus::OBJECTS.iter().copied();
    objects.chain([corpus::RUST]).map(<[u8]>::to_vec).collect()
}
