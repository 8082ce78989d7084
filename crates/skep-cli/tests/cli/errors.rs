//! Bad input: one paragraph that names the thing and the remedy, and an exit code that says whose
//! fault it is.

use std::fs;

use super::{folder, has_clang, names_object, program, run};

#[test]
fn a_missing_file() {
    let folder = folder();
    let ran = run(folder.path(), ["disasm", "nowhere.o"]).ended_with(1);
    assert_eq!(
        ran.stderr,
        "error: cannot read nowhere.o: No such file or directory (os error 2)\n"
    );
    assert_eq!(ran.stdout, "");
}

#[test]
fn a_file_without_end() {
    let folder = folder();
    let ran = run(folder.path(), ["disasm", "/dev/zero"]).ended_with(1);
    let said = "error: cannot read /dev/zero: it has more than 256 MiB";
    assert!(ran.stderr.starts_with(said), "{}", ran.stderr);
}

#[test]
fn something_that_is_no_object() {
    let folder = folder();
    fs::write(folder.path().join("text.o"), "hello\n").unwrap();
    run(folder.path(), ["disasm", "text.o"])
        .ended_with(3)
        .saying(&["error: text.o: not a BPF object: "]);
    run(folder.path(), ["disasm", env!("CARGO_BIN_EXE_skep")])
        .ended_with(3)
        .saying(&["not a BPF object: "]);
}

#[test]
fn a_truncated_object() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let bytes = fs::read(names_object(folder.path())).unwrap();
    for length in [40, bytes.len() / 3, bytes.len() / 2, bytes.len() - 64] {
        fs::write(folder.path().join("cut.o"), &bytes[..length]).unwrap();
        let ran = run(folder.path(), ["disasm", "cut.o"])
            .ended_with(3)
            .saying(&["error: cut.o: "]);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    }
}

#[test]
fn an_object_without_btf() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let mut bytes = fs::read(names_object(folder.path())).unwrap();
    // The sections are there, but not under their names.
    let names: Vec<usize> = bytes
        .windows(4)
        .enumerate()
        .filter(|(_, window)| window == b".BTF")
        .map(|(position, _)| position)
        .collect();
    assert!(!names.is_empty());
    for position in names {
        bytes[position + 1] = b'X';
    }
    fs::write(folder.path().join("plain.o"), bytes).unwrap();
    run(folder.path(), ["disasm", "plain.o"])
        .ended_with(3)
        .saying(&["error: plain.o: ", "needs BTF", "compile with -g"]);
}

#[test]
fn an_unknown_section() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let source = fs::read_to_string(program("names.bpf.c")).unwrap();
    let source = source.replace("tracepoint/", "tracepiont/");
    fs::write(folder.path().join("odd.c"), source).unwrap();
    run(folder.path(), ["disasm", "odd.c"])
        .ended_with(3)
        .saying(&[
            "error: odd.c: unknown section `tracepiont/syscalls/sys_enter_getpid`",
            "did you mean `tracepoint",
        ]);
}

#[test]
fn a_source_that_does_not_compile() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    fs::write(
        folder.path().join("bad.c"),
        "int f(void) { return nothing; }\n",
    )
    .unwrap();
    let ran = run(folder.path(), ["disasm", "bad.c"]).ended_with(3);
    assert!(
        ran.stderr
            .starts_with("bad.c:1:22: error: use of undeclared"),
        "{}",
        ran.stderr
    );
}

#[test]
fn names_do_not_steer_the_terminal() {
    let folder = folder();
    let ran = run(folder.path(), ["disasm", "a\x1b[31mb.o"]).ended_with(1);
    assert!(ran.stderr.contains("a\\x1b[31mb.o"), "{}", ran.stderr);
}

#[test]
fn output_that_can_not_be_written() {
    let folder = folder();
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
        return skep_testing::lacks("/dev/full");
    };
    let ended = super::skep(folder.path())
        .arg("man")
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        said.starts_with("error: cannot write to standard output: No space"),
        "{said}"
    );
}
