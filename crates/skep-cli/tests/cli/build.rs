//! `skep build`.

use std::{fs, process::Command};

use super::{folder, has_clang, has_kernel_btf, program, run, skep};

const BAD: &str = "int f(void)\n{\n\treturn nothing;\n}\n";

#[test]
fn objects_go_where_they_are_wanted() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    let source = program("names.bpf.c");
    let source = source.to_str().unwrap();
    assert_eq!(run(path, ["build", source]).data(), "");
    assert_eq!(run(path, ["build", source, "-o", "x.o"]).data(), "");
    fs::create_dir(path.join("out")).unwrap();
    assert_eq!(run(path, ["build", source, "-o", "out"]).data(), "");
    for name in ["names.bpf.o", "x.o", "out/names.bpf.o"] {
        let bytes = fs::read(path.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(bytes.starts_with(b"\x7fELF"), "{name}");
    }
}

#[test]
fn several_sources_become_several_objects() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    for name in ["a.c", "b.c"] {
        fs::copy(program("names.bpf.c"), path.join(name)).unwrap();
    }
    run(path, ["build", "a.c", "b.c"]).data();
    assert!(path.join("a.o").exists() && path.join("b.o").exists());

    run(path, ["build", "a.c", "b.c", "-o", "c.o"])
        .ended_with(2)
        .saying(&["error: c.o is no folder, and there are several sources"]);
    fs::create_dir(path.join("d")).unwrap();
    fs::copy(program("names.bpf.c"), path.join("d/a.c")).unwrap();
    run(path, ["build", "a.c", "d/a.c"])
        .ended_with(2)
        .saying(&["error: two sources would both become a.o"]);
}

#[test]
fn compile_errors_are_shown_as_clang_prints_them() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("bad.c"), BAD).unwrap();
    fs::write(path.join("worse.c"), BAD.replace("nothing", "nowhere")).unwrap();
    fs::copy(program("names.bpf.c"), path.join("good.c")).unwrap();
    let ran = run(path, ["build", "bad.c", "worse.c", "good.c"])
        .ended_with(3)
        .saying(&[
            "bad.c:3:9: error: use of undeclared identifier 'nothing'",
            "\n        return nothing;\n               ^",
            "1 error generated.\n",
            "worse.c:3:9: error: use of undeclared identifier 'nowhere'",
        ]);
    assert!(ran.stderr.starts_with("bad.c:3:9:"), "{}", ran.stderr);
    assert!(!ran.stderr.contains('\x1b'), "{}", ran.stderr);
    assert!(!path.join("bad.o").exists());
    assert!(
        path.join("good.o").exists(),
        "one bad source does not stop the others"
    );

    let ran = run(path, ["build", "--color", "always", "bad.c"]).ended_with(3);
    assert!(ran.stderr.contains("\x1b["), "{}", ran.stderr);
}

#[test]
fn warnings_are_passed_on() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    fs::write(folder.path().join("w.c"), "#warning look here\n").unwrap();
    run(folder.path(), ["build", "w.c"])
        .ended_with(0)
        .saying(&["w.c:1:2: warning: look here", "1 warning generated."]);
}

#[test]
fn macros_folders_and_types_reach_the_compiler() {
    if !has_clang() || !has_kernel_btf() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    let source = program("wants_types.bpf.c");
    let source = source.to_str().unwrap();
    run(path, ["build", source])
        .ended_with(3)
        .saying(&["'ANSWER'"]);
    run(path, ["build", source, "-DANSWER=42"]).data();
    run(
        path,
        [
            "build",
            source,
            "-DANSWER=42",
            "--vmlinux",
            "/sys/kernel/btf/vmlinux",
        ],
    )
    .data();

    // A header of ours that lacks the type: it is the one that is used.
    fs::create_dir(path.join("types")).unwrap();
    let types =
        "typedef unsigned int __u32; typedef unsigned long long __u64;\n#include <answer.h>\n";
    fs::write(path.join("types/vmlinux.h"), types).unwrap();
    fs::create_dir(path.join("inc")).unwrap();
    fs::write(path.join("inc/answer.h"), "#define ANSWER 42\n").unwrap();
    run(
        path,
        ["build", source, "--vmlinux", "types/vmlinux.h", "-I", "inc"],
    )
    .ended_with(3)
    .saying(&["trace_event_raw_sched_process_template"]);

    fs::rename(path.join("types/vmlinux.h"), path.join("types/other.h")).unwrap();
    run(path, ["build", source, "--vmlinux", "types/other.h"])
        .ended_with(2)
        .saying(&["error: types/other.h: ", "vmlinux.h"]);
    run(path, ["build", source, "--vmlinux", "nowhere.btf"])
        .ended_with(1)
        .saying(&["error: cannot read nowhere.btf: No such file"]);
}

#[test]
fn verbose_shows_a_command_line_that_can_be_run() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    let source = program("names.bpf.c");
    let source = source.to_str().unwrap();
    let ran = run(
        path,
        ["build", "-v", "--cpu", "v2", "-D", "IT=\"it's\"", source],
    );
    let ran = ran
        .ended_with(0)
        .saying(&["-mcpu=v2", "-target bpf", "object: names.bpf.o\n"]);
    let line = ran
        .stderr
        .lines()
        .find(|line| line.contains("names.bpf.c"))
        .expect("a command");

    let ours = fs::read(path.join("names.bpf.o")).unwrap();
    fs::remove_file(path.join("names.bpf.o")).unwrap();
    let by_hand = Command::new("sh")
        .args(["-c", line])
        .current_dir(path)
        .status()
        .unwrap();
    assert!(by_hand.success(), "{line}");
    assert!(
        fs::read(path.join("names.bpf.o")).unwrap() == ours,
        "another object by: {line}"
    );
}

#[test]
fn without_clang_the_remedy_is_named() {
    let folder = folder();
    let source = program("names.bpf.c");
    let mut command = skep(folder.path());
    command.env("PATH", "").arg("build").arg(&source);
    super::Ran::of(&mut command).ended_with(4).saying(&[
        "error: no clang found on PATH",
        "install",
        "SKEP_CLANG",
    ]);
    run(
        folder.path(),
        [
            "build",
            "--clang",
            "/nowhere/clang",
            source.to_str().unwrap(),
        ],
    )
    .ended_with(4)
    .saying(&["error: /nowhere/clang is no working clang"]);
}

#[test]
fn a_missing_source_is_named() {
    let folder = folder();
    run(folder.path(), ["build", "nowhere.bpf.c"])
        .ended_with(1)
        .saying(&["error: cannot read nowhere.bpf.c: No such file"]);
}
