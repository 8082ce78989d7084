//! The compiler: which clang there is, how old, and whether it makes BPF.

use std::{
    cmp::Reverse,
    env,
    ffi::OsStr,
    fmt, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    Cache, Error, Result,
    cache::{Fingerprint, write_if_changed},
    hint::{Missing, install},
};

/// A clang's version; ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClangVersion {
    /// 19 of 19.1.7.
    pub major: u32,
    /// 1 of 19.1.7.
    pub minor: u32,
    /// 7 of 19.1.7.
    pub patch: u32,
}

impl ClangVersion {
    /// The oldest that has all the builtins of CO-RE.
    pub const OLDEST: Self = Self {
        major: 11,
        minor: 0,
        patch: 0,
    };

    /// From what `clang --version` prints: "… clang version 14.0.6 …".
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("clang version ")?;
        let number = rest
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .next()?;
        let mut parts = number.split('.').map(|part| part.parse().ok());
        Some(Self {
            major: parts.next()??,
            minor: parts.next().flatten().unwrap_or(0),
            patch: parts.next().flatten().unwrap_or(0),
        })
    }
}

impl fmt::Display for ClangVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A clang that makes BPF objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clang {
    path: PathBuf,
    version: ClangVersion,
}

impl Clang {
    /// The compiler that `SKEP_CLANG` or `CLANG` names, a path or a name on `PATH`; else `clang`
    /// on `PATH`, or the newest `clang-NN` there if that one is too old or has no BPF.
    ///
    /// What is found out of a compiler is kept in `cache`, so that asking again costs no process.
    ///
    /// # Errors
    /// [`Error::ClangNotFound`], [`Error::ClangTooOld`], [`Error::ClangWithoutBpf`] and
    /// [`Error::ClangUnusable`], the first three with the command that installs one here.
    pub fn find(cache: &Cache) -> Result<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let named = ["SKEP_CLANG", "CLANG"].into_iter().filter_map(env::var_os);
        match named.into_iter().find(|name| !name.is_empty()) {
            Some(name) => Self::at(Path::new(&name), cache),
            None => Self::best(candidates(&path), cache),
        }
    }

    /// The compiler at this path, or of this name on `PATH` (`clang-19`).
    ///
    /// # Errors
    /// As [`Clang::find`], of this one.
    pub fn at(name: &Path, cache: &Cache) -> Result<Self> {
        Self::of_path(&on_path(name), cache)
    }

    fn of_path(path: &Path, cache: &Cache) -> Result<Self> {
        let unusable = |reason: String| Error::ClangUnusable {
            path: path.to_owned(),
            reason,
        };
        let mut key = Fingerprint::new("clang");
        key.add_file_identity(path)
            .map_err(|error| unusable(error.to_string()))?;
        let known = cache.folder("clang")?.join(key.finish());
        if let Some(version) = fs::read_to_string(&known)
            .ok()
            .as_deref()
            .and_then(ClangVersion::parse)
        {
            return Ok(Self {
                path: path.to_owned(),
                version,
            });
        }

        let said = output(Command::new(path).arg("--version")).map_err(unusable)?;
        let version = ClangVersion::parse(&said)
            .ok_or_else(|| unusable(format!("it says {:?}", said.lines().next().unwrap_or(""))))?;
        if version < ClangVersion::OLDEST {
            return Err(Error::ClangTooOld {
                path: path.to_owned(),
                found: version,
                remedy: install(Missing::Clang),
            });
        }
        // Distributions may leave targets out; only making something shows it.
        let make_nothing = [
            "-target",
            "bpf",
            "-x",
            "c",
            "-c",
            "/dev/null",
            "-o",
            "/dev/null",
        ];
        if output(Command::new(path).args(make_nothing)).is_err() {
            return Err(Error::ClangWithoutBpf {
                path: path.to_owned(),
                version,
                remedy: install(Missing::Clang),
            });
        }
        write_if_changed(&known, format!("clang version {version}\n").as_bytes())?;
        Ok(Self {
            path: path.to_owned(),
            version,
        })
    }

    /// The program.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version.
    pub fn version(&self) -> ClangVersion {
        self.version
    }

    /// The first that will do; or, of the errors, the one of the newest.
    fn best(candidates: impl Iterator<Item = PathBuf>, cache: &Cache) -> Result<Self> {
        let mut worst: Option<Error> = None;
        for path in candidates {
            match Self::of_path(&path, cache) {
                Ok(clang) => return Ok(clang),
                Err(error @ Error::Write { .. }) => return Err(error),
                Err(error) => {
                    if rank(&error) > worst.as_ref().map_or(Rank::None, rank) {
                        worst = Some(error);
                    }
                }
            }
        }
        Err(worst.unwrap_or_else(|| Error::ClangNotFound {
            remedy: install(Missing::Clang),
        }))
    }
}

/// How much a compiler that won't do tells the user.
#[derive(PartialEq, PartialOrd)]
enum Rank {
    None,
    Unusable,
    TooOld(ClangVersion),
    WithoutBpf(ClangVersion),
}

fn rank(error: &Error) -> Rank {
    match error {
        Error::ClangTooOld { found, .. } => Rank::TooOld(*found),
        Error::ClangWithoutBpf { version, .. } => Rank::WithoutBpf(*version),
        _ => Rank::Unusable,
    }
}

/// What a command printed; on failure what it complained of, in one line.
pub(crate) fn output(command: &mut Command) -> std::result::Result<String, String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "{}: {}",
        output.status,
        stderr.lines().next().unwrap_or("it said nothing")
    ))
}

/// A name without a slash is looked for on `PATH`; kept as it is if it isn't there.
pub(crate) fn on_path(name: &Path) -> PathBuf {
    if name.components().count() > 1 {
        return name.to_owned();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|place| is_program(place))
        .unwrap_or_else(|| name.to_owned())
}

/// `clang`, then `clang-NN`, newest first. Folders are only listed when plain `clang` won't do.
fn candidates(path: &OsStr) -> impl Iterator<Item = PathBuf> {
    let plain = env::split_paths(path).map(|folder| folder.join("clang"));
    plain
        .filter(|path| is_program(path))
        .chain(std::iter::once_with(|| numbered(path)).flatten())
}

fn numbered(path: &OsStr) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for folder in env::split_paths(path) {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let major = name
                .to_str()
                .and_then(|name| name.strip_prefix("clang-")?.parse().ok());
            if let Some(major) = major
                && is_program(&entry.path())
            {
                found.push((major, entry.path()));
            }
        }
    }
    // Stable: of two with the same name, the one that comes first on PATH.
    found.sort_by_key(|&(major, _)| Reverse(major));
    found.into_iter().map(|(_, path)| path).collect()
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests;
