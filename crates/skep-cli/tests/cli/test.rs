//! `skep test`: what it prints, and how it ends.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::{Ran, core_source, folder, run, skep};

/// A filter of packets by their first byte, without a header of the system's.
const SOURCE: &str = r#"
#define SEC(name) __attribute__((section(name), used))
struct xdp_md { unsigned int data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; };

SEC("xdp")
int filter(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + 14 > end)
		return 0;
	return data[0] == 0xff ? 1 : 2;
}

char LICENSE[] SEC("license") = "GPL";
"#;

const TESTS: &str = r#"
[[test]]
name = "broadcasts are dropped"
packet = { eth.dst = "ff:ff:ff:ff:ff:ff" }
expect.return = "XDP_DROP"

[[test]]
name = "all else passes"
packet = { tcp = {} }
expect.return = "XDP_PASS"
"#;

/// A folder with a program and its tests; `None` where there is no compiler.
fn project(tests: &str) -> Option<TempDir> {
    let folder = folder();
    fs::write(folder.path().join("fw.bpf.c"), SOURCE).expect("a source");
    fs::write(folder.path().join("fw.test.toml"), tests).expect("tests");
    let built = run(folder.path(), ["build", "fw.bpf.c"]);
    if built.code == 4 {
        println!("SKIP cli::test: {}", built.stderr.trim());
        return None;
    }
    built.ended_with(0);
    Some(folder)
}

/// The lines of tests, without how long they took.
fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.ends_with(" ms  vm"));
    let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    words
        .map(|words| words[..words.len() - 3].join(" "))
        .collect()
}

#[test]
fn tests_below_the_folder_are_found_and_pass() {
    let Some(folder) = project(TESTS) else { return };
    let ran = run(folder.path(), ["test"]).ended_with(0);
    let wanted = ["ok broadcasts are dropped", "ok all else passes"];
    assert_eq!(lines(&ran.stdout), wanted);
    assert!(
        ran.stdout.ends_with("2 passed, 0 failed\n"),
        "{}",
        ran.stdout
    );
    assert_eq!(ran.stderr, "");
    let ran = run(folder.path(), ["test", "fw.test.toml", "--list"]).ended_with(0);
    assert_eq!(ran.stdout, "broadcasts are dropped\nall else passes\n");
    let ran = run(folder.path(), ["test", "--filter", "else"]).ended_with(0);
    assert!(
        ran.stdout.ends_with("1 passed, 0 failed\n"),
        "{}",
        ran.stdout
    );
    run(folder.path(), ["test", "--filter", "nothing"])
        .ended_with(2)
        .saying(&["no test has \"nothing\" in its name"]);
}

/// The twin of [`SOURCE`], by any name.
const TWIN: &str = r#"
use skep_ebpf::prelude::*;

license!("GPL");

#[xdp]
fn filter(context: &XdpContext) -> XdpAction {
    match context.packet().read::<Ethernet>(0) {
        None => XdpAction::ABORTED,
        Some(ethernet) if ethernet.destination()[0] == 0xff => XdpAction::DROP,
        Some(_) => XdpAction::PASS,
    }
}
"#;

/// `skep test` where programs in Rust are compiled.
fn test_in_rust(folder: &TempDir, core: &Path, arguments: &[&str]) -> Ran {
    let mut command = skep(folder.path());
    command.env("SKEP_RUST_SRC", core);
    Ran::of(command.arg("test").args(arguments))
}

#[test]
fn twins_have_the_same_tests() {
    let Some(folder) = project(TESTS) else { return };
    let Some(core) = core_source() else { return };
    fs::write(folder.path().join("fw.bpf.rs"), TWIN).expect("a source");
    let ran = test_in_rust(&folder, &core, &[]).ended_with(0);
    let each = ["ok broadcasts are dropped", "ok all else passes"];
    assert_eq!(lines(&ran.stdout), [each, each].concat());
    let headings = ran.stdout.lines().filter(|line| line.starts_with("./fw"));
    assert_eq!(headings.collect::<Vec<_>>(), ["./fw.bpf.c", "./fw.bpf.rs"]);
    // One of them, by its name.
    let ran = test_in_rust(&folder, &core, &["fw.bpf.rs", "--format", "json"]).ended_with(0);
    let first: serde_json::Value =
        serde_json::from_str(ran.stdout.lines().next().unwrap_or_default()).expect("JSON");
    assert_eq!(first["file"], "fw.test.toml");
    assert_eq!(first["program"], "fw.bpf.rs");
    assert_eq!(ran.stdout.lines().count(), 3, "{}", ran.stdout);
    // Where one of them is no good, the other is tested.
    fs::write(folder.path().join("fw.bpf.rs"), "fn").expect("a source");
    let ran = test_in_rust(&folder, &core, &[]).ended_with(3);
    assert_eq!(lines(&ran.stdout), each);
    assert!(
        ran.stdout
            .ends_with("2 passed, 0 failed, 1 of 2 files not opened\n"),
        "{}",
        ran.stdout
    );
    fs::write(folder.path().join("other.rs"), TWIN).expect("a source");
    test_in_rust(&folder, &core, &["other.rs"])
        .ended_with(2)
        .saying(&["other.rs has no tests: they go into other.test.toml beside it"]);
}

#[test]
fn a_failure_is_a_table_and_an_exit_code() {
    let tests = TESTS.replace("XDP_DROP", "XDP_TX");
    let Some(folder) = project(&tests) else {
        return;
    };
    let ran = run(folder.path(), ["test"]).ended_with(1);
    assert!(
        ran.stdout.contains("FAIL  broadcasts are dropped"),
        "{}",
        ran.stdout
    );
    let row = "      return  XDP_TX (3)  XDP_DROP (1)  fw.test.toml:5\n";
    assert!(ran.stdout.contains(row), "{}", ran.stdout);
    assert!(
        ran.stdout.ends_with("1 passed, 1 failed\n"),
        "{}",
        ran.stdout
    );
    let ran = run(folder.path(), ["test", "--fail-fast", "--junit", "out.xml"]).ended_with(1);
    assert!(ran.stdout.contains("1 failed"), "{}", ran.stdout);
    let xml = fs::read_to_string(folder.path().join("out.xml")).expect("a report");
    assert!(
        xml.contains("expected XDP_TX (3), got XDP_DROP (1)"),
        "{xml}"
    );
    let ran = run(folder.path(), ["test", "--format", "json"]).ended_with(1);
    let lines: Vec<serde_json::Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 3, "{}", ran.stdout);
    assert_eq!(lines[0]["mismatches"][0]["path"], "return");
    assert_eq!(lines[1]["outcome"], "passed");
    assert_eq!(lines[2]["failed"], 1);
}

#[test]
fn coverage_is_counted() {
    let Some(folder) = project(TESTS) else { return };
    let ran = run(folder.path(), ["test", "--coverage"]).ended_with(0);
    let last = ran.stdout.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("2 passed, 0 failed · fw.bpf.c: "),
        "{last}"
    );
    assert!(last.ends_with(" · coverage.lcov"), "{last}");
    let lcov = fs::read_to_string(folder.path().join("coverage.lcov")).expect("a tracefile");
    assert!(lcov.contains("DA:"), "{lcov}");
    run(folder.path(), ["test", "--coverage", "--host", "kernel"])
        .ended_with(2)
        .saying(&["only the vm counts"]);
}

#[test]
fn who_is_at_fault_shows_in_the_exit_code() {
    let empty = folder();
    run(empty.path(), ["test"])
        .ended_with(2)
        .saying(&["there is no test file"]);
    let write = |name: &str, text: &str| {
        fs::write(Path::new(empty.path()).join(name), text).expect("a file");
    };
    write("a.test.toml", "[[test]]\nname = \"x\"\nexpekt.return = 1\n");
    run(empty.path(), ["test", "a.test.toml"])
        .ended_with(2)
        .saying(&[
            "a.test.toml:3:1: no part of a test `expekt`",
            "did you mean `expect`?",
        ]);
    write("a.test.toml", "[[test]]\nname = \"x\"\n");
    run(empty.path(), ["test", "a.test.toml"])
        .ended_with(2)
        .saying(&["there is no a.bpf.c, .bpf.rs or .bpf.o beside this file, nor a Cargo.toml"]);
    write("a.bpf.c", "this is no C\n");
    let ran = run(empty.path(), ["test", "a.test.toml"]);
    assert!(matches!(ran.code, 3 | 4), "{}", ran.stderr);
    write("a.bpf.o", "no object");
    fs::remove_file(empty.path().join("a.bpf.c")).expect("a file");
    run(empty.path(), ["test", "a.test.toml"]).ended_with(3);
    run(empty.path(), ["test", "none.test.toml"]).ended_with(1);
}
