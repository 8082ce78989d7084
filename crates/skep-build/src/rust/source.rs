//! Core's source: the compiler's own component, the distribution's package of the same version, or
//! what the user names.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::Rustc;
use crate::{
    Error, Result,
    hint::{Missing, install},
};

/// The folder of the standard library's sources, `library`, of which only `core` is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreSource {
    folder: PathBuf,
}

impl CoreSource {
    /// What `SKEP_RUST_SRC` names; else rustup's component `rust-src`, or a distribution's package
    /// of that name, of the compiler's own version.
    ///
    /// # Errors
    /// [`Error::NoCoreSource`], with what to install here.
    pub fn find(rustc: &Rustc) -> Result<Self> {
        let missing = |looked: Vec<PathBuf>, remedy: String| Error::NoCoreSource {
            rustc: rustc.path().to_owned(),
            version: rustc.version(),
            looked,
            remedy,
        };
        if let Some(named) = env::var_os("SKEP_RUST_SRC").filter(|named| !named.is_empty()) {
            let named = PathBuf::from(named);
            let remedy =
                "SKEP_RUST_SRC must name the folder that has library/core/src/lib.rs in it";
            return Self::at(&named).map_err(|_| missing(vec![named], remedy.into()));
        }
        let places = [
            rustc.sysroot().join("lib/rustlib/src/rust"),
            PathBuf::from(format!("/usr/src/rustc-{}", rustc.version())),
        ];
        let found = places.iter().find_map(|place| library_in(place));
        found
            .map(|folder| Self { folder })
            .ok_or_else(|| missing(places.to_vec(), remedy(rustc)))
    }

    /// The one in this folder: it, or `library` in it, has `core/src/lib.rs`. Of which version it is
    /// shows when it is compiled.
    ///
    /// # Errors
    /// [`Error::Source`]: it is not there.
    pub fn at(folder: &Path) -> Result<Self> {
        let found = library_in(folder).map(|folder| Self { folder });
        found.ok_or_else(|| Error::Source {
            path: folder.join("library/core/src/lib.rs"),
            error: std::io::ErrorKind::NotFound.into(),
        })
    }

    /// The folder: `core/src/lib.rs` is in it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file that core begins with.
    pub(crate) fn core(&self) -> PathBuf {
        self.folder.join("core/src/lib.rs")
    }
}

/// The folder of libraries in a folder of sources, or the folder itself.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let inner = folder.join("library");
    [inner.as_path(), folder]
        .into_iter()
        .find(|folder| folder.join("core/src/lib.rs").is_file())
        .map(Path::to_owned)
}

/// What brings the source for this compiler.
fn remedy(rustc: &Rustc) -> String {
    match rustc.toolchain() {
        Some(toolchain) => format!(
            "install it with `rustup component add rust-src --toolchain {toolchain}`, or name a \
             folder that has it with SKEP_RUST_SRC"
        ),
        None => format!(
            "{}, or name a folder that has it with SKEP_RUST_SRC",
            install(Missing::RustSource)
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_folder_itself_or_the_one_around_it() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("library");
        assert_eq!(library_in(folder.path()), None);
        fs::create_dir_all(library.join("core/src")).unwrap();
        fs::write(library.join("core/src/lib.rs"), "").unwrap();
        assert_eq!(library_in(folder.path()), Some(library.clone()));
        assert_eq!(library_in(&library), Some(library));
    }
}
