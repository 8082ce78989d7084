//! Linking objects: whatever comes of it is an object, and linked again it is the same.

use skep_object::{Error, Object, StaticLinker};

use crate::corpus;

/// Each half of a program, and at its end the number of the other half.
pub(crate) fn halves() -> Vec<Vec<u8>> {
    let halves = corpus::HALVES.iter().enumerate();
    // Pairs stand side by side.
    halves
        .map(|(index, half)| [half, &[index as u8 ^ 1][..]].concat())
        .collect()
}

/// Input: an ELF file, and a byte that chooses the half to link it with.
pub(crate) fn linker(input: &[u8]) {
    let Some((choice, object)) = input.split_last() else {
        return;
    };
    let half = corpus::HALVES[usize::from(*choice) % corpus::HALVES.len()];
    let alone = link(&[object]);
    if let (Ok(_), Ok(alone)) = (Object::parse(object), &alone)
        && let Err(error) = Object::parse(alone)
    {
        panic!("what linking made of a well-formed object can't be read: {error}");
    }
    for result in [alone, link(&[object, half]), link(&[half, object])] {
        match result {
            Ok(linked) => check(&linked),
            Err(error) => super::readable(&error),
        }
    }
}

fn check(linked: &[u8]) {
    if let Err(error) = Object::parse(linked) {
        super::readable(&error);
    }
    let again = link(&[linked]).expect("what was linked can be linked");
    assert!(again == linked, "linked again, it is something else");
}

fn link(objects: &[&[u8]]) -> Result<Vec<u8>, Error> {
    let mut linker = StaticLinker::new();
    for (name, object) in ["a.o", "b.o"].iter().zip(objects) {
        linker.add(*name, object)?;
    }
    linker.finish()
}
