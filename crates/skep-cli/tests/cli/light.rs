//! `skep gen light`: modules that are written, and what is asked for first.

use std::fs;

use super::{folder, has_clang, has_kernel_btf, run};

/// A program for a kernel that is not here needs no types if it asks for none.
const SOURCE: &str = r#"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 answer = 2;

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	return answer;
}

char LICENSE[] SEC("license") = "GPL";
"#;

#[test]
fn a_module_has_types_of_the_objects_name() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("open_door.bpf.c"), SOURCE).unwrap();
    let source = "open_door.bpf.c";
    let made = run(path, ["gen", "light", source, "--kernel", "6.1"]).data();
    for part in [
        "for Linux 6.1 and newer",
        "pub struct OpenDoor {",
        "pub fn set_answer(&mut self, value: u32) -> &mut Self {",
        "pub pass: Option<Program>,",
        "version: KernelVersion::new(6, 1),",
    ] {
        assert!(made.contains(part), "no {part:?} in:\n{made}");
    }
    run(
        path,
        [
            "gen", "light", source, "--kernel", "6.1", "--name", "wide", "-o", "wide.rs",
        ],
    )
    .data();
    let named = fs::read_to_string(path.join("wide.rs")).unwrap();
    assert_eq!(named, made.replace("OpenDoor", "Wide"));
    run(path, ["gen", "light", source, "--kernel", "x"])
        .ended_with(2)
        .saying(&["--kernel x: "]);
    if has_kernel_btf() {
        run(
            path,
            ["gen", "light", source, "--btf", "/sys/kernel/btf/vmlinux"],
        )
        .ended_with(2)
        .saying(&["does not say what kernel it is of", "--kernel"]);
    }
}

/// Programs on functions of others say which when they are loaded: those of freplace by themselves,
/// those that trace when that is asked for.
#[test]
fn targets_are_methods() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    let source = r#"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

SEC("freplace/is_allowed")
int nothing_is(struct xdp_md *ctx)
{
	return 0;
}

SEC("fexit/filter")
int BPF_PROG(after, void *xdp, int answer)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
"#;
    fs::write(path.join("patch.bpf.c"), source).unwrap();
    let gen_light = |more: &[&'static str]| {
        let arguments = ["gen", "light", "patch.bpf.c", "--kernel", "6.1"];
        run(path, arguments.iter().chain(more).copied())
    };
    let made = gen_light(&["--on-program", "after"]).data();
    for part in ["pub fn target_nothing_is(", "pub fn target_after("] {
        assert!(made.contains(part), "no {part:?} in:\n{made}");
    }
    gen_light(&[]).ended_with(4).saying(&["after", "filter"]);
    gen_light(&["--on-program", "afer"]).saying(&["afer", "`after`"]);
}

#[test]
fn signatures_are_asked_for_and_taken() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    fs::write(
        path.join("signed.bpf.c"),
        SOURCE.replace("return answer", "return 2"),
    )
    .unwrap();
    let gen_light = |kernel: &'static str| {
        let arguments = [
            "gen",
            "light",
            "signed.bpf.c",
            "--kernel",
            kernel,
            "--sign",
            "signing",
        ];
        run(path, arguments)
    };
    gen_light("6.18")
        .ended_with(2)
        .saying(&["not signed yet: sign signing/pass.insns"]);
    // w0 = 2; exit
    let instructions = [0xb4, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    let written = fs::read(path.join("signing/pass.insns")).unwrap();
    assert_eq!(written, instructions);
    fs::write(path.join("signing/pass.p7s"), "a signature").unwrap();
    let made = gen_light("6.18").data();
    assert!(made.contains("signature: b\"a signature\""), "{made}");
    gen_light("7.3").data();
    // One that uses maps can't be signed for a kernel that would refuse it.
    fs::write(path.join("signed.bpf.c"), SOURCE).unwrap();
    gen_light("6.18").data();
    gen_light("7.3").ended_with(3).saying(&[
        "the signature of program `pass` can't be in light form",
        "Linux 7.3",
    ]);
}
