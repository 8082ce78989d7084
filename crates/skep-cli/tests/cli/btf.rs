//! `skep btf dump` and `skep btf min`.

use std::{
    fs,
    process::{Command, Stdio},
};

use super::{Ran, folder, has_clang, has_kernel_btf, names_object, run, skep};

const KERNEL: &str = "/sys/kernel/btf/vmlinux";

#[test]
fn the_kernels_types_are_the_default() {
    if !has_kernel_btf() {
        return;
    }
    let folder = folder();
    let raw = run(folder.path(), ["btf", "dump"]).data();
    assert!(raw.starts_with("[1] "), "{}", raw.lines().next().unwrap());
    assert!(
        raw.lines()
            .any(|line| line.contains("] STRUCT 'task_struct' size="))
    );
    assert_eq!(run(folder.path(), ["btf", "dump", KERNEL]).data(), raw);
    let mut from_stdin = skep(folder.path());
    from_stdin
        .args(["btf", "dump", "-"])
        .stdin(fs::File::open(KERNEL).unwrap());
    let from_stdin = from_stdin.output().unwrap();
    assert!(from_stdin.status.success());
    assert_eq!(from_stdin.stdout, raw.as_bytes());
}

#[test]
fn raw_is_what_bpftool_prints() {
    if !has_kernel_btf() {
        return;
    }
    let bpftool = Command::new("bpftool")
        .args(["btf", "dump", "file", KERNEL])
        .output();
    let Ok(bpftool) =
        bpftool.map_err(|error| skep_testing::lacks(format_args!("bpftool: {error}")))
    else {
        return;
    };
    let folder = folder();
    let ours = run(folder.path(), ["btf", "dump"]).data();
    let theirs = String::from_utf8(bpftool.stdout).unwrap();
    let different = ours
        .lines()
        .zip(theirs.lines())
        .find(|(ours, theirs)| ours != theirs);
    assert_eq!(different, None);
    assert_eq!(ours.lines().count(), theirs.lines().count());
}

#[test]
fn c_is_a_header_that_compiles() {
    if !has_kernel_btf() || !has_clang() {
        return;
    }
    let folder = folder();
    let header = run(folder.path(), ["btf", "dump", "--format", "c"]).data();
    assert!(header.contains("\nstruct task_struct {\n"));
    fs::write(folder.path().join("vmlinux.h"), header).unwrap();
    let source = "#include \"vmlinux.h\"\nint size = sizeof(struct task_struct);\n";
    fs::write(folder.path().join("a.c"), source).unwrap();
    run(folder.path(), ["build", "a.c"]).data();
}

/// `skep gen vmlinux` is another name for two of the formats.
#[test]
fn gen_vmlinux_prints_what_btf_dump_prints() {
    if !has_kernel_btf() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    let root = ["--root", "list_head,pid"];
    let dump = |format| run(path, ["btf", "dump", "-f", format, root[0], root[1]]).data();
    let made = |arguments: &[&str]| run(path, [&["gen", "vmlinux"], arguments].concat()).data();
    let (c, rust) = (dump("c"), dump("rust"));
    assert!(c.contains("struct list_head {"), "{c}");
    assert!(rust.contains("struct list_head {"), "{rust}");
    assert_eq!(made(&[root[0], root[1], "--c"]), c);
    assert_eq!(made(&root), c, "a header if nothing is said");
    assert_eq!(made(&[KERNEL, root[0], root[1], "--rust"]), rust);

    run(path, ["gen", "vmlinux", "--c", "--rust"])
        .ended_with(2)
        .saying(&["--rust", "cannot be used with", "--c"]);
    run(path, ["gen", "vmlinux", "--rust", "--root", "task_strcut"])
        .ended_with(2)
        .saying(&["there is no type `task_strcut`; did you mean `task_struct`"]);
}

#[test]
fn roots_bring_what_they_need_and_no_more() {
    if !has_kernel_btf() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    let c = run(path, ["btf", "dump", "-f", "c", "--root", "list_head"]).data();
    assert!(
        c.contains("struct list_head {\n\tstruct list_head *next;\n"),
        "{c}"
    );
    assert!(!c.contains("task_struct"), "{c}");
    let raw = run(path, ["btf", "dump", "--root", "struct list_head"]).data();
    let heads: Vec<&str> = raw.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(heads.len(), 2, "the struct and the pointer to it: {raw}");

    run(path, ["btf", "dump", "--root", "union list_head"])
        .ended_with(2)
        .saying(&["error: there is no type `union list_head`"]);
    run(path, ["btf", "dump", "--root", "task_strcut"])
        .ended_with(2)
        .saying(&["there is no type `task_strcut`; did you mean `task_struct`"]);
}

#[test]
fn objects_have_types_too() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    names_object(path);
    let raw = run(path, ["btf", "dump", "names.bpf.o"]).data();
    assert!(raw.contains("] FUNC 'on_switch' "), "{raw}");
    assert!(raw.contains("] DATASEC '.maps' "), "{raw}");
    let source = super::program("names.bpf.c");
    assert_eq!(
        run(path, ["btf", "dump", source.to_str().unwrap()]).data(),
        raw
    );
}

#[test]
fn what_is_not_btf_is_named() {
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("text"), "not BTF at all").unwrap();
    run(path, ["btf", "dump", "text"])
        .ended_with(3)
        .saying(&["error: text: neither BTF nor an ELF file: not BTF: the magic number is"]);
    run(path, ["btf", "dump", "nowhere"])
        .ended_with(1)
        .saying(&["error: cannot read nowhere: No such file"]);
    // The test itself: an ELF file, and not compiled with -gbtf.
    run(path, ["btf", "dump", env!("CARGO_BIN_EXE_skep")])
        .ended_with(3)
        .saying(&["needs BTF, and the object has none"]);

    if has_kernel_btf() {
        let kernel = fs::read(KERNEL).unwrap();
        fs::write(path.join("half"), &kernel[..kernel.len() / 2]).unwrap();
        run(path, ["btf", "dump", "half"])
            .ended_with(3)
            .saying(&["error: half: ", "outside"]);
        let mut odd = skep(path);
        odd.args(["btf", "dump", "--base", "half", "half"])
            .stdin(Stdio::null());
        Ran::of(&mut odd).ended_with(3).saying(&["error: half: "]);
    }
}

#[test]
fn json_has_the_same_types() {
    if !has_kernel_btf() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    let json = run(path, ["btf", "dump", "-f", "json", "--root", "list_head"]).data();
    let read: serde_json::Value = serde_json::from_str(&json).unwrap();
    let types = read["types"].as_array().unwrap();
    assert_eq!(types.len(), 2, "the struct and the pointer to it: {json}");
    let list = types.iter().find(|one| one["name"] == "list_head").unwrap();
    assert_eq!(list["kind"], "STRUCT");
    assert_eq!(list["members"][1]["name"], "prev");
    assert_eq!(list["members"][1]["bits_offset"], 64);

    let all = run(path, ["btf", "dump", "--format", "json"]).data();
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    let raw = run(path, ["btf", "dump"]).data();
    let count = raw.lines().filter(|line| line.starts_with('[')).count();
    assert_eq!(all["types"].as_array().unwrap().len(), count);
}

/// An object that reads two members of the kernel's `struct task_struct`.
const READS: &str = r#"
struct task_struct { int pid; struct task_struct *real_parent; }
    __attribute__((preserve_access_index));
char LICENSE[] __attribute__((section("license"))) = "GPL";
__attribute__((section("raw_tp/sched_switch"))) int on_switch(struct task_struct **context)
{
    return context[1]->pid + (context[1]->real_parent != 0);
}
"#;

#[test]
fn min_keeps_what_an_object_reads() {
    if !has_kernel_btf() || !has_clang() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("reads.bpf.c"), READS).unwrap();
    run(path, ["build", "reads.bpf.c"]).data();
    run(path, ["-v", "btf", "min", "reads.bpf.o", "-o", "small.btf"])
        .ended_with(0)
        .saying(&["small.btf: ", " bytes of the ", " of the kernel's BTF"]);
    let small = fs::read(path.join("small.btf")).unwrap();
    assert!(small.len() < 300, "{} bytes", small.len());
    let c = run(path, ["btf", "dump", "-f", "c", "small.btf"]).data();
    for part in ["struct task_struct {", " pid;", "*real_parent;"] {
        assert!(c.contains(part), "no {part} in {c}");
    }
    assert!(!c.contains("comm"), "{c}");

    // A source, and the kernel's file by its name, to standard output.
    let mut same = skep(path);
    same.args(["btf", "min", "reads.bpf.c", "--btf", KERNEL, "-o", "-"]);
    let same = same.stdin(Stdio::null()).output().unwrap();
    assert_eq!(same.stdout, small);

    // Of several kernels: each under its name, in a folder that is made.
    fs::write(path.join("one.btf"), fs::read(KERNEL).unwrap()).unwrap();
    let of_two = [
        "--btf",
        "one.btf",
        "--btf",
        KERNEL,
        "reads.bpf.o",
        "-o",
        "out",
    ];
    run(path, ["btf", "min"].iter().chain(&of_two)).data();
    assert_eq!(fs::read(path.join("out/one.btf")).unwrap(), small);
    assert_eq!(fs::read(path.join("out/vmlinux.btf")).unwrap(), small);
    // What is left has all that is needed: of a folder of it the same is left.
    let again = ["btf", "min", "reads.bpf.o", "--btf", "out", "-o", "again"];
    run(path, again).data();
    assert_eq!(fs::read(path.join("again/one.btf")).unwrap(), small);
}

#[test]
fn min_says_what_it_can_not_do() {
    if !has_kernel_btf() || !has_clang() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    names_object(path);
    let none = READS.replace("->pid", " != 0").replace("->real_parent", "");
    fs::write(path.join("none.bpf.c"), none).unwrap();
    run(path, ["btf", "min", "none.bpf.c", "-o", "names.btf"])
        .ended_with(0)
        .saying(&["the kernel's BTF: no CO-RE relocation of these objects asks for anything"]);
    run(path, ["btf", "min", "names.bpf.o"]).ended_with(2);
    run(path, ["btf", "min", "names.bpf.o", "-o", "names.bpf.o"])
        .ended_with(2)
        .saying(&["names.bpf.o is to be read and to be written"]);
    let min = |rest: &[&str]| run(path, ["btf", "min", "names.bpf.o"].iter().chain(rest));
    let twice = ["--btf", KERNEL, "--btf", KERNEL, "-o"];
    min(&[&twice[..], &["names.btf"]].concat())
        .ended_with(2)
        .saying(&["names.btf is no folder, and there are several --btf"]);
    min(&[&twice[..], &["out"]].concat())
        .ended_with(2)
        .saying(&["two --btf would both become out/vmlinux.btf"]);
    fs::create_dir(path.join("empty")).unwrap();
    min(&["--btf", "empty", "-o", "out"])
        .ended_with(2)
        .saying(&["empty: no .btf file is in this folder"]);
    fs::write(path.join("text"), "not BTF at all").unwrap();
    min(&["--btf", "text", "-o", "out"])
        .ended_with(3)
        .saying(&["error: text: neither BTF nor an ELF file"]);
}
