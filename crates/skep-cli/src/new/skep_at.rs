//! Where a new project finds Skep.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::exit::Usage;

/// Where Skep's crates are.
pub(super) enum SkepAt {
    /// In a checkout: its folder of crates.
    Checkout(PathBuf),
    /// Nowhere here: the registry is asked, by version.
    Registry,
}

impl SkepAt {
    /// The checkout that is named, or that this command was built from; else the registry.
    pub(super) fn find(named: Option<&Path>) -> anyhow::Result<Self> {
        let is_checkout = |path: &Path| path.join("crates/skep/Cargo.toml").is_file();
        if let Some(path) = named {
            if !is_checkout(path) {
                let path = path.display();
                let text =
                    format!("{path} is no checkout of Skep: it has no crates/skep/Cargo.toml");
                return Err(Usage(text).into());
            }
            return Self::checkout(path);
        }
        match Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2) {
            Some(path) if is_checkout(path) => Self::checkout(path),
            _ => Ok(Self::Registry),
        }
    }

    fn checkout(path: &Path) -> anyhow::Result<Self> {
        let absolute = fs::canonicalize(path);
        let absolute = absolute.with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::Checkout(absolute.join("crates")))
    }

    /// What stands in a Cargo.toml for one of its crates, between the braces.
    pub(super) fn dependency(&self, name: &str) -> String {
        match self {
            Self::Checkout(crates) => {
                let path = crates.join(name).display().to_string();
                let escaped = path.replace('\\', r"\\").replace('"', "\\\"");
                format!("path = \"{escaped}\"")
            }
            Self::Registry => format!("version = \"{}\"", env!("CARGO_PKG_VERSION")),
        }
    }
}
