//! The compiler: which rustc there is, how old, and where it keeps its own things.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    Cache, Error, Result,
    cache::{Fingerprint, write_if_changed},
    clang::{on_path, output},
    hint::{Missing, install},
};

/// A rustc's version; ordered. Of nightly and beta versions the number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RustVersion {
    /// 1 of 1.95.0.
    pub major: u32,
    /// 95 of 1.95.0.
    pub minor: u32,
    /// 0 of 1.95.0.
    pub patch: u32,
}

impl RustVersion {
    /// The oldest that Skep is tested with: panics that abort where they happen, targets described
    /// in files and LLVM's BPF all changed shortly before.
    pub const OLDEST: Self = Self {
        major: 1,
        minor: 93,
        patch: 0,
    };

    /// From a line of `rustc -vV`: `1.97.0-nightly`.
    fn parse(text: &str) -> Option<Self> {
        let number = text.split(|c: char| !c.is_ascii_digit() && c != '.').next();
        let mut parts = number?.split('.').map(|part| part.parse().ok());
        Some(Self {
            major: parts.next()??,
            minor: parts.next()??,
            patch: parts.next().flatten().unwrap_or(0),
        })
    }
}

impl fmt::Display for RustVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A rustc that compiles for BPF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rustc {
    path: PathBuf,
    version: RustVersion,
    release: String,
    sysroot: PathBuf,
}

impl Rustc {
    /// The compiler that `SKEP_RUSTC` or `RUSTC` names, a path or a name on `PATH`; else `rustc` on
    /// `PATH`. Of rustup's stand-in it is the compiler that rustup chooses in the current folder.
    ///
    /// What is found out of a compiler is kept in `cache`, so that asking again costs no process.
    ///
    /// # Errors
    /// [`Error::RustcNotFound`], [`Error::RustcUnusable`] and [`Error::RustcTooOld`], with the
    /// command that installs one here.
    pub fn find(cache: &Cache) -> Result<Self> {
        let named = ["SKEP_RUSTC", "RUSTC"].into_iter().filter_map(env::var_os);
        match named.into_iter().find(|name| !name.is_empty()) {
            Some(name) => Self::at(Path::new(&name), cache),
            None => {
                let path = on_path(Path::new("rustc"));
                if path.components().count() > 1 {
                    Self::at(&path, cache)
                } else {
                    Err(Error::RustcNotFound { remedy: remedy() })
                }
            }
        }
    }

    /// The compiler at this path, or of this name on `PATH`.
    ///
    /// # Errors
    /// As [`Rustc::find`], of this one.
    pub fn at(name: &Path, cache: &Cache) -> Result<Self> {
        let path = on_path(name);
        let unusable = |reason: String| Error::RustcUnusable {
            path: path.clone(),
            reason,
        };
        let key = question(&path).map_err(|error| unusable(error.to_string()))?;
        let known = cache.folder("rust")?.join(format!("{key}.rustc"));
        if let Some(found) = fs::read_to_string(&known)
            .ok()
            .and_then(|text| Self::from_known(&text))
        {
            return found.new_enough();
        }

        let said = output(Command::new(&path).arg("-vV")).map_err(unusable)?;
        let release = said
            .lines()
            .find_map(|line| line.strip_prefix("release: "))
            .map(str::to_owned);
        let version = release.as_deref().and_then(RustVersion::parse);
        let (Some(release), Some(version)) = (release, version) else {
            let first = said.lines().next().unwrap_or_default();
            return Err(unusable(format!("it says {first:?}")));
        };
        let said = output(Command::new(&path).args(["--print", "sysroot"])).map_err(unusable)?;
        let sysroot = PathBuf::from(said.trim_end());
        // rustup's stand-in chooses anew at each call, which takes it longer than compiling.
        let own = sysroot.join("bin/rustc");
        let found = Self {
            path: if own.is_file() { own } else { path.clone() },
            version,
            release,
            sysroot,
        };
        if let Some(text) = found.as_known() {
            write_if_changed(&known, text.as_bytes())?;
        }
        found.new_enough()
    }

    fn new_enough(self) -> Result<Self> {
        if self.version < RustVersion::OLDEST {
            let remedy = match self.toolchain() {
                Some(toolchain) => format!("get a newer one with `rustup update {toolchain}`"),
                None => remedy(),
            };
            return Err(Error::RustcTooOld {
                remedy,
                path: self.path,
                found: self.version,
            });
        }
        Ok(self)
    }

    /// What the cache keeps of it: good while the compiler is the same file.
    fn as_known(&self) -> Option<String> {
        let mut identity = Fingerprint::new("rustc");
        identity.add_file_identity(&self.path).ok()?;
        let (path, sysroot) = (self.path.to_str()?, self.sysroot.to_str()?);
        let identity = identity.finish();
        Some(format!("{identity}\n{path}\n{sysroot}\n{}\n", self.release))
    }

    fn from_known(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (_, path, sysroot) = (lines.next()?, lines.next()?, lines.next()?);
        let release = lines.next()?;
        let found = Self {
            path: path.into(),
            version: RustVersion::parse(release)?,
            release: release.to_owned(),
            sysroot: sysroot.into(),
        };
        (found.as_known()? == text).then_some(found)
    }

    /// The program: never rustup's stand-in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version.
    pub fn version(&self) -> RustVersion {
        self.version
    }

    /// Its version as it says it: `1.97.0-nightly`.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Where its own libraries are.
    pub fn sysroot(&self) -> &Path {
        &self.sysroot
    }

    /// The name of rustup's toolchain that it is, if it is one.
    pub(crate) fn toolchain(&self) -> Option<&str> {
        let parent = self.sysroot.parent()?.file_name()?;
        let name = self.sysroot.file_name()?.to_str();
        name.filter(|_| parent == "toolchains")
    }

    /// The compiler ready to be called, with what is not stable yet allowed.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .env("RUSTC_BOOTSTRAP", "1")
            // What a build of this machine's own crates sets is not meant for BPF.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTC_WRAPPER")
            .stdin(Stdio::null());
        command
    }
}

/// What brings a compiler. Distributions often have an older one.
fn remedy() -> String {
    let oldest = RustVersion::OLDEST;
    let (major, minor) = (oldest.major, oldest.minor);
    let distribution = install(Missing::Rust);
    format!(
        "get Rust {major}.{minor} or newer with rustup, or, where that is as new, {distribution}"
    )
}

/// Everything that decides which compiler answers to this path, without asking it.
fn question(path: &Path) -> std::io::Result<String> {
    let mut key = Fingerprint::new("which rustc");
    key.add_file_identity(path)?;
    // rustup: an override in the environment, by folder, or the default.
    for name in ["RUSTUP_TOOLCHAIN", "RUSTUP_HOME", "HOME"] {
        key.add(env::var_os(name));
    }
    let home = env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".rustup")));
    if let Some(home) = home {
        // Overrides of folders stand in it, too.
        key.add(fs::read(home.join("settings.toml")).ok());
    }
    let here = env::current_dir()?;
    key.add(&here);
    for folder in here.ancestors() {
        for name in ["rust-toolchain", "rust-toolchain.toml"] {
            if let Ok(text) = fs::read(folder.join(name)) {
                key.add((folder, text));
            }
        }
    }
    Ok(key.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let of = |text| RustVersion::parse(text).map(|version| version.to_string());
        assert_eq!(of("1.95.0").as_deref(), Some("1.95.0"));
        assert_eq!(of("1.97.0-nightly").as_deref(), Some("1.97.0"));
        assert_eq!(of("nightly"), None);
    }

    #[test]
    fn what_is_known_is_good_for_the_same_file_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rustc");
        fs::write(&path, "one").unwrap();
        let rustc = Rustc {
            path: path.clone(),
            version: RustVersion::OLDEST,
            release: RustVersion::OLDEST.to_string(),
            sysroot: folder.path().join("toolchains/stable"),
        };
        let known = rustc.as_known().unwrap();
        assert_eq!(Rustc::from_known(&known), Some(rustc.clone()));
        assert_eq!(rustc.toolchain(), Some("stable"));
        fs::write(&path, "another").unwrap();
        assert_eq!(Rustc::from_known(&known), None);
        assert_eq!(Rustc::from_known("damaged"), None);
    }
}
