//! What the tests share: tools that may be missing, this kernel's BTF, and BTF from clang.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The BTF of this kernel, or a note about the lack of it.
pub fn kernel_btf() -> Option<Vec<u8>> {
    let path = "/sys/kernel/btf/vmlinux";
    let bytes = std::fs::read(path).ok();
    if bytes.is_none() {
        skep_testing::lacks(path);
    }
    bytes
}

/// Those of these programs that are installed, with a note about the lack of all.
pub fn installed(names: &[&str]) -> Vec<String> {
    let runs = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    let found: Vec<_> = names
        .iter()
        .filter(|name| runs(name))
        .map(|name| (*name).to_owned())
        .collect();
    if found.is_empty() {
        skep_testing::lacks(format_args!("all of {names:?}"));
    }
    found
}

/// Compiles C for the BPF target; panics with the compiler's words when it refuses.
pub fn compile(clang: &str, source: &str, flags: &[&str], dir: &Path) -> PathBuf {
    let (input, output) = (dir.join("test.bpf.c"), dir.join("test.bpf.o"));
    std::fs::write(&input, source).unwrap();
    let run = Command::new(clang)
        .args(["-g", "-O2", "-Wall", "-Werror", "-c", "-o"])
        .args([&output, &input])
        .args(flags)
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{clang}: {}",
        String::from_utf8_lossy(&run.stderr)
    );
    output
}

/// The bytes of the `.BTF` section of a 64-bit object, of either byte order.
pub fn btf_section(object: &[u8]) -> Option<&[u8]> {
    let big = object[5] == 2;
    let number = |at: usize, len: usize| {
        let bytes = object[at..at + len].iter();
        let fold = |sum: usize, byte: &u8| sum << 8 | usize::from(*byte);
        if big {
            bytes.fold(0, fold)
        } else {
            bytes.rev().fold(0, fold)
        }
    };
    let (table, size) = (number(0x28, 8), number(0x3a, 2));
    let (count, names) = (number(0x3c, 2), number(0x3e, 2));
    let header = |index: usize| table + index * size;
    let place = |index: usize| {
        (
            number(header(index) + 0x18, 8),
            number(header(index) + 0x20, 8),
        )
    };
    let (names, _) = place(names);
    (0..count).find_map(|index| {
        let name = &object[names + number(header(index), 4)..];
        let (offset, len) = place(index);
        name.starts_with(b".BTF\0")
            .then(|| &object[offset..offset + len])
    })
}
