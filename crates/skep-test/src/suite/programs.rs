//! Which programs a test file is about, and where the tests of a program are.

use std::path::{Path, PathBuf};

use skep_build::Language;

use super::ENDING;
use crate::{
    source::{FileError, Parsed},
    value::{Kind, Value},
};

/// Ends of programs' names: a program in C and its twin in Rust have the same tests. Objects are for
/// where there is no source.
const SOURCES: [&str; 4] = [".bpf.c", ".c", ".bpf.rs", ".rs"];
const OBJECTS: [&str; 2] = [".bpf.o", ".o"];

/// What the tests are about, at least one: named, or beside the file.
pub(super) fn programs(file: &Value, path: &Path, folder: &Path) -> Parsed<Vec<PathBuf>> {
    if let Some(source) = file.get("source") {
        let named = match &source.kind {
            Kind::Array(named) if !named.is_empty() => named.as_slice(),
            _ => std::slice::from_ref(source),
        };
        return named
            .iter()
            .map(|name| named_program(name, folder))
            .collect();
    }
    let stem = stem(path);
    let beside = |ending: &&str| {
        let path = folder.join(format!("{stem}{ending}"));
        path.is_file().then_some(path)
    };
    // Of a name and language there is one.
    let pairs = SOURCES.chunks(2);
    let found: Vec<PathBuf> = pairs
        .filter_map(|endings| endings.iter().find_map(beside))
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let manifest = folder.join("Cargo.toml");
    let manifest = || manifest.is_file().then_some(manifest.clone());
    match OBJECTS.iter().find_map(beside).or_else(manifest) {
        Some(path) => Ok(vec![path]),
        None => {
            let what = format!(
                "there is no {stem}.bpf.c, .bpf.rs or .bpf.o beside this file, nor a Cargo.toml"
            );
            let error = file.error(what);
            Err(error.help("name the program: source = \"….bpf.c\""))
        }
    }
}

fn named_program(source: &Value, folder: &Path) -> Parsed<PathBuf> {
    let named = folder.join(source.text("a file's name, or an array of them")?);
    match named.is_file() || Language::of_source(&named).is_some() {
        true => Ok(named),
        false => Err(source.error(format!("there is no file {}", named.display()))),
    }
}

/// What the names of a test file and of its program have in common.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(ENDING);
    stem.or(name.strip_suffix(".toml"))
        .unwrap_or(&name)
        .to_owned()
}

/// The test file of a program, which stands beside it: `None` of what is no program.
///
/// # Errors
/// There is none.
pub(super) fn tests_of(program: &Path) -> Parsed<Option<PathBuf>> {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let mut endings = SOURCES.iter().chain(&OBJECTS);
    let Some(stem) = endings.find_map(|ending| name.strip_suffix(ending)) else {
        return Ok(None);
    };
    let tests = program.with_file_name(format!("{stem}{ENDING}"));
    match tests.is_file() {
        true => Ok(Some(tests)),
        false => {
            let what = format!("{} has no tests", program.display());
            let help = format!("they go into {stem}{ENDING} beside it");
            Err(FileError::new(None, what).help(help))
        }
    }
}
