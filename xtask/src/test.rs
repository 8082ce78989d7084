//! `cargo xtask test`: everything that can run on this machine, and a list of what could not
//! and why.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process::Command,
};

use crate::{Result, failures::Failures, root, setup, tidy, vm};

/// Where tests say what they skipped, one line each (`SKIP name: reason`).
const SKIP_LOG: &str = "SKEP_SKIP_LOG";

/// The kernels that CI runs the suites on, beside its own: the oldest and the newest of those that
/// are promised.
const CI_KERNELS: &str = "5.10,7.3";

/// What the workspace is built with for its tests.
const FEATURES: &str = "skep/tokio,skep/vm";

/// Runs the tests, also on other kernels if any are named; with `ci`, also formatting, lints, docs
/// and the tidy check.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut ci = false;
    let mut kernels = None;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match (word.as_str(), words.as_slice().first()) {
            ("--ci", _) => ci = true,
            ("--kernels", Some(list)) => {
                kernels = Some(list.clone());
                words.next();
            }
            _ => return Err("usage: cargo xtask test [--ci] [--kernels VERSION,…|all]".into()),
        }
    }
    // CI fires every hook there; who names kernels has the suites run as a whole.
    let words: &[&str] = match kernels {
        None => &["--suite", "skep", "--", "hooks", "--skip", "rust_hooks"],
        Some(_) => &["--suite", "skep-linux,skep"],
    };
    let kernels = kernels.or_else(|| ci.then(|| CI_KERNELS.to_owned()));
    setup::for_tests()?;
    let skip_log = root().join("target/skipped.txt");
    fs::create_dir_all(root().join("target"))?;
    fs::write(&skip_log, "")?;
    let mut failed = Vec::new();
    if ci {
        let fmt = command("fmt", &["fmt", "--all", "--check"]).status();
        failed.extend(outcome("fmt", fmt.map(|fmt| fmt.success())));
    }
    let lints = if ci { lints() } else { Vec::new() };
    if let Err(error) = tidy::run() {
        failed.push(format!("tidy: {error}"));
    }
    if let Err(error) = crate::generate::run(&["--check".to_owned()]) {
        failed.push(format!("generated code: {error}"));
    }
    let environment = [(SKIP_LOG, skip_log.display().to_string())];
    let mut failures = Failures::default();
    failed.extend(tests(&mut failures, &environment));
    failed.extend(verdicts(&environment)?);
    if let Some(kernels) = &kernels {
        println!("── tests on other kernels: {kernels}");
        let words = [&["--kernel", kernels.as_str()], words].concat();
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        match vm::run(&words) {
            Err(error) if error.is::<vm::Lacks>() => {
                let mut log = fs::OpenOptions::new().append(true).open(&skip_log)?;
                writeln!(log, "SKIP kernels {kernels}: {error}")?;
            }
            Err(error) => failed.push(format!("other kernels: {error}")),
            Ok(()) => {}
        }
    }
    report_skips(&skip_log)?;
    failures.report();
    for (lint, said) in lints {
        println!("── {lint}\n{said}");
        failed.push(format!("{lint} failed"));
    }
    if failed.is_empty() {
        println!("all that can run here has passed");
        return Ok(());
    }
    Err(failed.join("; ").into())
}

/// The selftests' verdicts, also on the kernel and in the virtual machine where that can be; and
/// the project's own. Says what failed.
fn verdicts(environment: &[(&str, String)]) -> Result<Vec<String>> {
    // With the features that all is built with by now.
    let build = ["build", "--workspace", "--features", FEATURES];
    let selftests = match crate::cargo(&[&build[..], &["--bin=skep-selftests"]].concat()) {
        Ok(selftests) => selftests,
        Err(error) => return Ok(vec![error.to_string()]),
    };
    let mut failed = Vec::new();
    for flags in [&["--kernel", "--run"][..], &["--own"]] {
        println!("── verdicts: skep-selftests {}", flags.join(" "));
        let mut verdicts = Command::new(&selftests);
        verdicts.args(flags).envs(environment.iter().cloned());
        if !verdicts.current_dir(root()).status()?.success() {
            failed.push("verdicts failed".to_owned());
        }
    }
    Ok(failed)
}

/// Clippy and rustdoc. Gives those that failed, and what they said.
fn lints() -> Vec<(&'static str, String)> {
    let clippy = ["--all-targets", "--", "-D", "warnings"];
    // Skep's part of it: its peers are built by `cargo xtask bench` alone. What both workspaces need
    // is there already.
    let bench = ["clippy", "--manifest-path", "bench/Cargo.toml"];
    let bench = [&bench[..], &["--target-dir", "target"]].concat();
    let rustdoc = ["--no-deps", "--document-private-items"];
    // A program of the same name as a library: see there. Of the whole workspace, so that nothing
    // is checked anew with other features.
    let skep = ["doc", "--workspace", "--bin", "skep"];
    let mut failed = Vec::new();
    for (name, arguments) in [
        ("clippy", [&["clippy", "--workspace"], &clippy[..]].concat()),
        ("rustdoc", [&["doc", "--workspace"], &rustdoc[..]].concat()),
        ("rustdoc of skep-cli", [&skep[..], &rustdoc].concat()),
        ("bench", [&bench[..], &clippy[..]].concat()),
    ] {
        let mut lint = command(name, &arguments);
        let said = match lint.env("RUSTDOCFLAGS", "-D warnings").output() {
            Ok(ran) if ran.status.success() => continue,
            Ok(ran) => String::from_utf8_lossy(&ran.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        println!("{name} failed: see the end");
        failed.push((name, said));
    }
    failed
}

/// The workspace's tests. Says whether they failed.
fn tests(failures: &mut Failures, environment: &[(&str, String)]) -> Option<String> {
    let words = ["test", "--workspace", "--features", FEATURES];
    let words = [&words[..], &["--no-fail-fast"]].concat();
    let mut tests = command("tests", &words);
    tests.envs(environment.iter().map(|(name, value)| (name, value)));
    outcome("tests", failures.of(&mut tests))
}

/// Cargo, at the workspace's root, for a step that is named.
fn command(step: &str, words: &[&str]) -> Command {
    println!("── {step}: cargo {}", words.join(" "));
    let mut command = Command::new(env!("CARGO"));
    command.args(words).current_dir(root());
    command
}

/// What is to be said of a step that did not end well.
fn outcome(step: &str, passed: io::Result<bool>) -> Option<String> {
    match passed {
        Ok(true) => None,
        Ok(false) => Some(format!("{step} failed")),
        Err(error) => Some(format!("{step}: {error}")),
    }
}

fn report_skips(log: &PathBuf) -> Result<()> {
    let text = fs::read_to_string(log)?;
    let mut skips: Vec<&str> = text.lines().collect();
    skips.sort_unstable();
    skips.dedup();
    println!("── skipped here: {}", skips.len());
    for skip in skips {
        println!("   {}", skip.trim_start_matches("SKIP "));
    }
    Ok(())
}
