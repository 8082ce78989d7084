//! Lists the sources of `skep-ebpf` and its macros, which the library carries so that `skep build
//! FILE.rs` needs no registry and no network. Whole folders are listed: no file can be forgotten.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

fn main() {
    let crates = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("..");
    let mut text = String::new();
    for (name, constant) in [("skep-ebpf", "LIBRARY"), ("skep-ebpf-macros", "MACROS")] {
        let folder = crates.join(name).join("src");
        println!("cargo::rerun-if-changed={}", folder.display());
        let mut files = Vec::new();
        list(&folder, &mut files);
        files.sort();
        text += &format!("pub(super) const {constant}: &[(&str, &str)] = &[\n");
        for file in files {
            let inner = file.strip_prefix(&folder).unwrap_or(&file);
            text += &format!("    ({inner:?}, include_str!({file:?})),\n");
        }
        text += "];\n";
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("sources.rs");
    if let Err(error) = fs::write(&out, text) {
        println!("cargo::error=cannot write {}: {error}", out.display());
    }
}

/// All Rust sources below a folder.
fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            println!("cargo::error=cannot read {}: {error}", folder.display());
            return;
        }
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            list(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
