//! What a reviewer would otherwise have to look for: strata, `//!` headers, file lengths,
//! links in the docs, and that the docs name every crate.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde_json::Value;

use crate::{Result, root};

/// The strata of ARCHITECTURE.md: a crate may use only crates of lower strata.
const STRATA: &[(&str, u8)] = &[
    ("skep-isa", 1),
    ("skep-abi", 1),
    ("skep-btf", 2),
    ("skep-object", 3),
    ("skep-ebpf-macros", 0),
    ("skep-ebpf", 1),
    ("skep-build", 4),
    ("skep-record", 4),
    ("skep-verifier", 4),
    ("skep-host", 4),
    ("skep-linux", 5),
    ("skep-vm", 5),
    ("skep-light", 6),
    ("skep", 6),
    ("skep-test", 7),
    ("skep-cli", 8),
];

/// Crates that only tests use: any crate may depend on them for development.
const FOR_TESTS: &[&str] = &["skep-testing", "skep-selftests", "skep-fuzz"];

/// Longer files need splitting; beyond the second they are refused.
const LONG: usize = 500;
const TOO_LONG: usize = 1000;

/// Checks everything and lists all that is wrong.
pub(crate) fn run() -> Result<()> {
    let mut wrong = Vec::new();
    strata(&mut wrong)?;
    let files = tracked_files()?;
    let mut long = 0;
    for file in &files {
        let path = root().join(file);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => long += usize::from(rust_file(file, &path, &mut wrong)?),
            Some("md") => markdown_file(file, &path, &mut wrong)?,
            _ => {}
        }
    }
    architecture(&mut wrong)?;
    println!(
        "tidy: {} files, {long} over {LONG} lines, {} faults",
        files.len(),
        wrong.len()
    );
    if wrong.is_empty() {
        return Ok(());
    }
    for fault in &wrong {
        eprintln!("tidy: {fault}");
    }
    Err(format!("{} faults", wrong.len()).into())
}

fn strata(wrong: &mut Vec<String>) -> Result<()> {
    let stratum: BTreeMap<&str, u8> = STRATA.iter().copied().collect();
    let metadata = cargo_metadata()?;
    let packages = metadata["packages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        if name == "xtask" || FOR_TESTS.contains(&name) {
            continue;
        }
        let Some(own) = stratum.get(name) else {
            wrong.push(format!(
                "crate {name} has no stratum: add it to xtask's tidy and to ARCHITECTURE.md"
            ));
            continue;
        };
        let dependencies = package["dependencies"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for dependency in dependencies {
            let used = dependency["name"].as_str().unwrap_or_default();
            let for_tests = dependency["kind"].as_str() == Some("dev");
            if FOR_TESTS.contains(&used) && !for_tests {
                wrong.push(format!("{name} uses {used} outside its tests"));
            }
            match stratum.get(used) {
                Some(theirs) if !for_tests && theirs >= own => wrong.push(format!(
                    "{name} (stratum {own}) uses {used} (stratum {theirs}): only lower strata may be used"
                )),
                _ => {}
            }
        }
    }
    Ok(())
}

fn cargo_metadata() -> Result<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1"])
        .current_dir(root())
        .output()
        .map_err(|error| format!("cannot run cargo metadata: {error}"))?;
    let parsed = serde_json::from_slice(&output.stdout);
    Ok(parsed.map_err(|error| format!("cargo metadata: {error}"))?)
}

/// Says whether the file is long.
fn rust_file(name: &str, path: &Path, wrong: &mut Vec<String>) -> Result<bool> {
    let text = read(path)?;
    let lines = text.lines().count();
    if name.contains("/generated/") {
        if !text.contains("cargo xtask generate") {
            wrong.push(format!(
                "{name}: a generated file must carry the command that makes it"
            ));
        }
        return Ok(false);
    }
    // Examples say their licence first, as their twins in C do.
    let opening = match text.split_once('\n') {
        Some((first, rest)) if first.starts_with("// SPDX-License-Identifier: ") => rest,
        _ => &text,
    };
    if !opening.trim_start().starts_with("//!") {
        wrong.push(format!(
            "{name}: must open with `//!`: what lives here and why"
        ));
    }
    if lines > TOO_LONG {
        wrong.push(format!(
            "{name}: {lines} lines; split it by what its parts tell ({LONG} is the aim)"
        ));
    }
    Ok(lines > LONG)
}

/// Relative links must lead somewhere.
fn markdown_file(name: &str, path: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let text = read(path)?;
    let folder = path.parent().unwrap_or(path);
    let mut in_code = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
                continue;
            }
            if !folder.join(file).exists() {
                wrong.push(format!("{name}:{}: `{target}` leads nowhere", number + 1));
            }
        }
    }
    Ok(())
}

/// ARCHITECTURE.md is what readers trust: it names every crate.
fn architecture(wrong: &mut Vec<String>) -> Result<()> {
    let text = read(&root().join("ARCHITECTURE.md"))?;
    for (name, stratum) in STRATA {
        let row = format!("| {stratum} | `{name}` |");
        if !text.contains(&row) {
            wrong.push(format!("ARCHITECTURE.md has no row `{row}`"));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path);
    Ok(text.map_err(|error| format!("cannot read {}: {error}", path.display()))?)
}

fn tracked_files() -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .map_err(|error| format!("cannot run git: {error}"))?;
    let mut files: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect();
    files.retain(|file| root().join(file).is_file());
    Ok(files)
}
