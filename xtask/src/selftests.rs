//! `cargo xtask selftests`: the kernel's own selftests, judged. What does it is a crate, since it
//! needs all of Skep; this only builds it, as fast code where times are measured, and starts it.

use std::process::Command;

use crate::{Result, setup};

/// Installs what compiling the tests needs, and starts them with `arguments`, as their own usage
/// lists them.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::for_selftests();
    let timed = arguments.iter().any(|argument| argument == "--time");
    let profile: &[&str] = if timed { &["--release"] } else { &[] };
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--package", "skep-selftests"])
        .args(profile)
        .arg("--")
        .args(arguments)
        .status()?;
    if status.success() {
        return Ok(());
    }
    Err("the selftests failed".into())
}
