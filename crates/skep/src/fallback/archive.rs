//! Types that come along for kernels that have none: a folder of BTF files, or files in the binary.

use std::{
    fs,
    path::{Path, PathBuf},
};

use skep_btf::Btf;
use skep_host::HostInfo;

use crate::{Error, Result, open_btf};

/// BTF of several kernels, of which the one of the host's release is taken.
///
/// ```no_run
/// use skep::{BtfArchive, Host, Object};
///
/// let mut object = Object::open("opensnoop.bpf.o")?;
/// // `skep btf min opensnoop.bpf.o --btf FOLDER --output btf` made them of whole ones.
/// object.btf_where_none(BtfArchive::folder("btf"));
/// let loaded = object.load(&Host::kernel()?)?;
/// for fallback in loaded.fallbacks() {
///     eprintln!("{fallback}");
/// }
/// # Ok::<(), skep::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct BtfArchive(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Folder(PathBuf),
    Embedded(&'static [(&'static str, &'static [u8])]),
}

impl BtfArchive {
    /// A folder of files `RELEASE.btf`, where a release is what `uname -r` prints; or one like
    /// BTFHub's archive, unpacked: `ID/VERSION_ID/ARCHITECTURE/RELEASE.btf`, by `/etc/os-release`.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self(Kind::Folder(path.into()))
    }

    /// Releases with their BTF, as `include_bytes!` puts it into a program.
    ///
    /// ```
    /// # macro_rules! include_bytes { ($path:literal) => { b"" } }
    /// use skep::BtfArchive;
    ///
    /// let archive = BtfArchive::embedded(&[
    ///     ("5.4.0-91-generic", include_bytes!("../btf/5.4.0-91-generic.btf")),
    ///     ("4.18.0-305.el8.x86_64", include_bytes!("../btf/4.18.0-305.el8.x86_64.btf")),
    /// ]);
    /// ```
    pub const fn embedded(files: &'static [(&'static str, &'static [u8])]) -> Self {
        Self(Kind::Embedded(files))
    }

    /// The types of a host's release, and where they are from.
    ///
    /// # Errors
    /// There are none of this release, which the error says with the places that were looked at;
    /// or they are malformed.
    pub fn find(&self, host: &HostInfo) -> Result<(String, Btf)> {
        let release = host.release.as_str();
        match &self.0 {
            Kind::Embedded(files) => {
                let found = files.iter().find(|(name, _)| *name == release);
                let (_, bytes) = found.ok_or_else(|| {
                    let known = files.iter().map(|(name, _)| *name);
                    Error::unknown("BTF in this program of kernel", release, known)
                })?;
                Ok((
                    format!("this program's BTF of {release}"),
                    Btf::parse(bytes.to_vec())?,
                ))
            }
            Kind::Folder(folder) => {
                let places = places(folder, release);
                match places.iter().find(|path| path.is_file()) {
                    Some(path) => Ok((path.display().to_string(), open_btf(path)?)),
                    None => {
                        let looked = places.iter().map(|path| path.display().to_string());
                        Err(Error::Binary {
                            binary: folder.display().to_string(),
                            reason: format!(
                                "it has no BTF of kernel {release}: neither {}",
                                looked.collect::<Vec<_>>().join(" nor ")
                            ),
                        })
                    }
                }
            }
        }
    }
}

/// Where a folder may have the types of a release.
fn places(folder: &Path, release: &str) -> Vec<PathBuf> {
    let file = format!("{release}.btf");
    let mut places = vec![folder.join(&file)];
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |name: &str| {
        let line = system
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(|text| text.trim_matches(['"', '\'']).to_owned())
    };
    if let (Some(id), Some(version)) = (value("ID"), value("VERSION_ID")) {
        let architecture = match std::env::consts::ARCH {
            "aarch64" => "arm64",
            other => other,
        };
        places.push(folder.join(id).join(version).join(architecture).join(&file));
    }
    places
}

#[cfg(test)]
mod tests {
    use skep_host::HostKind;

    use super::*;

    fn kernel(release: &str) -> HostInfo {
        HostInfo {
            kind: HostKind::Kernel,
            version: release.parse().expect("a version"),
            release: release.into(),
        }
    }

    #[test]
    fn a_release_is_found_by_its_whole_name() {
        const FILES: &[(&str, &[u8])] = &[("5.4.0-91-generic", b"no BTF"), ("5.4.0-9", b"")];
        let archive = BtfArchive::embedded(FILES);
        let error = archive
            .find(&kernel("5.4.0-91"))
            .expect_err("another one")
            .to_string();
        assert!(
            error.contains("5.4.0-91`") && error.contains("5.4.0-91-generic"),
            "{error}"
        );
        // It is found, and read.
        let error = archive
            .find(&kernel("5.4.0-91-generic"))
            .expect_err("no BTF");
        assert!(matches!(error, Error::Btf(_)), "{error}");
    }

    #[test]
    fn a_folder_says_where_it_was_looked() {
        let folder = BtfArchive::folder("/no/such/folder");
        let error = folder
            .find(&kernel("5.4.0-91-generic"))
            .expect_err("none")
            .to_string();
        assert!(
            error.contains("/no/such/folder/5.4.0-91-generic.btf"),
            "{error}"
        );
    }
}
