//! The assembler against LLVM's: `golden/llvm.txt` has instructions as LLVM writes them (its own
//! assembly syntax, and what llvm-objdump 14 prints) with the bytes that clang 19 makes of them.

use std::path::Path;
use std::process::Command;

use skep_isa::{Endian, Insn, assemble, decode_slots, encode_slots};

const GOLDEN: &str = include_str!("golden/llvm.txt");

/// Bytes in hexadecimal, and text.
fn cases() -> impl Iterator<Item = (&'static str, &'static str)> {
    GOLDEN
        .lines()
        .map(|line| line.split_once(" | ").expect("`bytes | text`"))
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
    digits
        .map(|digits| u8::from_str_radix(digits, 16).unwrap())
        .collect()
}

#[test]
fn llvms_text_assembles_to_llvms_bytes() {
    for (hex, text) in cases() {
        let slots = assemble(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(encode_slots(&slots, Endian::Little), bytes(hex), "{text}");
    }
}

#[test]
fn llvms_bytes_survive_our_text() {
    for (hex, text) in cases() {
        let slots = decode_slots(&bytes(hex), Endian::Little).unwrap();
        let (insn, _) = Insn::decode(&slots).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(assemble(&insn.to_string()), Ok(slots), "{text} is {insn}");
    }
}

/// That the golden file is true: asks clang 19, where it is installed.
#[test]
fn clang_agrees_with_the_golden_file() {
    if Command::new("clang-19").arg("--version").output().is_err() {
        skep_testing::lacks("clang-19");
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source, object) = (folder.join("llvm.s"), folder.join("llvm.o"));
    let without_label = |text: &'static str| match text.rsplit_once(" <") {
        Some((text, label)) if label.ends_with('>') => text,
        _ => text,
    };
    let lines: Vec<&str> = cases().map(|(_, text)| without_label(text)).collect();
    std::fs::write(&source, lines.join("\n") + "\n").unwrap();
    let clang = Command::new("clang-19")
        .args(["--target=bpfel", "-mcpu=v4", "-c", "-o"])
        .args([&object, &source])
        .output()
        .unwrap();
    assert!(
        clang.status.success(),
        "{}",
        String::from_utf8_lossy(&clang.stderr)
    );
    // The instructions stand in the object as they are: no need to read its ELF.
    let all: Vec<u8> = cases().flat_map(|(hex, _)| bytes(hex)).collect();
    let object = std::fs::read(&object).unwrap();
    assert!(object.windows(all.len()).any(|window| window == all));
}
