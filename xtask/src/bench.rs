//! `cargo xtask bench`: Skep beside other loaders. The bench is a workspace of its own, since its
//! peers are none of Skep's dependencies; this only starts it.

use std::process::Command;

use crate::{Result, root};

/// Runs the bench with `arguments`, as its own usage lists them; with `engines`, the one of the
/// virtual machine.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    const ENGINES: [&str; 5] = [
        "--no-default-features",
        "--features",
        "engines",
        "--bin",
        "engines",
    ];
    let (which, arguments): (&[&str], _) = match arguments.split_first() {
        Some((first, rest)) if first == "engines" => (&ENGINES, rest),
        _ => (&[], arguments),
    };
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--release", "--manifest-path"])
        .arg(root().join("bench/Cargo.toml"))
        .args(which)
        .arg("--")
        .args(arguments)
        .status()?;
    if status.success() {
        return Ok(());
    }
    Err("the bench failed".into())
}
