//! Who is measured, and under which name and version.

use std::{fmt, fs, path::Path, process::Command};

/// A library that loads BPF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    Skep,
    /// In C, from the distribution's package.
    Libbpf,
    LibbpfRs,
    Aya,
}

impl Peer {
    pub(crate) const ALL: [Self; 4] = [Self::Skep, Self::Libbpf, Self::LibbpfRs, Self::Aya];

    /// The peer called `name`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|peer| peer.name() == name)
    }

    /// As it is chosen on the command line; also the name of its feature.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Skep => "skep",
            Self::Libbpf => "libbpf",
            Self::LibbpfRs => "libbpf-rs",
            Self::Aya => "aya",
        }
    }

    /// Whether it is in C, or needs libelf and zlib.
    pub(crate) fn needs_c_libraries(self) -> bool {
        matches!(self, Self::Libbpf | Self::LibbpfRs)
    }

    /// The version that was built, as far as it is known.
    pub(crate) fn version(self, root: &Path) -> String {
        let found = match self {
            Self::Libbpf => Command::new("pkg-config")
                .args(["--modversion", "libbpf"])
                .output()
                .ok()
                .and_then(|output| String::from_utf8(output.stdout).ok()),
            _ => locked(root, self.name()),
        };
        found.unwrap_or_default().trim().to_owned()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Skep => "Skep",
            Self::Aya => "Aya",
            _ => self.name(),
        })
    }
}

/// The version of a package in the lock file.
fn locked(root: &Path, package: &str) -> Option<String> {
    let lock = fs::read_to_string(root.join("Cargo.lock")).ok()?;
    let (_, after) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(after.split('"').next()?.to_owned())
}
