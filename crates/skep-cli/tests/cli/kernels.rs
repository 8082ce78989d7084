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

/// Work in a value, by a function that Linux 7.0 gave another name: what declares it, and its call.
fn work(declared: &str, called: &str) -> String {
    let text = r#"
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

extern int bpf_wq_init(struct bpf_wq *wq, void *map, unsigned int flags) __ksym;
extern int bpf_wq_start(struct bpf_wq *wq, unsigned int flags) __ksym;
DECLARED

struct job {
	struct bpf_wq work;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct job);
} jobs SEC(".maps");

static int done(void *map, int *key, void *value)
{
	return 0;
}

SEC("tc")
int begin(struct __sk_buff *packet)
{
	__u32 key = 0;
	struct job *job = bpf_map_lookup_elem(&jobs, &key);

	if (!job || bpf_wq_init(&job->work, &jobs, 0))
		return 0;
	CALLED;
	bpf_wq_start(&job->work, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
"#;
    text.replace("DECLARED", declared).replace("CALLED", called)
}

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
fn what_a_kernel_function_is_called_is_told_by_kernel() {
    if !has_clang() || !has_kernel_btf() {
        return;
    }
    const NEW: &str = "extern int bpf_wq_set_callback(struct bpf_wq *wq, \
        int (*callback)(void *, int *, void *), unsigned int flags) __ksym;";
    const OLD: &str = "extern int bpf_wq_set_callback_impl(struct bpf_wq *wq, \
        int (*callback)(void *, int *, void *), unsigned int flags, void *aux) __ksym;";
    let call_old = "bpf_wq_set_callback_impl(&job->work, done, 0, 0)";
    let call_new = "bpf_wq_set_callback(&job->work, done, 0)";
    let weak = |declared: &str| declared.replace("__ksym", "__ksym __weak");
    let either =
        format!("if (bpf_ksym_exists(bpf_wq_set_callback_impl)) {call_old}; else {call_new}");
    let folder = folder();
    source(folder.path(), "new.bpf.c", &work(NEW, call_new));
    source(folder.path(), "old.bpf.c", &work(OLD, call_old));
    source(folder.path(), "weak.bpf.c", &work(&weak(OLD), call_old));
    let both = format!("{}\n{}", weak(OLD), weak(NEW));
    source(folder.path(), "either.bpf.c", &work(&both, &either));
    let gone = "bpf_wq_set_callback_impl is gone since Linux 7.0";
    let needs = "bpf_wq_set_callback needs Linux 7.0";
    let said = |name: &str, kernel: &str| run(folder.path(), ["check", name, "--kernel", kernel]);
    for (package, suite, answers) in [
        (
            "linux-image-6.12.*-cloud-amd64",
            "trixie",
            [needs, "loads", "loads", "loads"],
        ),
        (
            // Its types have the old name, for the kernel's own side of the function.
            "linux-binary-7.3.*-cloud-amd64",
            "trixie-backports",
            ["loads", gone, gone, "loads"],
        ),
    ] {
        let found = Debian::open().and_then(|debian| debian.package(package, &[suite]));
        let found = match found {
            Ok(found) => found.display().to_string(),
            Err(Stop::Skip(lacking)) => {
                skep_testing::lacks(format_args!("{lacking}"));
                continue;
            }
            Err(Stop::Fail(error)) => panic!("{error}"),
        };
        let ran = run(folder.path(), ["btf", "harvest", &found]).ended_with(0);
        let json = ran
            .stdout
            .lines()
            .nth(1)
            .expect("a file of facts")
            .to_owned();
        for (name, expected) in ["new", "old", "weak", "either"].into_iter().zip(answers) {
            let ran = said(&format!("{name}.bpf.c"), &json);
            let words = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.contains(expected), "{package}, {name}: {words}");
        }
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
