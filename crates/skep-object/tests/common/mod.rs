//! What the tests share: objects compiled from `tests/c`, and this machine as a target. What is
//! missing is said, and the test that needs it passes over.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use skep_btf::Btf;
use skep_object::{Object, Target};

/// Those of the compilers that are installed.
pub fn clangs() -> Vec<&'static str> {
    let found: Vec<_> = ["clang", "clang-19"]
        .into_iter()
        .filter(|name| Command::new(name).arg("--version").output().is_ok())
        .collect();
    if found.is_empty() {
        skep_testing::lacks("clang and clang-19");
    }
    found
}

/// Compiles a file of `tests/c`, or a text next to it, and gives the path of the object.
pub fn compile_in(
    dir: &Path,
    clang: &str,
    name: &str,
    text: Option<&str>,
    flags: &[&str],
) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c");
    let source = match text {
        Some(text) => {
            let path = dir.join(format!("{name}.bpf.c"));
            std::fs::write(&path, text).unwrap();
            path
        }
        None => sources.join(format!("{name}.bpf.c")),
    };
    let object = dir.join(format!("{name}.{clang}.o"));
    let run = Command::new(clang)
        .args(["-g", "-O2", "-Wall", "-Wno-unused", "-target", "bpf", "-I"])
        .arg(&sources)
        .args(flags)
        .arg("-c")
        .args([&source, Path::new("-o"), &object])
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{clang}: {}",
        String::from_utf8_lossy(&run.stderr)
    );
    object
}

/// The bytes of the object of a file of `tests/c`.
pub fn compile(clang: &str, name: &str, flags: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::read(compile_in(dir.path(), clang, name, None, flags)).unwrap()
}

/// The object of a text that begins with `#include "test.h"` and a licence.
pub fn compile_text(clang: &str, text: &str, flags: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("#include \"test.h\"\nchar LICENSE[] SEC(\"license\") = \"GPL\";\n{text}");
    std::fs::read(compile_in(dir.path(), clang, "text", Some(&text), flags)).unwrap()
}

/// The error of an object that must not be read.
pub fn parse_error(clang: &str, text: &str, flags: &[&str]) -> String {
    Object::parse(&compile_text(clang, text, flags))
        .unwrap_err()
        .to_string()
}

/// This machine's kernel.
pub fn this_kernel() -> Option<Target> {
    let path = "/sys/kernel/btf/vmlinux";
    let Ok(bytes) = std::fs::read(path) else {
        skep_testing::lacks(format_args!("{path}"));
        return None;
    };
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let btf = Arc::new(Btf::parse(bytes).unwrap());
    let mut target = Target::new(release.trim().parse().unwrap()).with_kernel_btf(btf);
    target
        .config
        .insert("CONFIG_BPF_SYSCALL".into(), "y".into());
    Some(target)
}

/// Compares a text with a file of `tests/golden`, or writes it when `UPDATE_GOLDEN` is set.
pub fn check_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = expected
        .lines()
        .zip(text.lines())
        .position(|(old, new)| old != new);
    let at = differs.unwrap_or(expected.lines().count().min(text.lines().count()));
    assert!(
        expected == text,
        "{} differs from line {} on (UPDATE_GOLDEN=1 writes it anew)\n-{}\n+{}",
        path.display(),
        at + 1,
        expected.lines().nth(at).unwrap_or("(end)"),
        text.lines().nth(at).unwrap_or("(end)")
    );
}
