//! `cargo xtask miri`: what of the virtual machine Miri can run in some minutes. It interprets
//! the compiled program and knows of every byte whose it is: it sees what the sanitizers do not,
//! a reference that outlives its memory, an access outside what a pointer was made for.
//!
//! Not a part of CI: it comes with nightly toolchains alone, and takes a thousand times as long.
//! There is no mapped memory, no machine code and no kernel under it.

use std::process::Command;

use crate::{Result, root};

const USAGE: &str = "usage: cargo xtask miri [maps|engine|corpus]…";

/// The toolchain that has it.
const TOOLCHAIN: &str = "nightly";

/// Programs make pointers of numbers; proptest and the corpus read files.
const FLAGS: &str = "-Zmiri-permissive-provenance -Zmiri-disable-isolation";

struct Part {
    name: &'static str,
    what: &'static str,
    /// Which tests of the package.
    tests: &'static [&'static str],
}

const PARTS: [Part; 3] = [
    Part {
        name: "maps",
        what: "maps against models, and under several threads",
        tests: &["--lib", "--", "map::"],
    },
    Part {
        name: "engine",
        what: "the interpreter, and what is shown of accesses before it runs",
        tests: &["--lib", "--", "engine::"],
    },
    Part {
        name: "corpus",
        what: "one run of each program of corpus/isa by the interpreter, checked and verified",
        tests: &["--test=corpus"],
    },
];

/// Runs the parts that `arguments` name, or all.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if let Some(unknown) = arguments
        .iter()
        .find(|name| PARTS.iter().all(|part| part.name != **name))
    {
        return Err(format!("no part `{unknown}`\n{USAGE}").into());
    }
    let has = Command::new("cargo")
        .args([&format!("+{TOOLCHAIN}"), "miri", "--version"])
        .output();
    if !has.is_ok_and(|output| output.status.success()) {
        return Err(format!(
            "there is no Miri\nhelp: rustup component add --toolchain {TOOLCHAIN} miri rust-src"
        )
        .into());
    }
    let mut failed = Vec::new();
    for part in &PARTS {
        if !arguments.is_empty() && arguments.iter().all(|name| name != part.name) {
            continue;
        }
        println!("== {}: {}", part.name, part.what);
        let status = Command::new("cargo")
            .arg(format!("+{TOOLCHAIN}"))
            .args(["miri", "test", "-p", "skep-vm", "--no-default-features"])
            .args(part.tests)
            .env("MIRIFLAGS", FLAGS)
            // Cargo of the toolchain that runs this sets them for its own.
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("CARGO")
            .current_dir(root())
            .status()?;
        if !status.success() {
            failed.push(part.name);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("failures under Miri: {}", failed.join(", ")).into())
}
