//! The kernel's verifier takes what comes out, by way of another loader. Needs root and bpftool.

mod common;

use std::{fs, path::Path, process::Command};

use common::*;

/// Those whose attachment is not tried by `bpftool prog loadall`, so that any kernel with BTF that
/// is new enough for task storage (5.11) takes them.
const LOADABLE: [&str; 8] = [
    "minimal",
    "processes",
    "opens",
    "block_latency",
    "run_queue",
    "tc",
    "xdp",
    "standard",
];

#[test]
fn programs_pass_the_verifier() {
    let root = fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:\t0\t")));
    let bpffs =
        fs::read_to_string("/proc/mounts").is_ok_and(|mounts| mounts.contains(" /sys/fs/bpf bpf "));
    if !root || !bpffs || Command::new("bpftool").arg("version").output().is_err() {
        skep_testing::lacks("root, bpffs at /sys/fs/bpf, or bpftool");
        return;
    }
    if !has_kernel_types() || !has_uapi_headers() {
        return;
    }
    for clang in clangs() {
        let programs = LOADABLE.map(|name| here(&format!("programs/{name}.bpf.c")));
        for source in programs
            .iter()
            .chain(&[here("macros/skep.c"), here("macros/loops.c")])
        {
            let object = strict(source, &clang).cached().unwrap().object;
            let pins = format!("/sys/fs/bpf/skep-build-{}", std::process::id());
            let output = Command::new("bpftool")
                .args(["prog", "loadall"])
                .args([&object, Path::new(&pins)])
                .output()
                .unwrap();
            let _ = fs::remove_dir_all(&pins);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success(),
                "{} {}: {stderr}",
                clang.version(),
                source.display()
            );
        }
    }
}
