//! Core's source for tests of programs in Rust: the compiler's own, or Debian's package of its
//! version, which no one need have installed.

use std::{
    fs,
    process::{Command, Stdio},
    sync::Mutex,
};

use skep_build::{Cache, CoreSource, Error, Rustc};

use crate::{Debian, Outcome, Stop, ensure};

/// Where a compiler's version may be found as a package.
const SUITES: &[&str] = &["trixie-backports", "forky", "sid"];

/// Core's source of the version of this machine's rustc. Commands that are tested find it by
/// `SKEP_RUST_SRC`.
///
/// # Errors
/// Skips: there is no rustc that will do, or no source and no package of it.
pub fn core_source() -> Outcome<CoreSource> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    let lacks = |error: Error| Stop::lacks(format!("what programs in Rust need: {error}"));
    let rustc = Rustc::find(&Cache::open()?).map_err(lacks)?;
    let missing = match CoreSource::find(&rustc) {
        Ok(source) => return Ok(source),
        Err(error) => error,
    };
    let debian = Debian::open()?;
    let folder = debian.folder(&format!("rust-src-{}", rustc.version()));
    if let Ok(source) = CoreSource::at(&folder) {
        return Ok(source);
    }
    let package = format!("rust-src={}*", rustc.version());
    let package = debian
        .package(&package, SUITES)
        .map_err(|_| lacks(missing))?;
    // Beside it, so that it can be moved there as a whole.
    let making = folder.with_extension(std::process::id().to_string());
    fs::create_dir_all(&making)?;
    let mut outer = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(&package)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let tar = outer.stdout.take().map_or(Stdio::null(), Stdio::from);
    let inner = Command::new("tar")
        .args(["-x", "--strip-components=4", "-C"])
        .arg(&making)
        .args(["--wildcards", "--no-wildcards-match-slash"])
        .arg("./usr/src/rustc-*/library")
        .stdin(tar)
        .output()?;
    let outer = outer.wait()?;
    ensure(inner.status.success() && outer.success(), || {
        let said = String::from_utf8_lossy(&inner.stderr);
        format!("{} can't be unpacked: {said}", package.display())
    })?;
    let source = CoreSource::at(&making);
    if source.is_err() || fs::rename(&making, &folder).is_err() {
        // In the second case another process was faster, and its is as good.
        fs::remove_dir_all(&making)?;
    }
    source?;
    Ok(CoreSource::at(&folder)?)
}
