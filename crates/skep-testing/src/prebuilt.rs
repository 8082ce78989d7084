//! What tests compile, made beforehand: a test kernel's machine (`cargo xtask vm`) has no compiler.
//!
//! With `SKEP_PREPARE=FOLDER` a run keeps all that it compiles in a folder, and no lack of root, of
//! a newer kernel or of an option keeps tests from coming so far. With `SKEP_PREBUILT=FOLDER` a run
//! takes it from there, and a test fails if something is missing.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    hash::{DefaultHasher, Hash, Hasher as _},
    path::{Path, PathBuf},
};

use crate::{Lacking, Outcome, Stop};

const PREPARE: &str = "SKEP_PREPARE";
const PREBUILT: &str = "SKEP_PREBUILT";

/// Whether this run is for what it compiles, on a machine that may lack what the tests need.
pub fn is_preparing() -> bool {
    env::var_os(PREPARE).is_some()
}

/// Whether what tests compile was compiled beforehand.
pub fn is_prebuilt() -> bool {
    env::var_os(PREBUILT).is_some()
}

/// What a tool makes by these words, which test kernels' machines don't have: from the folder of what
/// was made beforehand, or else by `make`.
///
/// # Errors
/// Those of `make`; or it was not made beforehand.
pub fn made_by(
    tool: &str,
    words: &str,
    make: impl FnOnce() -> Outcome<Vec<u8>>,
) -> Outcome<Vec<u8>> {
    kept(tool, words, || Ok(hash(&(tool, words))), make)
}

/// What `compiler` makes of a source by these arguments: from the folder of what was made
/// beforehand, or else by `make`.
pub(crate) fn or_make(
    compiler: &str,
    source: &Path,
    arguments: &[&OsStr],
    make: impl FnOnce() -> Outcome<Vec<u8>>,
) -> Outcome<Vec<u8>> {
    // Where it stands does not matter: some are written into folders of another name each time.
    let key = || Ok(hash(&(compiler, arguments, fs::read(source)?)));
    kept(compiler, &source.display().to_string(), key, make)
}

fn hash(what: &impl Hash) -> u64 {
    let mut key = DefaultHasher::new();
    what.hash(&mut key);
    key.finish()
}

/// What is under this key, which is only asked for where something is kept.
fn kept(
    compiler: &str,
    what: &str,
    key: impl FnOnce() -> Outcome<u64>,
    make: impl FnOnce() -> Outcome<Vec<u8>>,
) -> Outcome<Vec<u8>> {
    let place = |folder: OsString| -> Outcome<PathBuf> {
        Ok(Path::new(&folder).join(format!("{:016x}", key()?)))
    };
    if let Some(folder) = env::var_os(PREBUILT) {
        let place = place(folder)?;
        if let Ok(lacking) = fs::read_to_string(place.with_extension("lacks")) {
            return Err(Stop::lacks(lacking));
        }
        return fs::read(&place).map_err(|error| {
            Stop::fail(format!(
                "{what} was not made beforehand by {compiler}: {}: {error}",
                place.display()
            ))
        });
    }
    let Some(folder) = env::var_os(PREPARE) else {
        return make();
    };
    let place = place(folder)?;
    let made = make();
    match &made {
        Ok(bytes) => fs::write(&place, bytes)?,
        Err(Stop::Skip(lacking)) => {
            let lacking = match lacking {
                Lacking::Thing(thing) => thing.clone(),
                other => format!("what its host lacked: {other}"),
            };
            fs::write(place.with_extension("lacks"), lacking)?;
        }
        Err(Stop::Fail(_)) => {}
    }
    made
}
