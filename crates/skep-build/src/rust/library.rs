//! `skep-ebpf` and its macros, carried as source and compiled once for a sysroot.

use std::{fs, path::PathBuf, process::Command, sync::Mutex};

use super::{
    Rustc,
    sysroot::{ATTRIBUTE, Sysroot},
};
use crate::{
    Cache, Error, Result,
    cache::{Fingerprint, write_if_changed},
    hint,
};

mod sources {
    include!(concat!(env!("OUT_DIR"), "/sources.rs"));
}

/// The library, compiled.
#[derive(Clone, Debug)]
pub(crate) struct Library {
    folder: PathBuf,
}

impl Library {
    /// The one that is kept for this sysroot, or a new one.
    pub(crate) fn of(rustc: &Rustc, sysroot: &Sysroot, cache: &Cache) -> Result<Self> {
        let mut key = Fingerprint::new("skep-ebpf");
        key.add(sysroot.folder());
        key.add((sources::LIBRARY, sources::MACROS));
        let parent = cache.folder("rust")?;
        let key = key.finish();
        let folder = parent.join(format!("skep-ebpf-{key}"));
        static MAKING: Mutex<()> = Mutex::new(());
        let _guard = MAKING.lock().unwrap_or_else(|broken| broken.into_inner());
        let made = Self { folder };
        if made.folder.is_dir() {
            return Ok(made);
        }
        // Lines of source are named by where they are: there, and not where they were made.
        let written = parent.join(format!("sources-{key}"));
        for (krate, files) in [
            ("skep-ebpf", sources::LIBRARY),
            ("skep-ebpf-macros", sources::MACROS),
        ] {
            for (name, text) in files {
                write_if_changed(&written.join(krate).join(name), text.as_bytes())?;
            }
        }
        let making = tempfile::Builder::new()
            .prefix("making-")
            .tempdir_in(&parent)
            .map_err(Error::write(&parent))?;

        let mut macros = rustc.command();
        macros
            .args(["--edition", "2024", "--crate-name", "skep_ebpf_macros"])
            .args(["--crate-type", "proc-macro", "--extern", "proc_macro"])
            .args(["-Copt-level=1", "--cap-lints", "allow", "--out-dir"])
            .arg(making.path())
            .arg(written.join("skep-ebpf-macros/lib.rs"));
        compile(rustc, macros)?;
        let mut library = rustc.command();
        sysroot.flags(&mut library);
        library
            .args(["--edition", "2024", "--crate-name", "skep_ebpf"])
            .args(["--crate-type", "rlib", "-Clinker-plugin-lto"])
            .args(["--cap-lints", "allow", ATTRIBUTE, "--extern"])
            .arg(externally(
                "skep_ebpf_macros",
                making.path().join(MACROS_FILE),
            ))
            .arg("--out-dir")
            .arg(making.path())
            .arg(written.join("skep-ebpf/lib.rs"));
        compile(rustc, library)?;

        let folder = making.keep();
        if let Err(error) = fs::rename(&folder, &made.folder) {
            let _ = fs::remove_dir_all(&folder);
            if !made.folder.is_dir() {
                return Err(Error::write(&made.folder)(error));
            }
        }
        Ok(made)
    }

    /// Tells the compiler of a program where it is.
    pub(crate) fn flags(&self, command: &mut Command) {
        command
            .arg("--extern")
            .arg(externally(
                "skep_ebpf",
                self.folder.join("libskep_ebpf.rlib"),
            ))
            .arg("-L")
            .arg(externally("dependency", self.folder.clone()));
    }
}

const MACROS_FILE: &str = "libskep_ebpf_macros.so";

fn externally(name: &str, path: PathBuf) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(format!("{name}="));
    argument.push(path);
    argument
}

fn compile(rustc: &Rustc, mut command: Command) -> Result<()> {
    let output = command.output().map_err(|error| Error::Run {
        path: rustc.path().to_owned(),
        error,
    })?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr)
        .trim_end()
        .to_owned();
    Err(Error::Library {
        release: rustc.release().to_owned(),
        hint: hint::for_missing_linker(&stderr),
        stderr,
    })
}

#[cfg(test)]
mod tests {
    use super::sources;

    #[test]
    fn the_library_is_carried_whole() {
        for (files, file) in [(sources::LIBRARY, "lib.rs"), (sources::MACROS, "map.rs")] {
            assert!(
                files
                    .iter()
                    .any(|(name, text)| *name == file && !text.is_empty())
            );
        }
    }
}
