//! Where the uapi headers come from: a path that was given, the machine's own if they are new
//! enough, or Debian's newest package, fetched with the machine's own apt sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::c::Header;
use crate::Result;

/// A kernel release of three numbers.
pub(super) type Version = [i128; 3];

/// Where distributions install the headers.
const INSTALLED: &str = "/usr/include/linux/bpf.h";

/// Debian's suites that carry the newest kernels.
const SUITES: [&str; 2] = ["sid", "trixie-backports"];

/// Debian's keys. apt's own trusted keys are used where this file is elsewhere.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A `bpf.h` that is at least as new as a version, or why there is none.
///
/// What was fetched once is kept in `cache` and found again without a network.
pub(super) fn find(at_least: Version, cache: &Path) -> Result<PathBuf> {
    let fetched = cache.join("usr/include/linux/bpf.h");
    for candidate in [Path::new(INSTALLED), &fetched] {
        if new_enough(candidate, at_least) {
            return Ok(candidate.to_owned());
        }
    }
    let [major, minor, patch] = at_least;
    let wanted = format!("no {INSTALLED} as new as Linux {major}.{minor}.{patch} here");
    println!(
        "{wanted}; asking apt for linux-libc-dev (into {})",
        cache.display()
    );
    fetch(cache).map_err(|e| format!("{wanted}, and none could be fetched: {e}"))?;
    if new_enough(&fetched, at_least) {
        Ok(fetched)
    } else {
        Err(format!("{wanted}, and apt's newest is older too").into())
    }
}

/// The version of the headers in a folder, from `version.h`.
pub(super) fn version(folder: &Path) -> Result<Version> {
    let path = folder.join("version.h");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut header = Header::default();
    header.read(&text)?;
    let part = |name: &str| header.value(&format!("LINUX_VERSION_{name}"));
    Ok([part("MAJOR")?, part("PATCHLEVEL")?, part("SUBLEVEL")?])
}

fn new_enough(header: &Path, at_least: Version) -> bool {
    let found = header
        .is_file()
        .then(|| header.parent())
        .flatten()
        .map(version);
    matches!(found, Some(Ok(version)) if version >= at_least)
}

/// Downloads and unpacks the newest linux-libc-dev with an apt configuration of its own: the
/// machine's lists, sources and packages stay as they are.
fn fetch(cache: &Path) -> Result<()> {
    let apt = cache.join("apt");
    fs::create_dir_all(apt.join("lists/partial"))?;
    fs::create_dir_all(apt.join("archives/partial"))?;
    let apt = apt.canonicalize()?;
    fs::write(apt.join("sources.list"), sources()?)?;
    // apt would pass over backports, which can be newer than sid.
    fs::write(
        apt.join("preferences"),
        "Package: *\nPin: release *\nPin-Priority: 500\n",
    )?;

    let place = |option: &str, name: &str| format!("{option}={}", apt.join(name).display());
    let options = [
        place("Dir::Etc::SourceList", "sources.list"),
        place("Dir::Etc::Preferences", "preferences"),
        place("Dir::State::Lists", "lists"),
        place("Dir::Cache", "."),
        "Dir::Etc::SourceParts=/dev/null".to_owned(),
        "Dir::Etc::PreferencesParts=/dev/null".to_owned(),
        "APT::Sandbox::User=".to_owned(),
        "Acquire::Languages=none".to_owned(),
        "Acquire::Retries=1".to_owned(),
        "Acquire::http::Timeout=30".to_owned(),
    ];
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .arg("-q")
            .args(options.iter().flat_map(|option| ["-o", option.as_str()]));
        run(command.args(arguments).current_dir(&apt))
    };
    for old in packages(&apt)? {
        fs::remove_file(old)?;
    }
    apt_get(&["update"])?;
    apt_get(&["download", "linux-libc-dev"])?;
    let package = packages(&apt)?.pop().ok_or("apt-get downloaded nothing")?;
    run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(cache))?;
    Ok(())
}

/// Sources for the newest suites, at the place from which this machine gets its own Debian.
fn sources() -> Result<String> {
    let targets = run(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(COMPONENT) $(ORIGIN)",
        "Created-By: Packages",
    ]))?;
    let uri = targets
        .lines()
        .filter_map(|line| line.strip_suffix(" main Debian"))
        .find(|uri| uri.trim_end_matches('/').ends_with("/debian"))
        .ok_or("the apt sources of this machine have no Debian archive")?;
    let signed = match Path::new(KEYRING).is_file() {
        true => format!("[signed-by={KEYRING}] "),
        false => String::new(),
    };
    Ok(SUITES
        .map(|suite| format!("deb {signed}{uri} {suite} main\n"))
        .concat())
}

fn packages(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Runs a command and gives its output; its last words are the error.
fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .env("LC_ALL", "C")
        .output()
        .map_err(|e| format!("cannot run `{name}`: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or("no message");
    Err(format!("`{name}` failed ({}): {last}", output.status).into())
}
