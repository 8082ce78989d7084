//! The selftests' sources: what is needed of Debian's `linux-source-6.12`, unpacked once.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use skep_testing::{Debian, Outcome, Stop, find_tool};

const PACKAGE: &str = "linux-source-6.12";

/// Suites that have had it, the likeliest first.
const SUITES: [&str; 4] = [
    "trixie",
    "trixie-security",
    "bookworm-backports",
    "bookworm-security",
];

/// What is needed of the tree.
const PARTS: [&str; 4] = [
    "tools/testing/selftests/bpf",
    "tools/include",
    "tools/lib/bpf",
    "include/uapi",
];

/// Where the selftests stand, fetched if they are not there yet.
///
/// # Errors
/// Skips: the package can't be had here.
pub(crate) fn source_tree() -> Outcome<PathBuf> {
    let debian = Debian::open()?;
    let folder = debian.folder(PACKAGE);
    let tree = folder.join("tree");
    if tree.is_dir() {
        return Ok(tree);
    }
    let tar = find_tool("tar")?;
    find_tool("xz")?;
    println!("fetching {PACKAGE} with apt, once");
    let package = debian.package(PACKAGE, &SUITES)?;
    println!("unpacking {}", package.display());
    let fresh = tempfile::tempdir_in(&folder)?;
    unpack(&tar, &package, fresh.path())?;
    fs::rename(fresh.path().join("tree"), &tree)?;
    // It has ten times what is needed of it.
    fs::remove_file(package)?;
    Ok(tree)
}

/// A package with an archive in it.
fn unpack(tar: &Path, package: &Path, into: &Path) -> Outcome {
    let archive = format!("./usr/src/{PACKAGE}.tar.xz");
    let mut outer = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut inner = Command::new(tar)
        .args(["-xO", &archive])
        .stdin(outer.stdout.take().map_or_else(Stdio::null, Stdio::from))
        .stdout(Stdio::piped())
        .spawn()?;
    let files = Command::new(tar)
        .args(["-xJ", "--no-same-owner", "-C"])
        .arg(into)
        .args(PARTS.map(|part| format!("{PACKAGE}/{part}")))
        .stdin(inner.stdout.take().map_or_else(Stdio::null, Stdio::from))
        .status()?;
    let (outer, inner) = (outer.wait()?, inner.wait()?);
    if !(files.success() && outer.success() && inner.success()) {
        return Err(Stop::fail(format!(
            "{} can't be unpacked",
            package.display()
        )));
    }
    fs::rename(into.join(PACKAGE), into.join("tree"))?;
    Ok(())
}
