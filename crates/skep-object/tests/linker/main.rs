//! Linking of objects: what comes of real ones, what bpftool makes of the same, and what is said of
//! those that contradict each other.

#[path = "../common/mod.rs"]
mod common;

mod errors;
mod hostile;
mod meaning;
mod oracle;

use std::path::{Path, PathBuf};

use skep_object::{Error, StaticLinker};

/// Compiles a file of `c`, in a folder.
fn compile(folder: &Path, clang: &str, name: &str, flags: &[&str]) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/linker/c");
    let text = std::fs::read_to_string(sources.join(format!("{name}.bpf.c"))).unwrap();
    let include = format!("-I{}", sources.display());
    let flags = [&[include.as_str()], flags].concat();
    common::compile_in(folder, clang, name, Some(&text), &flags)
}

/// Compiles texts that begin with `#include "test.h"`, as a.o, b.o and so on.
fn compile_texts(clang: &str, texts: &[&str]) -> Vec<(String, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let names = ["a", "b", "c", "d"].iter();
    let compile = |(name, text): (&&str, &&str)| {
        let text = format!("#include \"test.h\"\n{text}");
        let path = common::compile_in(folder.path(), clang, name, Some(&text), &[]);
        (format!("{name}.o"), std::fs::read(path).unwrap())
    };
    names.zip(texts).map(compile).collect()
}

fn link<'a>(objects: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Vec<u8>, Error> {
    let mut linker = StaticLinker::new();
    for (name, bytes) in objects {
        linker.add(name, bytes)?;
    }
    linker.finish()
}

fn link_all(objects: &[(String, Vec<u8>)]) -> Result<Vec<u8>, Error> {
    link(
        objects
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice())),
    )
}
