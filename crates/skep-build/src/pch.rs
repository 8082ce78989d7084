//! `vmlinux.h` precompiled: parsing 3 MB of types is most of a compile's time. An optimisation only:
//! whatever goes wrong here, the plain header is there.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    process::Stdio,
};

use crate::{Cache, Clang, cache::Fingerprint};

/// The precompiled form of `header` for this compiler and these flags, made now or before.
/// Nothing if it can't be made.
pub(crate) fn of(
    clang: &Clang,
    flags: &[OsString],
    header: &Path,
    cache: &Cache,
) -> Option<PathBuf> {
    let mut key = Fingerprint::new("precompiled");
    key.add_file_identity(clang.path()).ok()?;
    // The compiler refuses it if the header's time stamp is another, so this is part of it.
    key.add_file_identity(header).ok()?;
    key.add(flags);
    let folder = cache.folder("precompiled").ok()?;
    let path = folder.join(format!("{}.pch", key.finish()));
    if path.exists() {
        return Some(path);
    }
    let made = tempfile::Builder::new()
        .suffix(".tmp")
        .tempfile_in(&folder)
        .ok()?
        .into_temp_path();
    let status = Command::new(clang.path())
        .args(flags)
        .args(["-x", "c-header", "-o"])
        .arg(&*made)
        .arg(header)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !status.is_ok_and(|status| status.success()) {
        return None;
    }
    crate::cache::forget_old(&folder, "pch", 30);
    crate::cache::forget_old(&folder, "tmp", 1);
    made.persist(&path).ok()?;
    Some(path)
}
