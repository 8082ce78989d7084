//! `cargo xtask bench`: Skep beside other loaders. The bench is a workspace of its own, since its
//! peers are none of Skep's dependencies; this only starts it.

use std::process::Command;

use crate::{Result, root};

/// Runs the bench with `arguments`, as its own usage lists them.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--release", "--manifest-path"])
        .arg(root().join("bench/Cargo.toml"))
        .arg("--")
        .args(arguments)
        .status()?;
    if status.success() {
        return Ok(());
    }
    Err("the bench failed".into())
}
