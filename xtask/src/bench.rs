//! `cargo xtask bench`: Skep beside other loaders. The bench is a workspace of its own, since its
//! peers are none of Skep's dependencies; this only starts it.

use std::process::Command;

use crate::{Result, root, vm};

/// Runs the bench with `arguments`, as its own usage lists them; with `engines`, the one of the
/// virtual machine; with `--kernel VERSION`, on that kernel, and with `--instructions` beside it, by
/// the instructions that are executed there instead of by time.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let Some(at) = arguments.iter().position(|word| word == "--kernel") else {
        return start(arguments);
    };
    let mut rest = arguments.to_vec();
    let words: Vec<String> = rest.drain(at..rest.len().min(at + 2)).collect();
    let [_, version] = words.as_slice() else {
        return Err("--kernel takes a version: 5.10, 6.1, 6.12 or 7.3".into());
    };
    let counting = rest.iter().any(|word| word == "--instructions");
    rest.retain(|word| word != "--instructions");
    let build: Vec<String> = rest.iter().cloned().chain(["--build".into()]).collect();
    start(&build)?;
    vm::bench::run(version, &rest, counting)
}

fn start(arguments: &[String]) -> Result<()> {
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
