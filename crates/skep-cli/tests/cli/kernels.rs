//! `skep check --kernel`, and `skep btf harvest`, which tells it of kernels: Debian's, fetched once.

use std::{fs, path::Path};

use skep_testing::{Debian, Stop};

use super::{folder, has_clang, has_kernel_btf, run};

/// A call of a helper of 5.11.
const COARSE: &str = r#"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("socket")
int coarse(struct __sk_buff *packet)
{
	return bpf_ktime_get_coarse_ns() & 1;
}

char LICENSE[] SEC("license") = "GPL";
"#;

/// A relocation by the kernel's types.
const RELOCATED: &str = r#"
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *before, struct task_struct *after)
{
	return after->pid == 1;
}

char LICENSE[] SEC("license") = "GPL";
"#;

fn source(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

#[test]
fn a_version_decides_what_needs_no_types() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    source(folder.path(), "coarse.bpf.c", COARSE);
    let ran = run(
        folder.path(),
        ["check", "coarse.bpf.c", "--kernel", "5.10,6.1"],
    )
    .ended_with(1);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].starts_with("5.10  refused  "), "{}", ran.stdout);
    assert!(ran.stdout.contains("bpf_ktime_get_coarse_ns") && ran.stdout.contains("5.11"));
    assert!(ran.stdout.contains("(coarse.bpf.c:8)"), "{}", ran.stdout);
    assert_eq!(lines.last(), Some(&"6.1   loads"));
    run(folder.path(), ["check", "coarse.bpf.c", "--kernel", "6.12"]).ended_with(0);
    let json = [
        "check",
        "coarse.bpf.c",
        "--kernel",
        "5.10",
        "--format",
        "json",
    ];
    let ran = run(folder.path(), json).ended_with(1);
    let row: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(row["answer"], "refused");
    assert_eq!(row["findings"][0]["line"], 8);
    run(folder.path(), ["check", "coarse.bpf.c", "--kernel", "six"])
        .ended_with(2)
        .saying(&["--kernel six"]);
}

#[test]
fn what_needs_types_is_not_known_without_them() {
    if !has_clang() || !has_kernel_btf() {
        return;
    }
    let folder = folder();
    source(folder.path(), "switch.bpf.c", RELOCATED);
    let ran = run(folder.path(), ["check", "switch.bpf.c", "--kernel", "6.1"]).ended_with(4);
    assert!(ran.stdout.starts_with("6.1  unknown  `on_switch`: "));
    // The kernel that is here, told as if it were not.
    let types = ["--kernel", "6.18", "--btf", "/sys/kernel/btf/vmlinux"];
    let ran = run(
        folder.path(),
        ["check", "switch.bpf.c"].into_iter().chain(types),
    );
    assert_eq!(ran.ended_with(0).stdout, "6.18  loads\n");
}

#[test]
fn kernels_of_packages_are_harvested_and_say_what_loads() {
    if !has_clang() || !has_kernel_btf() {
        return;
    }
    let folder = folder();
    source(folder.path(), "coarse.bpf.c", COARSE);
    source(folder.path(), "switch.bpf.c", RELOCATED);
    for (package, suite, coarse) in [
        ("linux-image-5.10.0-*-cloud-amd64", "bullseye", "refused"),
        ("linux-image-6.1.0-*-cloud-amd64", "bookworm", "loads"),
        ("linux-image-6.12.*-cloud-amd64", "trixie", "loads"),
    ] {
        let found = Debian::open().and_then(|debian| debian.package(package, &[suite]));
        let found = match found {
            Ok(found) => found,
            Err(Stop::Skip(lacking)) => {
                skep_testing::lacks(format_args!("{lacking}"));
                continue;
            }
            Err(Stop::Fail(error)) => panic!("{error}"),
        };
        let found = found.display().to_string();
        let ran = run(folder.path(), ["btf", "harvest", &found]).ended_with(0);
        let kept: Vec<&str> = ran.stdout.lines().collect();
        let [types, json] = kept.as_slice() else {
            panic!("{}", ran.stdout);
        };
        let about: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.path().join(json)).unwrap()).unwrap();
        assert_eq!(about["config"]["CONFIG_BPF_SYSCALL"], "y");
        assert_eq!(about["machine"], "x86_64");
        let says = |name: &str, expected: &str| {
            let ran = run(folder.path(), ["check", name, "--kernel", json]);
            assert!(ran.stdout.contains(expected), "{package}: {}", ran.stdout);
        };
        says("coarse.bpf.c", coarse);
        says("switch.bpf.c", "loads");
        let structure = ["btf", "dump", types, "--root", "struct task_struct"];
        assert!(run(folder.path(), structure).data().contains("task_struct"));
    }
}

#[test]
fn what_is_no_kernel_is_not_harvested() {
    let folder = folder();
    fs::write(folder.path().join("text"), "no kernel").unwrap();
    run(folder.path(), ["btf", "harvest", "text"])
        .ended_with(1)
        .saying(&["text", "neither an ELF file nor an image"]);
    run(folder.path(), ["btf", "harvest", "."])
        .ended_with(1)
        .saying(&["no kernel in this folder"]);
}
