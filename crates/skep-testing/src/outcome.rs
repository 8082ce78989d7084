//! How a test ends, and the small words that tests are written in.

use std::{
    env, fmt,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use skep_abi::KernelVersion;

use crate::prebuilt;

/// How long to wait for what should happen, as [`eventually`] does: long enough for a loaded
/// machine, as only failures take it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What a test lacks on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lacking {
    /// A capability: run as root.
    Root,
    /// A newer kernel.
    Kernel(KernelVersion),
    /// A kernel that is older than this one.
    OlderKernel(KernelVersion),
    /// A build option of the kernel.
    Option(&'static str),
    /// A program that is run.
    Tool(&'static str),
    /// Anything else.
    Thing(String),
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => write!(f, "lacks root"),
            Self::Kernel(version) => write!(f, "lacks Linux {version}"),
            Self::OlderKernel(version) => write!(f, "lacks a kernel before Linux {version}"),
            Self::Option(option) => write!(f, "lacks {option}"),
            Self::Tool(tool) => write!(f, "lacks the program `{tool}`"),
            Self::Thing(thing) => write!(f, "lacks {thing}"),
        }
    }
}

/// How a test ends when it does not pass.
#[derive(Debug)]
pub enum Stop {
    /// It can't run here.
    Skip(Lacking),
    /// It failed.
    Fail(String),
}

impl Stop {
    /// Skips for want of something that has no name of its own.
    pub fn lacks(thing: impl Into<String>) -> Self {
        Self::Skip(Lacking::Thing(thing.into()))
    }

    /// Fails with this text.
    pub fn fail(text: impl Into<String>) -> Self {
        Self::Fail(text.into())
    }
}

impl<E: std::error::Error> From<E> for Stop {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let more = cause.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            source = cause.source();
        }
        Self::Fail(text)
    }
}

/// What a test gives.
pub type Outcome<T = ()> = Result<T, Stop>;

/// Fails with `text` unless `so`.
///
/// # Errors
/// It is not so.
pub fn ensure(so: bool, text: impl FnOnce() -> String) -> Outcome {
    if so { Ok(()) } else { Err(Stop::Fail(text())) }
}

/// Waits until `done`.
///
/// # Errors
/// It was not done after ten seconds, or failed.
pub fn eventually(what: &str, mut done: impl FnMut() -> Outcome<bool>) -> Outcome {
    // What only compiles, on a machine that may lack the rest, need not wait for that.
    let patience = match prebuilt::is_preparing() {
        true => Duration::from_millis(500),
        false => PATIENCE,
    };
    let deadline = Instant::now() + patience;
    while !done()? {
        if Instant::now() > deadline {
            return Err(Stop::Fail(format!(
                "{what} did not happen within {} seconds",
                PATIENCE.as_secs()
            )));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The error of what should fail.
///
/// # Errors
/// It did not fail.
pub fn expect_err<T, E>(what: &str, result: Result<T, E>) -> Outcome<E> {
    match result {
        Ok(_) => Err(Stop::Fail(format!("{what} did not fail"))),
        Err(error) => Ok(error),
    }
}

/// Where a program is on `PATH`, or in the folders that only root has on it.
///
/// # Errors
/// Skips: there is none.
pub fn find_tool(name: &'static str) -> Outcome<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .ok_or(Stop::Skip(Lacking::Tool(name)))
}
