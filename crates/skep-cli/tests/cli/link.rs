//! `skep link`.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{folder, has_clang, run, skep};

const CALLER: &str = "#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC(\"license\") = \"GPL\";
extern int answer(int x);
SEC(\"socket\") int asks(void *ctx) { return answer(1); }
";
const CALLED: &str = "__attribute__((noinline)) int answer(int x) { return x + 41; }\n";

/// Writes sources into the folder, and compiles them if they are to be objects.
fn sources(path: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        fs::write(path.join(name), text).unwrap();
    }
}

fn objects(path: &Path, files: &[(&str, &str)]) {
    sources(path, files);
    let names = files.iter().map(|(name, _)| *name);
    run(path, ["build"].into_iter().chain(names)).data();
}

#[test]
fn objects_become_one() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    objects(path, &[("a.c", CALLER), ("b.c", CALLED)]);
    assert_eq!(run(path, ["link", "a.o", "b.o", "-o", "both.o"]).data(), "");
    let listing = run(path, ["disasm", "both.o"]).data();
    assert!(
        listing.contains("answer") && listing.contains("asks"),
        "{listing}"
    );
    let again = run(path, ["-v", "link", "both.o", "--output", "again.o"]).ended_with(0);
    assert_eq!(
        again.stderr,
        "linked: again.o (1 program, 0 maps) of 1 file\n"
    );
    assert_eq!(
        fs::read(path.join("both.o")).unwrap(),
        fs::read(path.join("again.o")).unwrap()
    );
}

#[test]
fn sources_are_compiled_first() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    objects(path, &[("a.c", CALLER), ("b.c", CALLED)]);
    run(path, ["link", "a.o", "b.o", "-o", "of_objects.o"]).data();
    run(path, ["link", "a.c", "b.o", "-o", "of_both.o"]).data();
    assert!(path.join("of_both.o").exists());
    fs::write(path.join("a.c"), CALLER.replace("answer(1)", "nothing")).unwrap();
    run(path, ["link", "a.c", "b.o", "-o", "wrong.o"])
        .ended_with(3)
        .saying(&["a.c:5:", "error: use of undeclared identifier 'nothing'"]);
    assert!(!path.join("wrong.o").exists());
}

#[test]
fn standard_output_takes_an_object_too() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    objects(path, &[("a.c", CALLER), ("b.c", CALLED)]);
    run(path, ["link", "a.o", "b.o", "-o", "both.o"]).data();
    let output = skep(path)
        .args(["link", "a.o", "b.o", "-o", "-"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    assert!(output.stdout == fs::read(path.join("both.o")).unwrap());
    assert!(!path.join("-").exists());
}

#[test]
fn what_would_be_overwritten_is_refused() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let path = &folder.path().join("inner");
    fs::create_dir(path).unwrap();
    objects(path, &[("a.c", CALLER), ("b.c", CALLED)]);
    let before = fs::read(path.join("a.o")).unwrap();
    // There is no `x`, also where somebody has one beside the test's folder.
    run(path, ["link", "a.o", "b.o", "-o", "../x/../a.o"]).ended_with(1);
    for output in ["a.o", "./a.o"] {
        run(path, ["link", "a.o", "b.o", "-o", output])
            .ended_with(2)
            .saying(&["error: a.o is to be read and to be written: name another -o"]);
    }
    run(path, ["link", "a.o", "./a.o", "-o", "both.o"])
        .ended_with(2)
        .saying(&["error: ./a.o is named twice"]);
    assert_eq!(fs::read(path.join("a.o")).unwrap(), before);
    assert!(!path.join("both.o").exists());
    run(path, ["link", "a.o", "b.o"])
        .ended_with(2)
        .saying(&["--output <OUT>"]);
}

#[test]
fn contradictions_name_both_files_and_the_remedy() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    objects(
        path,
        &[
            ("a.c", CALLER),
            ("b.c", CALLED),
            ("c.c", CALLED),
            ("d.c", "int answer = 42;\n"),
        ],
    );
    run(path, ["link", "b.o", "c.o", "-o", "out.o"])
        .ended_with(3)
        .saying(&[
            "error: `answer` is defined in b.o (",
            "/b.c:1) and in c.o (",
            "/c.c:1): rename one, or make it",
        ]);
    run(path, ["link", "a.o", "d.o", "-o", "out.o"])
        .ended_with(3)
        .saying(&["error: `answer` is not the same in d.o (.data+0x0) and in a.o: "]);
    fs::write(path.join("notes.o"), "no object").unwrap();
    run(path, ["link", "a.o", "notes.o", "-o", "out.o"])
        .ended_with(3)
        .saying(&["error: notes.o: not a BPF object: no ELF file"]);
    run(path, ["link", "a.o", "none.o", "-o", "out.o"])
        .ended_with(1)
        .saying(&["error: cannot read none.o: No such file"]);
    assert!(!path.join("out.o").exists());
}

#[test]
fn other_tools_read_the_result() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    objects(path, &[("a.c", CALLER), ("b.c", CALLED)]);
    run(path, ["link", "a.o", "b.o", "-o", "both.o"]).data();
    for (tool, arguments, part) in [
        ("llvm-objdump-14", &["-d", "both.o"][..], "<answer>:"),
        (
            "llvm-readelf-14",
            &["--symbols", "--relocs", "both.o"],
            "R_BPF_64_32",
        ),
        (
            "bpftool",
            &["btf", "dump", "file", "both.o"],
            "FUNC 'answer'",
        ),
        ("bpftool", &["gen", "object", "theirs.o", "both.o"], ""),
    ] {
        let Ok(run) = Command::new(tool)
            .current_dir(path)
            .args(arguments)
            .output()
        else {
            skep_testing::lacks(tool);
            continue;
        };
        let (said, wrong) = (
            String::from_utf8_lossy(&run.stdout),
            String::from_utf8_lossy(&run.stderr),
        );
        assert!(
            run.status.success() && said.contains(part),
            "{tool}: {said}{wrong}"
        );
        assert_eq!(wrong, "", "{tool}");
    }
}
